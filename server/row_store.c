#include "server/row_store.h"

#include <string.h>

#include "server/row_index.h"

#define LINE 64

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

void row_store_init(struct row_store *store, struct pool *pool, const struct row_layout *layout) {
    memset(store, 0, sizeof *store);
    store->layout = *layout;
    store->free = ROW_NONE;
    row_array_init(&store->records, pool, layout->record);
    row_array_init(&store->marks, pool, sizeof(struct row_marks));
}

void row_store_finish(struct row_store *store) {
    row_array_finish(&store->records);
    row_array_finish(&store->marks);
    memset(store, 0, sizeof *store);
}

static bool has_next(struct row_store *store) {
    return store->next < ROW_PLACES - 1 && (store->next < store->records.elements || row_array_grow(&store->records)) &&
           (store->next < store->marks.elements || row_array_grow(&store->marks));
}

uint32_t row_store_take(struct row_store *store) {
    uint32_t place = store->free;
    if (place != ROW_NONE) {
        memcpy(&store->free, row_store_at(store, place), sizeof store->free);
    } else if (has_next(store)) {
        place = store->next++;
    }
    return place;
}

void row_store_give(struct row_store *store, uint32_t place) {
    memcpy(row_store_at(store, place), &store->free, sizeof store->free);
    store->free = place;
}

uint64_t row_store_bytes(const struct row_store *store) {
    return store->records.bytes + store->marks.bytes;
}

/* Places that were given back are not counted. */
static uint64_t more(const struct row_array *array, uint64_t rows) {
    return rows > array->elements ? row_array_room(array, rows - array->elements) : 0;
}

uint64_t row_store_room(const struct row_store *store, uint64_t rows) {
    return more(&store->records, store->next + rows) + more(&store->marks, store->next + rows);
}
