/* The initializer: Philox against its published vectors, the distributions against their moments and shapes (fixed
 * seeds, bounds of four standard errors), and that a range's values do not depend on how it was cut. */
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

#include "server/initializer.h"

#define SAMPLES 262144

static float samples[SAMPLES], others[SAMPLES];

static struct tensor_spec spec_of(const char *name, enum initializer_kind kind, uint64_t seed, double a, double b) {
    struct tensor_spec spec;
    memset(&spec, 0, sizeof spec);
    snprintf(spec.name, sizeof spec.name, "%s", name);
    spec.shape = (struct shape){.rank = 1, .dims = {SAMPLES}};
    spec.initializer = (struct initializer){.kind = kind, .seed = seed, .a = a, .b = b};
    return spec;
}

static void fill(float *values, const char *name, enum initializer_kind kind, uint64_t seed, double a, double b) {
    const struct tensor_spec spec = spec_of(name, kind, seed, a, b);
    initializer_fill(&spec, 0, SAMPLES, values);
}

/* The known answers of philox4x32-10 in the Random123 distribution (kat_vectors). */
static void philox_matches_published_vectors(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], expected[4];
    } vectors[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint32_t words[4];
        memcpy(words, vectors[i].counter, sizeof words);
        initializer_philox(vectors[i].key, words);
        assert_memory_equal(words, vectors[i].expected, sizeof words);
    }
}

static double mean_of(const float *values) {
    double sum = 0.0;
    for (size_t i = 0; i < SAMPLES; i++)
        sum += (double)values[i];
    return sum / SAMPLES;
}

static double deviation_of(const float *values) {
    const double mean = mean_of(values);
    double sum = 0.0;
    for (size_t i = 0; i < SAMPLES; i++)
        sum += ((double)values[i] - mean) * ((double)values[i] - mean);
    return sqrt(sum / SAMPLES);
}

/* The correlation of x[i] with y[i + lag], circular. */
static double correlation_of(const float *x, const float *y, size_t lag) {
    const double x_mean = mean_of(x), y_mean = mean_of(y);
    double sum = 0.0;
    for (size_t i = 0; i < SAMPLES; i++)
        sum += ((double)x[i] - x_mean) * ((double)y[(i + lag) % SAMPLES] - y_mean);
    return sum / SAMPLES / deviation_of(x) / deviation_of(y);
}

static void assert_near(const char *what, double value, double expected, double bound) {
    if (!(fabs(value - expected) <= bound))
        fail_msg("%s is %.6g, expected %.6g within %.2g", what, value, expected, bound);
}

/* Mean, deviation and a chi-square over 256 equal bins; every value inside [a, b). */
static void assert_uniform(const float *values, float a, float b) {
    const double width = (double)b - (double)a;
    double chi = 0.0;
    size_t bins[256] = {0};
    for (size_t i = 0; i < SAMPLES; i++) {
        assert_true(values[i] >= a && values[i] < b);
        bins[(size_t)(((double)values[i] - (double)a) / width * 256.0)]++;
    }
    for (size_t i = 0; i < 256; i++)
        chi += ((double)bins[i] - SAMPLES / 256.0) * ((double)bins[i] - SAMPLES / 256.0) / (SAMPLES / 256.0);
    assert_near("the mean", mean_of(values), ((double)a + (double)b) / 2.0, 4.0 * width / sqrt(12.0 * SAMPLES));
    assert_near("the deviation", deviation_of(values), width / sqrt(12.0), 4.0 * width / sqrt(60.0 * SAMPLES));
    assert_near("chi-square of 255 degrees", chi, 255.0, 4.0 * sqrt(2.0 * 255.0));
}

static int compare_floats(const void *left, const void *right) {
    const float x = *(const float *)left, y = *(const float *)right;
    return (x > y) - (x < y);
}

/* Mean, deviation and the Kolmogorov-Smirnov distance (1.95 / sqrt(n) is exceeded once in a thousand). Sorts the
 * values. */
