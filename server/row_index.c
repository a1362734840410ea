#include "server/row_index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES sizeof(struct row_line)
/* Insertions keep closer to the homes than searches may go: growth can take a key four lines further from its home, as
 * the homes' borders fall elsewhere then. So the last line of an array is never full, and every search ends in it. */
#define INSERT_PROBE (ROW_INDEX_PROBE - 6)

#define INSERT_LINES 6 /* that an insertion usually reads */

/* Old segments make room for new ones, so they are of a size that the pool cuts itself. */
#define SEGMENT_MOST (POOL_LARGE / 2)

/* The entries with which the index begins to grow: nine tenths of those that the homes have room for. */
#define FULL(homes) ((homes) / 2 * 9 + (homes) % 2 * 4)

_Static_assert(LINE_BYTES == 64, "a line of entries is a cache line");

/* ---- Arrays of lines ---- */

/* Segments are a few hundredths of the array and less, within what the pool has: small ones waste little, large ones
 * need few pointers. */
static unsigned segment_shift(uint64_t lines) {
    size_t bytes = POOL_LEAST;
    while (bytes < SEGMENT_MOST && bytes * 256 <= lines * LINE_BYTES) {
        bytes *= 2;
    }
    unsigned shift = 0;
    while (LINE_BYTES << shift < bytes) {
        shift++;
    }
    return shift;
}

static uint64_t lines_of(const struct row_lines *array) {
    return (uint64_t)array->segments << array->shift;
}

static size_t segment_bytes(const struct row_lines *array) {
    return LINE_BYTES << array->shift;
}

/* Whole segments for at least so many homes; the last lines are nobody's home. */
static bool array_init(struct row_lines *array, uint64_t homes) {
    uint64_t lines = homes + ROW_INDEX_PROBE;
    array->shift = segment_shift(lines);
    array->segments = (size_t)((lines + (UINT64_C(1) << array->shift) - 1) >> array->shift);
    array->homes = lines_of(array) - ROW_INDEX_PROBE;
    array->bytes = 0;
    array->lines = calloc(array->segments, sizeof *array->lines);
    return array->lines != NULL;
}

static void drop_segment(struct row_lines *array, struct pool *pool, size_t segment) {
    if (array->lines[segment] != NULL) {
        pool_give(pool, array->lines[segment], segment_bytes(array));
        array->lines[segment] = NULL;
        array->bytes -= segment_bytes(array);
    }
}

static void array_finish(struct row_lines *array, struct pool *pool) {
    for (size_t i = 0; array->lines != NULL && i < array->segments; i++) {
        drop_segment(array, pool, i);
    }
    free(array->lines);
    memset(array, 0, sizeof *array);
}

/* The line, with an empty segment made for it where there is none. NULL when memory cannot be had. */
static struct row_line *line_for(struct row_lines *array, struct pool *pool, uint64_t line) {
    struct row_line **segment = &array->lines[line >> array->shift];
    if (*segment == NULL) {
        *segment = pool_take(pool, segment_bytes(array));
        if (*segment == NULL) {
            return NULL;
        }
        memset(*segment, 0xff, segment_bytes(array)); /* no entries */
        array->bytes += segment_bytes(array);
    }
    return row_lines_at(array, line);
}

/* ---- Lines ---- */

static size_t used(const struct row_line *line) {
    size_t count = 0;
    for (size_t i = 0; i < ROW_LINE_ENTRIES; i++) {
        count += line->places[i] != ROW_NONE;
    }
    return count;
}

static bool is_full(const struct row_line *line) {
    return line != NULL && line->places[ROW_LINE_ENTRIES - 1] != ROW_NONE;
}

/* What stands last is lost. No branch depends on where it goes. */
static void put(struct row_line *line, size_t at, uint64_t key, uint32_t place) {
    for (size_t i = ROW_LINE_ENTRIES - 1; i > 0; i--) {
        line->keys[i] = i > at ? line->keys[i - 1] : line->keys[i];
        line->places[i] = i > at ? line->places[i - 1] : line->places[i];
    }
    line->keys[at] = key;
    line->places[at] = place;
}

static void take_out(struct row_line *line, size_t at) {
    for (size_t i = at; i + 1 < ROW_LINE_ENTRIES; i++) {
        line->keys[i] = line->keys[i + 1];
        line->places[i] = line->places[i + 1];
    }
    line->keys[ROW_LINE_ENTRIES - 1] = UINT64_MAX;
    line->places[ROW_LINE_ENTRIES - 1] = ROW_NONE;
}

/* ---- Growth ---- */

static bool grows(const struct row_index *index) {
    return index->next.lines != NULL;
}

/* Behind all that `next` holds: its key is larger. The segment is there. */
static void append(struct row_index *index, uint64_t key, uint32_t place) {
    struct row_lines *next = &index->next;
    uint64_t home = row_lines_home(next, key), at = home;
    while (is_full(row_lines_at(next, at))) {
        at++;
    }
    assert(at - home <= ROW_INDEX_PROBE);
    struct row_line *line = row_lines_at(next, at);
    put(line, used(line), key, place);
}

