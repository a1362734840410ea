#include "client/condition.h"

#include <time.h>

#define NANOSECONDS 1000000000u

void condition_init(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

void condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t deadline) {
    if (deadline == UINT64_MAX) {
        pthread_cond_wait(condition, lock);
        return;
    }
    struct timespec at = {.tv_sec = (time_t)(deadline / NANOSECONDS), .tv_nsec = (long)(deadline % NANOSECONDS)};
    pthread_cond_timedwait(condition, lock, &at);
}
