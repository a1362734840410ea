/* Which training images a worker shows its model, and in which order.
 *
 * Worker w of W owns the training images at places w, w + W, w + 2W, ... of the split. In every epoch it goes through
 * its share once, in an order drawn from (seed, worker, epoch), in batches of `batch` images; the last may be smaller.
 * The order depends on nothing else, so two runs with one seed show every worker the same batches.
 *
 * Workers that go step by step share one order instead: that of a lone worker whose batches are W times as large, of
 * which each takes its part. */
#ifndef CANYON_SIMULATOR_SAMPLER_H
#define CANYON_SIMULATOR_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/simulator/split.h"

struct sampler {
    const struct split *split;
    uint64_t seed, epochs, epoch; /* epoch: how many have been begun */
    uint32_t worker, workers;
    size_t batch;                /* at most the share */
    uint32_t part, parts;        /* which part of every batch it takes; 0 of 1: all */
    size_t share, at;            /* images owned; where in them the next batch begins */
    uint32_t order[SPLIT_TRAIN]; /* the share, in this epoch's order */
};

/* Images of worker `worker` of `workers`. workers is 1 to SPLIT_TRAIN, worker is below it. */
size_t sampler_share(uint32_t worker, uint32_t workers);

/* Steps that worker takes in all: epochs times the share over the batch, rounded up. batch 0: the whole share. */
uint64_t sampler_steps(uint32_t worker, uint32_t workers, uint64_t batch, uint64_t epochs);

/* batch 0: the whole share. `split` must outlive the sampler. */
void sampler_init(struct sampler *sampler, const struct split *split, uint32_t worker, uint32_t workers, uint64_t batch,
                  uint64_t epochs, uint64_t seed);

/* The same for workers that take their parts of the batches of one worker, `workers` times `batch` images large. */
void sampler_init_together(struct sampler *sampler, const struct split *split, uint32_t worker, uint32_t workers,
                           uint64_t batch, uint64_t epochs, uint64_t seed);

/* The next batch: *indices points to its images inside the sampler, valid until the next call. Returns how many; 0 when
 * all epochs are through. */
size_t sampler_next(struct sampler *sampler, const uint32_t **indices);

/* The next part of a batch, *count images of the batch's *whole; it may have none. False when all epochs are through.
 */
bool sampler_next_part(struct sampler *sampler, const uint32_t **indices, size_t *count, size_t *whole);

#endif