static void assert_normal(float *values, double mean, double deviation) {
    double distance = 0.0;
    assert_near("the mean", mean_of(values), mean, 4.0 * deviation / sqrt(SAMPLES));
    assert_near("the deviation", deviation_of(values), deviation, 4.0 * deviation / sqrt(2.0 * SAMPLES));
    qsort(values, SAMPLES, sizeof *values, compare_floats);
    for (size_t i = 0; i < SAMPLES; i++) {
        const double below = 0.5 * erfc((mean - (double)values[i]) / deviation / sqrt(2.0));
        distance = fmax(distance, fmax(fabs(below - (double)i / SAMPLES), fabs(below - (double)(i + 1) / SAMPLES)));
    }
    assert_near("the Kolmogorov-Smirnov distance", distance, 0.0, 1.95 / sqrt(SAMPLES));
}

static void uniform_is_uniform(void **state) {
    (void)state;
    fill(samples, "w", INITIALIZER_UNIFORM, 1, -0.5, 0.5);
    assert_uniform(samples, -0.5f, 0.5f);
    fill(samples, "layer.bias", INITIALIZER_UNIFORM, UINT64_MAX, 3.0, 17.0);
    assert_uniform(samples, 3.0f, 17.0f);
}

static void uniform_never_gives_its_upper_bound(void **state) {
    (void)state;
    const float next = nextafterf(1.0f, 2.0f);
    fill(samples, "w", INITIALIZER_UNIFORM, 1, 1.0, (double)next); /* half of the draws round to the bound */
    for (size_t i = 0; i < SAMPLES; i++)
        assert_true(samples[i] == 1.0f);
    fill(samples, "w", INITIALIZER_UNIFORM, 1, 1e8, 1e8 + 16.0);
    for (size_t i = 0; i < SAMPLES; i++)
        assert_true(samples[i] == 1e8f || samples[i] == 1e8f + 8.0f);
    fill(samples, "w", INITIALIZER_UNIFORM, 1, -(double)FLT_TRUE_MIN, 0.0);
    for (size_t i = 0; i < SAMPLES; i++)
        assert_true(samples[i] == -FLT_TRUE_MIN);
    fill(samples, "w", INITIALIZER_UNIFORM, 1, -(double)FLT_MAX, (double)FLT_MAX);
    for (size_t i = 0; i < SAMPLES; i++)
        assert_true(samples[i] < FLT_MAX && isfinite(samples[i]));
}

static void normal_is_normal(void **state) {
    (void)state;
    fill(samples, "w", INITIALIZER_NORMAL, 1, 0.0, 1.0);
    assert_normal(samples, 0.0, 1.0);
    fill(samples, "embedding", INITIALIZER_NORMAL, 77, -3.0, 0.02);
    assert_normal(samples, -3.0, 0.02);
}

static void normal_stays_finite(void **state) {
    (void)state;
    fill(samples, "w", INITIALIZER_NORMAL, 1, 0.0, (double)FLT_MAX);
    for (size_t i = 0; i < SAMPLES; i++)
        assert_true(isfinite(samples[i]));
    fill(samples, "w", INITIALIZER_NORMAL, 1, 2.5, 0.0);
    for (size_t i = 0; i < SAMPLES; i++)
        assert_true(samples[i] == 2.5f);
}

static void streams_are_uncorrelated(void **state) {
    (void)state;
    const double bound = 4.0 / sqrt(SAMPLES);
    fill(samples, "w", INITIALIZER_NORMAL, 1, 0.0, 1.0);
    for (size_t lag = 1; lag <= 8; lag++)
        assert_near("correlation with a neighbour", correlation_of(samples, samples, lag), 0.0, bound);
    fill(others, "w", INITIALIZER_NORMAL, 2, 0.0, 1.0);
    assert_near("correlation with another seed", correlation_of(samples, others, 0), 0.0, bound);
    fill(others, "v", INITIALIZER_NORMAL, 1, 0.0, 1.0);
    assert_near("correlation with another tensor", correlation_of(samples, others, 0), 0.0, bound);
    fill(others, "w", INITIALIZER_UNIFORM, (uint64_t)1 << 32, 0.0, 1.0); /* the key's other half */
    assert_near("correlation with a far seed", correlation_of(samples, others, 0), 0.0, bound);
}

