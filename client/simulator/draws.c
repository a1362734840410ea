#include "client/simulator/draws.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/tools/arguments.h"

bool draws_read(const char *text, double *exponent) {
    static const char zipf[] = "zipf:";
    double value = 0.0;
    if (strcmp(text, "uniform") == 0) {
        *exponent = 0.0;
        return true;
    }
    if (strncmp(text, zipf, strlen(zipf)) != 0 || !arguments_double(text + strlen(zipf), &value) || !(value > 0.0) ||
        value > DRAWS_EXPONENT_HIGH) {
        return false;
    }
    *exponent = value;
    return true;
}

static double weight(uint64_t rank, double exponent) {
    return pow((double)(rank + 1), -exponent);
}

double draws_most(uint64_t count, double exponent) {
    double sum = 0.0;
    if (exponent <= 0.0) {
        return 1.0 / (double)count;
    }
    for (uint64_t rank = count; rank > 0; rank--) { /* the small ones first */
        sum += weight(rank - 1, exponent);
    }
    return 1.0 / sum;
}

uint64_t draws_bytes(uint64_t count, double exponent) {
    return exponent > 0.0 ? count * sizeof(struct alias_place) : 0;
}

uint64_t draws_bytes_made(uint64_t count, double exponent) {
    /* The weights; and alias_make's shares, and its stack. */
    return exponent > 0.0 ? count * (2 * sizeof(double) + sizeof(struct alias_place) + sizeof(uint32_t)) : 0;
}

bool draws_make(struct draws *draws, uint64_t count, double exponent) {
    assert(count >= 1 && (exponent <= 0.0 || count <= DRAWS_ZIPF_HIGH));
    *draws = (struct draws){.count = count, .exponent = exponent, .most = 1.0 / (double)count};
    if (exponent <= 0.0) {
        return true;
    }
    double *weights = malloc((size_t)count * sizeof *weights), sum = 0.0;
    if (weights == NULL) {
        return false;
    }
    for (uint64_t rank = count; rank > 0; rank--) {
        weights[rank - 1] = weight(rank - 1, exponent);
        sum += weights[rank - 1];
    }
    draws->most = 1.0 / sum;
    bool made = alias_make(&draws->alias, weights, (uint32_t)count);
    free(weights);
    return made;
}

void draws_finish(struct draws *draws) {
    alias_finish(&draws->alias);
    memset(draws, 0, sizeof *draws);
}

void draws_ask(const struct draws *draws, uint64_t bits) {
    if (draws->exponent > 0.0) {
        alias_ask(&draws->alias, bits);
    }
}

uint64_t draws_of(const struct draws *draws, uint64_t bits) {
    if (draws->exponent > 0.0) {
        return alias_draw(&draws->alias, bits);
    }
    return (uint64_t)((unsigned __int128)bits * draws->count >> 64);
}
