#include "client/simulator/alias.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define WHOLE 4294967296.0

/* A share of a place, from 0 to 1, as a bound for 32 bits. */
static uint32_t bound_of(double share) {
    double bound = share * WHOLE;
    return bound >= WHOLE - 1.0 ? UINT32_MAX : bound <= 0.0 ? 0 : (uint32_t)bound;
}

/* Places with less than their share of 1/n get the rest from ones that have more. */
static void alias_fill(struct alias *alias, double *share, uint32_t *stack) {
    uint32_t small = 0, large = alias->count; /* the small ones from the front, the large ones from the back */
    for (uint32_t i = 0; i < alias->count; i++) {
        if (share[i] < 1.0) {
            stack[small++] = i;
        } else {
            stack[--large] = i;
        }
    }
    while (small > 0 && large < alias->count) {
        uint32_t less = stack[--small], more = stack[large];
        alias->places[less] = (struct alias_place){bound_of(share[less]), more};
        share[more] -= 1.0 - share[less];
        if (share[more] < 1.0) {
            large++;
            stack[small++] = more;
        }
    }
    /* What is left is 1 but for rounding. */
    while (small > 0) {
        alias->places[stack[--small]].keep = UINT32_MAX;
    }
    while (large < alias->count) {
        alias->places[stack[large++]].keep = UINT32_MAX;
    }
}

bool alias_make(struct alias *alias, const double *weights, uint32_t count) {
    assert(count >= 1);
    double *share = malloc(count * sizeof *share), sum = 0.0;
    uint32_t *stack = malloc(count * sizeof *stack);
    *alias = (struct alias){.count = count, .places = malloc(count * sizeof *alias->places)};
    bool good = share != NULL && stack != NULL && alias->places != NULL;
    for (uint32_t i = 0; i < count; i++) {
        assert(weights[i] >= 0.0);
        sum += weights[i];
    }
    assert(sum > 0.0);
    if (good) {
        for (uint32_t i = 0; i < count; i++) {
            share[i] = weights[i] / sum * count;
            alias->places[i].other = i;
        }
        alias_fill(alias, share, stack);
    } else {
        alias_finish(alias);
    }
    free(stack);
    free(share);
    return good;
}

static uint32_t place_of(const struct alias *alias, uint64_t bits) {
    return (uint32_t)(((bits >> 32) * alias->count) >> 32);
}

void alias_ask(const struct alias *alias, uint64_t bits) {
    __builtin_prefetch(&alias->places[place_of(alias, bits)]);
}

uint32_t alias_draw(const struct alias *alias, uint64_t bits) {
    uint32_t place = place_of(alias, bits);
    return (uint32_t)bits < alias->places[place].keep ? place : alias->places[place].other;
}

void alias_finish(struct alias *alias) {
    free(alias->places);
    memset(alias, 0, sizeof *alias);
}
