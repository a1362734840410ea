/* The codecs: bits against published patterns and references written from the definitions, errors within their bounds,
 * equal bits on every instruction set, feedback that loses nothing, and bytes that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>

#include "common/codec.h"
#include "common/limits.h"
#include "tests/unit/common/codec_reference.h"
#include "tests/unit/common/seed.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define MOST            4099 /* a prime: no vector width and no group divides it */
#define MOST_BYTES      (MOST * 8 + 8)

static const enum codec every[] = {CODEC_F32, CODEC_BF16, CODEC_F16, CODEC_INT8, CODEC_INT8_STOCHASTIC};
static const size_t lengths[] = {0, 1, 2, 3, 5, 15, 16, 17, 31, 63, 64, 65, 66, 67, 68, 127, 128, 511, 513, 1000, MOST};

static uint64_t random_seed, random_state;

static uint64_t random_next(void) {
    return seed_next(&random_state);
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* About 1, any magnitude at all, or any bits, NaN and infinity among them. */
enum kind { USUAL, FINITE, ANY };

static float random_value(enum kind kind) {
    float value;
    do {
        value =
            kind == USUAL ? (float)((double)(random_next() >> 11) / 0x1p52 - 1.0) : float_of((uint32_t)random_next());
    } while (kind == FINITE && !isfinite(value));
    return value;
}

static void fill(float *values, size_t n, enum kind kind) {
    for (size_t i = 0; i < n; i++) {
        values[i] = random_value(kind);
    }
}

static void there_and_back(enum codec codec, const float *values, size_t n, uint64_t seed, float *there) {
    uint8_t bytes[MOST_BYTES];
    struct error error = {.status = CANYON_OK};
    size_t count = codec_bytes(codec, n, 0);
    assert_int_equal(count % 4, 0);
    assert_true(count <= sizeof bytes);
    memset(bytes, 0xa5, sizeof bytes);
    codec_encode(codec, values, n, seed, bytes);
    for (size_t i = count; i < sizeof bytes; i++) {
        assert_int_equal(bytes[i], 0xa5);
    }
    if (codec_decode(codec, bytes, count, n, 0, there, &error) != CANYON_OK) {
        fail_msg("%s", error.text);
    }
}

/* The test is of bits, but any NaN is as good as another. */
static void same_values(const char *what, const float *got, const float *expected, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (bits_of(got[i]) != bits_of(expected[i]) && !(isnan(got[i]) && isnan(expected[i]))) {
            fail_msg("%s, value %zu: %a instead of %a (CANYON_SEED=%llu)", what, i, (double)got[i], (double)expected[i],
                     (unsigned long long)random_seed);
        }
    }
}

/* ---- bf16 and f16 ---- */

