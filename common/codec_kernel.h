/* The loops of the codecs: one body each, compiled for every instruction set (codec_kernel.c). For codec*.c only.
 *
 * All of it is integer work and single IEEE operations, so vectors of any width give the same bits. Rounding to an
 * integer is done by adding 1.5 * 2^23, after which the integer stands in the low bits. */
#ifndef CANYON_COMMON_CODEC_KERNEL_H
#define CANYON_COMMON_CODEC_KERNEL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/codec.h"

/* Loads and stores are at any alignment. */
struct codec_kernels {
    void (*bf16_encode)(const float *restrict values, size_t n, uint8_t *restrict bytes);
    void (*bf16_decode)(const uint8_t *restrict bytes, size_t n, float *restrict values);
    void (*f16_encode)(const float *restrict values, size_t n, uint8_t *restrict bytes);
    void (*f16_decode)(const uint8_t *restrict bytes, size_t n, float *restrict values);
    void (*int8_encode)(const float *restrict values, size_t n, uint8_t *restrict bytes);
    /* `first` is the index of values[0], a multiple of CODEC_GROUP. */
    void (*int8_encode_stochastic)(const float *restrict values, size_t n, uint64_t seed, uint32_t first,
                                   uint8_t *restrict bytes);
    void (*int8_decode)(const uint8_t *restrict bytes, size_t n, float *restrict values);
    /* sums[i] = what of values[i] and residual[i] is to be sent. */
    void (*accumulate)(const float *restrict values, const float *restrict residual, size_t n, float *restrict sums);
    /* residual[i] = sums[i] - sent[i], or as it was where values[i] is not finite. */
    void (*retain)(const float *restrict values, const float *restrict sums, const float *restrict sent, size_t n,
                   float *restrict residual);

    /* The residual takes in the values that are finite. sums[i] = what of both there is to send. The second is the same
     * once they are in. */
    void (*take_in)(const float *restrict values, float *restrict residual, size_t n, float *restrict sums);
    void (*look)(const float *restrict values, const float *restrict residual, size_t n, float *restrict sums);
    /* reached[g] = whether any of the CODEC_RUN values of run g has a size of at least `least`; n is a multiple. */
    void (*reach)(const float *restrict values, size_t n, uint32_t least, uint8_t *restrict reached);
};

#define CODEC_RUN 16

/* The chosen ones. */
const struct codec_kernels *codec_kernels(void);

#define CODEC_INLINE static inline __attribute__((always_inline, unused))

#define CODEC_SIGN     0x80000000u
#define CODEC_INFINITY 0x7f800000u
#define CODEC_LARGEST  0x7f7fffffu
#define CODEC_NAN      0x7fc00000u
#define CODEC_SHIFTER  12582912.0f /* 1.5 * 2^23 */
#define CODEC_SHIFTED  0x4b400000  /* its bits */

CODEC_INLINE uint32_t codec_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

CODEC_INLINE float codec_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

CODEC_INLINE uint32_t codec_size_bits(float value) {
    return codec_bits(value) & ~CODEC_SIGN;
}

/* The loops over a form of 16 bits. Values are worked on as 32 bits and narrowed, or widened, in a loop of its own: so
 * gcc makes twice as fast vectors of both. */
