/* The distinct ids of a batch, each with its place: what is pulled and pushed once, however often it comes up. */
#ifndef CANYON_SIMULATOR_GATHER_H
#define CANYON_SIMULATOR_GATHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gather_mark; /* where an id stands */

/* Begin with zeros; its memory is used again and again. */
struct gather {
    uint64_t *ids; /* `count` of them, in the order in which they first came up */
    size_t count, capacity;
    struct gather_mark *marks;
    size_t mark_count;
    uint32_t round;
};

/* Forgets all ids. */
void gather_begin(struct gather *gather);

/* The place of an id, which is added when it is new; SIZE_MAX when there is no memory. */
size_t gather_place(struct gather *gather, uint64_t id);

/* Frees and zeroes. Safe on a zeroed one. */
void gather_finish(struct gather *gather);

#endif