/* IEEE 754-2008's binary16, as tables of it everywhere have it, and bfloat16's. */
static void patterns_are_the_published_ones(void **state) {
    static const struct {
        enum codec codec;
        float value;
        uint16_t pattern;
    } published[] = {
        {CODEC_F16, 0.0f, 0x0000},
        {CODEC_F16, -0.0f, 0x8000},
        {CODEC_F16, 1.0f, 0x3c00},
        {CODEC_F16, -2.0f, 0xc000},
        {CODEC_F16, 65504.0f, 0x7bff},
        {CODEC_F16, 0x1p-14f, 0x0400},
        {CODEC_F16, 0x1.ff8p-15f, 0x03ff},
        {CODEC_F16, 0x1p-24f, 0x0001},
        {CODEC_F16, 1.0f / 3.0f, 0x3555},
        {CODEC_F16, 0x1.004p+0f, 0x3c01},
        {CODEC_F16, INFINITY, 0x7c00},
        {CODEC_F16, -INFINITY, 0xfc00},
        {CODEC_F16, 0x1.002p+0f, 0x3c00},
        {CODEC_F16, 0x1.006p+0f, 0x3c02},
        {CODEC_F16, 0x1p-25f, 0x0000},
        {CODEC_F16, 0x1.000002p-25f, 1},
        {CODEC_F16, 65519.0f, 0x7bff},
        {CODEC_F16, 65520.0f, 0x7bff},
        {CODEC_F16, FLT_MAX, 0x7bff},
        {CODEC_F16, -1e9f, 0xfbff},
        {CODEC_F16, 0x1.8p-24f, 0x0002},
        {CODEC_BF16, 0.0f, 0x0000},
        {CODEC_BF16, -0.0f, 0x8000},
        {CODEC_BF16, 1.0f, 0x3f80},
        {CODEC_BF16, -2.0f, 0xc000},
        {CODEC_BF16, 3.140625f, 0x4049},
        {CODEC_BF16, 1.0f / 3.0f, 0x3eab},
        {CODEC_BF16, 0x1p-133f, 0x0001},
        {CODEC_BF16, INFINITY, 0x7f80},
        {CODEC_BF16, -INFINITY, 0xff80},
        {CODEC_BF16, 0x1.01p+0f, 0x3f80},
        {CODEC_BF16, 0x1.03p+0f, 0x3f82},
        {CODEC_BF16, 0x1.fep+127f, 0x7f7f},
        {CODEC_BF16, FLT_MAX, 0x7f7f},
        {CODEC_BF16, -FLT_MAX, 0xff7f},
        {CODEC_BF16, 0x1p-126f, 0x0080},
        {CODEC_BF16, 0x1.010002p+0f, 0x3f81},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(published); i++) {
        uint8_t bytes[4];
        codec_encode(published[i].codec, &published[i].value, 1, 0, bytes);
        if ((bytes[0] | bytes[1] << 8) != published[i].pattern || bytes[2] != 0 || bytes[3] != 0) {
            fail_msg("%s of %a: %02x%02x, not %04x", codec_name(published[i].codec), (double)published[i].value,
                     bytes[1], bytes[0], published[i].pattern);
        }
    }
}

/* All 65,536 patterns. */
static void every_pattern_has_its_value(void **state) {
    static float values[65536], back[65536];
    static uint8_t bytes[2 * 65536], again[2 * 65536];
    (void)state;
    for (int which = 0; which < 2; which++) {
        const struct half_form *form = which == 0 ? &bf16_form : &f16_form;
        const enum codec codec = which == 0 ? CODEC_BF16 : CODEC_F16;
        for (unsigned half = 0; half < 65536; half++) {
            bytes[2 * half] = (uint8_t)half;
            bytes[2 * half + 1] = (uint8_t)(half >> 8);
        }
        assert_int_equal(codec_decode(codec, bytes, sizeof bytes, 65536, 0, values, NULL), CANYON_OK);
        for (unsigned half = 0; half < 65536; half++) {
            const unsigned size = half & 0x7fffu;
            const float expected = size <= form->largest       ? (float)half_value(form, half)
                                   : size == form->largest + 1 ? (half < 0x8000u ? INFINITY : -INFINITY)
                                                               : NAN;
            if (bits_of(values[half]) != bits_of(expected) && !(isnan(values[half]) && isnan(expected))) {
                fail_msg("%s %04x is %a, not %a", codec_name(codec), half, (double)values[half], (double)expected);
            }
        }
        /* What is exact stays as it is. NaNs keep being NaNs. */
        codec_encode(codec, values, 65536, 0, again);
        assert_int_equal(codec_decode(codec, again, sizeof again, 65536, 0, back, NULL), CANYON_OK);
        same_values(codec_name(codec), back, values, 65536);
        for (unsigned half = 0; half < 65536; half++) {
            if ((half & 0x7fffu) <= form->largest) {
                assert_int_equal(again[2 * half] | again[2 * half + 1] << 8, half);
            }
        }
    }
}

