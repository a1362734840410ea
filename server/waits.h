/* Waits are pulls that were put aside until other workers are further: whole requests, copied, in order of arrival.
 * One that waits for nobody any more is ready: until its peer has room for what it brings it waits behind the others of
 * its peer that are.
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

struct wait {
    struct handler_peer *peer;
    struct frame frame; /* a copy */
    uint64_t clock;     /* it is made at */
    uint32_t wait_ms;
    uint64_t deadline; /* monotonic nanoseconds */
    size_t bytes;      /* of the allocation */
    bool ready;
    struct wait *next, *previous; /* in its list */
    struct wait *behind;          /* the next one of its peer that is ready */
};

struct wait_list {
    struct wait *first, *last;
};

struct waits {
    struct wait_list waiting, ready;
    size_t count; /* of both, */
    uint64_t bytes;
    uint64_t earliest; /* no deadline of those that are waiting is before, while there are any */
};

/* A zeroed list is empty; finish frees all without answering. */
void waits_finish(struct waits *waits);

/* Adds a copy of the frame at the end. BUSY at a cap (the text names it), NO_MEMORY. */
enum canyon_status waits_add(struct waits *waits, struct handler_peer *peer, const struct frame *frame, uint64_t clock,
                             uint32_t wait_ms, uint64_t deadline, struct error *error);

/* It is ready from now on: its deadline is of no account any more. */
void waits_release(struct waits *waits, struct wait *wait);

/* Takes it out of its list, which its peer may leave then; waits_free frees it. One that is ready must be the first of
 * its peer. */
void waits_take(struct waits *waits, struct wait *wait);
void waits_free(struct wait *wait);

/* Finds out when the earliest deadline is. */
void waits_look(struct waits *waits);

#endif
