/* The command line of canyon-sim train --model lr. */
#ifndef CANYON_SIMULATOR_REGRESS_OPTIONS_H
#define CANYON_SIMULATOR_REGRESS_OPTIONS_H

#include "client/simulator/regress_plan.h"
#include "client/tools/arguments.h"

/* Fills in the options; what is wrong is printed. Texts point into argv. */
enum arguments_verdict regress_options_parse(struct regress_options *options, int argc, char **argv);

#endif