static void halves_are_nearest(void **state) {
    float values[MOST], there[MOST], expected[MOST];
    (void)state;
    for (int round = 0; round < 40; round++) {
        const struct half_form *form = round % 2 == 0 ? &bf16_form : &f16_form;
        const enum codec codec = round % 2 == 0 ? CODEC_BF16 : CODEC_F16;
        fill(values, MOST, round < 10 ? USUAL : ANY);
        for (size_t i = 0; i < MOST; i += 3) {
            /* Half way between two patterns, and next to it. */
            const unsigned half = (unsigned)(random_next() % form->largest);
            const double middle = (half_value(form, half) + half_value(form, half + 1)) / 2;
            const uint64_t step = random_next() % 3;
            values[i] = (float)middle;
            values[i] = step == 0 ? values[i] : nextafterf(values[i], step == 1 ? INFINITY : -INFINITY);
        }
        there_and_back(codec, values, MOST, 0, there);
        for (size_t i = 0; i < MOST; i++) {
            expected[i] = half_round_trip(form, values[i]);
        }
        same_values(codec_name(codec), there, expected, MOST);
    }
}

/* As the header has them. */
static void halves_keep_their_error_bounds(void **state) {
    float values[MOST], there[MOST];
    (void)state;
    fill(values, MOST, FINITE);
    there_and_back(CODEC_BF16, values, MOST, 0, there);
    for (size_t i = 0; i < MOST; i++) {
        const double size = fabs((double)values[i]);
        if (size >= 0x1p-126 && size <= 0x1.fep+127) {
            assert_true(fabs((double)there[i] - (double)values[i]) <= size * 0x1p-8);
        }
        assert_true(isfinite(there[i]));
    }
    for (size_t i = 0; i < MOST; i++) {
        values[i] = ldexpf(random_value(USUAL), (int)(random_next() % 48) - 32);
    }
    there_and_back(CODEC_F16, values, MOST, 0, there);
    for (size_t i = 0; i < MOST; i++) {
        const double size = fabs((double)values[i]), error = fabs((double)there[i] - (double)values[i]);
        assert_true(size > 65504.0 || error <= size * 0x1p-11 || (size < 0x1p-14 && error <= 0x1p-25));
        assert_true(isfinite(there[i]));
    }
}

/* ---- int8 ---- */

static void int8_is_what_its_definition_says(void **state) {
    float values[MOST], there[MOST], expected[MOST];
    (void)state;
    for (int round = 0; round < 60; round++) {
        const size_t n = lengths[(size_t)round % COUNT_OF(lengths)];
        fill(values, n, round % 3 == 0 ? USUAL : round % 3 == 1 ? FINITE : ANY);
        for (size_t group = 0; round % 3 == 1 && group < n; group += 64) {
            /* One magnitude a group, from the smallest to the largest. */
            const int exponent = (int)(random_next() % 277) - 149;
            for (size_t i = group; i < n && i < group + 64; i++) {
                values[i] = ldexpf(random_value(USUAL), exponent);
            }
        }
        there_and_back(CODEC_INT8, values, n, 0, there);
        int8_round_trip(values, n, expected);
        same_values("int8", there, expected, n);
        for (size_t i = 0; i < n; i++) {
            const size_t group = i / 64 * 64;
            const double scale = (double)int8_scale(values + group, n - group < 64 ? n - group : 64);
            const double error = fabs((double)there[i] - (double)values[i]);
            assert_true(!isfinite(values[i]) || error <= scale * 0.5 + fabs((double)there[i]) * 0x1p-22);
        }
    }
}

static void int8_at_the_edges(void **state) {
    float values[64] = {0}, there[64];
    (void)state;
    there_and_back(CODEC_INT8, values, 64, 0, there);
    for (size_t i = 0; i < 64; i++) {
        assert_true(there[i] == 0.0f);
    }
    /* The largest numbers stay finite; infinity and NaN do not, and do not disturb their neighbours. */
    values[0] = FLT_MAX;
    values[1] = -FLT_MAX;
    values[2] = INFINITY;
    values[3] = NAN;
    values[4] = -INFINITY;
    there_and_back(CODEC_INT8, values, 64, 0, there);
    assert_true(isfinite(there[0]) && there[0] > 0.9999f * FLT_MAX && there[1] == -there[0]);
    assert_true(isnan(there[2]) && isnan(there[3]) && isnan(there[4]) && there[5] == 0.0f);
    there_and_back(CODEC_INT8_STOCHASTIC, values, 64, 9, there);
    assert_true(isfinite(there[0]) && isnan(there[2]) && isnan(there[3]) && isnan(there[4]) && there[5] == 0.0f);
}

