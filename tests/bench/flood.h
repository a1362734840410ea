/* A process that floods a port on loopback, and one that accepts and closes and does nothing else: what a flood costs
 * at the least, whoever it is aimed at.
 *
 * Start both before the program has threads, and direct them from then on. They end with the program. */
#ifndef TESTS_BENCH_FLOOD_H
#define TESTS_BENCH_FLOOD_H

#include <stdint.h>

enum flood_kind {
    FLOOD_NONE,
    FLOOD_SLOW,   /* peers that send a byte of a first message a second each; those found closed connect anew then */
    FLOOD_RANDOM, /* 64 random bytes, then waits to be closed: as fast as one process can */
    FLOOD_MARKED, /* the same with a right mac1 before nonsense */
    FLOOD_KINDS
};

const char *flood_name(enum flood_kind kind);

struct flood;

/* A flooder with so many slow peers. `key` is the text of the public key that marks are made for, "" for none. */
struct flood *flood_start(unsigned slow_peers, const char *key);
/* Ends what it does, and begins with this. */
void flood_direct(struct flood *flood, enum flood_kind kind, uint16_t port);

struct flood_count {
    uint64_t connects, failures, closes; /* since it was directed; closes are the other side's */
    double seconds;
};
struct flood_count flood_count(const struct flood *flood);

/* Returns the port of a process that accepts and closes. */
uint16_t flood_start_bare(void);

#endif