#define CODEC_HALVES(name)                                                                                             \
    CODEC_INLINE void codec_##name##_encode_some(const float *restrict values, size_t n, uint8_t *restrict bytes) {    \
        uint32_t wide[CODEC_STRETCH];                                                                                  \
        for (size_t i = 0; i < n; i++)                                                                                 \
            wide[i] = codec_##name##_of(values[i]);                                                                    \
        for (size_t i = 0; i < n; i++) {                                                                               \
            const uint16_t half = (uint16_t)wide[i];                                                                   \
            memcpy(bytes + i * sizeof half, &half, sizeof half);                                                       \
        }                                                                                                              \
    }                                                                                                                  \
    CODEC_INLINE void codec_##name##_decode_some(const uint8_t *restrict bytes, size_t n, float *restrict values) {    \
        uint32_t wide[CODEC_STRETCH];                                                                                  \
        for (size_t i = 0; i < n; i++) {                                                                               \
            uint16_t half;                                                                                             \
            memcpy(&half, bytes + i * sizeof half, sizeof half);                                                       \
            wide[i] = half;                                                                                            \
        }                                                                                                              \
        for (size_t i = 0; i < n; i++)                                                                                 \
            values[i] = codec_##name##_value(wide[i]);                                                                 \
    }                                                                                                                  \
    CODEC_INLINE void codec_##name##_encode(const float *restrict values, size_t n, uint8_t *restrict bytes) {         \
        size_t at = 0;                                                                                                 \
        for (; at + CODEC_STRETCH <= n; at += CODEC_STRETCH)                                                           \
            codec_##name##_encode_some(values + at, CODEC_STRETCH, bytes + 2 * at);                                    \
        codec_##name##_encode_some(values + at, n - at, bytes + 2 * at);                                               \
    }                                                                                                                  \
    CODEC_INLINE void codec_##name##_decode(const uint8_t *restrict bytes, size_t n, float *restrict values) {         \
        size_t at = 0;                                                                                                 \
        for (; at + CODEC_STRETCH <= n; at += CODEC_STRETCH)                                                           \
            codec_##name##_decode_some(bytes + 2 * at, CODEC_STRETCH, values + at);                                    \
        codec_##name##_decode_some(bytes + 2 * at, n - at, values + at);                                               \
    }

#define CODEC_STRETCH 64

/* ---- bf16: the upper half of a float32 ---- */

CODEC_INLINE uint32_t codec_bf16_of(float value) {
    const uint32_t bits = codec_bits(value), size = bits & ~CODEC_SIGN, sign = bits >> 16 & 0x8000u;
    uint32_t rounded = (size + 0x7fffu + (size >> 16 & 1u)) >> 16;
    rounded = rounded > 0x7f7fu ? 0x7f7fu : rounded;
    const uint32_t special = size > CODEC_INFINITY ? size >> 16 | 0x40u : 0x7f80u;
    return sign | (size >= CODEC_INFINITY ? special : rounded);
}

CODEC_INLINE float codec_bf16_value(uint32_t half) {
    return codec_float(half << 16);
}

CODEC_HALVES(bf16)

/* ---- f16: IEEE binary16, five bits of exponent and ten of fraction ---- */

CODEC_INLINE uint32_t codec_f16_of(float value) {
    const uint32_t bits = codec_bits(value), size = bits & ~CODEC_SIGN, sign = bits >> 16 & 0x8000u;
    /* From 2^-14 on: exponents 112 lower, 13 bits of fraction rounded off. */
    uint32_t normal = (size - (112u << 23) + 0xfffu + (size >> 13 & 1u)) >> 13;
    normal = normal > 0x7bffu ? 0x7bffu : normal;
    /* Below: 0.5 has a unit in the last place of 2^-24, the smallest step of f16, so that the sum is rounded to it. */
    const uint32_t small = codec_bits(codec_float(size) + 0.5f) - codec_bits(0.5f);
    const uint32_t finite = size < 0x38800000u ? small : normal;
    const uint32_t special = size > CODEC_INFINITY ? (size >> 13 & 0x3ffu) | 0x7e00u : 0x7c00u;
    return sign | (size >= CODEC_INFINITY ? special : finite);
}

CODEC_INLINE float codec_f16_value(uint32_t half) {
    const uint32_t sign = (half & 0x8000u) << 16, size = half & 0x7fffu, shifted = size << 13;
    const uint32_t normal = shifted + (112u << 23);
    const uint32_t small = codec_bits(codec_float(shifted + (113u << 23)) - codec_float(113u << 23));
    const uint32_t special = shifted + (224u << 23);
    return codec_float(sign | (size >= 0x7c00u ? special : size < 0x400u ? small : normal));
}

CODEC_HALVES(f16)

#define CODEC_CHUNK 512 /* values that are worked on in the first cache; a multiple of CODEC_GROUP */

