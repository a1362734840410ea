/* The cleaner: the process that drops a failed run's tensors from servers that will go on without it. */
#ifndef CANYON_SIMULATOR_CLEANER_H
#define CANYON_SIMULATOR_CLEANER_H

#include <stdint.h>

/* Longest that it needs, unless the plan's timeout is shorter. */
#define CLEANER_MS 10000u

/* A crew_task; `context` is a struct plan, `index` means nothing. To be started when the run's other processes are
 * gone: while one of them lives it may create what was just dropped. Its exit code is 0 when nothing is left. */
int cleaner_task(void *context, uint32_t index, int news, int orders);

#endif
