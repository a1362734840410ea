/* canyon-sim trace: what an optimizer makes of gradients that the caller chooses. */
#ifndef CANYON_SIMULATOR_TRACE_H
#define CANYON_SIMULATOR_TRACE_H

/* argv[0] is "trace". Returns the exit code. */
int trace_main(int argc, char **argv);

#endif