/* ---- int8: groups of a scale and up to 64 quotients ---- */

#define CODEC_SCALE_LOW 0x1p-126f
/* 127 times the next float above it would be infinite. */
#define CODEC_SCALE_HIGH 0x1.020406p+121f
#define CODEC_NOT_FINITE (-128) /* the quotient that means NaN */

CODEC_INLINE float codec_scale(const float *values, size_t n) {
    int32_t largest = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t size = codec_size_bits(values[i]);
        const int32_t finite = size < CODEC_INFINITY ? (int32_t)size : 0;
        largest = finite > largest ? finite : largest;
    }
    const float scale = codec_float((uint32_t)largest) / 127.0f;
    const float least = scale < CODEC_SCALE_LOW ? CODEC_SCALE_LOW : scale;
    return least > CODEC_SCALE_HIGH ? CODEC_SCALE_HIGH : least;
}

/* A quotient of at most 127.0001 either way. */
CODEC_INLINE int32_t codec_quotient(float value, int32_t rounded) {
    return codec_size_bits(value) >= CODEC_INFINITY ? CODEC_NOT_FINITE : rounded;
}

CODEC_INLINE void codec_narrow(const int32_t *restrict wide, size_t n, uint8_t *restrict bytes) {
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)wide[i];
}

CODEC_INLINE void codec_group_encode(const float *restrict values, size_t n, uint8_t *restrict bytes) {
    const float scale = codec_scale(values, n);
    int32_t quotients[CODEC_GROUP];
    memcpy(bytes, &scale, sizeof scale);
    for (size_t i = 0; i < n; i++) {
        const float shifted = values[i] / scale + CODEC_SHIFTER;
        quotients[i] = codec_quotient(values[i], (int32_t)codec_bits(shifted) - CODEC_SHIFTED);
    }
    codec_narrow(quotients, n, bytes + sizeof scale);
}

/* 15 bits for each index: counters through a mixer of 32 bits (multiplications and shifts, with the constants of
 * Wellons's lowbias32), keyed between its rounds. */
CODEC_INLINE uint32_t codec_draw(uint32_t index, uint32_t low, uint32_t high) {
    uint32_t x = index * 0x9e3779b9u + low;
    x = (x ^ x >> 16) * 0x7feb352du;
    x = ((x ^ x >> 15) + high) * 0x846ca68bu;
    return (x ^ x >> 16) >> 17;
}

/* The quotient in units of 2^-15 plus a draw below one, rounded down: up as often as its fraction says. */
CODEC_INLINE void codec_group_encode_stochastic(const float *restrict values, size_t n, uint32_t low, uint32_t high,
                                                uint32_t first, uint8_t *restrict bytes) {
    const float scale = codec_scale(values, n);
    int32_t quotients[CODEC_GROUP];
    memcpy(bytes, &scale, sizeof scale);
    for (size_t i = 0; i < n; i++) {
        const float exact = values[i] / scale;
        const float below = exact > 127.0f ? 127.0f : exact, within = below < -127.0f ? -127.0f : below;
        const int32_t units = (int32_t)codec_bits(within * 0x1p15f + CODEC_SHIFTER) - CODEC_SHIFTED;
        const int32_t drawn = (int32_t)codec_draw(first + (uint32_t)i, low, high);
        quotients[i] = codec_quotient(values[i], (units + drawn) >> 15);
    }
    codec_narrow(quotients, n, bytes + sizeof scale);
}

/* NaN is one and the same everywhere, whatever CPUs make of infinity times zero. */
CODEC_INLINE void codec_group_decode(const uint8_t *restrict bytes, size_t n, float *restrict values) {
    float scale;
    memcpy(&scale, bytes, sizeof scale);
    int32_t quotients[CODEC_GROUP];
    for (size_t i = 0; i < n; i++)
        quotients[i] = (int8_t)bytes[sizeof scale + i];
    for (size_t i = 0; i < n; i++) {
        const uint32_t product = codec_bits((float)quotients[i] * scale);
        const int none = (quotients[i] == CODEC_NOT_FINITE) | ((product & ~CODEC_SIGN) > CODEC_INFINITY);
        values[i] = codec_float(none ? CODEC_NAN : product);
    }
}

