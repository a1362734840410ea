/* One worker process: connects, opens the model's tensors, waits for the others, and trains on its share of the images.
 *
 * Each step computes the gradient of one batch at the weights it has, pushes it, and goes on with the weights that come
 * back, whatever other workers have made of them meanwhile. With a consistency mode a step is: clock, pull, compute,
 * push. Synchronous workers share one order of images, and each has its part of every batch. */
#ifndef CANYON_SIMULATOR_WORKER_H
#define CANYON_SIMULATOR_WORKER_H

#include <stdint.h>

/* A crew_task. `context` is a struct plan; `index` is this worker's share, below plan->workers. It is the parent's
 * number, not the rank canyon_join gives: workers of somebody else on the same servers would leave gaps in those. Only
 * synchronous workers go by rank, so that gradients which are added up in the order of ranks are in every run the same:
 * there a job has no room for others. */
int worker_task(void *context, uint32_t index, int news, int orders);

#endif
