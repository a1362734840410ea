/* canyon-sim train: trains a model on servers with worker processes, once for every optimizer asked for. */
#ifndef CANYON_SIMULATOR_TRAIN_H
#define CANYON_SIMULATOR_TRAIN_H

/* argv[0] is "train". Returns the exit code. */
int train_main(int argc, char **argv);

#endif
