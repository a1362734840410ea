/* The index of a table's rows in one shard: from a row's key (server/rowkey.h) to its place in the store.
 *
 * Open addressing in lines of one cache line, five keys and five places each. A key's home is the line at its fraction
 * of the key range, so all entries lie in order of their keys; where a home is full, what does not fit moves on to the
 * lines behind. A search reads on from the home until it comes to its key, a larger one, or a line with room. At the
 * usual load, 0.88 to 0.9, that is 1.7 lines on average. Searches write nothing.
 *
 * Growth is a sixteenth at a time and never stops the world: while there are two arrays, each new row moves
 * ROW_INDEX_MOVES lines from the old one to the new one, from the lowest keys up. As both are in order of keys, moving
 * is reading and writing straight on; the memory of lines that are empty for good is given back on the way, that of
 * lines to come is not yet taken; and one comparison with the first key not yet moved tells in which array a key
 * belongs.
 *
 * No key is further than ROW_INDEX_PROBE lines from its home. Who knows the secret of the keys could choose ids that
 * crowd one place; row_index_insert refuses the row then, before anything has changed. By chance it does not happen:
 * the distance's tail falls by e^-0.14 a row at the worst moment, so 290 rows are 10^-17.
 *
 * Memory a row: 12.8 bytes / 0.88, of indexes that have 64 segments and more (1,000 rows). Not thread-safe. */
#ifndef CANYON_SERVER_ROW_INDEX_H
#define CANYON_SERVER_ROW_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/pool.h"

#define ROW_INDEX_PROBE 64   /* lines between a key's home and its entry, at most */
#define ROW_INDEX_SHIFT 1024 /* lines that one insertion moves entries in, at most */
#define ROW_INDEX_MOVES 6    /* lines that each new row moves while the index grows */
#define ROW_NONE        UINT32_MAX

#define ROW_LINE_ENTRIES 5
struct row_line {
    _Alignas(64) uint64_t keys[ROW_LINE_ENTRIES]; /* in order; what is empty stands behind: UINT64_MAX */
    uint32_t places[ROW_LINE_ENTRIES];            /* ROW_NONE: no entry */
    uint32_t nothing;
};

/* One array of lines, in segments. */
struct row_lines {
    uint64_t homes;          /* lines that are home to keys; ROW_INDEX_PROBE more stand behind */
    struct row_line **lines; /* the segments; NULL: not there yet, or not any more, and empty */
    size_t segments;
    unsigned shift; /* log2 of a segment's lines */
    uint64_t bytes; /* of the segments that are there */
};

struct row_index {
    struct pool *pool;
    struct row_lines now, next; /* next.lines is NULL unless the index grows */
    uint64_t front;             /* lines of `now` before this one were moved to `next`; */
    uint64_t boundary;          /* so were the keys below this one. Both 0 unless the index grows */
    uint64_t count;
    uint64_t moved, shifted; /* lines moved by growth; lines that insertions moved entries in: work done, ever */
};

enum row_insert { ROW_INSERTED, ROW_NO_MEMORY, ROW_CROWDED };

/* Bytes that row_index_init takes: enough for `rows` rows without growth. */
uint64_t row_index_bytes_for(uint64_t rows);

/* False when memory cannot be had. `pool` is borrowed until finish. */
bool row_index_init(struct row_index *index, struct pool *pool, uint64_t rows);
/* Safe on a zeroed index. */
void row_index_finish(struct row_index *index);

/* A search in steps, so that those of many keys can wait for memory at the same time: each step asks for what the next
 * one reads. Nothing may be inserted or erased until its end. (Always inline: GCC 12 takes a function that does nothing
 * else for one without effect.) */
struct row_search {
    const struct row_lines *lines;
    const struct row_line *line;
    uint64_t at, key;
};
#define ROW_AHEAD static inline __attribute__((always_inline)) void
ROW_AHEAD row_search_begin(struct row_search *search, const struct row_index *index, uint64_t key);
ROW_AHEAD row_search_line(struct row_search *search);
ROW_AHEAD row_search_behind(struct row_search *search);
static inline uint32_t row_search_end(const struct row_search *search);

