#include "client/backoff.h"

void backoff_init(struct backoff *backoff, uint64_t seed) {
    *backoff = (struct backoff){.random = seed, .bound_ms = BACKOFF_LEAST_MS};
}

/* splitmix64, by Sebastiano Vigna (public domain): any seed will do. */
static uint64_t backoff_random(struct backoff *backoff) {
    uint64_t number = backoff->random += 0x9e3779b97f4a7c15u;
    number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9u;
    number = (number ^ number >> 27) * 0x94d049bb133111ebu;
    return number ^ number >> 31;
}

uint32_t backoff_next(struct backoff *backoff) {
    const uint32_t wait = (uint32_t)((backoff_random(backoff) >> 32) * (backoff->bound_ms + 1) >> 32);
    backoff->bound_ms = backoff->bound_ms < BACKOFF_MOST_MS / 2 ? backoff->bound_ms * 2 : BACKOFF_MOST_MS;
    return wait;
}

void backoff_reset(struct backoff *backoff) {
    backoff->bound_ms = BACKOFF_LEAST_MS;
}
