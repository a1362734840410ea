/* One process of a load: runs its share of the logical workers over a few clients.
 *
 * The process's main thread is the scheduler. It alone touches the workers: it begins the calls that are due
 * (canyon_step_async), and takes in those that have ended, which the clients' threads hand to it from futures'
 * callbacks, stamped with the time. A process with room for one call only makes it with the blocking canyon_step, on
 * which no thread but its own is spent. */
#ifndef CANYON_SIMULATOR_LOAD_DRIVER_H
#define CANYON_SIMULATOR_LOAD_DRIVER_H

#include <stdint.h>

#include "client/simulator/load_plan.h"
#include "client/simulator/load_share.h"

/* The order, see crew_order, to begin at share->begin. */
#define LOAD_BEGIN 'b'

/* A worker whose call failed begins none for so long, lest they fail a million times a second; in an open loop too,
 * where what is due meanwhile waits. */
#define LOAD_BACKOFF_MS 100

struct load_context {
    const struct load_plan *plan;
    struct load_share *share;
};

/* A crew_task. `context` is a struct load_context, `index` the process's number. Says NEWS_BEGUN when it is connected,
 * NEWS_DONE when every call has ended and share->begun is filled in, or NEWS_FAILED. */
int load_driver_task(void *context, uint32_t index, int news, int orders);

#endif
