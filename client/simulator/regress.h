/* canyon-sim train --model lr: logistic regression on examples with few of very many features, in a table of real
 * servers. */
#ifndef CANYON_SIMULATOR_REGRESS_H
#define CANYON_SIMULATOR_REGRESS_H

#include <stdbool.h>

/* Whether a command line of canyon-sim train asks for the model lr. */
bool regress_is_meant(int argc, char **argv);

/* argv[0] is "train". Returns the program's exit code. */
int regress_main(int argc, char **argv);

#endif