/* Segments for all places where the line's entries can come to be. */
static bool make_room(struct row_index *index, const struct row_line *line) {
    struct row_lines *next = &index->next;
    uint64_t first = row_lines_home(next, line->keys[0]), end = first;
    uint64_t last = row_lines_home(next, line->keys[used(line) - 1]);
    while (is_full(row_lines_at(next, end))) {
        end++;
    }
    last = (end > last ? end : last) + 1; /* a line's entries fill what is left of one line, and part of another */
    for (uint64_t segment = first >> next->shift; segment <= last >> next->shift; segment++) {
        if (line_for(next, index->pool, segment << next->shift) == NULL) {
            return false;
        }
    }
    return true;
}

/* Moves the lowest line that is left. False when memory cannot be had; nothing was moved then. */
static bool move_line(struct row_index *index) {
    struct row_line *line = row_lines_at(&index->now, index->front);
    size_t entries = line == NULL ? 0 : used(line);
    if (entries > 0 && !make_room(index, line)) {
        return false;
    }
    for (size_t i = 0; i < entries; i++) {
        append(index, line->keys[i], line->places[i]);
    }
    index->front++;
    index->moved++;
    if (entries > 0) {
        index->boundary = line->keys[entries - 1] + 1;
        memset(line, 0xff, sizeof *line);
        if (index->boundary == 0) { /* that was the highest key there is: the other lines are empty */
            index->front = lines_of(&index->now);
        }
    }
    if (index->front % (UINT64_C(1) << index->now.shift) == 0 && index->front < lines_of(&index->now)) {
        drop_segment(&index->now, index->pool, (size_t)(index->front >> index->now.shift) - 1);
    }
    return true;
}

static void finish_growth(struct row_index *index) {
    array_finish(&index->now, index->pool);
    index->now = index->next;
    memset(&index->next, 0, sizeof index->next);
    index->front = index->boundary = 0;
}

/* A new row's share of the growth that is under way, or the begin of one. */
static bool go_on_growing(struct row_index *index) {
    uint64_t homes = index->now.homes;
    if (!grows(index) && index->count >= FULL(homes) && !array_init(&index->next, homes + homes / 16 + 1)) {
        return false;
    }
    for (unsigned i = 0; i < ROW_INDEX_MOVES && grows(index); i++) {
        if (!move_line(index)) {
            return false;
        }
        if (index->front == lines_of(&index->now)) {
            finish_growth(index);
        }
    }
    return true;
}

/* ---- What the header promises ---- */

static uint64_t homes_for(uint64_t rows) {
    uint64_t homes = POOL_LEAST / LINE_BYTES;
    while (FULL(homes) <= rows) {
        homes += homes / 16 + 1;
    }
    return homes;
}

uint64_t row_index_bytes_for(uint64_t rows) {
    struct row_lines array;
    uint64_t lines = homes_for(rows) + ROW_INDEX_PROBE;
    array.shift = segment_shift(lines);
    return ((lines + (UINT64_C(1) << array.shift) - 1) >> array.shift) * (uint64_t)segment_bytes(&array);
}

bool row_index_init(struct row_index *index, struct pool *pool, uint64_t rows) {
    memset(index, 0, sizeof *index);
    index->pool = pool;
    bool done = array_init(&index->now, homes_for(rows));
    for (size_t i = 0; done && i < index->now.segments; i++) {
        done = line_for(&index->now, pool, (uint64_t)i << index->now.shift) != NULL;
    }
    if (!done) {
        row_index_finish(index);
    }
    return done;
}

void row_index_finish(struct row_index *index) {
    array_finish(&index->now, index->pool);
    array_finish(&index->next, index->pool);
}

/* Whether every entry may move one line on, from the line `at` to the first that has room, which `end` receives. */
static bool may_shift(const struct row_lines *array, uint64_t at, uint64_t *end) {
    const uint64_t lines = lines_of(array);
    const struct row_line *line = row_lines_at(array, at);
    for (*end = at; is_full(line); line = row_lines_at(array, *end)) {
        uint64_t home = row_lines_home(array, line->keys[ROW_LINE_ENTRIES - 1]);
        ++*end;
        if (*end == lines || *end - at > ROW_INDEX_SHIFT || (*end > home && *end - home > INSERT_PROBE)) {
            return false;
        }
    }
    return true;
}

