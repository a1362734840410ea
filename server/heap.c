#include "server/heap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_ROOM ((size_t)16)

void heap_finish(struct heap *heap) {
    free(heap->nodes);
    memset(heap, 0, sizeof *heap);
}

bool heap_reserve(struct heap *heap, size_t count) {
    size_t room = heap->room > 0 ? heap->room : LEAST_ROOM;
    while (room < count) {
        room *= 2;
    }
    if (room > heap->room) {
        struct heap_node **nodes = realloc(heap->nodes, room * sizeof *nodes);
        if (nodes == NULL) {
            return false;
        }
        heap->nodes = nodes;
        heap->room = room;
    }
    return true;
}

static bool before(const struct heap_node *one, const struct heap_node *other) {
    return one->key != other->key ? one->key < other->key : one->order < other->order;
}

static void put(struct heap *heap, size_t place, struct heap_node *node) {
    heap->nodes[place] = node;
    node->place = place;
}

static void up(struct heap *heap, size_t place, struct heap_node *node) {
    while (place > 0 && before(node, heap->nodes[(place - 1) / 2])) {
        put(heap, place, heap->nodes[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put(heap, place, node);
}

static void down(struct heap *heap, size_t place, struct heap_node *node) {
    for (;;) {
        size_t child = 2 * place + 1;
        if (child + 1 < heap->count && before(heap->nodes[child + 1], heap->nodes[child])) {
            child++;
        }
        if (child >= heap->count || !before(heap->nodes[child], node)) {
            break;
        }
        put(heap, place, heap->nodes[child]);
        place = child;
    }
    put(heap, place, node);
}

void heap_add(struct heap *heap, struct heap_node *node) {
    assert(heap->count < heap->room);
    heap->count++;
    up(heap, heap->count - 1, node);
}

void heap_remove(struct heap *heap, const struct heap_node *node) {
    const size_t place = node->place;
    assert(place < heap->count && heap->nodes[place] == node);
    struct heap_node *last = heap->nodes[--heap->count];
    if (last != node) {
        up(heap, place, last);
        down(heap, last->place, last);
    }
}

void *heap_first(const struct heap *heap) {
    return heap->count > 0 ? heap->nodes[0]->thing : NULL;
}
