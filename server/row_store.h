/* The store of a table's rows in one shard: a record for each row, at a place that never changes.
 *
 * A record is the row's weights, then each slot (the row's length, or one number where the optimizer keeps one for a
 * row), then the optimizer's scalars as doubles:
 *
 *     w[dim] | slot 0 | slot 1 ... | scalar 0 ...
 *
 * float32 but the scalars; rounded up to a multiple of 64 bytes and aligned to it, or below that to a power of two, so
 * that no row touches a cache line more than it must. Dim 16 with Adam is 192 bytes, dim 1 with FTRL 16. Beside it
 * each row has 8 bytes of marks: its count of updates and its last-touch clock.
 *
 * Records and marks are row arrays by place (row_array.h), so growth copies nothing. Places are dealt in order; one
 * that was given back is dealt again first, the last first. Not thread-safe. */
#ifndef CANYON_SERVER_ROW_STORE_H
#define CANYON_SERVER_ROW_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/optimizers/optimizer.h"
#include "server/row_array.h"

#define ROW_PLACES (UINT32_C(1) << 31) /* places are below this */

struct row_layout {
    size_t dim;
    size_t slot_floats; /* of each slot: dim, or 1 */
    size_t slots, scalars;
    size_t scalars_at;   /* offset in bytes */
    size_t value_floats; /* weights and slots together */
    size_t record;       /* bytes */
};

struct row_marks {
    uint32_t step, clock;
};

struct row_store {
    struct row_layout layout;
    struct row_array records, marks;
    uint32_t free; /* the place given back last, ROW_NONE for none; its record holds the next one */
    uint32_t next; /* the lowest place that was never dealt */
};

void row_layout_init(struct row_layout *layout, const struct optimizer *optimizer, size_t dim);

/* Takes no memory. `pool` is borrowed until finish. */
void row_store_init(struct row_store *store, struct pool *pool, const struct row_layout *layout);
/* Safe on a zeroed store. */
void row_store_finish(struct row_store *store);

/* A place whose record is undefined; ROW_NONE when memory cannot be had. */
uint32_t row_store_take(struct row_store *store);
/* Gives a place back. */
void row_store_give(struct row_store *store, uint32_t place);

static inline float *row_store_at(const struct row_store *store, uint32_t place) {
    return row_array_at(&store->records, place);
}

static inline struct row_marks *row_store_marks(const struct row_store *store, uint32_t place) {
    return row_array_at(&store->marks, place);
}

/* Where a row's record and its marks are, which never changes while it has its place. */
struct row_at {
    float *values;
    struct row_marks *marks;
};

/* Asks for what row_store_locate will read, ahead of time. */
static inline __attribute__((always_inline)) void row_store_prefetch(const struct row_store *store, uint32_t place) {
    row_array_prefetch(&store->records, place);
    row_array_prefetch(&store->marks, place);
}

static inline struct row_at row_store_locate(const struct row_store *store, uint32_t place) {
    return (struct row_at){row_store_at(store, place), row_store_marks(store, place)};
}

/* Of a record: a slot, and its scalars (NULL where the optimizer has none). */
static inline float *row_slot(const struct row_layout *layout, float *record, size_t slot) {
    return record + layout->dim + slot * layout->slot_floats;
}
static inline double *row_scalars(const struct row_layout *layout, float *record) {
    return layout->scalars == 0 ? NULL : (double *)(void *)((uint8_t *)record + layout->scalars_at);
}

/* Bytes taken; the most that `rows` rows more can add to them. */
uint64_t row_store_bytes(const struct row_store *store);
uint64_t row_store_room(const struct row_store *store, uint64_t rows);

#endif
