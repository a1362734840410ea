#include "common/codec_top.h"

#include <assert.h>

#include "common/codec_kernel.h"
#include "common/endian.h"

#define CHUNK 512

/* The size of a value as 31 bits that order like it: digits of 11, 10 and 10 bits, counted from the highest. */
enum { DIGITS = 3, BINS = 2048 };
static const struct digit {
    unsigned shift;
    uint32_t mask, above; /* `above`: the bits of the digits before */
} digits[DIGITS] = {{20, 0x7ff, 0}, {10, 0x3ff, 0x7ff00000u}, {0, 0x3ff, 0x7ffffc00u}};

/* What there is to choose from, a chunk at a time: the values, or with a residual what is added up. */
struct source {
    const float *values;
    const float *residual;
    size_t elements;
    float sums[CHUNK];
};

static const float *source_chunk(struct source *source, size_t at, size_t *n) {
    *n = source->elements - at < CHUNK ? source->elements - at : CHUNK;
    if (source->residual == NULL) {
        return source->values + at;
    }
    codec_kernels()->accumulate(source->values + at, source->residual + at, *n, source->sums);
    return source->sums;
}

/* Counts, by this digit, the sizes whose digits before are those of `prefix`. */
static void count_digit(struct source *source, const struct digit *digit, uint32_t prefix, uint32_t counts[BINS]) {
    memset(counts, 0, BINS * sizeof *counts);
    for (size_t at = 0, n = 0; at < source->elements; at += n) {
        const float *chunk = source_chunk(source, at, &n);
        for (size_t i = 0; i < n; i++) {
            const uint32_t size = codec_size_bits(chunk[i]);
            if ((size & digit->above) == prefix) {
                counts[size >> digit->shift & digit->mask]++;
            }
        }
    }
}

/* The size that the kept-th largest value has; *ties says how many of exactly that size are kept. */
static uint32_t find_threshold(struct source *source, size_t kept, size_t *ties) {
    uint32_t counts[BINS], threshold = 0;
    size_t left = kept;
    for (size_t d = 0; d < DIGITS; d++) {
        count_digit(source, &digits[d], threshold, counts);
        uint32_t bin = digits[d].mask;
        while (counts[bin] < left) {
            left -= counts[bin--];
        }
        threshold |= bin << digits[d].shift;
    }
    *ties = left;
    return threshold;
}

void codec_encode_top(const float *values, float *residual, size_t elements, size_t kept, uint8_t *bytes) {
    struct source source = {.values = values, .residual = residual, .elements = elements};
    float sent[CHUNK];
    size_t ties = 0, done = 0;
    assert(kept <= elements);
    /* Nothing may be kept; with a residual it still takes the values in. */
    uint32_t threshold = kept > 0 ? find_threshold(&source, kept, &ties) : UINT32_MAX;
    for (size_t at = 0, n = 0; at < elements; at += n) {
        const float *chunk = source_chunk(&source, at, &n);
        memset(sent, 0, sizeof sent);
        for (size_t i = 0; i < n; i++) {
            const uint32_t size = codec_size_bits(chunk[i]);
            if (size < threshold || (size == threshold && ties == 0)) {
                continue;
            }
            ties -= size == threshold ? 1 : 0;
            store_u32(bytes + done * sizeof(uint32_t), (uint32_t)(at + i));
            memcpy(bytes + (kept + done) * sizeof(uint32_t), &chunk[i], sizeof(float));
            sent[i] = chunk[i];
            done++;
        }
        if (residual != NULL) {
            codec_kernels()->retain(values + at, chunk, sent, n, residual + at);
        }
    }
    assert(done == kept);
}

enum canyon_status codec_decode_top(const uint8_t *bytes, size_t elements, size_t kept, float *values,
                                    struct error *error) {
    const uint8_t *numbers = bytes + kept * sizeof(uint32_t);
    uint64_t least = 0;
    if (kept > elements) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "topk keeps %zu of %zu values", kept, elements);
    }
    if (elements > 0) {
        memset(values, 0, elements * sizeof *values);
    }
    for (size_t i = 0; i < kept; i++) {
        const uint32_t index = load_u32(bytes + i * sizeof index);
        if (index < least || index >= elements) {
            return error_set(error, CANYON_INVALID_ARGUMENT,
                             "topk: index %u at place %zu; indexes ascend and are below %zu", index, i, elements);
        }
        memcpy(&values[index], numbers + i * sizeof(float), sizeof(float));
        least = (uint64_t)index + 1;
    }
    return CANYON_OK;
}
