/* The observer: one more process of a run, which never pushes. It measures the model on the test images on the way,
 * or where the plan has trail_ms keeps its weights and measures them afterwards, scores it at the end, and drops its
 * tensors, so that nothing of a run stays on the servers. */
#ifndef CANYON_SIMULATOR_OBSERVER_H
#define CANYON_SIMULATOR_OBSERVER_H

#include <stdint.h>

/* The order, see crew_order, that all workers are done: it tells the result and ends. */
#define OBSERVER_FINISH 'f'

/* A crew_task; `context` is a struct plan, `index` means nothing. */
int observer_task(void *context, uint32_t index, int news, int orders);

#endif
