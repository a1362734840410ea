/* canyon-sim embed: word vectors from real English text, in tables of real servers. */
#ifndef CANYON_SIMULATOR_EMBED_H
#define CANYON_SIMULATOR_EMBED_H

/* argv[0] is "embed". Returns the program's exit code. */
int embed_main(int argc, char **argv);

#endif