static void values_do_not_depend_on_the_cut(void **state) {
    (void)state;
    static const enum initializer_kind kinds[] = {INITIALIZER_CONSTANT, INITIALIZER_UNIFORM, INITIALIZER_NORMAL,
                                                  INITIALIZER_XAVIER, INITIALIZER_KAIMING};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        const struct tensor_spec spec = spec_of("w", kinds[k], 3, 0.25, 0.75);
        initializer_fill(&spec, 0, SAMPLES, samples);
        size_t done = 0;
        for (size_t piece = 0; done < SAMPLES; piece = (piece * 7 + 1) % 5000) {
            const size_t count = piece < SAMPLES - done ? piece : SAMPLES - done;
            initializer_fill(&spec, done, count, others + done);
            done += count;
        }
        assert_memory_equal(samples, others, sizeof samples);
    }
}

static void high_indices_have_values_of_their_own(void **state) {
    (void)state;
    const struct tensor_spec spec = spec_of("w", INITIALIZER_UNIFORM, 1, 0.0, 1.0);
    float low, high;
    initializer_fill(&spec, 5, 1, &low);
    initializer_fill(&spec, 5 + ((uint64_t)1 << 32), 1, &high);
    assert_true(low != high);
}

static void fans_follow_pytorch(void **state) {
    (void)state;
    static const struct {
        struct shape shape;
        double in, out;
    } cases[] = {
        {{.rank = 0}, 1, 1},
        {{.rank = 1, .dims = {10}}, 10, 10},
        {{.rank = 2, .dims = {64, 32}}, 32, 64},
        {{.rank = 3, .dims = {16, 8, 5}}, 40, 80},
        {{.rank = 4, .dims = {16, 8, 3, 3}}, 72, 144},
        {{.rank = 4, .dims = {0, 1099511627776u, 1099511627776u, 1099511627776u}}, 0x1p120, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double in, out;
        initializer_fans(&cases[i].shape, &in, &out);
        assert_true(in == cases[i].in && out == cases[i].out);
    }
}

static void xavier_and_kaiming_scale_by_their_fans(void **state) {
    (void)state;
    struct tensor_spec spec = spec_of("w", INITIALIZER_XAVIER, 4, 1.5, 0.0);
    spec.shape = (struct shape){.rank = 4, .dims = {256, 128, 2, 4}}; /* fan_in 1024, fan_out 2048, SAMPLES elements */
    const float bound = (float)(1.5 * sqrt(6.0 / 3072.0));
    initializer_fill(&spec, 0, SAMPLES, samples);
    assert_uniform(samples, -bound, bound);
    spec.initializer.kind = INITIALIZER_KAIMING;
    spec.initializer.a = sqrt(2.0);
    initializer_fill(&spec, 0, SAMPLES, samples);
    assert_normal(samples, 0.0, sqrt(2.0 / 1024.0));
}

static void extreme_gains_stay_finite(void **state) {
    (void)state;
    static const double gains[] = {1e-300, 1e-60, 3e38};
    for (size_t i = 0; i < 3; i++) {
        for (int kind = INITIALIZER_XAVIER; kind <= INITIALIZER_KAIMING; kind++) {
            struct tensor_spec spec = spec_of("w", (enum initializer_kind)kind, 4, gains[i], 0.0);
            struct error error;
            spec.shape = (struct shape){.rank = 0};
            assert_int_equal(initializer_check(&spec.initializer, &error), CANYON_OK);
            for (uint64_t element = 0; element < 1000; element++) {
                float value;
                initializer_fill(&spec, element, 1, &value);
                assert_true(isfinite(value));
            }
        }
    }
}

static void fixed_kinds_fill(void **state) {
    (void)state;
    static const struct {
        enum initializer_kind kind;
        float expected;
    } cases[] = {{INITIALIZER_ZEROS, 0.0f}, {INITIALIZER_VALUES, 0.0f}, {INITIALIZER_CONSTANT, 0.1f}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct tensor_spec spec = spec_of("w", cases[c].kind, 9, 0.1, 7.0);
        float values[] = {5.0f, 5.0f, 5.0f, 5.0f};
        initializer_fill(&spec, 100, 3, values);
        for (size_t i = 0; i < 3; i++)
            assert_true(values[i] == cases[c].expected);
        initializer_fill(&spec, 100, 0, values + 3);
        assert_true(values[3] == 5.0f);
    }
}

/* As many numbers as `samples` has, of rows of one table. */
static void fill_rows(const char *name, enum initializer_kind kind, uint64_t seed, double a, double b, size_t dim) {
    struct tensor_spec spec = spec_of(name, kind, seed, a, b);
    struct initializer_recipe recipe;
    spec.shape = (struct shape){1, {dim}};
    initializer_recipe_of(&spec, &recipe);
    for (size_t at = 0; at < SAMPLES; at += dim) {
        static float row[SAMPLES];
        const size_t left = SAMPLES - at;
        initializer_row(&recipe, at * UINT64_C(0x9e3779b97f4a7c15), dim, row);
        memcpy(samples + at, row, (left < dim ? left : dim) * sizeof *row);
    }
}

static void rows_are_drawn_like_tensors(void **state) {
    (void)state;
    static const size_t dims[] = {1, 2, 7, 16, 64};
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        const double dim = (double)dims[i];
        fill_rows("w", INITIALIZER_UNIFORM, 1 + i, -0.5, 0.25, dims[i]);
        assert_uniform(samples, -0.5f, 0.25f);
        fill_rows("w", INITIALIZER_NORMAL, 1 + i, 3.0, 0.02, dims[i]);
        assert_normal(samples, 3.0, 0.02);
        fill_rows("w", INITIALIZER_KAIMING, 1 + i, sqrt(2.0), 0.0, dims[i]); /* fans are the row's length */
        assert_normal(samples, 0.0, sqrt(2.0 / dim));
        fill_rows("w", INITIALIZER_XAVIER, 1 + i, 1.0, 0.0, dims[i]);
        assert_uniform(samples, -(float)sqrt(3.0 / dim), (float)sqrt(3.0 / dim));
        fill_rows("w", INITIALIZER_CONSTANT, 0, 0.125, 0.0, dims[i]);
        for (size_t k = 0; k < SAMPLES; k++)
            assert_true(samples[k] == 0.125f);
        fill_rows("w", INITIALIZER_ZEROS, 0, 0.0, 0.0, dims[i]);
        for (size_t k = 0; k < SAMPLES; k++)
            assert_true(samples[k] == 0.0f);
        fill_rows("w", INITIALIZER_NORMAL, 1, 0.0, (double)FLT_MAX, dims[i]);
        for (size_t k = 0; k < SAMPLES; k++)
            assert_true(isfinite(samples[k]));
    }
}

