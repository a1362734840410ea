/* A heap holds things in no order but that the first one is at hand: the least key, of equal keys what was given the
 * least order. A thing embeds a node for each heap that it is in, and is in it at most once. Adding and removing one of
 * n looks at about log2(n) of them. Not thread-safe. */
#ifndef CANYON_SERVER_HEAP_H
#define CANYON_SERVER_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    uint64_t key, order;
    void *thing;  /* whose node it is */
    size_t place; /* the heap's own */
};

struct heap {
    struct heap_node **nodes;
    size_t count, room;
};

/* A zeroed heap is empty; finish frees its own memory, not the things, and is safe on a zeroed one. */
void heap_finish(struct heap *heap);

/* Room for `count` in all; false when memory cannot be had: nothing has changed. */
bool heap_reserve(struct heap *heap, size_t count);

/* Adds a node whose key, order and thing are set, borrowed until it is removed. There is room. */
void heap_add(struct heap *heap, struct heap_node *node);

/* Takes out a node that is in this heap. */
void heap_remove(struct heap *heap, const struct heap_node *node);

/* The thing that is first, or NULL. */
void *heap_first(const struct heap *heap);

#endif
