/* Reading a table: see server/table.h. */
#include <assert.h>
#include <string.h>

#include "server/table_batch.h"

#define PAGE 256 /* entries of the index whose ids are worked out at a time */

/* ---- Pulls ---- */

enum canyon_status table_pull(const struct table *table, const uint64_t *ids, size_t count, float *out,
                              struct error *error) {
    struct workspace *workspace = table->workspace;
    struct table_found *found = workspace->found, here;
    workspace->found = NULL;
    assert(count <= LIMIT_BATCH_ROWS);
    assert(found == NULL || (found->table == table && found->ids == ids && found->count == count));
    if (found == NULL && !workspace_rows(workspace, count)) {
        return error_set(error, CANYON_NO_MEMORY, "no memory to look up %zu rows of table '%s'", count,
                         table->key.name);
    }
    if (found == NULL) {
        struct workspace_scratch *scratch = &workspace->scratch;
        rowkey_of(&workspace->rowkey, ids, count, scratch->keys);
        here = (struct table_found){
            .table = table, .ids = ids, .keys = scratch->keys, .rows = scratch->at, .count = count};
        found = &here;
        table_find(found, 1);
    }
    for (size_t i = 0; i < count && i < BATCH_AHEAD_ROWS && !found->asked; i++) {
        batch_prefetch_weights(table, found->rows[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (i + BATCH_AHEAD_ROWS < count + found->behind) {
            batch_prefetch_weights(table, found->rows[i + BATCH_AHEAD_ROWS]);
        }
        if (found->rows[i].values != NULL) {
            memcpy(out + i * table->dim, found->rows[i].values, table->dim * sizeof *out);
        } else {
            initializer_row(&table->recipe, ids[i], table->dim, out + i * table->dim);
        }
    }
    return CANYON_OK;
}

/* ---- One row, and all of them ---- */

static void view(const struct table *table, uint64_t id, uint32_t place, struct table_row *row) {
    float *record = row_store_at(&table->store, place);
    const struct row_marks *marks = row_store_marks(&table->store, place);
    *row = (struct table_row){.id = id,
                              .step = marks->step,
                              .clock = marks->clock,
                              .values = record,
                              .scalars = row_scalars(&table->store.layout, record)};
}

bool table_row(const struct table *table, uint64_t id, struct table_row *row) {
    uint64_t key;
    rowkey_of(&table->workspace->rowkey, &id, 1, &key);
    uint32_t place = row_index_find(&table->index, key);
    if (place != ROW_NONE) {
        view(table, id, place, row);
    }
    return place != ROW_NONE;
}

/* A walk through the index, in the order of keys, which is nobody's. */
struct walk {
    const struct table *table;
    uint64_t keys[PAGE], ids[PAGE];
    uint32_t places[PAGE];
    uint64_t from;
    bool ended;
};

/* The next entries with their ids; 0 when there are no more. */
static size_t walk_on(struct walk *walk) {
    const struct row_index *index = &walk->table->index;
    size_t count = 0;
    while (!walk->ended && count < PAGE) {
        if (row_index_next(index, walk->from, &walk->keys[count], &walk->places[count])) {
            walk->from = walk->keys[count++] + 1;
        } else {
            walk->ended = true;
        }
        walk->ended = walk->ended || walk->from == 0; /* that was the highest key there is */
    }
    rowkey_ids(&walk->table->workspace->rowkey, walk->keys, count, walk->ids);
    return count;
}

/* A heap of ids with the largest at its root: puts one at the root and lets it sink. */
static void sink(uint64_t *heap, size_t count, uint64_t id) {
    size_t at = 0;
    for (size_t child = 1; child < count; child = 2 * at + 1) {
        child += child + 1 < count && heap[child + 1] > heap[child];
        if (heap[child] <= id) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = id;
}

static void rise(uint64_t *heap, size_t at, uint64_t id) {
    while (at > 0 && heap[(at - 1) / 2] < id) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = id;
}

void table_next(const struct table *table, uint64_t from, size_t room, uint64_t *ids, size_t *count) {
    struct walk walk = {.table = table};
    size_t held = 0;
    for (size_t page = walk_on(&walk); room > 0 && page > 0; page = walk_on(&walk)) {
        for (size_t i = 0; i < page; i++) {
            if (walk.ids[i] < from) {
                continue;
            }
            if (held < room) {
                rise(ids, held++, walk.ids[i]);
            } else if (walk.ids[i] < ids[0]) {
                sink(ids, held, walk.ids[i]);
            }
        }
    }
    for (size_t left = held; left > 1; left--) { /* the largest goes behind the others, again and again */
        uint64_t largest = ids[0], last = ids[left - 1];
        sink(ids, left - 1, last);
        ids[left - 1] = largest;
    }
    *count = held;
}

/* ---- Digest ---- */

void table_sum(const struct table *table, uint64_t sum[HASH_BYTES / 8]) {
    const struct row_layout *layout = &table->store.layout;
    struct walk walk = {.table = table};
    memset(sum, 0, HASH_BYTES);
    for (size_t page = walk_on(&walk); page > 0; page = walk_on(&walk)) {
        for (size_t i = 0; i < page; i++) {
            struct table_row row;
            struct hash hash;
            uint64_t words[HASH_BYTES / 8];
            view(table, walk.ids[i], walk.places[i], &row);
            hash_init(&hash);
            hash_u64(&hash, row.id);
            hash_u32(&hash, row.step);
            hash_u32(&hash, row.clock);
            hash_update(&hash, row.values, layout->value_floats * sizeof(float));
            hash_update(&hash, row.scalars, layout->scalars * sizeof(double));
            hash_final(&hash, (uint8_t *)words);
            for (size_t word = 0; word < HASH_BYTES / 8; word++) {
                sum[word] += words[word];
            }
        }
    }
}