/* A longer row begins like a shorter one; another id, seed or name is another row. */
static void rows_have_values_of_their_own(void **state) {
    (void)state;
    const uint64_t ids[] = {0, 1, UINT64_C(1) << 32, UINT64_MAX};
    float rows[6][8], longer[20];
    size_t same = 0;
    struct initializer_recipe recipe;
    struct tensor_spec spec = spec_of("w", INITIALIZER_NORMAL, 5, 0.0, 1.0);
    initializer_recipe_of(&spec, &recipe);
    for (size_t i = 0; i < 4; i++) {
        initializer_row(&recipe, ids[i], 8, rows[i]);
        initializer_row(&recipe, ids[i], 20, longer);
        assert_memory_equal(rows[i], longer, sizeof rows[i]);
        initializer_row(&recipe, ids[i], 5, longer);
        assert_memory_equal(rows[i], longer, 5 * sizeof(float));
    }
    spec = spec_of("w", INITIALIZER_NORMAL, 6, 0.0, 1.0);
    initializer_recipe_of(&spec, &recipe);
    initializer_row(&recipe, 0, 8, rows[4]);
    spec = spec_of("v", INITIALIZER_NORMAL, 5, 0.0, 1.0);
    initializer_recipe_of(&spec, &recipe);
    initializer_row(&recipe, 0, 8, rows[5]);
    for (size_t i = 0; i < 6; i++) {
        for (size_t j = 0; j < i; j++) {
            for (size_t k = 0; k < 8; k++)
                same += rows[i][k] == rows[j][k];
        }
    }
    assert_int_equal(same, 0);
}

