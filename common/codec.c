#include "common/codec.h"

#include <assert.h>
#include <string.h>

#include "common/codec_kernel.h"
#include "common/codec_top.h"

_Static_assert(CODEC_CHUNK % CODEC_GROUP == 0, "groups are whole in a chunk");

const char *codec_name(unsigned codec) {
    static const char *const names[] = {"f32", "bf16", "f16", "int8", "int8:stochastic", "topk"};
    return codec <= CODEC_LAST ? names[codec] : "unknown";
}

/* Without the padding. */
static size_t plain_bytes(enum codec codec, size_t elements, size_t kept) {
    switch (codec) {
    case CODEC_F32:
        return elements * sizeof(float);
    case CODEC_BF16:
    case CODEC_F16:
        return elements * sizeof(uint16_t);
    case CODEC_INT8:
    case CODEC_INT8_STOCHASTIC:
        return (elements + CODEC_GROUP - 1) / CODEC_GROUP * sizeof(float) + elements;
    case CODEC_TOPK:
        break;
    }
    return kept * CODEC_TOP_BYTES;
}

size_t codec_bytes(enum codec codec, size_t elements, size_t kept) {
    return (plain_bytes(codec, elements, kept) + 3) / 4 * 4;
}

size_t codec_kept(double fraction, size_t elements) {
    assert(fraction > 0.0 && fraction <= 1.0);
    double exact = fraction * (double)elements;
    size_t kept = (size_t)exact;
    kept += (double)kept < exact ? 1 : 0;
    return kept < elements ? kept : elements;
}

/* SplitMix64's output function: seeds that differ in one bit draw differently. */
static uint64_t mixed(uint64_t seed) {
    seed += UINT64_C(0x9e3779b97f4a7c15);
    seed = (seed ^ seed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    seed = (seed ^ seed >> 27) * UINT64_C(0x94d049bb133111eb);
    return seed ^ seed >> 31;
}

uint64_t codec_seed(uint64_t what, uint64_t block, uint64_t turn) {
    return mixed(mixed(what + block) + turn);
}

/* Values from `first` on, a multiple of CODEC_GROUP, to the beginning of `bytes`; no padding. */
static void encode_part(enum codec codec, const float *values, size_t n, uint64_t seed, size_t first, uint8_t *bytes) {
    const struct codec_kernels *kernels = codec_kernels();
    assert(codec != CODEC_TOPK); /* has no parts */
    switch (codec) {
    case CODEC_F32:
        memcpy(bytes, values, n * sizeof *values);
        break;
    case CODEC_BF16:
        kernels->bf16_encode(values, n, bytes);
        break;
    case CODEC_F16:
        kernels->f16_encode(values, n, bytes);
        break;
    case CODEC_INT8:
        kernels->int8_encode(values, n, bytes);
        break;
    case CODEC_INT8_STOCHASTIC:
        kernels->int8_encode_stochastic(values, n, mixed(seed), (uint32_t)first, bytes);
        break;
    case CODEC_TOPK:
        break;
    }
}

static void decode_part(enum codec codec, const uint8_t *bytes, size_t n, float *values) {
    const struct codec_kernels *kernels = codec_kernels();
    assert(codec != CODEC_TOPK); /* has no parts */
    switch (codec) {
    case CODEC_F32:
        memcpy(values, bytes, n * sizeof *values);
        break;
    case CODEC_BF16:
        kernels->bf16_decode(bytes, n, values);
        break;
    case CODEC_F16:
        kernels->f16_decode(bytes, n, values);
        break;
    case CODEC_INT8:
    case CODEC_INT8_STOCHASTIC:
        kernels->int8_decode(bytes, n, values);
        break;
    case CODEC_TOPK:
        break;
    }
}

static void pad(enum codec codec, size_t elements, size_t kept, uint8_t *bytes) {
    size_t plain = plain_bytes(codec, elements, kept);
    memset(bytes + plain, 0, codec_bytes(codec, elements, kept) - plain);
}

void codec_encode(enum codec codec, const float *values, size_t elements, uint64_t seed, uint8_t *bytes) {
    assert(codec != CODEC_TOPK);
    if (elements > 0) {
        encode_part(codec, values, elements, seed, 0, bytes);
        pad(codec, elements, 0, bytes);
    }
}

void codec_encode_feedback(enum codec codec, const float *values, float *residual, size_t elements, size_t kept,
                           uint64_t seed, uint8_t *bytes) {
    const struct codec_kernels *kernels = codec_kernels();
    float sums[CODEC_CHUNK], sent[CODEC_CHUNK];
    if (codec == CODEC_TOPK) {
        codec_encode_top(values, residual, elements, kept, bytes);
        return;
    }
    if (residual == NULL || elements == 0) {
        codec_encode(codec, values, elements, seed, bytes);
        return;
    }
    for (size_t at = 0; at < elements; at += CODEC_CHUNK) {
        size_t n = elements - at < CODEC_CHUNK ? elements - at : CODEC_CHUNK;
        uint8_t *part = bytes + plain_bytes(codec, at, 0);
        kernels->accumulate(values + at, residual + at, n, sums);
        encode_part(codec, sums, n, seed, at, part);
        decode_part(codec, part, n, sent);
        kernels->retain(values + at, sums, sent, n, residual + at);
    }
    pad(codec, elements, 0, bytes);
}

enum canyon_status codec_decode(unsigned codec, const uint8_t *bytes, size_t count, size_t elements, size_t kept,
                                float *values, struct error *error) {
    if (codec > CODEC_LAST) {
        return error_set(error, CANYON_UNSUPPORTED, "codec %u is not known to this version (%s)", codec,
                         CANYON_VERSION_TEXT);
    }
    size_t plain = plain_bytes((enum codec)codec, elements, kept),
           whole = codec_bytes((enum codec)codec, elements, kept);
    if (count != whole) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "%zu values as %s are %zu bytes, not %zu", elements,
                         codec_name(codec), whole, count);
    }
    for (size_t i = plain; i < whole; i++) {
        if (bytes[i] != 0) {
            return error_set(error, CANYON_INVALID_ARGUMENT, "%zu values as %s: byte %zu fills up and is %u, not 0",
                             elements, codec_name(codec), i, bytes[i]);
        }
    }
    if (codec == CODEC_TOPK) {
        return codec_decode_top(bytes, elements, kept, values, error);
    }
    if (elements > 0) {
        decode_part((enum codec)codec, bytes, elements, values);
    }
    return CANYON_OK;
}
