/* The codecs once more, slowly and from their definitions: numbers of 16 bits by their value in double and a search for
 * the nearest, int8 by division in double, topk by sorting. Nothing here shares a line with common/codec*. */
#ifndef CANYON_TESTS_UNIT_COMMON_CODEC_REFERENCE_H
#define CANYON_TESTS_UNIT_COMMON_CODEC_REFERENCE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A form of 16 bits: a sign, an exponent, `fraction` bits of fraction. */
struct half_form {
    int fraction, bias;
    unsigned largest; /* the pattern of the largest finite number */
};
static const struct half_form bf16_form = {7, 127, 0x7f7f}, f16_form = {10, 15, 0x7bff};

/* The value of a finite pattern. */
static inline double half_value(const struct half_form *form, unsigned half) {
    int exponent = (int)((half & 0x7fffu) >> form->fraction), fraction = (int)(half & ((1u << form->fraction) - 1u));
    double size = exponent == 0 ? ldexp(fraction, 1 - form->bias - form->fraction)
                                : ldexp(fraction + (1 << form->fraction), exponent - form->bias - form->fraction);
    return (half & 0x8000u) != 0 ? -size : size;
}

/* The pattern nearest to a finite value; of two equally near ones the even one. */
static inline unsigned half_nearest(const struct half_form *form, float value) {
    double size = fabs((double)value);
    unsigned low = 0, high = form->largest; /* value(low) <= size, if not the answer is high */
    while (low < high) {
        unsigned middle = (low + high + 1) / 2;
        if (half_value(form, middle) <= size) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    if (low < form->largest) {
        double below = size - half_value(form, low), above = half_value(form, low + 1) - size;
        low += above < below || (above == below && low % 2 == 1) ? 1 : 0;
    }
    return low | (signbit(value) ? 0x8000u : 0u);
}

/* What arrives of a value, and of values as int8. */
static inline float half_round_trip(const struct half_form *form, float value) {
    return isfinite(value) ? (float)half_value(form, half_nearest(form, value)) : value;
}

static inline float int8_scale(const float *values, size_t n) {
    double largest = 0.0;
    for (size_t i = 0; i < n; i++) {
        double size = fabs((double)values[i]);
        largest = isfinite(values[i]) && size > largest ? size : largest;
    }
    double scale = (double)(float)(largest / 127.0);
    scale = scale < 0x1p-126 ? 0x1p-126 : scale;
    while (!isfinite((float)(127.0 * scale))) {
        scale = (double)nextafterf((float)scale, 0.0f);
    }
    return (float)scale;
}

static inline void int8_round_trip(const float *values, size_t n, float *there) {
    for (size_t at = 0; at < n; at += 64) {
        size_t count = n - at < 64 ? n - at : 64;
        double scale = (double)int8_scale(values + at, count);
        for (size_t i = 0; i < count; i++) {
            double quotient = (double)(float)((double)values[at + i] / scale);
            double down = floor(quotient), part = quotient - down;
            double rounded = part > 0.5 || (part == 0.5 && fmod(down, 2.0) != 0.0) ? down + 1.0 : down;
            there[at + i] = isfinite(values[at + i]) ? (float)(rounded * scale + 0.0) : NAN; /* no -0 */
        }
    }
}

/* ---- topk ---- */

struct ranked {
    float value;
    uint32_t index;
};

/* NaN is larger than infinity, of NaNs the larger pattern; the sizes themselves are compared as numbers. */
static inline int rank_compare(const void *one, const void *other) {
    const struct ranked *a = one, *b = other;
    if (isnan(a->value) || isnan(b->value)) {
        uint32_t p, q;
        memcpy(&p, &a->value, sizeof p);
        memcpy(&q, &b->value, sizeof q);
        p &= 0x7fffffffu;
        q &= 0x7fffffffu;
        if (p != q) {
            return p > q ? -1 : 1;
        }
    } else if (fabsf(a->value) > fabsf(b->value) || fabsf(a->value) < fabsf(b->value)) {
        return fabsf(a->value) > fabsf(b->value) ? -1 : 1;
    }
    return a->index < b->index ? -1 : a->index > b->index;
}

/* `there` receives the values that are kept, zeros elsewhere. */
static inline void top_round_trip(const float *values, size_t n, size_t kept, float *there) {
    struct ranked *ranks = malloc((n + 1) * sizeof *ranks);
    for (size_t i = 0; i < n; i++) {
        ranks[i] = (struct ranked){values[i], (uint32_t)i};
        there[i] = 0.0f;
    }
    qsort(ranks, n, sizeof *ranks, rank_compare);
    for (size_t i = 0; i < kept; i++) {
        there[ranks[i].index] = ranks[i].value;
    }
    free(ranks);
}

#endif