enum row_insert row_index_insert(struct row_index *index, uint64_t key, uint32_t place) {
    uint64_t begin, end, at;
    if (!go_on_growing(index)) {
        return ROW_NO_MEMORY;
    }
    struct row_lines *array = key < index->boundary ? &index->next : &index->now;
    (void)row_index_begin(index, key, &begin);
    const struct row_line *found = row_lines_at(array, at = begin);
    while (found != NULL && row_line_below(found, key) == ROW_LINE_ENTRIES) {
        found = row_lines_at(array, ++at);
        if (at - begin > INSERT_PROBE) {
            return ROW_CROWDED;
        }
    }
    if (!may_shift(array, at, &end)) {
        return ROW_CROWDED;
    }
    if (line_for(array, index->pool, end) == NULL) {
        return ROW_NO_MEMORY;
    }
    index->shifted += end - at;
    struct row_line *line = row_lines_at(array, at);
    size_t slot = row_line_below(line, key);
    for (; at < end; slot = 0) {
        uint64_t last = line->keys[ROW_LINE_ENTRIES - 1];
        uint32_t its = line->places[ROW_LINE_ENTRIES - 1];
        put(line, slot, key, place);
        key = last;
        place = its;
        line = row_lines_at(array, ++at);
    }
    put(line, slot, key, place);
    index->count++;
    return ROW_INSERTED;
}

void row_index_prefetch_insert(const struct row_index *index, uint64_t key) {
    uint64_t at;
    const struct row_lines *array = row_index_begin(index, key, &at);
    const struct row_line *line = row_lines_at(array, at);
    for (size_t i = 0; i < INSERT_LINES; i++) {
        __builtin_prefetch(line + i, 1);
    }
}

uint32_t row_index_erase(struct row_index *index, uint64_t key) {
    struct row_lines *array = key < index->boundary ? &index->next : &index->now;
    uint64_t at;
    size_t below = ROW_LINE_ENTRIES;
    (void)row_index_begin(index, key, &at);
    struct row_line *line = row_lines_at(array, at);
    while (line != NULL && (below = row_line_below(line, key)) == ROW_LINE_ENTRIES) {
        line = row_lines_at(array, ++at);
    }
    if (line == NULL || line->keys[below] != key || line->places[below] == ROW_NONE) {
        return ROW_NONE;
    }
    uint32_t place = line->places[below];
    /* What had to move on for want of room moves back. */
    bool pulls = is_full(line);
    take_out(line, below);
    while (pulls && at + 1 < lines_of(array)) {
        struct row_line *behind = row_lines_at(array, at + 1);
        if (behind == NULL || behind->places[0] == ROW_NONE || row_lines_home(array, behind->keys[0]) > at) {
            break;
        }
        pulls = is_full(behind);
        put(line, ROW_LINE_ENTRIES - 1, behind->keys[0], behind->places[0]);
        take_out(behind, 0);
        line = behind;
        at++;
    }
    index->count--;
    return place;
}

/* The lowest key from `from` on that is in the array at or behind a line. */
static bool next_in(const struct row_lines *array, uint64_t at, uint64_t from, uint64_t *key, uint32_t *place) {
    for (const uint64_t lines = lines_of(array); at < lines; at++) {
        const struct row_line *line = row_lines_at(array, at);
        size_t below = line == NULL ? ROW_LINE_ENTRIES : row_line_below(line, from);
        if (below < ROW_LINE_ENTRIES && line->places[below] != ROW_NONE) {
            *key = line->keys[below];
            *place = line->places[below];
            return true;
        }
    }
    return false;
}

bool row_index_next(const struct row_index *index, uint64_t from, uint64_t *key, uint32_t *place) {
    uint64_t at;
    const struct row_lines *array = row_index_begin(index, from, &at);
    if (array == &index->next) {
        if (next_in(array, at, from, key, place)) {
            return true;
        }
        at = index->front;
    }
    return next_in(&index->now, at, from, key, place);
}

uint64_t row_index_bytes(const struct row_index *index) {
    return index->now.bytes + index->next.bytes;
}

/* Segments that are not there, from the one of line `first` to the one before line `end`. */
static uint64_t absent(const struct row_lines *array, uint64_t first, uint64_t end) {
    uint64_t count = 0;
    for (uint64_t i = first >> array->shift; i < array->segments && i << array->shift < end; i++) {
        count += array->lines[i] == NULL;
    }
    return count;
}

/* Each row fills one segment more at most, of those where no key was; and growth takes as many lines as it moves, but
 * for what it begins and does not fill. That others are given back meanwhile is not counted. */
uint64_t row_index_room(const struct row_index *index, uint64_t rows) {
    const struct row_lines *now = &index->now, *next = &index->next;
    uint64_t segments = absent(now, index->front, lines_of(now)), bytes = 0;
    bytes += (segments < rows ? segments : rows) * segment_bytes(now);
    if (grows(index)) {
        segments = absent(next, 0, row_lines_home(next, index->boundary) + 1);
        bytes += (segments < rows ? segments : rows) * segment_bytes(next);
    }
    if (grows(index) || index->count + rows > FULL(now->homes)) {
        bytes += rows * (ROW_INDEX_MOVES + 1) * LINE_BYTES + 8 * segment_bytes(now);
    }
    return bytes;
}