CODEC_INLINE void codec_int8_encode(const float *restrict values, size_t n, uint8_t *restrict bytes) {
    size_t at = 0;
    for (; at + CODEC_GROUP <= n; at += CODEC_GROUP, bytes += CODEC_GROUP_BYTES)
        codec_group_encode(values + at, CODEC_GROUP, bytes);
    if (at < n)
        codec_group_encode(values + at, n - at, bytes);
}

CODEC_INLINE void codec_int8_encode_stochastic(const float *restrict values, size_t n, uint64_t seed, uint32_t first,
                                               uint8_t *restrict bytes) {
    const uint32_t low = (uint32_t)seed, high = (uint32_t)(seed >> 32);
    size_t at = 0;
    for (; at + CODEC_GROUP <= n; at += CODEC_GROUP, bytes += CODEC_GROUP_BYTES)
        codec_group_encode_stochastic(values + at, CODEC_GROUP, low, high, first + (uint32_t)at, bytes);
    if (at < n)
        codec_group_encode_stochastic(values + at, n - at, low, high, first + (uint32_t)at, bytes);
}

CODEC_INLINE void codec_int8_decode(const uint8_t *restrict bytes, size_t n, float *restrict values) {
    size_t at = 0;
    for (; at + CODEC_GROUP <= n; at += CODEC_GROUP, bytes += CODEC_GROUP_BYTES)
        codec_group_decode(bytes, CODEC_GROUP, values + at);
    if (at < n)
        codec_group_decode(bytes, n - at, values + at);
}

/* ---- topk ---- */

CODEC_INLINE void codec_reach(const float *restrict values, size_t n, uint32_t least, uint8_t *restrict reached) {
    for (size_t at = 0; at < n; at += CODEC_RUN) {
        int32_t any = 0;
        for (size_t i = 0; i < CODEC_RUN; i++)
            any |= (int32_t)codec_size_bits(values[at + i]) >= (int32_t)least ? 1 : 0;
        reached[at / CODEC_RUN] = (uint8_t)any;
    }
}

/* ---- error feedback ---- */

CODEC_INLINE float codec_sum(float value, float rest) {
    const uint32_t sum = codec_bits(value + rest), size = sum & ~CODEC_SIGN;
    return codec_float((sum & CODEC_SIGN) | (size > CODEC_LARGEST ? CODEC_LARGEST : size));
}

CODEC_INLINE void codec_take_in(const float *restrict values, float *restrict residual, size_t n,
                                float *restrict sums) {
    for (size_t i = 0; i < n; i++) {
        const float sum = codec_sum(values[i], residual[i]);
        const int finite = codec_size_bits(values[i]) < CODEC_INFINITY;
        sums[i] = finite ? sum : values[i];
        residual[i] = finite ? sum : residual[i];
    }
}

CODEC_INLINE void codec_look(const float *restrict values, const float *restrict residual, size_t n,
                             float *restrict sums) {
    for (size_t i = 0; i < n; i++)
        sums[i] = codec_size_bits(values[i]) < CODEC_INFINITY ? residual[i] : values[i];
}

CODEC_INLINE void codec_accumulate(const float *restrict values, const float *restrict residual, size_t n,
                                   float *restrict sums) {
    for (size_t i = 0; i < n; i++) {
        const float sum = codec_sum(values[i], residual[i]);
        sums[i] = codec_size_bits(values[i]) < CODEC_INFINITY ? sum : values[i];
    }
}

CODEC_INLINE void codec_retain(const float *restrict values, const float *restrict sums, const float *restrict sent,
                               size_t n, float *restrict residual) {
    for (size_t i = 0; i < n; i++) {
        const float rest = sums[i] - sent[i];
        residual[i] = codec_size_bits(values[i]) >= CODEC_INFINITY ? residual[i] : rest;
    }
}

#endif
