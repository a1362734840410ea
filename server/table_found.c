#include "server/table_found.h"

#include "server/table_batch.h"

#define AHEAD_TABLES   2 /* operations ahead of which a table itself is asked for */
#define AHEAD_SEGMENTS (BATCH_AHEAD_INDEX + BATCH_AHEAD_INDEX / 2)
#define AHEAD_CHUNKS   8 /* rows between finding a place and reading where it is */

/* A place in the sequence of all rows. */
struct cursor {
    struct table_found *found, *end;
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
    }
}

static struct cursor first_row(struct table_found *found, size_t operations) {
    struct cursor cursor = {.found = found, .end = found + operations};
    while (cursor.found < cursor.end && cursor.found->count == 0) {
        cursor.found++;
    }
    return cursor;
}

/* One row further in each: what says where lines are, lines, and lines behind them. */
static inline void ask_for_segment(struct cursor *cursor) {
    if (cursor->found < cursor->end) {
        if (cursor->at == 0 && cursor->end - cursor->found > AHEAD_TABLES) {
            prefetch_table(cursor->found + AHEAD_TABLES);
        }
        row_index_prefetch_segment(&cursor->found->table->index, cursor->found->keys[cursor->at]);
        go_on(cursor);
    }
}
static inline void ask_for_line(struct cursor *cursor) {
    if (cursor->found < cursor->end) {
        row_index_prefetch(&cursor->found->table->index, cursor->found->keys[cursor->at]);
        go_on(cursor);
    }
}
static inline void ask_for_next_line(struct cursor *cursor) {
    if (cursor->found < cursor->end) {
        row_index_prefetch_behind(&cursor->found->table->index, cursor->found->keys[cursor->at]);
        go_on(cursor);
    }
}

static inline void locate(struct cursor *cursor, uint32_t place) {
    cursor->found->rows[cursor->at] =
        place == ROW_NONE ? (struct row_at){.values = NULL} : row_store_locate(&cursor->found->table->store, place);
    cursor->found->missing += place == ROW_NONE;
    go_on(cursor);
}

void table_find(struct table_found *found, size_t operations) {
    uint32_t places[AHEAD_CHUNKS]; /* of the rows that were found last */
    struct cursor segment = first_row(found, operations), line = segment, next = segment, late = segment;
    size_t count = 0;
    for (size_t i = 0; i < AHEAD_TABLES && i < operations; i++) {
        prefetch_table(&found[i]);
    }
    for (size_t i = 0; i < AHEAD_SEGMENTS; i++) {
        ask_for_segment(&segment);
    }
    for (size_t i = 0; i < BATCH_AHEAD_INDEX; i++) {
        ask_for_line(&line);
    }
    for (size_t i = 0; i < BATCH_AHEAD_INDEX / 2; i++) {
        ask_for_next_line(&next);
    }
    for (struct table_found *now = found; now < found + operations; now++) {
        const struct table *table = now->table;
        now->missing = 0;
        for (size_t i = 0; i < now->count; i++, count++) {
            ask_for_segment(&segment);
            ask_for_line(&line);
            ask_for_next_line(&next);
            if (count >= AHEAD_CHUNKS) {
                locate(&late, places[count % AHEAD_CHUNKS]);
            }
            const uint32_t place = row_index_find(&table->index, now->keys[i]);
            places[count % AHEAD_CHUNKS] = place;
            if (place != ROW_NONE) {
                row_store_prefetch(&table->store, place);
            }
        }
    }
    for (size_t i = count < AHEAD_CHUNKS ? 0 : count - AHEAD_CHUNKS; i < count; i++) {
        locate(&late, places[i % AHEAD_CHUNKS]);
    }
}
