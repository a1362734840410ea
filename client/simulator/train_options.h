/* The command line of canyon-sim train. */
#ifndef CANYON_SIMULATOR_TRAIN_OPTIONS_H
#define CANYON_SIMULATOR_TRAIN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/simulator/pacing.h"
#include "client/simulator/place.h"
#include "client/tools/arguments.h"
#include "client/tools/coding.h"

#define TRAIN_PROGRAM "canyon-sim train"

struct train_options {
    struct place_options where;
    struct argument_texts optimizers; /* at least one */
    const char *model, *batch, *plot, *codec;
    uint64_t workers, hidden, epochs, seed;
    uint64_t batch_images; /* 0: "full" */
    double clip_norm;
    struct coding coding;
    struct pacing pacing;
    bool json;
};

/* Fills in *options, defaults too; prints help, or what is wrong. Texts point into argv. */
enum arguments_verdict train_options_parse(struct train_options *options, int argc, char **argv);

#endif
