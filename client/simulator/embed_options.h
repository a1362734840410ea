/* The command line of canyon-sim embed. */
#ifndef CANYON_SIMULATOR_EMBED_OPTIONS_H
#define CANYON_SIMULATOR_EMBED_OPTIONS_H

#include "client/simulator/embed_plan.h"
#include "client/tools/arguments.h"

/* Fills in the options; what is wrong is printed. Texts point into argv. */
enum arguments_verdict embed_options_parse(struct embed_options *options, int argc, char **argv);

#endif
