/* The command line of canyon-sim study. */
#ifndef CANYON_SIMULATOR_STUDY_OPTIONS_H
#define CANYON_SIMULATOR_STUDY_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/simulator/place.h"
#include "client/tools/arguments.h"

#define STUDY_PROGRAM    "canyon-sim study"
#define STUDY_MODES_HIGH 8
#define STUDY_SEEDS_HIGH 100

struct study_options {
    struct place_options where; /* local servers */
    const char *modes[STUDY_MODES_HIGH];
    size_t mode_count;
    const char *optimizer, *plot;
    uint64_t workers, batch, epochs, seed, seeds;
    uint64_t work_ms; /* what every worker sleeps in a step, */
    uint64_t slow_ms; /* and what the last one sleeps more, in the second half of the runs */
    double goal;      /* percent */
    bool json;
};

/* Fills in *options, defaults too; prints help, or what is wrong. Texts point into argv. */
enum arguments_verdict study_options_parse(struct study_options *options, int argc, char **argv);

#endif
