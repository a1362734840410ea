/* A dense part: the blocks of one tensor that live in one shard, with their optimizer state.
 *
 * Blocks of a tensor are dealt to the shards in turn, so a part holds the block numbers first, first + shards, first +
 * 2 * shards ... The weights and slots of all of them are one allocation, taken when the part is made; each array
 * begins at a multiple of 64 bytes. Pure, not thread-safe. */
#ifndef CANYON_SERVER_DENSE_H
#define CANYON_SERVER_DENSE_H

#include <stddef.h>
#include <stdint.h>

#include "common/hash.h"
#include "common/job.h"
#include "common/tensor.h"
#include "server/contributions.h"
#include "server/directory.h"
#include "server/memory.h"
#include "server/optimizers/optimizer.h"
#include "server/rule.h"
#include "server/schedule.h"

/* How many blocks of a tensor a shard holds, how many elements those have together, and the bytes of their weights and
 * slots. */
struct dense_size {
    uint64_t blocks, elements, bytes;
};

/* State of a block beside its arrays. */
struct dense_block {
    uint64_t version; /* assigns of weights and pushes applied */
    uint64_t step;    /* pushes applied, or what was assigned and those since */
    double scalars[OPTIMIZER_SCALARS];
};

struct dense {
    struct directory_key key;       /* id, and the name in spec */
    struct tensor_spec spec;        /* canonical, as defined */
    struct optimizer_spec settings; /* canonical, as they are now */
    uint64_t epoch;                 /* of the settings; 0 for those of the spec */
    const struct optimizer *optimizer;
    double hyper[OPTIMIZER_HYPERPARAMETERS]; /* in descriptor order */
    size_t rate;                             /* the place of lr among them, or their number */
    struct schedule schedule;
    enum nonfinite_policy nonfinite;
    struct rule_staleness staleness;
    uint64_t elements;         /* of the whole tensor */
    uint32_t block_elements;   /* the job's */
    uint32_t first, stride;    /* block numbers here: first, first + stride, ... */
    uint64_t kept;             /* elements that kept their old values because the new ones were not finite */
    uint64_t skipped, clipped; /* elements of gradients that were not finite, by what became of them */
    struct dense_size size;
    size_t count; /* size.blocks */
    struct dense_block *blocks;
    struct contributions *contributions; /* made for the first one; NULL before */
    const struct memory *source;         /* of `memory`; borrowed; NULL: the C library */
    float *memory;
};

/* `spec` is canonical. */
void dense_measure(const struct job *job, uint32_t shard, const struct tensor_spec *spec, struct dense_size *size);

/* Makes the part with its initial values. `spec` is canonical (copied) and has at least one block in `shard`. The
 * arrays are of `source`, which is borrowed for the part's life; NULL: the C library. NULL when memory cannot be had.
 */
struct dense *dense_create(const struct job *job, uint32_t shard, uint64_t id, const struct tensor_spec *spec,
                           const struct memory *source);
void dense_destroy(struct dense *dense);

/* Takes other settings for the same optimizer, canonical ones, from the next push on. */
void dense_adjust(struct dense *dense, const struct optimizer_spec *settings, uint64_t epoch);

/* Block number -> place in `blocks`; `count` when this part does not hold it. */
size_t dense_place(const struct dense *dense, uint32_t block);

/* Of the block at a place: its number, its elements, its arrays (aligned to 64 bytes). */
uint32_t dense_number(const struct dense *dense, size_t place);
uint32_t dense_elements(const struct dense *dense, size_t place);
float *dense_weights(const struct dense *dense, size_t place);
float *dense_slot(const struct dense *dense, size_t place, size_t slot);

/* Replace the weights; apply the optimizer to a gradient whose weights were that stale. The values have the block's
 * length. They are finite, unless the policy lets a gradient hold what is not. An element whose new weight or slot
 * would not be finite keeps its old weight and slots, and is counted in `kept`. */
void dense_assign(struct dense *dense, size_t place, const float *values);
void dense_push(struct dense *dense, size_t place, const float *gradient, uint64_t staleness);

/* Adds everything but the id to the hash. */
void dense_digest(const struct dense *dense, struct hash *hash);

#endif
