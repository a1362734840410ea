/* Splits a batch of ids: which rows there are, each once, in which shards they live, and in which frames they travel.
 *
 * The caller's data is not sorted and not moved. An id that comes several times becomes one row, whose items are a
 * chain in the order in which they come. Rows then have a place each, so that those of one connection, within it those
 * of one shard, and within it those of one frame lie side by side: a counting scatter, linear in ids and shards. What
 * frames carry (runs, ids, values) are stretches of arrays in the order of places.
 *
 * Pure: no network, and no memory but what it is given. */
#ifndef CANYON_CLIENT_ROW_SPLIT_H
#define CANYON_CLIENT_ROW_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/row_hash.h"
#include "common/rows.h"

#define ROW_SPLIT_NONE UINT32_MAX

/* Frames end with the shard that takes them to this many bytes, in either direction or as float32: large enough to be
 * few, small enough that one is received while another is worked on, in the caches of a processor. */
#define ROW_SPLIT_FRAME_BYTES (256u * 1024)

/* Where shards are. */
struct shard_order {
    uint32_t shards;  /* a power of two */
    uint32_t *ranks;  /* of each shard: its place in an order by lane, then by shard */
    uint32_t *sorted; /* the shards in that order */
    uint32_t *lanes;  /* of each shard */
};

struct row_split_frame {
    uint32_t lane;
    uint32_t first_run, runs; /* of the split's runs */
    uint32_t first, rows;     /* places */
};

/* The first half's result, all in scratch memory. */
struct row_merge {
    uint32_t count;      /* ids given */
    uint32_t rows;       /* different ones */
    uint32_t runs;       /* parts of shards, at most; */
    uint32_t frames;     /* and frames, at most, that they become */
    uint32_t frame_rows; /* rows of a frame, at most */
    bool doubled;        /* some id came twice */
    const uint64_t *ids; /* the caller's */
    uint64_t *hashes;    /* of each item */
    uint32_t *firsts;    /* of each row, in the order in which they come: the item that was first */
    uint32_t *ranks;     /* of each row: its shard's */
    uint32_t *next;      /* of each item: the next one of the same row, or ROW_SPLIT_NONE */
    uint32_t *counts;    /* by rank: rows of each shard */
};

struct row_split {
    uint32_t count, rows;
    uint64_t *ids;         /* of each place; */
    uint32_t *items;       /* its first item */
    uint32_t *next;        /* of each item, the row's next one; NULL where no id came twice */
    struct rows_run *runs; /* versions are 0 */
    struct row_split_frame *frames;
    uint32_t run_count, frame_count;
};

/* `row_bytes` is the most that a row takes in either direction or as float32; none is longer than LIMIT_DIM floats. */
uint32_t row_split_frame_rows(size_t row_bytes);

/* Bytes of scratch memory for row_merge of so many ids, at most 2^24, and of memory for row_split of its result. Both
 * are 64-byte aligned. */
size_t row_merge_bytes(uint32_t shards, size_t count);
size_t row_split_bytes(const struct row_merge *merge);

/* First half: what is there, without places. `ids` and `scratch` are borrowed until row_split_make. */
void row_merge_make(struct row_merge *merge, const struct shard_order *order, const struct row_hash *hash,
                    const uint64_t *ids, size_t count, uint32_t frame_rows, void *scratch);

/* Second half, into `memory`, which stays; scratch and ids are not needed afterwards. */
void row_split_make(struct row_split *split, const struct row_merge *merge, const struct shard_order *order,
                    void *memory);

/* Adds up the gradients of the rows at `rows` places from `first` on: float32, in the order of their items. `gradients`
 * are the caller's [count x dim], `sums` receives [rows x dim]. */
void row_split_gather(const struct row_split *split, uint32_t first, uint32_t rows, const float *gradients, size_t dim,
                      float *sums);

/* Brings `rows` rows' weights [rows x dim] to all items of the places from `first` on, in the caller's [count x dim].
 */
void row_split_scatter(const struct row_split *split, uint32_t first, uint32_t rows, const float *weights, size_t dim,
                       float *out);

#endif
