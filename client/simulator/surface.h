/* canyon-sim surface: optimizers descend a function of two variables, each through real servers. */
#ifndef CANYON_SIMULATOR_SURFACE_H
#define CANYON_SIMULATOR_SURFACE_H

/* argv[0] is "surface". Returns the exit code. */
int surface_main(int argc, char **argv);

#endif
