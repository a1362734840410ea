/* A world is one schedule from its seed to its verdict: servers, a network, workers, and what happens to them.
 *
 * First anything may happen (safety): links break, workers die and stop, servers are killed. Nothing has to get on, and
 * nothing may be shown or answered that is not so. Then the world is healed: everybody must come to an end within
 * bounded time and work (liveness), with more requests that must all succeed. Then the oracle judges every cell, and
 * every server's log is replayed. */
#ifndef CANYON_TESTS_SCHEDULES_WORLD_H
#define CANYON_TESTS_SCHEDULES_WORLD_H

#include <stdbool.h>
#include <stdint.h>

/* Added up over schedules. */
struct world_totals {
    uint64_t requests, pushes; /* that bring something; their pieces and rows, each of which is counted exactly once */
    uint64_t ok, refused, unknown, died;
    uint64_t links, cuts, kills, losses; /* losses: kills with loss of state */
    uint64_t paced, clocks, closes, kept,
        waits;                   /* worlds, clocks of workers, closed in a shard; contributions; pulls */
    uint64_t intrusions, pauses; /* connections of intruders; stops of servers */
    uint64_t changes, conflicts; /* of the mode */
    uint64_t idles;              /* times without any worker */
    uint64_t lives, stops, frames, events, seconds; /* seconds of virtual time */
};

/* True when all was well; else `failure` says what was found first. */
bool world_run(uint64_t seed, bool verbose, struct world_totals *totals, char *failure, unsigned failure_bytes);

#endif
