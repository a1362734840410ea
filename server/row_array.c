#include "server/row_array.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 16 /* chunks that are noted without growing the list */

void row_array_init(struct row_array *array, struct pool *pool, size_t element) {
    memset(array, 0, sizeof *array);
    array->pool = pool;
    array->element = element;
    while ((element << array->shift) % POOL_LEAST != 0) {
        array->shift++;
    }
    while (element << (array->shift + array->levels + 1) <= POOL_MOST) {
        array->levels++;
    }
    assert(element << array->shift <= POOL_MOST);
}

/* log2 of the elements of a chunk. */
static unsigned shift_of(const struct row_array *array, size_t chunk) {
    size_t level = chunk >> ROW_ARRAY_LEVEL;
    level = level > 0 ? level - 1 : 0; /* the first two are alike */
    return array->shift + (level < array->levels ? (unsigned)level : array->levels);
}

void row_array_finish(struct row_array *array) {
    for (size_t i = 0; i < array->count; i++) {
        pool_give(array->pool, array->chunks[i], array->element << shift_of(array, i));
    }
    free(array->chunks);
    memset(array, 0, sizeof *array);
}

bool row_array_grow(struct row_array *array) {
    if (array->count == array->room) {
        size_t room = array->room == 0 ? FIRST_ROOM : 2 * array->room;
        uint8_t **chunks = realloc(array->chunks, room * sizeof *chunks);
        if (chunks == NULL) {
            return false;
        }
        array->chunks = chunks;
        array->room = room;
    }
    unsigned shift = shift_of(array, array->count);
    uint8_t *chunk = pool_take(array->pool, array->element << shift);
    if (chunk != NULL) {
        array->chunks[array->count++] = chunk;
        array->elements += UINT64_C(1) << shift;
        array->bytes += array->element << shift;
    }
    return chunk != NULL;
}

uint64_t row_array_room(const struct row_array *array, uint64_t elements) {
    uint64_t bytes = 0, got = 0;
    for (size_t chunk = array->count; got < elements; chunk++) {
        unsigned shift = shift_of(array, chunk);
        uint64_t more = 1;
        if (shift == array->shift + array->levels) { /* all others are alike */
            more = (elements - got + (UINT64_C(1) << shift) - 1) >> shift;
        }
        got += more << shift;
        bytes += more * array->element << shift;
    }
    return bytes;
}
