/* What a table of arguments cannot say about the command line of canyon-sim load: what words mean, and what goes with
 * what. */
#ifndef CANYON_SIMULATOR_LOAD_CHECK_H
#define CANYON_SIMULATOR_LOAD_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "client/simulator/load_plan.h"
#include "client/tools/arguments.h"

#define LOAD_TENSORS 4 /* unless said otherwise; so the rest */
#define LOAD_SIZE    "4M"
#define LOAD_DIM     16
#define LOAD_ROWS    1000000
#define LOAD_BATCH   4096
#define LOAD_DRAWN   "zipf:1.05"
/* One of them as text. */
#define LOAD_TEXT(number)    LOAD_TEXT_OF(number)
#define LOAD_TEXT_OF(number) #number

/* What was given, where it is not in the plan's form. NULL, 0 and a negative warmup: not given. */
struct load_raw {
    const char *size, *mode, *mix, *rate, *codec, *optimizer, *straggle, *distribution;
    uint64_t workers, processes, clients, tensors, in_flight, seed, dim, rows, batch;
    double duration, warmup, think;
    bool verify, table;
};

/* Fills in the plan from it, or prints what is wrong. */
enum arguments_verdict load_check(const struct command_line *line, const struct load_raw *raw, struct load_plan *plan);

#endif