/* The place of a key; ROW_NONE when there is none. */
static inline uint32_t row_index_find(const struct row_index *index, uint64_t key);

/* Adds a key that is not inside. Otherwise the index holds the same as before. */
enum row_insert row_index_insert(struct row_index *index, uint64_t key, uint32_t place);

/* Asks for the lines that an insertion will read, ahead of time. */
void row_index_prefetch_insert(const struct row_index *index, uint64_t key);

/* Removes a key; returns the place it had, ROW_NONE when it was not there. */
uint32_t row_index_erase(struct row_index *index, uint64_t key);

/* The lowest key from `from` on, and its place; false when there is none. */
bool row_index_next(const struct row_index *index, uint64_t from, uint64_t *key, uint32_t *place);

/* Bytes taken for entries, and the most that `rows` rows more can add to them. */
uint64_t row_index_bytes(const struct row_index *index);
uint64_t row_index_room(const struct row_index *index, uint64_t rows);

/* ---- What the inline functions rest on ---- */

__extension__ typedef unsigned __int128 row_index_wide;

static inline uint64_t row_lines_home(const struct row_lines *array, uint64_t key) {
    return (uint64_t)((row_index_wide)key * array->homes >> 64);
}

/* NULL where there is no segment. */
static inline struct row_line *row_lines_at(const struct row_lines *array, uint64_t line) {
    struct row_line *segment = array->lines[line >> array->shift];
    return segment == NULL ? NULL : segment + (line & ((UINT64_C(1) << array->shift) - 1));
}

/* The array that a key belongs in, and the line where its search begins. */
static inline const struct row_lines *row_index_begin(const struct row_index *index, uint64_t key, uint64_t *line) {
    if (key < index->boundary) {
        *line = row_lines_home(&index->next, key);
        return &index->next;
    }
    uint64_t home = row_lines_home(&index->now, key);
    *line = home < index->front ? index->front : home;
    return &index->now;
}

/* How many keys of a line are lower. What is empty has the highest, so no branch depends on where it is. */
static inline size_t row_line_below(const struct row_line *line, uint64_t key) {
    const uint64_t *keys = line->keys;
    return (size_t)(keys[0] < key) + (size_t)(keys[1] < key) + (size_t)(keys[2] < key) + (size_t)(keys[3] < key) +
           (size_t)(keys[4] < key);
}

ROW_AHEAD row_search_begin(struct row_search *search, const struct row_index *index, uint64_t key) {
    search->key = key;
    search->lines = row_index_begin(index, key, &search->at);
    __builtin_prefetch(&search->lines->lines[search->at >> search->lines->shift]);
}

ROW_AHEAD row_search_line(struct row_search *search) {
    search->line = row_lines_at(search->lines, search->at);
    __builtin_prefetch(search->line);
}

/* Goes on to the line behind where the search will read that, which is as often as not: so no branch depends on it. */
ROW_AHEAD row_search_behind(struct row_search *search) {
    const struct row_line *line = search->line;
    if (line != NULL) {
        search->at += line->keys[ROW_LINE_ENTRIES - 1] < search->key;
        search->line = row_lines_at(search->lines, search->at);
        __builtin_prefetch(search->line);
    }
}

static inline uint32_t row_search_end(const struct row_search *search) {
    const uint64_t key = search->key;
    const struct row_line *line = search->line;
    size_t below = ROW_LINE_ENTRIES;
    for (uint64_t at = search->at; line != NULL && (below = row_line_below(line, key)) == ROW_LINE_ENTRIES;) {
        line = row_lines_at(search->lines, ++at);
    }
    return line != NULL && line->keys[below] == key ? line->places[below] : ROW_NONE;
}

static inline uint32_t row_index_find(const struct row_index *index, uint64_t key) {
    struct row_search search = {.key = key};
    search.lines = row_index_begin(index, key, &search.at);
    search.line = row_lines_at(search.lines, search.at);
    return row_search_end(&search);
}

#endif
