#include "client/simulator/sampler.h"

#include <assert.h>

#include "client/simulator/counter.h"

/* Keeps the streams of shuffles apart from those of initial weights, which are small numbers. */
#define SAMPLER_STREAM (1ull << 63)

size_t sampler_share(uint32_t worker, uint32_t workers) {
    assert(workers >= 1 && workers <= SPLIT_TRAIN && worker < workers);
    return (SPLIT_TRAIN - worker + workers - 1) / workers;
}

static size_t batch_of(size_t share, uint64_t batch) {
    return batch == 0 || batch > share ? share : (size_t)batch;
}

uint64_t sampler_steps(uint32_t worker, uint32_t workers, uint64_t batch, uint64_t epochs) {
    size_t share = sampler_share(worker, workers), size = batch_of(share, batch);
    return epochs * ((share + size - 1) / size);
}

void sampler_init(struct sampler *sampler, const struct split *split, uint32_t worker, uint32_t workers, uint64_t batch,
                  uint64_t epochs, uint64_t seed) {
    sampler->split = split;
    sampler->seed = seed;
    sampler->epochs = epochs;
    sampler->epoch = 0;
    sampler->worker = worker;
    sampler->workers = workers;
    sampler->share = sampler_share(worker, workers);
    sampler->batch = batch_of(sampler->share, batch);
    sampler->part = 0;
    sampler->parts = 1;
    sampler->at = sampler->share; /* as if an epoch had just ended */
}

void sampler_init_together(struct sampler *sampler, const struct split *split, uint32_t worker, uint32_t workers,
                           uint64_t batch, uint64_t epochs, uint64_t seed) {
    assert(workers >= 1 && worker < workers && batch <= SPLIT_TRAIN);
    sampler_init(sampler, split, 0, 1, batch * workers, epochs, seed);
    sampler->part = worker;
    sampler->parts = workers;
}

/* Begins from the split's order each time, so that an epoch's order does not depend on the ones before. */
static void sampler_begin_epoch(struct sampler *sampler) {
    for (size_t i = 0; i < sampler->share; i++) {
        sampler->order[i] = sampler->split->train[sampler->worker + i * sampler->workers];
    }
    uint64_t stream = SAMPLER_STREAM | (uint64_t)sampler->worker << 40 | sampler->epoch;
    counter_shuffle(sampler->seed, stream, sampler->order, sampler->share);
    sampler->epoch++;
    sampler->at = 0;
}

bool sampler_next_part(struct sampler *sampler, const uint32_t **indices, size_t *count, size_t *whole) {
    if (sampler->at == sampler->share) {
        if (sampler->epoch == sampler->epochs) {
            return false;
        }
        sampler_begin_epoch(sampler);
    }
    size_t left = sampler->share - sampler->at;
    *whole = left < sampler->batch ? left : sampler->batch;
    size_t from = *whole * sampler->part / sampler->parts, to = *whole * (sampler->part + 1) / sampler->parts;
    *indices = sampler->order + sampler->at + from;
    *count = to - from;
    sampler->at += *whole;
    return true;
}

size_t sampler_next(struct sampler *sampler, const uint32_t **indices) {
    size_t count = 0, whole = 0;
    return sampler_next_part(sampler, indices, &count, &whole) ? count : 0;
}
