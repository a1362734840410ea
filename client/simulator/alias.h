/* Draws from any distribution over 0 to n - 1 in constant time: Walker's alias method, as Vose builds it ("A linear
 * algorithm for generating random numbers with a given distribution", 1991). */
#ifndef CANYON_SIMULATOR_ALIAS_H
#define CANYON_SIMULATOR_ALIAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct alias_place {
    uint32_t keep;  /* it is itself for the lower 32 bits of a draw below this, */
    uint32_t other; /* and this one for the rest */
};

struct alias {
    uint32_t count;
    struct alias_place *places;
};

/* Weights are finite, at least 0, and one of them is above; count is at least 1. False when there is no memory: then it
 * is zeroed. alias_finish otherwise. */
bool alias_make(struct alias *alias, const double *weights, uint32_t count);

/* Fetches what a draw of these bits will need. Worth it for thousands of draws from millions, asked for some draws
 * ahead.
 */
void alias_ask(const struct alias *alias, uint64_t bits);

/* What 64 random bits stand for. Probabilities are right to 2^-31. */
uint32_t alias_draw(const struct alias *alias, uint64_t bits);

/* Frees and zeroes. Safe on a zeroed one. */
void alias_finish(struct alias *alias);

#endif
