/* The observer: one more process of a run, which never pushes. It measures the model on the test images on the way,
 * scores it at the end, and drops its tensors, so that nothing of a run stays on the servers. */
#ifndef CANYON_SIMULATOR_OBSERVER_H
#define CANYON_SIMULATOR_OBSERVER_H

#include <stdint.h>

/* Its orders, see crew_order. End of file is OBSERVER_ABORT. */
#define OBSERVER_FINISH 'f' /* all workers are done: tell the result, drop the tensors */
#define OBSERVER_ABORT  'a' /* the run failed: drop the tensors */

/* Longest that it needs after OBSERVER_ABORT unless a call was under way. */
#define OBSERVER_ABORT_MS 5000u

/* A crew_task; `context` is a struct plan, `index` means nothing. */
int observer_task(void *context, uint32_t index, int news, int orders);

#endif
