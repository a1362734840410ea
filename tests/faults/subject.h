/* What the tests of exactly-once pushes push to: parameters whose weights count the pushes.
 *
 * sgd with lr=1 and whole numbers as gradients, the same for every element: each negated weight is the sum of the
 * pushes that counted, exactly and in any order. One that is lost, doubled or torn shows. Of every kind there is one
 * of a job: who opens it later, in whatever process, shares it. Not thread-safe; each worker has its own. */
#ifndef TESTS_FAULTS_SUBJECT_H
#define TESTS_FAULTS_SUBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "canyon.h"

enum subject_kind {
    SUBJECT_VECTOR, /* one tensor: a piece for each block */
    SUBJECT_STEP,   /* SUBJECT_TENSORS tensors in one step: pieces of several shards share frames */
    SUBJECT_ROWS,   /* rows of one table, in several shards: a run for each */
    SUBJECT_KINDS
};

#define SUBJECT_TENSORS 5u
#define SUBJECT_DIM     3u     /* elements of a row */
#define SUBJECT_MOST    65536u /* elements altogether */

struct subject {
    enum subject_kind kind;
    canyon_client *client; /* borrowed */
    canyon_tensor *tensors[SUBJECT_TENSORS];
    canyon_table *table;
    uint32_t units, unit; /* tensors, or rows, and the elements of each */
    uint64_t ids[SUBJECT_MOST / SUBJECT_DIM];
    float gradient[SUBJECT_MOST], weights[SUBJECT_MOST];
};

const char *subject_name(enum subject_kind kind);

/* Creates it or opens it, of zeros. `size` is the elements of each tensor, or the number of rows. */
void subject_open(struct subject *subject, canyon_client *client, enum subject_kind kind, uint32_t size);
void subject_close(struct subject *subject);

/* Pushes `value` to every element and, with `pulls`, receives `weights` in the same round trip. */
enum canyon_status subject_push(struct subject *subject, float value, bool pulls, uint32_t timeout_ms);

/* Receives `weights`. */
enum canyon_status subject_try_pull(struct subject *subject, uint32_t timeout_ms);
/* The same, or fails the test. */
void subject_pull(struct subject *subject);

/* Every one of the `weights` received last says this sum of pushes; else the test fails, and says `what`. */
void subject_expect(const struct subject *subject, double sum, const char *what);

#endif
