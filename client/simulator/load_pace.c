#include "client/simulator/load_pace.h"

#include <assert.h>

#include "client/simulator/counter.h"

#define MIX_STREAM UINT64_C(0x6d69780000000000) /* apart from every other use of the seed */

uint64_t load_pace_due(const struct load_pace *pace, uint32_t worker, uint64_t number) {
    assert(pace->rate > 0.0);
    /* A product of whole numbers below 2^53 divided once: half a nanosecond wrong after a month. */
    return (uint64_t)(((double)number * pace->workers + worker) * 1e9 / pace->rate);
}

uint64_t load_pace_due_before(const struct load_pace *pace, uint32_t worker, uint64_t time) {
    double calls = (double)time * 1e-9 * pace->rate;
    uint64_t number = calls <= (double)worker ? 0 : (uint64_t)((calls - worker) / pace->workers);
    /* The guess is off by rounding at most. */
    while (number > 0 && load_pace_due(pace, worker, number - 1) >= time) {
        number--;
    }
    while (load_pace_due(pace, worker, number) < time) {
        number++;
    }
    return number;
}

uint64_t load_pace_delay(const struct load_pace *pace, uint32_t worker) {
    return worker < pace->stragglers ? pace->straggle : 0;
}

enum load_kind load_pace_kind(const struct load_pace *pace, uint32_t worker, uint64_t number) {
    uint32_t drawn = counter_below(pace->seed, MIX_STREAM + worker, number, 100);
    if (drawn < pace->mix[LOAD_PUSH_PULL]) {
        return LOAD_PUSH_PULL;
    }
    return drawn < pace->mix[LOAD_PUSH_PULL] + pace->mix[LOAD_PUSH] ? LOAD_PUSH : LOAD_PULL;
}

const char *load_kind_name(enum load_kind kind) {
    static const char *const names[LOAD_KINDS] = {"push_pull", "push", "pull"};
    return names[kind];
}
