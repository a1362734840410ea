/* Waits are pulls that were put aside until other workers are further: whole requests, copied. One that waits for
 * nobody any more is ready: until its peer has room for what it brings it waits behind the others of its peer that are.
 *
 * Which is at the least clock, and which must be answered first, is at hand, so that who lets some go or ends them
 * looks at no others: every worker of a job may have many that wait, and tell clocks all the time.
 *
 * They have their own caps (server/handler.h), so that whatever waits here, the requests behind it are read. Not
 * thread-safe. */
#ifndef CANYON_SERVER_WAITS_H
#define CANYON_SERVER_WAITS_H

#include <stddef.h>
#include <stdint.h>

#include "common/frame.h"
#include "common/status.h"
#include "server/handler.h"
#include "server/heap.h"

struct wait {
    struct handler_peer *peer;
    struct frame frame; /* a copy */
    uint64_t clock;     /* it is made at */
    uint32_t wait_ms;
    uint64_t deadline; /* monotonic nanoseconds */
    size_t bytes;      /* of the allocation */
    bool ready;
    struct heap_node by_clock, by_deadline; /* while it is not ready */
    struct wait *next, *previous;           /* of its peer, in order of arrival; once it is ready, of all that are */
    struct wait *behind;                    /* the next one of its peer that is ready */
};

struct wait_list {
    struct wait *first, *last;
};

/* Those at clocks before the one that the next mode begins at, and those from it on: within either, whoever may go, all
 * at lesser clocks may. */
enum wait_part { WAIT_BEFORE, WAIT_FROM, WAIT_PARTS };

struct waits {
    struct heap clocks[WAIT_PARTS], deadlines; /* of those that are not ready */
    uint64_t from;                             /* where the second part begins */
    uint64_t arrivals;
    struct wait_list ready;
    size_t count; /* of all, */
    uint64_t bytes;
};

/* Zeroed ones are none; finish frees all without answering. */
void waits_finish(struct waits *waits);

/* Adds a copy of the frame. BUSY at a cap (the text names it), NO_MEMORY. */
enum canyon_status waits_add(struct waits *waits, struct handler_peer *peer, const struct frame *frame, uint64_t clock,
                             uint32_t wait_ms, uint64_t deadline, struct error *error);

/* It is ready from now on: its deadline is of no account any more. */
void waits_release(struct waits *waits, struct wait *wait);

/* Takes it out of its list, which its peer may leave then; waits_free frees it. One that is ready must be the first of
 * its peer. */
void waits_take(struct waits *waits, struct wait *wait);
void waits_free(struct wait *wait);

/* The second part begins there from now on: looks at all of them when that is not where it began. */
void waits_split(struct waits *waits, uint64_t from);

/* Of those that are not ready, and are in this part: the one at the least clock, of several the one that came first; or
 * NULL. */
struct wait *waits_least(const struct waits *waits, enum wait_part part);

/* Of all that are not ready: the one with the earliest deadline, or NULL. */
struct wait *waits_due(const struct waits *waits);

#endif