/* Error below one step always, and zero in the mean: over many seeds the mean comes as near as chance lets it. */
static void stochastic_rounding_is_fair(void **state) {
    enum { SEEDS = 4000, N = 100 };
    float values[N], there[N];
    double sums[N] = {0.0}, squares = 0.0;
    (void)state;
    fill(values, N, USUAL);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        there_and_back(CODEC_INT8_STOCHASTIC, values, N, seed, there);
        for (size_t i = 0; i < N; i++) {
            const size_t group = i / 64 * 64;
            const double scale = (double)int8_scale(values + group, N - group < 64 ? N - group : 64);
            const double error = ((double)there[i] - (double)values[i]) / scale;
            assert_true(fabs(error) < 1.0 + 0x1p-14);
            sums[i] += error;
        }
    }
    for (size_t i = 0; i < N; i++) {
        /* A step's deviation is at most 1/2, so the mean's at most 1/2 / sqrt(SEEDS): five of those. */
        assert_true(fabs(sums[i] / SEEDS) < 5.0 * 0.5 / sqrt(SEEDS));
        squares += sums[i] * sums[i];
    }
    /* And all of them together: neither seeds nor neighbours go hand in hand. */
    assert_true(squares / N < SEEDS * 0.25 * 1.5 && squares / N > SEEDS * 0.02);
}

/* The seed decides everything, and different seeds and places draw differently. */
static void stochastic_rounding_follows_its_seed(void **state) {
    float values[MOST], one[MOST], same[MOST], other[MOST];
    size_t differ = 0, ups = 0;
    (void)state;
    for (size_t i = 0; i < MOST; i++) {
        values[i] = i % 64 == 0 ? 127.0f : 0.5f; /* half a step: up or down with the same chance */
    }
    there_and_back(CODEC_INT8_STOCHASTIC, values, MOST, 1, one);
    there_and_back(CODEC_INT8_STOCHASTIC, values, MOST, 1, same);
    there_and_back(CODEC_INT8_STOCHASTIC, values, MOST, 2, other);
    assert_memory_equal(one, same, sizeof one);
    for (size_t i = 0; i < MOST; i++) {
        differ += one[i] != other[i];
        ups += one[i] == 1.0f;
    }
    assert_in_range(differ, MOST * 45 / 100, MOST * 55 / 100);
    assert_in_range(ups, MOST * 45 / 100, MOST * 55 / 100);
}

/* ---- topk ---- */

static void top_keeps_the_largest(void **state) {
    float values[MOST], there[MOST], expected[MOST];
    uint8_t bytes[MOST_BYTES];
    (void)state;
    for (size_t round = 0; round < 80; round++) {
        const size_t n = lengths[round % COUNT_OF(lengths)], kept = n == 0 ? 0 : (size_t)(random_next() % (n + 1));
        fill(values, n, round % 3 == 0 ? ANY : USUAL);
        for (size_t i = 0; round % 4 == 1 && i < n; i++) {
            values[i] = (float)(int)(random_next() % 9) - 4.0f; /* many of the same size */
        }
        codec_encode_top(values, NULL, n, kept, bytes);
        assert_int_equal(codec_decode(CODEC_TOPK, bytes, kept * 8, n, kept, there, NULL), CANYON_OK);
        top_round_trip(values, n, kept, expected);
        same_values("topk", there, expected, n);
    }
}

