/* What canyon-sim load --help says between its options and its examples. */
#ifndef CANYON_SIMULATOR_LOAD_HELP_H
#define CANYON_SIMULATOR_LOAD_HELP_H

extern const char load_details[];

#endif
