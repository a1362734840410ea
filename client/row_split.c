#include "client/row_split.h"

#include <assert.h>
#include <string.h>

#include "common/limits.h"

/* So many ids ahead their slots are asked for: tables of large batches do not fit the nearest cache. */
#define AHEAD 16

/* Rows of the caller's are asked for so many places ahead of their use: they are anywhere in its memory. */
#define AHEAD_ROWS 16

static size_t aligned(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

/* Twice as many slots as ids, at least. */
static unsigned slot_bits(size_t count) {
    unsigned bits = 4;
    while (((size_t)1 << bits) < 2 * count)
        bits++;
    return bits;
}

uint32_t row_split_frame_rows(size_t row_bytes) {
    const size_t each = row_bytes + sizeof(uint64_t);
    const size_t rows = ROW_SPLIT_FRAME_BYTES / each;
    return rows == 0 ? 1 : rows > LIMIT_BATCH_ROWS ? LIMIT_BATCH_ROWS : (uint32_t)rows;
}

size_t row_merge_bytes(uint32_t shards, size_t count) {
    return aligned(count * sizeof(uint64_t)) + 4 * aligned(count * sizeof(uint32_t)) +
           aligned(sizeof(uint32_t) << slot_bits(count)) + aligned(shards * sizeof(uint32_t));
}

size_t row_split_bytes(const struct row_merge *merge) {
    return aligned(merge->rows * sizeof(uint64_t)) + aligned(merge->rows * sizeof(uint32_t)) +
           (merge->doubled ? aligned(merge->count * sizeof(uint32_t)) : 0) +
           aligned(merge->runs * sizeof(struct rows_run)) + aligned(merge->frames * sizeof(struct row_split_frame));
}

static void *carve(uint8_t **at, size_t bytes) {
    void *part = *at;
    *at += aligned(bytes);
    return part;
}

/* ---- merging ---- */

/* Slots hold the number of a row's first item, plus one; tails, for a first item that has others, the last of them. A
 * hash's upper bits say where it is looked for, since the lower ones are the same for all rows of a shard. */
static void merge_rows(struct row_merge *merge, const struct shard_order *order, uint32_t *slots, uint32_t *tails) {
    const unsigned bits = slot_bits(merge->count), shift = 64 - bits;
    const size_t mask = ((size_t)1 << bits) - 1;
    const uint64_t *ids = merge->ids, *hashes = merge->hashes;
    const uint32_t count = merge->count;
    uint32_t rows = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i + AHEAD < count)
            __builtin_prefetch(&slots[hashes[i + AHEAD] >> shift], 1);
        const uint64_t id = ids[i];
        size_t slot = hashes[i] >> shift;
        while (slots[slot] != 0 && ids[slots[slot] - 1] != id)
            slot = (slot + 1) & mask;
        const uint32_t first = slots[slot];
        if (first == 0) {
            slots[slot] = i + 1;
            const uint32_t rank = order->ranks[(uint32_t)hashes[i] & (order->shards - 1)];
            merge->firsts[rows] = i;
            merge->ranks[rows++] = rank;
            merge->counts[rank]++;
        } else {
            uint32_t *next = &merge->next[first - 1];
            next = *next == ROW_SPLIT_NONE ? next : &merge->next[tails[first - 1]];
            *next = i;
            tails[first - 1] = i;
        }
    }
    merge->rows = rows;
    merge->doubled = rows < count;
}

/* ---- frames ---- */

struct framing {
    const struct shard_order *order;
    uint32_t most; /* rows of a frame */
    struct rows_run *runs;
    struct row_split_frame *frames; /* NULL: only counts */
    struct row_split_frame now;
    uint32_t run_count, frame_count;
};

static void close_frame(struct framing *framing) {
    if (framing->now.rows == 0)
        return;
    if (framing->frames != NULL)
        framing->frames[framing->frame_count] = framing->now;
    framing->frame_count++;
    framing->now =
        (struct row_split_frame){.first_run = framing->run_count, .first = framing->now.first + framing->now.rows};
}

static void add_run(struct framing *framing, uint32_t shard, uint32_t rows) {
    struct row_split_frame *now = &framing->now;
    const uint32_t lane = framing->order->lanes[shard];
    if (now->rows > 0 && (now->lane != lane || now->rows + rows > framing->most || now->runs == LIMIT_RUNS))
        close_frame(framing);
    now->lane = lane;
    now->rows += rows;
    now->runs++;
    if (framing->runs != NULL)
        framing->runs[framing->run_count] = (struct rows_run){.shard = shard, .rows = rows};
    framing->run_count++;
}

/* A shard with more rows than a frame takes is cut; otherwise its rows stay together. */
static void make_frames(struct framing *framing, const uint32_t *counts) {
    const uint32_t most = framing->most;
    for (uint32_t rank = 0; rank < framing->order->shards; rank++) {
        uint32_t rows = counts[rank];
        for (; rows > most; rows -= most) {
            add_run(framing, framing->order->sorted[rank], most);
            close_frame(framing);
        }
        if (rows > 0)
            add_run(framing, framing->order->sorted[rank], rows);
    }
    close_frame(framing);
}