/* Few of many: where a look at a sample says much, little, and what is not so. */
static void top_of_large_blocks(void **state) {
    enum { N = 30000, STRIDES = 40 };
    static float values[N], there[N], expected[N], residual[N];
    static uint8_t bytes[N * 8];
    (void)state;
    for (size_t round = 0; round < 30; round++) {
        const size_t n = N - (size_t)(random_next() % 1000), kept = 1 + (size_t)(random_next() % (n / 7));
        fill(values, n, round % 2 == 0 ? USUAL : ANY);
        for (size_t i = 0; round % 5 == 1 && i < n; i++) {
            values[i] = 1.0f; /* no one larger than another */
        }
        for (size_t i = 0; round % 5 == 2 && i < n; i++) {
            /* Large ones where a regular sample always, or never, looks. */
            values[i] *= i % (2 + round % STRIDES) == 0 ? 100.0f : 1.0f;
        }
        for (size_t i = 0; round % 5 == 3 && i < n; i++) {
            values[i] = i < n / 2 ? 0.0f : values[i];
        }
        codec_encode_top(values, NULL, n, kept, bytes);
        assert_int_equal(codec_decode(CODEC_TOPK, bytes, kept * 8, n, kept, there, NULL), CANYON_OK);
        top_round_trip(values, n, kept, expected);
        same_values("topk", there, expected, n);
        /* A residual of zeros changes nothing, and holds the others afterwards. */
        memset(residual, 0, sizeof residual);
        codec_encode_top(values, residual, n, kept, bytes);
        assert_int_equal(codec_decode(CODEC_TOPK, bytes, kept * 8, n, kept, there, NULL), CANYON_OK);
        same_values("topk with a residual", there, expected, n);
        for (size_t i = 0; i < n; i++) {
            const float rest = !isfinite(values[i]) ? 0.0f : values[i] - expected[i];
            if (residual[i] != rest) {
                fail_msg("residual %zu is %a, not %a", i, (double)residual[i], (double)rest);
            }
        }
    }
}

static void top_counts(void **state) {
    (void)state;
    assert_int_equal(codec_kept(0.01, 65536), 656);
    assert_int_equal(codec_kept(0.01, 100), 1);
    assert_int_equal(codec_kept(0.01, 101), 2);
    assert_int_equal(codec_kept(0.01, 1), 1);
    assert_int_equal(codec_kept(0.01, 0), 0);
    assert_int_equal(codec_kept(1.0, LIMIT_BLOCK_HIGH), LIMIT_BLOCK_HIGH);
    assert_int_equal(codec_kept(1e-300, 5), 1);
}

/* ---- error feedback ---- */

/* What was sent and what is left make up all that was given: to the bit where sums are exact. */
static void feedback_loses_nothing(void **state) {
    enum { N = 1000, STEPS = 50 };
    static const enum codec codecs[] = {CODEC_BF16, CODEC_F16, CODEC_INT8, CODEC_INT8_STOCHASTIC, CODEC_TOPK};
    (void)state;
    for (size_t c = 0; c < COUNT_OF(codecs); c++) {
        const size_t kept = codecs[c] == CODEC_TOPK ? 100 : 0;
        float gradient[N], residual[N] = {0}, there[N];
        double given[N] = {0.0}, sent[N] = {0.0};
        uint8_t bytes[N * 8];
        for (int step = 0; step < STEPS; step++) {
            fill(gradient, N, USUAL);
            codec_encode_feedback(codecs[c], gradient, residual, N, kept, (uint64_t)step, bytes);
            assert_int_equal(codec_decode(codecs[c], bytes, codec_bytes(codecs[c], N, kept), N, kept, there, NULL),
                             CANYON_OK);
            for (size_t i = 0; i < N; i++) {
                given[i] += (double)gradient[i];
                sent[i] += (double)there[i];
            }
        }
        for (size_t i = 0; i < N; i++) {
            /* STEPS roundings of sums that stay below 16. */
            assert_true(fabs(given[i] - sent[i] - (double)residual[i]) < STEPS * 0x1p-20);
            assert_true(codecs[c] == CODEC_TOPK || fabsf(residual[i]) < 0.05f);
        }
    }
}

