#include "server/table_found.h"

#include "server/table_batch.h"

#define AHEAD_TABLES 2 /* operations ahead of which a table itself is asked for */

/* So many rows after a search begins its other steps follow, and then where the row is; and for how many rows that is
 * kept. Measured: memory answers that late. */
#define TO_LINE   16
#define TO_BEHIND (TO_LINE + BATCH_AHEAD_INDEX / 2)
#define TO_END    (TO_LINE + BATCH_AHEAD_INDEX)
#define TO_LOCATE (TO_END + 8)
#define RING      64
_Static_assert(TO_LOCATE < RING, "rows between the first step and the last");

/* A place in the sequence of all rows. */
struct cursor {
    struct table_found *found, *end;
    size_t at;
};

static void prefetch_table(const struct table_found *found) {
    if (found->table == NULL) {
        return; /* an operation that will be refused, without rows */
    }
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

static void locate(struct cursor *cursor, uint32_t place) {
    struct table_found *found = cursor->found;
    found->rows[cursor->at] =
        place == ROW_NONE ? (struct row_at){.values = NULL} : row_store_locate(&found->table->store, place);
    found->missing += place == ROW_NONE;
    go_on(cursor);
}

void table_find(struct table_found *found, size_t operations) {
    struct row_search searches[RING];
    struct cursor first = first_row(found, operations), last = first, end = first;
    uint32_t places[RING];
    size_t rows = 0;
    for (size_t i = 0; i < operations; i++) {
        found[i].missing = 0;
        rows += found[i].count;
        if (i < AHEAD_TABLES) {
            prefetch_table(&found[i]);
        }
    }
    /* Every row takes every step, some rows behind the one that takes the step before. What is not yet there, or not
     * any more, has a number that is too large. */
    for (size_t i = 0; i < rows + TO_LOCATE; i++) {
        const size_t line = i - TO_LINE, behind = i - TO_BEHIND, done = i - TO_END, late = i - TO_LOCATE;
        if (i < rows) {
            if (first.at == 0 && first.end - first.found > AHEAD_TABLES) {
                prefetch_table(first.found + AHEAD_TABLES);
            }
            row_search_begin(&searches[i % RING], &first.found->table->index, first.found->keys[first.at]);
            go_on(&first);
        }
        if (line < rows) {
            row_search_line(&searches[line % RING]);
        }
        if (behind < rows) {
            row_search_behind(&searches[behind % RING]);
        }
        if (late < rows) {
            locate(&last, places[late % RING]);
        }
        if (done < rows) {
            const uint32_t place = row_search_end(&searches[done % RING]);
            places[done % RING] = place;
            if (place != ROW_NONE) {
                row_store_prefetch(&end.found->table->store, place);
            }
            go_on(&end);
        }
    }
}