void row_merge_make(struct row_merge *merge, const struct shard_order *order, const struct row_hash *hash,
                    const uint64_t *ids, size_t count, uint32_t frame_rows, void *scratch) {
    uint8_t *at = scratch;
    assert(count <= ROW_SPLIT_NONE / 2);
    *merge = (struct row_merge){.count = (uint32_t)count, .ids = ids, .frame_rows = frame_rows};
    merge->hashes = carve(&at, count * sizeof(uint64_t));
    merge->firsts = carve(&at, count * sizeof(uint32_t));
    merge->ranks = carve(&at, count * sizeof(uint32_t));
    merge->next = carve(&at, count * sizeof(uint32_t));
    uint32_t *tails = carve(&at, count * sizeof(uint32_t));
    uint32_t *slots = carve(&at, sizeof(uint32_t) << slot_bits(count));
    merge->counts = carve(&at, order->shards * sizeof(uint32_t));
    memset(slots, 0, sizeof(uint32_t) << slot_bits(count));
    memset(merge->counts, 0, order->shards * sizeof(uint32_t));
    memset(merge->next, 0xff, count * sizeof(uint32_t));
    row_hash_of(hash, ids, count, merge->hashes);
    merge_rows(merge, order, slots, tails);

    struct framing framing = {.order = order, .most = frame_rows};
    make_frames(&framing, merge->counts);
    merge->runs = framing.run_count;
    merge->frames = framing.frame_count;
}

/* ---- places ---- */

void row_split_make(struct row_split *split, const struct row_merge *merge, const struct shard_order *order,
                    void *memory) {
    uint8_t *at = memory;
    *split = (struct row_split){.count = merge->count, .rows = merge->rows};
    split->ids = carve(&at, merge->rows * sizeof(uint64_t));
    split->items = carve(&at, merge->rows * sizeof(uint32_t));
    if (merge->doubled) {
        split->next = carve(&at, merge->count * sizeof(uint32_t));
        memcpy(split->next, merge->next, merge->count * sizeof(uint32_t));
    }
    split->runs = carve(&at, merge->runs * sizeof(struct rows_run));
    split->frames = carve(&at, merge->frames * sizeof(struct row_split_frame));

    struct framing framing = {.order = order, .most = merge->frame_rows, .runs = split->runs, .frames = split->frames};
    make_frames(&framing, merge->counts);
    split->run_count = framing.run_count;
    split->frame_count = framing.frame_count;

    uint32_t *places = merge->counts, place = 0;
    for (uint32_t rank = 0; rank < order->shards; rank++) {
        const uint32_t rows = places[rank];
        places[rank] = place;
        place += rows;
    }
    for (uint32_t row = 0; row < merge->rows; row++) {
        const uint32_t item = merge->firsts[row];
        const uint32_t to = places[merge->ranks[row]]++;
        split->items[to] = item;
        split->ids[to] = merge->ids[item];
    }
}

/* ---- values ---- */

/* The usual rows are a few cache lines: copied without a call. */
static inline void copy_row(float *restrict to, const float *restrict from, size_t dim) {
    switch (dim) {
    case 8:
        memcpy(to, from, 8 * sizeof *to);
        break;
    case 16:
        memcpy(to, from, 16 * sizeof *to);
        break;
    case 32:
        memcpy(to, from, 32 * sizeof *to);
        break;
    default:
        memcpy(to, from, dim * sizeof *to);
        break;
    }
}

static inline void add_row(float *restrict to, const float *restrict from, size_t dim) {
    for (size_t i = 0; i < dim; i++)
        to[i] += from[i];
}

/* All lines of a row, which need not begin where a line does; to read it, or to write it. */
#define PREFETCH_ROW(row, dim, write)                                                                                  \
    do {                                                                                                               \
        const char *at_ = (const char *)(row);                                                                         \
        const size_t bytes_ = (dim) * sizeof(float);                                                                   \
        for (size_t byte_ = 0; byte_ < bytes_ && byte_ < 512; byte_ += 64)                                             \
            __builtin_prefetch(at_ + byte_, write);                                                                    \
        __builtin_prefetch(at_ + bytes_ - 1, write);                                                                   \
    } while (0)

void row_split_gather(const struct row_split *split, uint32_t first, uint32_t rows, const float *gradients, size_t dim,
                      float *sums) {
    const uint32_t *items = split->items + first;
    for (uint32_t i = 0; i < rows; i++) {
        if (i + AHEAD_ROWS < rows)
            PREFETCH_ROW(gradients + (size_t)items[i + AHEAD_ROWS] * dim, dim, 0);
        copy_row(sums + (size_t)i * dim, gradients + (size_t)items[i] * dim, dim);
        if (split->next == NULL)
            continue;
        for (uint32_t item = split->next[items[i]]; item != ROW_SPLIT_NONE; item = split->next[item])
            add_row(sums + (size_t)i * dim, gradients + (size_t)item * dim, dim);
    }
}

void row_split_scatter(const struct row_split *split, uint32_t first, uint32_t rows, const float *weights, size_t dim,
                       float *out) {
    const uint32_t *items = split->items + first;
    for (uint32_t i = 0; i < rows; i++) {
        if (i + AHEAD_ROWS < rows)
            PREFETCH_ROW(out + (size_t)items[i + AHEAD_ROWS] * dim, dim, 1);
        copy_row(out + (size_t)items[i] * dim, weights + (size_t)i * dim, dim);
        if (split->next == NULL)
            continue;
        for (uint32_t item = split->next[items[i]]; item != ROW_SPLIT_NONE; item = split->next[item])
            copy_row(out + (size_t)item * dim, weights + (size_t)i * dim, dim);
    }
}
