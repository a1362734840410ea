/* How long to wait before the next attempt to connect: exponential back-off with full jitter, so that the clients of a
 * server that comes back do not all come at once. Pure: no clock, and its own small generator of numbers. */
#ifndef CANYON_CLIENT_BACKOFF_H
#define CANYON_CLIENT_BACKOFF_H

#include <stdint.h>

#define BACKOFF_LEAST_MS 10u
#define BACKOFF_MOST_MS  2000u

struct backoff {
    uint64_t random;   /* the generator's state */
    uint32_t bound_ms; /* of the next wait */
};

/* The same seed gives the same waits. */
void backoff_init(struct backoff *backoff, uint64_t seed);

/* The next wait, in milliseconds: any from 0 to the bound, all as likely. The bound is BACKOFF_LEAST_MS at first and
 * doubles with each, up to BACKOFF_MOST_MS. */
uint32_t backoff_next(struct backoff *backoff);

/* An attempt was a success: the bound is as at first. */
void backoff_reset(struct backoff *backoff);

#endif
