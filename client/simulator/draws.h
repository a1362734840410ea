/* Draws of one of N things, by their ranks: all alike, or by Zipf's law, where rank k (from 0) is drawn in proportion
 * to (k + 1)^-s. Exact but for roundings of 2^-31; constant time for each. */
#ifndef CANYON_SIMULATOR_DRAWS_H
#define CANYON_SIMULATOR_DRAWS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/simulator/alias.h"

#define DRAWS_ZIPF_HIGH     (UINT64_C(1) << 28) /* things, by Zipf's law */
#define DRAWS_EXPONENT_HIGH 10.0

struct draws {
    uint64_t count;
    double exponent; /* s; 0: all alike */
    double most;     /* probability of rank 0, which none exceeds */
    struct alias alias;
};

/* "uniform" or "zipf:S", S above 0 and at most DRAWS_EXPONENT_HIGH. False for anything else. */
bool draws_read(const char *text, double *exponent);

/* Probability of rank 0 among `count` (at least 1, at most DRAWS_ZIPF_HIGH where the exponent is above 0). */
double draws_most(uint64_t count, double exponent);

/* Bytes that it takes for good, and for the time of its making (these included). */
uint64_t draws_bytes(uint64_t count, double exponent);
uint64_t draws_bytes_made(uint64_t count, double exponent);

/* False without memory. draws_finish in any case. */
bool draws_make(struct draws *draws, uint64_t count, double exponent);
void draws_finish(struct draws *draws);

/* Fetches what a draw of these bits will need. */
void draws_ask(const struct draws *draws, uint64_t bits);

/* The rank that 64 random bits stand for. */
uint64_t draws_of(const struct draws *draws, uint64_t bits);

#endif