static void feedback_in_exact_numbers(void **state) {
    float gradient[4] = {4.0f, 1.0f, -2.0f, 0.5f}, residual[4] = {0}, there[4];
    const float first[4] = {4.0f, 0, 0, 0}, left[4] = {0, 1.0f, -2.0f, 0.5f};
    const float second[4] = {0, 0, -3.0f, 0}, rest[4] = {0, 2.0f, 0, 1.0f};
    const float again[4] = {0, 1.0f, -1.0f, 0.5f};
    uint8_t bytes[8];
    (void)state;
    codec_encode_top(gradient, residual, 4, 1, bytes);
    assert_int_equal(codec_decode(CODEC_TOPK, bytes, 8, 4, 1, there, NULL), CANYON_OK);
    assert_memory_equal(there, first, sizeof there);
    assert_memory_equal(residual, left, sizeof residual);
    codec_encode_top(again, residual, 4, 1, bytes);
    assert_int_equal(codec_decode(CODEC_TOPK, bytes, 8, 4, 1, there, NULL), CANYON_OK);
    assert_memory_equal(there, second, sizeof there);
    assert_memory_equal(residual, rest, sizeof residual);
}

/* What is not finite is sent and not remembered; sums that overflow are cut. */
static void residuals_stay_finite(void **state) {
    static const enum codec codecs[] = {CODEC_BF16, CODEC_F16, CODEC_INT8, CODEC_TOPK};
    (void)state;
    for (size_t c = 0; c < COUNT_OF(codecs); c++) {
        float gradient[5] = {NAN, INFINITY, FLT_MAX, -FLT_MAX, 1.0f}, there[5];
        float residual[5] = {0.25f, -0.5f, FLT_MAX, -FLT_MAX, 0.0f};
        const size_t kept = codecs[c] == CODEC_TOPK ? 3 : 0;
        uint8_t bytes[64];
        codec_encode_feedback(codecs[c], gradient, residual, 5, kept, 0, bytes);
        assert_int_equal(codec_decode(codecs[c], bytes, codec_bytes(codecs[c], 5, kept), 5, kept, there, NULL),
                         CANYON_OK);
        assert_true(isnan(there[0]) && !isfinite(there[1]));
        assert_true(residual[0] == 0.25f && residual[1] == -0.5f);
        for (size_t i = 2; i < 5; i++) {
            assert_true(isfinite(residual[i]) && isfinite(there[i]));
        }
    }
}

/* ---- on every CPU the same ---- */

static void encode_all(const float *values, float *residual, size_t n, uint8_t *out, size_t *count) {
    *count = 0;
    for (size_t c = 0; c < COUNT_OF(every); c++) {
        codec_encode(every[c], values, n, 77, out + *count);
        *count += codec_bytes(every[c], n, 0);
        codec_encode_feedback(every[c], values, residual, n, 0, 78, out + *count);
        *count += codec_bytes(every[c], n, 0);
    }
    codec_encode_top(values, residual, n, n / 10, out + *count);
    *count += n / 10 * 8;
}

static void instruction_sets_agree(void **state) {
    static uint8_t expected[MOST * 40], got[MOST * 40];
    static float values[MOST], residual[MOST], left[MOST], decoded[MOST], decoded_first[MOST];
    size_t sets = 0;
    (void)state;
    for (enum codec_set set = CODEC_BASELINE; set < CODEC_SETS; set++) {
        sets += codec_set_supported(set);
    }
    print_message("%zu of %d instruction sets here\n", sets, CODEC_SETS);
    for (size_t round = 0; round < 3 * COUNT_OF(lengths); round++) {
        const size_t n = lengths[round / 3];
        size_t count = 0, count_first = 0;
        fill(values, n, (enum kind)(round % 3));
        for (enum codec_set set = CODEC_BASELINE; set < CODEC_SETS; set++) {
            if (!codec_set_supported(set)) {
                continue;
            }
            codec_set_choose(set);
            memset(residual, 0, sizeof residual);
            encode_all(values, residual, n, set == CODEC_BASELINE ? expected : got, &count);
            if (set == CODEC_BASELINE) {
                count_first = count;
                memcpy(left, residual, sizeof left);
            }
            if (count != count_first || memcmp(set == CODEC_BASELINE ? expected : got, expected, count) != 0 ||
                memcmp(residual, left, sizeof left) != 0) {
                fail_msg("%s encodes %zu values otherwise (CANYON_SEED=%llu)", codec_set_name(set), n,
                         (unsigned long long)random_seed);
            }
            /* Any bytes are an encoding of each of these. */
            for (size_t c = 1; c < COUNT_OF(every) && n % 4 == 0; c++) {
                const size_t bytes = codec_bytes(every[c], n, 0);
                random_state = random_seed + round;
                for (size_t i = 0; i < bytes; i++) {
                    got[i] = (uint8_t)random_next();
                }
                assert_int_equal(codec_decode(every[c], got, bytes, n, 0, decoded, NULL), CANYON_OK);
                codec_set_choose(CODEC_BASELINE);
                assert_int_equal(codec_decode(every[c], got, bytes, n, 0, decoded_first, NULL), CANYON_OK);
                codec_set_choose(set);
                if (memcmp(decoded, decoded_first, n * sizeof *decoded) != 0) {
                    fail_msg("%s decodes %s otherwise", codec_set_name(set), codec_name(every[c]));
                }
            }
        }
    }
    codec_start();
    assert_true(codec_set_supported(codec_set_chosen()));
}

