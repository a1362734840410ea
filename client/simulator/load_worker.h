/* One logical worker of a load: a few numbers that say when its next call may begin. No clock, no network: time goes
 * in, the next due time comes out.
 *
 *     due = load_worker_due(worker);
 *     if (due <= now) call = load_worker_begin(worker, now);
 *     ... and when the call has ended: load_worker_end(worker, now); */
#ifndef CANYON_SIMULATOR_LOAD_WORKER_H
#define CANYON_SIMULATOR_LOAD_WORKER_H

#include <stdint.h>

#include "client/simulator/load_pace.h"

struct load_worker {
    const struct load_pace *pace;
    uint32_t index;
    uint32_t under_way;
    uint64_t start; /* of the run */
    uint64_t begun; /* calls so far, and the number of the next */
    uint64_t held;  /* until then none begins */
    /* A closed loop's free places: when each may begin a call, earliest first, in a ring. */
    uint32_t first, free;
    uint64_t ready[LOAD_IN_FLIGHT_HIGH];
};

struct load_call {
    uint64_t number;   /* of this worker's calls, from 0 */
    uint64_t intended; /* when it should have begun: what its latency is counted from */
    enum load_kind kind;
};

/* The pace must outlive it. In a closed loop the first calls of thinking workers are spread over the think time, so
 * that they do not all come at once. */
void load_worker_init(struct load_worker *worker, const struct load_pace *pace, uint32_t index, uint64_t start);

/* When the next call may begin; LOAD_NEVER: not before one that is under way ends. */
uint64_t load_worker_due(const struct load_worker *worker);

/* Takes the call that is due; load_worker_due must not be above `now`. In an open loop `intended` is its place in the
 * schedule, however late it is, and however late a straggler makes it; in a closed loop, which has none, it is now. */
struct load_call load_worker_begin(struct load_worker *worker, uint64_t now);

/* One of the calls under way ended. A closed loop's next one is due after the think time, counted from `now`. */
void load_worker_end(struct load_worker *worker, uint64_t now);

/* No call begins before `until`, in either loop; an open one keeps its schedule, so that what it holds back waits. */
void load_worker_hold(struct load_worker *worker, uint64_t until);

#endif
