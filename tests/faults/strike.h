/* A network that misbehaves at random, by a seed, in every way that a session outlasts: connections end at any byte, in
 * the middle of a handshake too, stall, lose what comes, hold it back, delay it and cut it into pieces. */
#ifndef TESTS_FAULTS_STRIKE_H
#define TESTS_FAULTS_STRIKE_H

#include "tests/faults/proxy.h"

/* One fault somewhere, which takes up to some 50 ms, or, where connections are being made, a few times that. `random`
 * is the state of seed_below. */
void strike(struct proxy *proxy, uint64_t *random);

/* No more of it. A connection that swallowed something is of no use: those there are end. */
void strike_over(struct proxy *proxy);

#endif
