/* Rows of a table, wherever they are: on servers, or in this process.
 *
 * A table holds rows of `dim` float32 keyed by a 64-bit id. A row comes to be when it is first pushed to, with values
 * that depend on the table's seed and the row's id alone; a pull gives these for a row that is not there. The rows of
 * servers are shared by all processes that open the table and updated by the servers' optimizer; those in this process
 * are its own, and updated by the same definitions (row_rule.h). So one training program serves both, and one can be
 * held against the other.
 *
 * Calls begin and are waited for, so that several may be under way; in this process they are done when they have begun.
 * Ids of one call are distinct. Not thread-safe: one thread at a time for each table. */
#ifndef CANYON_SIMULATOR_ROWS_H
#define CANYON_SIMULATOR_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "canyon.h"

#define ROWS_DIM_HIGH 4096

struct rows_spec {
    const char *name;      /* of the table, at most CANYON_NAME_BYTES with its NUL */
    uint32_t dim;          /* 1 to ROWS_DIM_HIGH */
    float spread;          /* first values are uniform from -spread to spread; 0: zeros */
    uint64_t seed;         /* of them */
    const char *optimizer; /* "NAME[:key=value,...]" */
    uint64_t expected;     /* how many rows there will be, about; 0: unknown */
};

/* A call that was begun and not waited for yet. It must stay where it is. */
struct rows_call {
    enum canyon_status status; /* when `future` is NULL: the call's outcome */
    canyon_future *future;
    struct canyon_batch batch; /* when it is not */
};

struct rows;

/* What a kind of rows does; see the functions below. */
struct rows_kind {
    void (*pull)(struct rows *rows, const uint64_t *ids, size_t count, float *weights, struct rows_call *call);
    void (*push)(struct rows *rows, const uint64_t *ids, size_t count, const float *gradient, struct rows_call *call);
    enum canyon_status (*wait)(struct rows *rows, struct rows_call *call, char *text, size_t bytes);
    enum canyon_status (*count)(struct rows *rows, uint64_t *count, char *text, size_t bytes);
    void (*close)(struct rows *rows);
};

/* The beginning of every kind's own structure. */
struct rows {
    const struct rows_kind *kind;
    uint32_t dim;
};

/* Begins to fetch rows, count * dim floats in the order of the ids. `ids` and `weights` are borrowed until the call was
 * waited for. */
void rows_pull(struct rows *rows, const uint64_t *ids, size_t count, float *weights, struct rows_call *call);

/* Begins to apply a gradient to rows, one step of the optimizer for each. Borrows in the same way. Calls are carried
 * out in the order in which they are begun. */
void rows_push(struct rows *rows, const uint64_t *ids, size_t count, const float *gradient, struct rows_call *call);

/* Waits for a call's end, once. When it failed, `text` says why; NOT_FINITE: a gradient had NaN or infinity. */
enum canyon_status rows_wait(struct rows *rows, struct rows_call *call, char *text, size_t bytes);

/* A pull that is waited for. */
enum canyon_status rows_read(struct rows *rows, const uint64_t *ids, size_t count, float *weights, char *text,
                             size_t bytes);

/* How many rows there are. */
enum canyon_status rows_count(struct rows *rows, uint64_t *count, char *text, size_t bytes);

/* Frees the handle; with rows of this process, the rows. No call may be under way. Safe on NULL. */
void rows_close(struct rows *rows);

/* An empty table in this process. On CANYON_OK *rows is to be closed; otherwise `text` says why: INVALID_ARGUMENT for
 * an optimizer that row_rule.h has not, NO_MEMORY. */
enum canyon_status rows_open_here(const struct rows_spec *spec, struct rows **rows, char *text, size_t bytes);

#endif
