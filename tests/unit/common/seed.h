/* Random numbers for tests: seeded from the environment variable CANYON_SEED, else from the clock; the seed is printed
 * so that a failing run can be repeated, at once: a run that is killed, aborts or leaves with _exit has told it too. */
#ifndef CANYON_TESTS_UNIT_SEED_H
#define CANYON_TESTS_UNIT_SEED_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"

static inline uint64_t seed_begin(const char *test) {
    const char *given = getenv("CANYON_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : clock_now();
    printf("%s: CANYON_SEED=%" PRIu64 "\n", test, seed);
    fflush(stdout);
    return seed;
}

/* SplitMix64. */
static inline uint64_t seed_next(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 0 <= x < limit. */
static inline uint64_t seed_below(uint64_t *state, uint64_t limit) {
    return seed_next(state) % limit;
}

#endif
