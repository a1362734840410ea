/* A row array: elements of one size by number, in chunks from the pool, so that it grows without copying and without
 * taking much that is not used yet.
 *
 * Chunks have a power of two of elements and whole pages. The first 512 are as small as that can be; then each level of
 * 256 chunks has chunks twice as large as the one before, up to 2 MiB. So half a chunk, which is what is taken and not
 * used on average, is a 512th to a 1024th of the array, and finding an element takes a handful of instructions. Not
 * thread-safe. */
#ifndef CANYON_SERVER_ROW_ARRAY_H
#define CANYON_SERVER_ROW_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/pool.h"

#define ROW_ARRAY_LEVEL 8 /* log2 of a level's chunks */

struct row_array {
    struct pool *pool;
    size_t element;  /* bytes */
    unsigned shift;  /* log2 of the elements of the smallest chunks */
    unsigned levels; /* the last level, whose chunks are the largest */
    uint8_t **chunks;
    size_t count, room; /* chunks */
    uint64_t elements;  /* that there is room for */
    uint64_t bytes;
};

/* Takes no memory. An element is a power of two of bytes from 4 on, or a multiple of 64 up to 1 MiB; it will be aligned
 * to itself, or to 64. `pool` is borrowed until finish. */
void row_array_init(struct row_array *array, struct pool *pool, size_t element);
/* Safe on a zeroed array. */
void row_array_finish(struct row_array *array);

/* Adds a chunk. False when memory cannot be had. Elements are undefined. */
bool row_array_grow(struct row_array *array);

/* Bytes that chunks for `elements` elements more than there is room for would add. */
uint64_t row_array_room(const struct row_array *array, uint64_t elements);

static inline unsigned row_array_level(const struct row_array *array, uint32_t number) {
    const unsigned level = 31 - (unsigned)__builtin_clz(number >> (array->shift + ROW_ARRAY_LEVEL) | 1);
    return level < array->levels ? level : array->levels;
}

/* Within the room. */
static inline void *row_array_at(const struct row_array *array, uint32_t number) {
    const unsigned level = row_array_level(array, number), shift = array->shift + level;
    uint8_t *chunk = array->chunks[(number >> shift) + (level << ROW_ARRAY_LEVEL)];
    return chunk + (number & ((UINT32_C(1) << shift) - 1)) * array->element;
}

/* Asks for what row_array_at will read, ahead of time: there are many lists of chunks, and many chunks. */
static inline __attribute__((always_inline)) void row_array_prefetch(const struct row_array *array, uint32_t number) {
    const unsigned level = row_array_level(array, number);
    __builtin_prefetch(&array->chunks[(number >> (array->shift + level)) + (level << ROW_ARRAY_LEVEL)]);
}

#endif
