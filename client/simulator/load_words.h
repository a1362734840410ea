/* The words of canyon-sim load that are more than a number. Each is read as a whole: false for anything else. */
#ifndef CANYON_SIMULATOR_LOAD_WORDS_H
#define CANYON_SIMULATOR_LOAD_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/simulator/load_pace.h"

/* "65536", "64K", "4M", "1.5G" (powers of 1024): false for anything else, and when it is no whole number. */
bool load_words_bytes(const char *text, uint64_t *bytes);

/* "50/25/25", shares of push_pull, push and pull in percent that make 100. */
bool load_words_mix(const char *text, uint32_t mix[LOAD_KINDS]);

/* "3:20", 3 workers that are 20 ms late. */
bool load_words_straggle(const char *text, uint32_t *stragglers, uint64_t *nanoseconds);

#endif
