#include "server/table_found.h"

#include "server/table_batch.h"

#define AHEAD_TABLES 2 /* operations ahead of which a table itself is asked for */

/* A place in the sequence of all rows. */
struct cursor {
    const struct table_found *found, *end;
    size_t at;
};

static void prefetch_table(const struct table_found *found) {
    __builtin_prefetch(&found->table->index);
    __builtin_prefetch(&found->table->index.front);
    __builtin_prefetch(&found->table->store);
    __builtin_prefetch(&found->table->store.marks);
}

/* On by one row, to an operation that has any. */
static inline void go_on(struct cursor *cursor) {
    if (++cursor->at == cursor->found->count) {
        cursor->at = 0;
        do {
            cursor->found++;
        } while (cursor->found < cursor->end && cursor->found->count == 0);
        if (cursor->end - cursor->found > AHEAD_TABLES) {
            prefetch_table(cursor->found + AHEAD_TABLES);
        }
    }
}

static struct cursor first_row(const struct table_found *found, size_t operations) {
    struct cursor cursor = {.found = found, .end = found + operations};
    while (cursor.found < cursor.end && cursor.found->count == 0) {
        cursor.found++;
    }
    return cursor;
}

static inline void prefetch(struct cursor *far) {
    if (far->found < far->end) {
        row_index_prefetch(&far->found->table->index, far->found->keys[far->at]);
        go_on(far);
    }
}

static inline void prefetch_behind(struct cursor *near) {
    if (near->found < near->end) {
        row_index_prefetch_behind(&near->found->table->index, near->found->keys[near->at]);
        go_on(near);
    }
}

void table_find(struct table_found *found, size_t operations) {
    struct cursor far = first_row(found, operations), near = far;
    for (size_t i = 0; i < AHEAD_TABLES && i < operations; i++) {
        prefetch_table(&found[i]);
    }
    for (size_t i = 0; i < BATCH_AHEAD_INDEX; i++) {
        prefetch(&far);
    }
    for (size_t i = 0; i < BATCH_AHEAD_INDEX / 2; i++) {
        prefetch_behind(&near);
    }
    for (struct table_found *now = found; now < found + operations; now++) {
        const struct table *table = now->table;
        now->missing = 0;
        for (size_t i = 0; i < now->count; i++) {
            prefetch(&far);
            prefetch_behind(&near);
            const uint32_t place = row_index_find(&table->index, now->keys[i]);
            now->rows[i] = place == ROW_NONE ? (struct row_at){NULL, NULL} : row_store_locate(&table->store, place);
            now->missing += place == ROW_NONE;
        }
    }
}
