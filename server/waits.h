/* Waits are pulls that were put aside until other workers are further: whole requests, copied, in order of arrival.
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
    struct wait *next, *previous;
    size_t bytes; /* of the allocation */
};

struct waits {
    struct wait *first, *last;
    size_t count;
    uint64_t bytes;
    uint64_t earliest; /* no deadline is before, while there are any */
};

/* A zeroed list is empty; finish frees all without answering. */
void waits_finish(struct waits *waits);

/* Adds a copy of the frame at the end. BUSY at a cap (the text names it), NO_MEMORY. */
enum canyon_status waits_add(struct waits *waits, struct handler_peer *peer, const struct frame *frame, uint64_t clock,
                             uint32_t wait_ms, uint64_t deadline, struct error *error);

/* Takes it out of the list, which its peer may leave then; waits_free frees it. */
void waits_take(struct waits *waits, struct wait *wait);
void waits_free(struct wait *wait);

/* Finds out when the earliest deadline is. */
void waits_look(struct waits *waits);

#endif
