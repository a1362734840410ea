/* Whether values are finite: looked at before anything is changed, so it is on the way of every gradient. */
#include "server/optimizers/kernel.h"

/* Values that are looked at together: enough to keep the compare out of the loop, few enough to name one soon. */
#define SPAN 256

/* All ones in the exponent: infinity or NaN. As bits without their sign those are the largest, so that the largest of
 * many tells for all of them, in plain integer work. */
#define EXPONENT 0x7f800000u

ALWAYS_INLINE uint32_t size_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x7fffffffu;
}

ALWAYS_INLINE size_t first_not_finite(const float *values, size_t count) {
    size_t at = 0;
    for (; at + SPAN <= count; at += SPAN) {
        uint32_t largest = 0;
        for (size_t i = 0; i < SPAN; i++) {
            const uint32_t bits = size_bits(values[at + i]);
            largest = bits > largest ? bits : largest;
        }
        if (largest >= EXPONENT)
            break;
    }
    while (at < count && size_bits(values[at]) < EXPONENT)
        at++;
    return at;
}

static size_t on_baseline(const float *values, size_t count) {
    return first_not_finite(values, count);
}
TARGET_AVX2 static size_t on_avx2(const float *values, size_t count) {
    return first_not_finite(values, count);
}
TARGET_AVX512 static size_t on_avx512(const float *values, size_t count) {
    return first_not_finite(values, count);
}

optimizer_scan *const optimizer_finite[OPTIMIZER_SETS] = {on_baseline, on_avx2, on_avx512};

size_t optimizer_first_not_finite(const float *values, size_t count) {
    return optimizer_finite[optimizer_set_chosen()](values, count);
}
