#include "client/simulator/counter.h"

#include <assert.h>

static uint64_t mix(uint64_t z) {
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t counter_bits(uint64_t seed, uint64_t stream, uint64_t index) {
    return mix(mix(mix(seed) ^ stream) ^ index);
}

uint32_t counter_below(uint64_t seed, uint64_t stream, uint64_t index, uint32_t n) {
    assert(n > 0);
    uint64_t high = counter_bits(seed, stream, index) >> 32;
    return (uint32_t)((high * n) >> 32);
}

float counter_sign_unit(uint64_t seed, uint64_t stream, uint64_t index) {
    uint32_t bits = (uint32_t)(counter_bits(seed, stream, index) >> 40); /* 24 bits: exact in a float */
    return (float)bits / 8388608.0f - 1.0f;
}

void counter_shuffle(uint64_t seed, uint64_t stream, uint32_t *entries, size_t n) {
    assert(n <= UINT32_MAX);
    for (size_t i = n; i > 1; i--) {
        size_t j = counter_below(seed, stream, i, (uint32_t)i);
        uint32_t kept = entries[i - 1];
        entries[i - 1] = entries[j];
        entries[j] = kept;
    }
}
