/* Parked requests wait for something to happen: a tensor to be complete, a barrier to open. Kept in order of arrival,
 * with the earliest deadline at hand. Not thread-safe. */
#ifndef CANYON_SERVER_PARKED_H
#define CANYON_SERVER_PARKED_H

#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "common/tensor.h"
#include "server/handler.h"
#include "server/heap.h"

struct parked {
    struct handler_peer *peer;
    uint64_t request;
    uint16_t type; /* FRAME_CREATE, FRAME_OPEN, FRAME_BARRIER */
    uint32_t wait_ms;
    uint64_t deadline; /* monotonic nanoseconds */
    char name[LIMIT_NAME_BYTES];
    struct tensor_spec *spec; /* of CREATE, owned */
    struct parked *next, *previous;
    struct heap_node by_deadline;
};

struct parked_list {
    struct parked *first, *last;
    size_t count;
    struct heap heap; /* earliest deadline first */
    uint64_t arrivals;
};

/* A zeroed list is empty; finish frees all of it without answering, and is safe on NULL. */
void parked_finish(struct parked_list *list);

/* Adds a copy of *request, with a copy of `spec` when that is not NULL, at the end. BUSY at the peer's or the list's
 * cap (the text names it), NO_MEMORY. On success *added is borrowed until it is removed. */
enum canyon_status parked_add(struct parked_list *list, const struct parked *request, const struct tensor_spec *spec,
                              struct parked **added, struct error *error);

/* Takes it out and frees it. */
void parked_remove(struct parked_list *list, struct parked *parked);

/* The one with the earliest deadline, or NULL. */
struct parked *parked_earliest(const struct parked_list *list);

#endif
