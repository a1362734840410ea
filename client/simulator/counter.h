/* Random numbers without a state: a number for every (seed, stream, index), the same on every machine.
 *
 * Nothing depends on the order of calls, so a shuffle or an initial weight can be computed anywhere, by any process.
 * The mixing is SplitMix64's (Steele, Lea and Flood, 2014). Not for secrets. */
#ifndef CANYON_SIMULATOR_COUNTER_H
#define CANYON_SIMULATOR_COUNTER_H

#include <stddef.h>
#include <stdint.h>

/* 64 well mixed bits. */
uint64_t counter_bits(uint64_t seed, uint64_t stream, uint64_t index);

/* From 0 up to, not including, n, which must be above 0. The bias is below n / 2^32. */
uint32_t counter_below(uint64_t seed, uint64_t stream, uint64_t index, uint32_t n);

/* From -1 up to, not including, 1, in steps of 2^-23. */
float counter_sign_unit(uint64_t seed, uint64_t stream, uint64_t index);

/* Puts the n entries in an order drawn from (seed, stream); all n! orders are about equally likely. */
void counter_shuffle(uint64_t seed, uint64_t stream, uint32_t *entries, size_t n);

#endif
