#include "client/simulator/split.h"

#include <assert.h>
#include <stdlib.h>

#include "client/simulator/counter.h"

struct candidate {
    uint64_t rank; /* pseudo-random place within its label */
    uint32_t index;
};

static int candidate_order(const void *a, const void *b) {
    const struct candidate *x = a, *y = b;
    if (x->rank != y->rank) {
        return x->rank < y->rank ? -1 : 1;
    }
    return (x->index > y->index) - (x->index < y->index);
}

/* Rule 1: how many images of each label are for the test. */
static void split_quotas(const struct digits *digits, uint32_t quotas[DIGITS_CLASSES]) {
    uint32_t counts[DIGITS_CLASSES] = {0}, remainders[DIGITS_CLASSES], given = 0;
    for (size_t i = 0; i < digits->count; i++) {
        counts[digits->labels[i]]++;
    }
    for (size_t c = 0; c < DIGITS_CLASSES; c++) {
        quotas[c] = counts[c] * SPLIT_TEST / DIGITS_COUNT;
        remainders[c] = counts[c] * SPLIT_TEST % DIGITS_COUNT;
        given += quotas[c];
    }
    for (; given < SPLIT_TEST; given++) {
        size_t largest = 0;
        for (size_t c = 1; c < DIGITS_CLASSES; c++) {
            largest = remainders[c] > remainders[largest] ? c : largest;
        }
        quotas[largest]++;
        remainders[largest] = 0;
    }
}

void split_make(const struct digits *digits, struct split *split) {
    assert(digits->count == DIGITS_COUNT);
    uint32_t quotas[DIGITS_CLASSES];
    bool test[DIGITS_COUNT] = {false};
    struct candidate candidates[DIGITS_COUNT];
    split_quotas(digits, quotas);
    for (uint32_t c = 0; c < DIGITS_CLASSES; c++) {
        size_t n = 0;
        for (uint32_t i = 0; i < DIGITS_COUNT; i++) {
            if (digits->labels[i] == c) {
                candidates[n++] = (struct candidate){.rank = counter_bits(SPLIT_SEED, c, i), .index = i};
            }
        }
        qsort(candidates, n, sizeof *candidates, candidate_order);
        for (size_t k = 0; k < quotas[c]; k++) {
            test[candidates[k].index] = true;
        }
    }
    size_t tests = 0, trains = 0;
    for (uint32_t i = 0; i < DIGITS_COUNT; i++) {
        if (test[i]) {
            split->test[tests++] = i;
        } else {
            split->train[trains++] = i;
        }
    }
    assert(tests == SPLIT_TEST && trains == SPLIT_TRAIN);
}
