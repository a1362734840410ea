/* canyon-sim load: puts a load on servers and measures, and verifies, what they make of it. */
#ifndef CANYON_SIMULATOR_LOAD_H
#define CANYON_SIMULATOR_LOAD_H

/* argv[0] is "load". Returns the exit code. */
int load_main(int argc, char **argv);

#endif
