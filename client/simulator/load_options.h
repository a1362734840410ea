/* The command line of canyon-sim load. */
#ifndef CANYON_SIMULATOR_LOAD_OPTIONS_H
#define CANYON_SIMULATOR_LOAD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/simulator/load_plan.h"
#include "client/simulator/place.h"
#include "client/tools/arguments.h"

#define LOAD_PROGRAM "canyon-sim load"
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

/* "65536", "64K", "4M", "1.5G" (powers of 1024): false for anything else, and when it is no whole number. */
bool load_options_bytes(const char *text, uint64_t *bytes);

/* "50/25/25", shares of push_pull, push and pull in percent that make 100. */
bool load_options_mix(const char *text, uint32_t mix[LOAD_KINDS]);

/* "3:20", 3 workers that are 20 ms late. */
bool load_options_straggle(const char *text, uint32_t *stragglers, uint64_t *nanoseconds);

#endif
