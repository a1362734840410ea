/* The command line of canyon-sim load. */
#ifndef CANYON_SIMULATOR_LOAD_OPTIONS_H
#define CANYON_SIMULATOR_LOAD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/simulator/load_plan.h"
#include "client/simulator/place.h"
#include "client/tools/arguments.h"

#define LOAD_BLOCK   65536 /* elements of a block of local servers, unless --block says otherwise */
#define LOAD_SERVERS 2     /* local ones, unless --local or --servers says otherwise */

struct load_options {
    struct place_options where;
    bool canonical; /* no argument at all was given */
    bool json;
    struct load_plan plan; /* all of it but what the servers' place says */
};

/* Reads the arguments and prints what is wrong with them. */
enum arguments_verdict load_options_parse(struct load_options *options, int argc, char **argv);

#endif
