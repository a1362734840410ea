/* What canyon-sim train --model lr is to do, and what came of it. */
#ifndef CANYON_SIMULATOR_REGRESS_PLAN_H
#define CANYON_SIMULATOR_REGRESS_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "client/simulator/auc.h"
#include "client/simulator/examples.h"
#include "client/simulator/place.h"
#include "client/simulator/team.h"

#define REGRESS_PROGRAM    "canyon-sim train"
#define REGRESS_BATCH_HIGH 1000000u

struct regress_options {
    struct place_options where;
    const char *data, *test; /* files; test is NULL when a part of data is held out */
    const char *optimizer;
    uint64_t workers, batch, epochs, ahead, seed;
    double held;
    struct libsvm_names names;
    bool single, json;
};

/* What the files have. */
struct regress_survey {
    struct examples_count data, test; /* test: of the file, if there is one */
};

/* How well examples are told apart by what was learnt. */
struct regress_score {
    uint64_t rows; /* that the table has: features that were learnt, and the bias */
    uint64_t examples, positives;
    double loss; /* mean, in nats */
    struct auc auc;
};

struct regress_result {
    struct team_result team;
    struct regress_score test; /* no examples: nothing was looked at */
};

/* The examples that a worker trains with, and those that tell how well it went. */
struct examples_choice regress_training(const struct regress_options *options, uint32_t worker);
struct examples_choice regress_testing(const struct regress_options *options);

#endif