/* ---- what is no encoding ---- */

static void refused(unsigned codec, const uint8_t *bytes, size_t count, size_t n, size_t kept, const char *text) {
    float values[256];
    struct error error = {.status = CANYON_OK};
    enum canyon_status status = codec_decode(codec, bytes, count, n, kept, values, &error);
    if (status != (codec > CODEC_LAST ? CANYON_UNSUPPORTED : CANYON_INVALID_ARGUMENT) ||
        strstr(error.text, text) == NULL) {
        fail_msg("'%s' is not in: %s", text, error.text);
    }
}

static void bytes_that_are_none_are_refused(void **state) {
    uint8_t bytes[1024] = {0};
    static const uint32_t twice[2] = {3, 3}, down[2] = {4, 3}, outside[2] = {3, 200}, far[2] = {3, UINT32_MAX};
    (void)state;
    for (unsigned codec = 0; codec <= CODEC_LAST; codec++) {
        const size_t kept = codec == CODEC_TOPK ? 7 : 0, whole = codec_bytes((enum codec)codec, 129, kept);
        refused(codec, bytes, whole - 1, 129, kept, "129 values as");
        refused(codec, bytes, whole + 1, 129, kept, "129 values as");
        refused(codec, bytes, whole + 4, 129, kept, "129 values as");
        refused(codec, bytes, 0, 129, kept, "129 values as");
    }
    bytes[7] = 1;
    refused(CODEC_BF16, bytes, 8, 3, 0, "byte 7 fills up and is 1");
    refused(CODEC_F16, bytes, 8, 3, 0, "byte 7 fills up and is 1");
    refused(CODEC_INT8, bytes, 8, 3, 0, "byte 7 fills up and is 1");
    refused(CODEC_INT8_STOCHASTIC, bytes, 8, 3, 0, "byte 7 fills up and is 1");
    refused(6, bytes, 8, 3, 0, "codec 6 is not known");
    refused(UINT32_MAX, bytes, 8, 3, 0, "codec 4294967295 is not known");
    memset(bytes, 0, sizeof bytes);
    refused(CODEC_TOPK, bytes, 24, 2, 3, "keeps 3 of 2");
    memcpy(bytes, twice, 8);
    refused(CODEC_TOPK, bytes, 16, 200, 2, "index 3 at place 1");
    memcpy(bytes, down, 8);
    refused(CODEC_TOPK, bytes, 16, 200, 2, "index 3 at place 1");
    memcpy(bytes, outside, 8);
    refused(CODEC_TOPK, bytes, 16, 200, 2, "index 200 at place 1");
    memcpy(bytes, far, 8);
    refused(CODEC_TOPK, bytes, 16, 200, 2, "index 4294967295 at place 1");
}

