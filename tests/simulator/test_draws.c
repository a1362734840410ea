/* Which rows a load draws: Zipf's law and an even one, by the chi-square test with fixed seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "client/simulator/counter.h"
#include "client/simulator/draws.h"

#define DRAWS 1000000u

/* The bound of chi-square that chance passes once in 10^5, by Wilson and Hilferty; 4.265 is the normal quantile. */
static double bound(double freedom) {
    double cube = 1.0 - 2.0 / (9.0 * freedom) + 4.265 * sqrt(2.0 / (9.0 * freedom));
    return freedom * cube * cube * cube;
}

static void expect_law(uint64_t count, double exponent, uint64_t seed) {
    struct draws draws;
    double sum = 0.0, statistic = 0.0;
    uint32_t *drawn = calloc(count, sizeof *drawn);
    assert_non_null(drawn);
    assert_true(draws_make(&draws, count, exponent));
    for (uint64_t i = 0; i < DRAWS; i++) {
        uint64_t rank = draws_of(&draws, counter_bits(seed, 1, i));
        assert_true(rank < count);
        drawn[rank]++;
    }
    for (uint64_t k = 1; k <= count; k++) {
        sum += pow((double)k, -exponent);
    }
    for (uint64_t k = 1; k <= count; k++) {
        double expected = pow((double)k, -exponent) / sum * DRAWS;
        statistic += ((double)drawn[k - 1] - expected) * ((double)drawn[k - 1] - expected) / expected;
    }
    assert_true(fabs(draws.most * sum - 1.0) < 1e-9 && fabs(draws_most(count, exponent) * sum - 1.0) < 1e-9);
    draws_finish(&draws);
    draws_finish(&draws);
    free(drawn);
    if (count > 1 && statistic > bound((double)count - 1.0)) {
        fail_msg("%llu things, exponent %g, seed %llu: %g", (unsigned long long)count, exponent,
                 (unsigned long long)seed, statistic);
    }
}

static void draws_follow_their_law(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        expect_law(1, 1.05, seed);
        expect_law(2, 1.05, seed);
        expect_law(1000, 1.05, seed);
        expect_law(1000, 0.5, seed);
        expect_law(50, 3.0, seed);
        expect_law(1, 0.0, seed);
        expect_law(1000, 0.0, seed);
    }
}

/* More things than 32 bits count: halves come up alike, and both ends do come up. */
static void even_draws_reach_far(void **state) {
    const uint64_t count = (UINT64_C(1) << 48) - 3;
    struct draws draws;
    uint64_t low = 0;
    (void)state;
    assert_true(draws_make(&draws, count, 0.0));
    assert_true(draws_of(&draws, 0) == 0 && draws_of(&draws, UINT64_MAX) == count - 1);
    for (uint64_t i = 0; i < 10000; i++) {
        low += draws_of(&draws, counter_bits(3, 1, i)) < count / 2;
    }
    assert_in_range(low, 4750, 5250); /* five standard deviations */
    draws_finish(&draws);
}

static void words_are_read_whole(void **state) {
    static const char *const wrong[] = {"",        "zipf",    "zipf:",   "zipf:0",    "zipf:-1", "zipf:nan",
                                        "zipf:11", "zipf:1x", "Uniform", "uniform:1", "zipf:inf"};
    double exponent = 9.0;
    (void)state;
    assert_true(draws_read("uniform", &exponent) && exponent <= 0.0);
    assert_true(draws_read("zipf:1.05", &exponent) && exponent == 1.05);
    assert_true(draws_read("zipf:10", &exponent) && exponent == 10.0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (draws_read(wrong[i], &exponent)) {
            fail_msg("'%s' was read", wrong[i]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_their_law),
        cmocka_unit_test(even_draws_reach_far),
        cmocka_unit_test(words_are_read_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
