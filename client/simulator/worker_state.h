/* What a worker process has, and one step of it. */
#ifndef CANYON_SIMULATOR_WORKER_STATE_H
#define CANYON_SIMULATOR_WORKER_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/simulator/parameters.h"
#include "client/simulator/sampler.h"

struct worker {
    const struct plan *plan;
    uint32_t index;
    uint32_t part; /* of every batch, for workers that go step by step */
    int news;
    struct parameters parameters;
    struct sampler sampler;
    float *dhidden;        /* of model_pass, for the largest batch */
    uint64_t first, clock; /* where clocks are counted: the first, and now */
    uint64_t batches;      /* begun or passed over */
};

/* Images of one batch: this worker's, of `whole` that all workers together have in that clock (synchronous), or that it
 * has itself. */
struct worker_batch {
    const uint32_t *indices;
    size_t count, whole;
};

/* Computes the batch's gradient and pushes it; again with fresh weights when it was too stale. The last layer's
 * gradient travels while the first one's is computed; where gradients are to be clipped, they travel together when all
 * are known. Where clocks are counted, the weights are pulled first. *told becomes false when the parent is gone. */
enum canyon_status worker_step(struct worker *worker, const struct worker_batch *batch, bool *told);

#endif