static void sizes(void **state) {
    (void)state;
    assert_int_equal(codec_bytes(CODEC_F32, 5, 0), 20);
    assert_int_equal(codec_bytes(CODEC_BF16, 5, 0), 12);
    assert_int_equal(codec_bytes(CODEC_F16, 6, 0), 12);
    assert_int_equal(codec_bytes(CODEC_INT8, 64, 0), 68);
    assert_int_equal(codec_bytes(CODEC_INT8_STOCHASTIC, 65, 0), 76);
    assert_int_equal(codec_bytes(CODEC_INT8, 65536, 0), 69632);
    assert_int_equal(codec_bytes(CODEC_TOPK, 65536, 656), 5248);
    for (unsigned codec = 0; codec <= CODEC_LAST; codec++) {
        assert_int_equal(codec_bytes((enum codec)codec, 0, 0), 0);
        assert_true(codec_bytes((enum codec)codec, LIMIT_BLOCK_HIGH, 0) <= LIMIT_BLOCK_HIGH * 4u);
    }
}

/* ---- texts ---- */

static void texts_are_read_and_written(void **state) {
    static const struct {
        const char *text;
        enum codec codec;
        double fraction;
        bool feedback, of_weights;
    } good[] = {
        {"f32", CODEC_F32, 0, false, true},
        {"bf16", CODEC_BF16, 0, false, true},
        {"f16", CODEC_F16, 0, false, true},
        {"int8", CODEC_INT8, 0, false, true},
        {"int8:stochastic", CODEC_INT8_STOCHASTIC, 0, false, true},
        {"bf16:feedback", CODEC_BF16, 0, true, false},
        {"int8:feedback", CODEC_INT8, 0, true, false},
        {"int8:stochastic,feedback", CODEC_INT8_STOCHASTIC, 0, true, false},
        {"topk:0.01", CODEC_TOPK, 0.01, true, false},
        {"topk:1", CODEC_TOPK, 1.0, true, false},
    };
    static const char *const bad[] = {"",
                                      "f64",
                                      "bf16 ",
                                      "BF16",
                                      "int8:",
                                      "int8:up",
                                      "topk",
                                      "topk:",
                                      "topk:0",
                                      "topk:-0.1",
                                      "topk:1.01",
                                      "topk:nan",
                                      "topk:0.1,0.2",
                                      "f32:feedback",
                                      "bf16:stochastic",
                                      "int8,",
                                      "topk:0.1,x",
                                      "topk:inf",
                                      "f16:feedback,",
                                      "int8:feedback,feedback",
                                      "int8stochastic"};
    struct codec_choice choice;
    struct error error;
    char text[CODEC_TEXT_BYTES];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        assert_int_equal(codec_parse(good[i].text, true, &choice, &error), CANYON_OK);
        assert_int_equal(choice.codec, good[i].codec);
        assert_true(choice.fraction == good[i].fraction);
        assert_int_equal(choice.feedback, good[i].feedback);
        assert_string_equal(codec_text(&choice, text), good[i].text);
        assert_int_equal(codec_parse(good[i].text, false, &choice, &error),
                         good[i].of_weights ? CANYON_OK : CANYON_INVALID_ARGUMENT);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        if (codec_parse(bad[i], true, &choice, &error) != CANYON_INVALID_ARGUMENT) {
            fail_msg("'%s' was read", bad[i]);
        }
        assert_non_null(strstr(error.text, "topk:FRACTION"));
    }
    assert_string_equal(codec_name(CODEC_LAST + 1), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_are_the_published_ones),
        cmocka_unit_test(every_pattern_has_its_value),
        cmocka_unit_test(halves_are_nearest),
        cmocka_unit_test(halves_keep_their_error_bounds),
        cmocka_unit_test(int8_is_what_its_definition_says),
        cmocka_unit_test(int8_at_the_edges),
        cmocka_unit_test(stochastic_rounding_is_fair),
        cmocka_unit_test(stochastic_rounding_follows_its_seed),
        cmocka_unit_test(top_keeps_the_largest),
        cmocka_unit_test(top_of_large_blocks),
        cmocka_unit_test(top_counts),
        cmocka_unit_test(feedback_loses_nothing),
        cmocka_unit_test(feedback_in_exact_numbers),
        cmocka_unit_test(residuals_stay_finite),
        cmocka_unit_test(instruction_sets_agree),
        cmocka_unit_test(bytes_that_are_none_are_refused),
        cmocka_unit_test(sizes),
        cmocka_unit_test(texts_are_read_and_written),
    };
    random_seed = random_state = seed_begin("codec");
    codec_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
