/* A pace is so many bytes a second, for what comes in bursts: up to a second's worth may be saved up. Pure. */
#ifndef CANYON_SERVER_PACE_H
#define CANYON_SERVER_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
    uint64_t rate;    /* bytes a second; 0 for no limit */
    uint64_t debt_at; /* nanoseconds: when all that was taken is paid for, at that rate */
};

/* Another rate from now on; what was taken before stays due when it was. */
void pace_set(struct pace *pace, uint64_t rate);

/* So many bytes were taken. Whatever they are: who takes more than there is waits the longer afterwards. */
void pace_take(struct pace *pace, uint64_t bytes, uint64_t now);

/* Whether more may be taken. */
bool pace_allows(const struct pace *pace, uint64_t now);

#endif
