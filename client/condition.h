/* Condition variables that wait until a time of the monotonic clock (clock_now), so that a jump of the wall clock moves
 * no deadline. */
#ifndef CANYON_CLIENT_CONDITION_H
#define CANYON_CLIENT_CONDITION_H

#include <pthread.h>
#include <stdint.h>

/* Destroy it with pthread_cond_destroy. */
void condition_init(pthread_cond_t *condition);

/* Returns when signalled, at `deadline` (UINT64_MAX: never), or for no reason: the caller looks again. */
void condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t deadline);

#endif
