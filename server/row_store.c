#include "server/row_store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/row_index.h"

#define LINE       64
#define FIRST_ROOM 16                 /* chunks that are noted without growing the list */
#define LEAST_ROWS 4                  /* of a chunk */
#define USUAL      ((size_t)64 << 10) /* bytes of a chunk, once there are as many: smaller ones waste more at their ends */

void row_layout_init(struct row_layout *layout, const struct optimizer *optimizer, size_t dim) {
    layout->dim = dim;
    layout->slots = optimizer->slot_count;
    layout->scalars = optimizer->scalar_count;
    layout->slot_floats = optimizer->rows_only ? 1 : dim;
    layout->value_floats = dim + layout->slots * layout->slot_floats;
    layout->scalars_at = (layout->value_floats * sizeof(float) + sizeof(double) - 1) / sizeof(double) * sizeof(double);
    size_t bytes = layout->scalars == 0 ? layout->value_floats * sizeof(float)
                                        : layout->scalars_at + layout->scalars * sizeof(double);
    layout->record = (bytes + LINE - 1) / LINE * LINE;
    while (layout->record / 2 >= bytes) { /* where it is one line: its half, a quarter ... */
        layout->record /= 2;
    }
}

static size_t row_bytes(const struct row_store *store) {
    return store->layout.record + sizeof(struct row_marks);
}

/* Of the chunk that is taken next, when so many bytes are there. */
static size_t chunk_bytes(const struct row_store *store, uint64_t bytes) {
    size_t size = pool_size(LEAST_ROWS * row_bytes(store));
    while (size < POOL_MOST && (size * 128 <= bytes || (size < USUAL && size <= bytes))) {
        size *= 2;
    }
    return size;
}

void row_store_init(struct row_store *store, struct pool *pool, const struct row_layout *layout) {
    memset(store, 0, sizeof *store);
    store->pool = pool;
    store->layout = *layout;
    store->free = ROW_NONE;
    while ((UINT64_C(1) << store->shift) * row_bytes(store) < POOL_MOST) {
        store->shift++;
    }
    assert(row_bytes(store) <= POOL_MOST);
}

/* Bytes of the marks of so many rows, which the records follow. */
static size_t marks_bytes(size_t rows) {
    return (rows * sizeof(struct row_marks) + LINE - 1) / LINE * LINE;
}

static size_t rows_of(const struct row_store *store, size_t bytes) {
    size_t rows = bytes / row_bytes(store);
    while (marks_bytes(rows) + rows * store->layout.record > bytes) {
        rows--;
    }
    return rows;
}

void row_store_finish(struct row_store *store) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < store->chunk_count; i++) {
        size_t size = chunk_bytes(store, bytes);
        pool_give(store->pool, store->chunks[i] - marks_bytes(rows_of(store, size)), size);
        bytes += size;
    }
    free(store->chunks);
    memset(store, 0, sizeof *store);
}

/* Room in the list for one chunk more. */
static bool make_room(struct row_store *store) {
    if (store->chunk_count < store->chunk_room) {
        return true;
    }
    size_t room = store->chunk_room == 0 ? FIRST_ROOM : 2 * store->chunk_room;
    uint8_t **chunks = realloc(store->chunks, room * sizeof(uint8_t *));
    if (chunks != NULL) {
        store->chunks = chunks;
        store->chunk_room = room;
    }
    return chunks != NULL;
}

static bool add_chunk(struct row_store *store) {
    size_t bytes = chunk_bytes(store, store->bytes), rows = rows_of(store, bytes);
    if (store->chunk_count >= ROW_PLACES >> store->shift || !make_room(store)) {
        return false;
    }
    uint8_t *memory = pool_take(store->pool, bytes);
    if (memory == NULL) {
        return false;
    }
    store->chunks[store->chunk_count] = memory + marks_bytes(rows);
    store->next = (uint32_t)store->chunk_count << store->shift;
    store->next_end = store->next + (uint32_t)rows;
    store->chunk_count++;
    store->bytes += bytes;
    return true;
}

uint32_t row_store_take(struct row_store *store) {
    uint32_t place = store->free;
    if (place != ROW_NONE) {
        memcpy(&store->free, row_store_at(store, place), sizeof store->free);
    } else if (store->next < store->next_end || add_chunk(store)) {
        place = store->next++;
    }
    return place;
}

void row_store_give(struct row_store *store, uint32_t place) {
    memcpy(row_store_at(store, place), &store->free, sizeof store->free);
    store->free = place;
}

uint64_t row_store_bytes(const struct row_store *store) {
    return store->bytes;
}

uint64_t row_store_room(const struct row_store *store, uint64_t rows) {
    /* As if chunk after chunk was taken; places that were given back are not counted. */
    uint64_t left = store->next_end - store->next, bytes = store->bytes;
    while (left < rows) {
        size_t size = chunk_bytes(store, bytes);
        uint64_t in_chunk = rows_of(store, size), chunks = 1;
        if (size == POOL_MOST) {
            chunks = (rows - left + in_chunk - 1) / in_chunk;
        }
        left += chunks * in_chunk;
        bytes += chunks * size;
    }
    return bytes - store->bytes;
}
