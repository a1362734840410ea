#include "server/pace.h"

#define SECOND 1000000000ull

void pace_set(struct pace *pace, uint64_t rate) {
    pace->rate = rate;
}

/* Bytes as the nanoseconds that they take. A piece of a stream is far below 2^44 bytes, so that nothing overflows. */
static uint64_t duration(const struct pace *pace, uint64_t bytes) {
    uint64_t whole = bytes / pace->rate, rest = bytes % pace->rate;
    return whole * SECOND + (uint64_t)((double)rest / (double)pace->rate * 1e9);
}

void pace_take(struct pace *pace, uint64_t bytes, uint64_t now) {
    if (pace->rate > 0) {
        uint64_t from = pace->debt_at > now ? pace->debt_at : now;
        pace->debt_at = from + duration(pace, bytes);
    }
}

bool pace_allows(const struct pace *pace, uint64_t now) {
    return pace->rate == 0 || pace->debt_at <= now + SECOND;
}
