/* What a load's processes and their parent know in common: memory that all of them see.
 *
 * Times are news_clock's. Counters have one writer, the process they belong to; the parent reads them while it writes.
 */
#ifndef CANYON_SIMULATOR_LOAD_SHARE_H
#define CANYON_SIMULATOR_LOAD_SHARE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/simulator/load_pace.h"
#include "client/simulator/load_plan.h"
#include "common/histogram.h"

#define LOAD_FAILURES_HIGH 1024 /* remembered of each process, for verifying */
#define LOAD_TEXT_BYTES    320
#define LOAD_EVERY_TENSOR  UINT32_MAX

/* A push that was not answered as it should: for a verified load. Of a table: `first` is a row's id and `blocks` 1, or
 * it is of all rows of the call, with 0 and UINT64_MAX. */
struct load_failure {
    uint32_t worker;
    uint32_t tensor; /* or LOAD_EVERY_TENSOR */
    uint64_t number;
    uint64_t first, blocks; /* which blocks; blocks is UINT64_MAX for all from `first` on */
    bool certain;           /* not applied to any of them; false: nobody knows */
};

enum load_counter {
    /* Between the measure's beginning and end, by when calls ended: */
    LOAD_CALLS,
    LOAD_PUSHES,        /* gradients of one tensor */
    LOAD_BLOCKS_PUSHED, /* and applied; of a table: different rows of each call, and so wherever blocks are counted */
    LOAD_BLOCKS_PULLED,
    LOAD_BYTES_PUSHED, /* of float32, however they travel */
    LOAD_BYTES_PULLED,
    LOAD_ROWS, /* of a table: different rows that calls moved, either way or both */
    /* Of the whole run: */
    LOAD_FAILED,   /* calls that were not done; refused blocks alone do not count as that */
    LOAD_UNKNOWN,  /* of these, with OUTCOME_UNKNOWN */
    LOAD_REFUSED,  /* blocks */
    LOAD_TORN,     /* blocks whose weights were not of one moment; a verified load looks */
    LOAD_WAITING,  /* calls of an open loop that were due and never begun */
    LOAD_ACCEPTED, /* pushing calls that were answered, of the whole run */
    LOAD_CPU_BEGIN,
    LOAD_CPU_END, /* nanoseconds of processor time of the process, at the measure's beginning and end */
    LOAD_COUNTERS
};

struct load_process {
    struct histogram latencies[LOAD_KINDS]; /* of calls intended within the measure, by kind */
    _Atomic uint64_t counters[LOAD_COUNTERS];
    uint32_t failure_count;
    bool failures_lost; /* more than there was room for */
    struct load_failure failures[LOAD_FAILURES_HIGH];
    char text[LOAD_TEXT_BYTES]; /* of the first call that failed; to be read when the process is done */
};

struct load_share {
    size_t bytes; /* of all of it */
    _Atomic uint64_t begin, measure, end;
    _Atomic uint64_t pushes;    /* pushing calls begun, when they must be counted: of a verified load */
    _Atomic uint32_t exhausted; /* 1: it ended because pushes_high were made */
    uint32_t processes, workers;
    uint64_t pushes_high; /* so many may be made */
    uint64_t *begun;      /* of each worker: calls, once its process is done */
    struct load_process process[];
};

/* NULL when the system has no memory. Made before the processes are forked. */
struct load_share *load_share_create(const struct load_plan *plan);
void load_share_destroy(struct load_share *share);

/* Ends the load at `time`, unless it ends sooner. */
void load_share_end_by(struct load_share *share, uint64_t time);

/* Counts one pushing call; false when no more may be made, which also ends the load. */
bool load_share_take_push(struct load_share *share);

/* The owner's side and the reader's side of a counter. */
void load_count(struct load_process *process, enum load_counter counter, uint64_t more);
/* Of a call, or of one tensor in it: `blocks` (of a table: rows) that were carried out, and their bytes each way. */
void load_count_moved(struct load_process *process, bool pushes, bool pulls, uint64_t blocks, uint64_t bytes);
uint64_t load_counted(const struct load_process *process, enum load_counter counter);

/* Of all processes together. */
uint64_t load_total(const struct load_share *share, enum load_counter counter);

/* Adds the latencies of all processes to `into`; of one kind, or all when `kind` is LOAD_KINDS. */
void load_latencies(const struct load_share *share, unsigned kind, struct histogram *into);

#endif
