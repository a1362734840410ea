/* What a run of the benchmark does, as its command line said. */
#ifndef TESTS_BENCH_SUITE_PLAN_H
#define TESTS_BENCH_SUITE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/served.h"
#include "tests/bench/suite/parts.h"

#define PLAN_SPIN_US       50
#define PLAN_REPEATS_LEAST 7 /* a run that takes long has fewer rounds, so that there are as many */

struct plan {
    bool parts[PARTS];
    uint64_t bytes;         /* of the tensor */
    uint64_t block;         /* elements of a block */
    uint64_t repeats;       /* of everything, in turns */
    uint64_t rounds;        /* of each thing in a repeat, after one that warms up; encrypted ones have half as many */
    uint64_t batch;         /* small push_pulls in a repeat */
    uint64_t memory_bytes;  /* of the tensor whose memory is measured */
    uint64_t rows, draws;   /* of tables; of a batch */
    uint64_t batches;       /* in a round */
    uint64_t growth_rows;   /* of the table that doubles */
    double seconds;         /* to end by, with fewer rounds and fewer repeats; the first repeat is done all the same */
    const char *congestion; /* of TCP, for all programs; "" for the host's */
    const char *echo_mode;  /* limit_echo's --mode */
    enum served_channel cipher;
    bool pinned; /* each thread of dense and sparse parts on a processor of its own, where there are enough */
};

#endif
