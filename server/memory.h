/* Memory is where shards take the arrays of parameters from: given to them from outside, as all that is the system's.
 *
 * A NULL pointer to it stands for the C library's. Pieces are aligned to 64 bytes and hold anything at first. */
#ifndef CANYON_SERVER_MEMORY_H
#define CANYON_SERVER_MEMORY_H

#include <stddef.h>
#include <stdlib.h>

#define MEMORY_ALIGNMENT 64

struct memory {
    /* At least `bytes` bytes, owned by the caller until given back; NULL when they cannot be had. */
    void *(*take)(void *user, size_t bytes);
    /* `piece` is of take, with the same `bytes`. */
    void (*give)(void *user, void *piece, size_t bytes);
    void *user;
};

/* `bytes` is a multiple of 64. */
static inline void *memory_take(const struct memory *memory, size_t bytes) {
    return memory != NULL ? memory->take(memory->user, bytes) : aligned_alloc(MEMORY_ALIGNMENT, bytes);
}

/* Safe on NULL. */
static inline void memory_give(const struct memory *memory, void *piece, size_t bytes) {
    if (memory == NULL) {
        free(piece);
    } else if (piece != NULL) {
        memory->give(memory->user, piece, bytes);
    }
}

#endif
