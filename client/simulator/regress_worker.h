/* A worker's part of canyon-sim train --model lr, and the test of what was learnt: the two ends of a team's plan. */
#ifndef CANYON_SIMULATOR_REGRESS_WORKER_H
#define CANYON_SIMULATOR_REGRESS_WORKER_H

#include "client/simulator/regress_plan.h"

/* The plan's context. */
struct regress_context {
    const struct regress_options *options;
    uint64_t test_examples;     /* how many there are; 0: no test */
    struct regress_score *test; /* from team_share */
};

enum canyon_status regress_train(void *context, uint32_t worker, struct rows *const *tables, struct team_tally *tally,
                                 char *text, size_t bytes);

/* Reads the test part, a batch at a time, and scores it. Takes 4 bytes of memory for each example of it. */
enum canyon_status regress_test(void *context, struct rows *const *tables, char *text, size_t bytes);

#endif
