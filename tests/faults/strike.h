/* A network that misbehaves at random, by a seed, in every way that a session outlasts: connections end at any byte, in
 * the middle of a handshake too, stall, lose what comes, hold it back, delay it and cut it into pieces.
 *
 * Strikes and their victims keep step with each other, not with a clock, so that a test is the same on a machine of any
 * speed: after at most STRIKES_RUNNING strikes every victim's calls have to come through before there are more, and a
 * victim does no more than so much before there was a strike. A client that never gets through would give up, and be
 * right: it believes that it is not wanted when six connections in a row end in the middle of a handshake. */
#ifndef TESTS_FAULTS_STRIKE_H
#define TESTS_FAULTS_STRIKE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "tests/faults/proxy.h"
#include "tests/integration/harness.h"

#define STRIKES_VICTIMS 8u
#define STRIKES_RUNNING 3u

/* A client that is struck. Its own thread changes it. Zeroed first. */
struct victim {
    _Atomic uint64_t answered; /* calls that came through */
    _Atomic bool away;         /* it waits for something else than the network, or is done */
};

/* Those of a test. The test's own thread strikes. */
struct strikes {
    uint64_t random; /* the state of seed_below */
    struct victim *victims[STRIKES_VICTIMS];
    unsigned victim_count;
    unsigned running;       /* since all victims came through */
    _Atomic uint64_t count; /* so far */
};

void strikes_init(struct strikes *strikes, uint64_t seed);

/* Before it is struck first. Borrowed. */
void strikes_victim(struct strikes *strikes, struct victim *victim);

/* Connects a client that waits for its servers for as long as any call here takes. */
canyon_client *victim_connect(const struct cluster *cluster);

/* Returns when there were so many strikes; till then the victim is away. Fails the test when there are not in time. */
void victim_await(struct victim *victim, const struct strikes *strikes, uint64_t count);

/* One fault somewhere, which takes up to some 50 ms; before it, now and then, the time until all victims have come
 * through. */
void strike(struct strikes *strikes, struct proxy *proxy);

/* No more of it. A connection that swallowed something is of no use: those there are end. */
void strike_over(struct proxy *proxy);

#endif
