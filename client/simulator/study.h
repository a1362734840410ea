/* canyon-sim study: how soon a model learns in each consistency mode, with a slow worker and without. */
#ifndef CANYON_SIMULATOR_STUDY_H
#define CANYON_SIMULATOR_STUDY_H

/* argv[0] is the command's name. Returns the exit code. */
int study_main(int argc, char **argv);

#endif
