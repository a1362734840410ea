#include "common/codec_top.h"

#include <assert.h>

#include "common/codec_kernel.h"
#include "common/endian.h"

/* The size of a value as 31 bits that order like it: digits of 11, 10 and 10 bits, counted from the highest. */
enum { DIGITS = 3, BINS = 2048 };
static const struct digit {
    unsigned shift;
    uint32_t mask, above; /* `above`: the bits of the digits before */
} digits[DIGITS] = {{20, 0x7ff, 0}, {10, 0x3ff, 0x7ff00000u}, {0, 0x3ff, 0x7ffffc00u}};

/* What there is to choose from, a chunk at a time: the values, or with a residual what is added up. */
struct source {
    const float *values;
    float *residual;
    bool taken; /* the residual has taken the values in: after the first walk over all of them */
    size_t elements;
    float sums[CODEC_CHUNK];
};

/* The values from `at` on; all walks go from the first to the last. */
static const float *source_chunk(struct source *source, size_t at, size_t *n) {
    *n = source->elements - at < CODEC_CHUNK ? source->elements - at : CODEC_CHUNK;
    if (source->residual == NULL) {
        return source->values + at;
    }
    if (source->taken) {
        codec_kernels()->look(source->values + at, source->residual + at, *n, source->sums);
    } else {
        codec_kernels()->take_in(source->values + at, source->residual + at, *n, source->sums);
    }
    source->taken = source->taken || at + *n == source->elements;
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

/* ---- few of many: a look at some of them says which are worth counting ---- */

/* Runs of neighbours, which share a line of the cache. */
#define SAMPLE_RUNS 128
#define SAMPLE_RUN  8
#define SAMPLES     (SAMPLE_RUNS * SAMPLE_RUN)
#define CAPACITY    8192

/* Values that may be among the kept, in the order of their indexes. */
struct candidates {
    size_t count;
    uint32_t indexes[CAPACITY];
    float values[CAPACITY];
};

/* A size that probably somewhat more than `kept` values reach. There are more values than SAMPLES. */
static uint32_t guess_least(const struct source *source, size_t kept) {
    float sample[SAMPLES];
    struct source sampled = {.values = sample, .elements = SAMPLES};
    size_t ties = 0, expected = kept * SAMPLES / source->elements, wanted = expected + expected / 2 + 12;
    for (size_t run = 0; run < SAMPLE_RUNS; run++) {
        const size_t at = run * (source->elements / SAMPLE_RUNS);
        if (source->residual == NULL) {
            memcpy(sample + run * SAMPLE_RUN, source->values + at, SAMPLE_RUN * sizeof(float));
        } else {
            codec_accumulate(source->values + at, source->residual + at, SAMPLE_RUN, sample + run * SAMPLE_RUN);
        }
    }
    return find_threshold(&sampled, wanted < SAMPLES ? wanted : SAMPLES, &ties);
}

/* False when there are too many, or fewer than `kept`. */
static bool gather(struct source *source, uint32_t least, size_t kept, struct candidates *candidates) {
    uint8_t reached[CODEC_CHUNK / CODEC_RUN];
    size_t count = 0;
    for (size_t at = 0, n = 0; at < source->elements; at += n) {
        const float *chunk = source_chunk(source, at, &n);
        if (count + n > CAPACITY) {
            count = CAPACITY; /* too many; the walk goes on, for the residual */
            continue;
        }
        const size_t whole = n / CODEC_RUN * CODEC_RUN;
        codec_kernels()->reach(chunk, whole, least, reached);
        for (size_t from = 0; from < n; from += CODEC_RUN) {
            if (from < whole && !reached[from / CODEC_RUN]) {
                continue;
            }
            for (size_t i = from; i < n && i < from + CODEC_RUN; i++) {
                /* Without a branch: most are overwritten. */
                candidates->indexes[count] = (uint32_t)(at + i);
                candidates->values[count] = chunk[i];
                count += codec_size_bits(chunk[i]) >= least ? 1 : 0;
            }
        }
    }
    candidates->count = count;
    return count >= kept && count < CAPACITY;
}

/* ---- encoding ---- */

/* What is written so far. */
struct sink {
    uint8_t *bytes;
    float *residual;
    size_t kept, done;
    uint32_t threshold;
    size_t ties;
};

static void sink_take(struct sink *sink, uint32_t index, float value) {
    const uint32_t size = codec_size_bits(value);
    if (size < sink->threshold || (size == sink->threshold && sink->ties == 0)) {
        return;
    }
    sink->ties -= size == sink->threshold ? 1 : 0;
    store_u32(sink->bytes + sink->done * sizeof index, index);
    memcpy(sink->bytes + (sink->kept + sink->done) * sizeof index, &value, sizeof value);
    sink->done++;
    if (sink->residual != NULL && size < CODEC_INFINITY) {
        sink->residual[index] = 0.0f; /* all of it is sent */
    }
}

/* By a sample, where few are kept of many. */
static bool encode_few(struct source *source, struct sink *sink) {
    struct candidates candidates;
    if (sink->kept > source->elements / 8 || sink->kept > CAPACITY / 2 || source->elements < 2 * SAMPLES ||
        !gather(source, guess_least(source, sink->kept), sink->kept, &candidates)) {
        return false;
    }
    struct source few = {.values = candidates.values, .elements = candidates.count};
    sink->threshold = find_threshold(&few, sink->kept, &sink->ties);
    for (size_t i = 0; i < candidates.count; i++) {
        sink_take(sink, candidates.indexes[i], candidates.values[i]);
    }
    return true;
}

void codec_encode_top(const float *values, float *residual, size_t elements, size_t kept, uint8_t *bytes) {
    struct source source = {.values = values, .residual = residual, .elements = elements};
    struct sink sink = {.bytes = bytes, .residual = residual, .kept = kept, .threshold = UINT32_MAX};
    assert(kept <= elements);
    if (kept > 0 && encode_few(&source, &sink)) {
        assert(sink.done == kept);
        return;
    }
    if (kept > 0) {
        sink.threshold = find_threshold(&source, kept, &sink.ties);
    }
    for (size_t at = 0, n = 0; at < elements; at += n) {
        const float *chunk = source_chunk(&source, at, &n);
        for (size_t i = 0; i < n; i++) {
            sink_take(&sink, (uint32_t)(at + i), chunk[i]);
        }
    }
    assert(sink.done == kept);
}

/* ---- decoding ---- */

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