static void check_judges_ranges(void **state) {
    (void)state;
    const double nan = (double)NAN, inf = (double)INFINITY;
    const struct {
        struct initializer initializer;
        const char *text; /* NULL when it is valid; else words the error must have */
    } cases[] = {
        {{INITIALIZER_ZEROS, 0, nan, nan}, NULL},
        {{INITIALIZER_VALUES, 0, inf, nan}, NULL},
        {{INITIALIZER_CONSTANT, 0, -7.5, nan}, NULL},
        {{INITIALIZER_CONSTANT, 0, 1e39, 0}, "1e+39"},
        {{INITIALIZER_CONSTANT, 0, nan, 0}, "constant"},
        {{INITIALIZER_UNIFORM, 0, -1, 1}, NULL},
        {{INITIALIZER_UNIFORM, 0, 1, 1}, "below the upper bound 1"},
        {{INITIALIZER_UNIFORM, 0, 2, 1}, "2"},
        {{INITIALIZER_UNIFORM, 0, 1, 1 + 1e-12}, "as floats"},
        {{INITIALIZER_UNIFORM, 0, -inf, 1}, "lower bound is -inf"},
        {{INITIALIZER_UNIFORM, 0, 0, nan}, "upper bound"},
        {{INITIALIZER_NORMAL, 0, 0, 0}, NULL},
        {{INITIALIZER_NORMAL, 0, 0, -0.1}, "deviation is -0.1"},
        {{INITIALIZER_NORMAL, 0, 0, nan}, "deviation"},
        {{INITIALIZER_NORMAL, 0, inf, 1}, "mean is inf"},
        {{INITIALIZER_XAVIER, 0, 1, nan}, NULL},
        {{INITIALIZER_XAVIER, 0, 0, 0}, "xavier: the gain is 0"},
        {{INITIALIZER_KAIMING, 0, 1.41, 0}, NULL},
        {{INITIALIZER_KAIMING, 0, -1, 0}, "kaiming: the gain is -1"},
        {{INITIALIZER_KAIMING, 0, inf, 0}, "gain"},
        {{(enum initializer_kind)7, 0, 0, 0}, "kind 7"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error error = {.status = CANYON_OK};
        const enum canyon_status status = initializer_check(&cases[i].initializer, &error);
        assert_int_equal(status, cases[i].text == NULL ? CANYON_OK : CANYON_INVALID_ARGUMENT);
        if (cases[i].text != NULL && strstr(error.text, cases[i].text) == NULL)
            fail_msg("case %zu: no \"%s\" in \"%s\"", i, cases[i].text, error.text);
        assert_int_equal(initializer_check(&cases[i].initializer, NULL), status);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_matches_published_vectors),
        cmocka_unit_test(uniform_is_uniform),
        cmocka_unit_test(uniform_never_gives_its_upper_bound),
        cmocka_unit_test(normal_is_normal),
        cmocka_unit_test(normal_stays_finite),
        cmocka_unit_test(streams_are_uncorrelated),
        cmocka_unit_test(values_do_not_depend_on_the_cut),
        cmocka_unit_test(high_indices_have_values_of_their_own),
        cmocka_unit_test(fans_follow_pytorch),
        cmocka_unit_test(xavier_and_kaiming_scale_by_their_fans),
        cmocka_unit_test(extreme_gains_stay_finite),
        cmocka_unit_test(fixed_kinds_fill),
        cmocka_unit_test(rows_are_drawn_like_tensors),
        cmocka_unit_test(rows_have_values_of_their_own),
        cmocka_unit_test(check_judges_ranges),
    };
    return cmocka_run_group_tests_name("initializer", tests, NULL, NULL);
}
