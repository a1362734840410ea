/* Draws by the alias method: their frequencies, by the chi-square test with fixed seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "client/simulator/alias.h"
#include "client/simulator/counter.h"

#define DRAWS 1000000u

/* The statistic, and that nothing without weight is drawn. */
static double chi_square(const double *weights, uint32_t count, uint64_t seed) {
    struct alias alias;
    double sum = 0.0, statistic = 0.0;
    uint32_t *drawn = calloc(count, sizeof *drawn);
    assert_non_null(drawn);
    assert_true(alias_make(&alias, weights, count));
    for (uint64_t i = 0; i < DRAWS; i++) {
        uint32_t which = alias_draw(&alias, counter_bits(seed, 0, i));
        assert_true(which < count);
        drawn[which]++;
    }
    for (uint32_t i = 0; i < count; i++) {
        sum += weights[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        double expected = weights[i] / sum * DRAWS;
        if (weights[i] > 0.0) {
            statistic += ((double)drawn[i] - expected) * ((double)drawn[i] - expected) / expected;
        } else {
            assert_int_equal(drawn[i], 0);
        }
    }
    alias_finish(&alias);
    free(drawn);
    return statistic;
}

/* The bound of chi-square that chance passes once in 10^5, by Wilson and Hilferty; 4.265 is the normal quantile. */
static double bound(double freedom) {
    double cube = 1.0 - 2.0 / (9.0 * freedom) + 4.265 * sqrt(2.0 / (9.0 * freedom));
    return freedom * cube * cube * cube;
}

static void expect_distribution(const double *weights, uint32_t count) {
    double freedom = -1.0;
    for (uint32_t i = 0; i < count; i++) {
        freedom += weights[i] > 0.0;
    }
    for (uint64_t seed = 1; seed <= 3; seed++) {
        double statistic = chi_square(weights, count, seed);
        if (freedom > 0.0 && statistic > bound(freedom)) {
            fail_msg("seed %d: chi-square is %g, beyond %g of %g degrees of freedom", (int)seed, statistic,
                     bound(freedom), freedom);
        }
    }
}

static void small_distributions(void **state) {
    (void)state;
    expect_distribution((double[]){1.0}, 1);
    expect_distribution((double[]){1.0, 1.0}, 2);
    expect_distribution((double[]){3.0, 1.0}, 2);
    expect_distribution((double[]){0.0, 1.0, 0.0, 2.0}, 4);
    expect_distribution((double[]){1e-3, 1.0, 1e3}, 3);
    expect_distribution((double[]){1e-300, 1e-300}, 2);
    expect_distribution((double[]){1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 10);
}

/* As words are: the k-th is seen in proportion to 1/k, to the power of 3/4. */
static void words_by_their_rank(void **state) {
    double weights[1000];
    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        weights[i] = pow(1.0 / (i + 1.0), 0.75);
    }
    expect_distribution(weights, 1000);
}

/* The test can fail: draws of one distribution are not taken for those of another that is 2 % off. */
static void a_wrong_distribution_is_seen(void **state) {
    const double drawn[] = {1.0, 1.0, 1.0}, meant[] = {1.02, 0.98, 1.0};
    struct alias alias;
    double statistic = 0.0, counts[3] = {0.0};
    (void)state;
    assert_true(alias_make(&alias, drawn, 3));
    for (uint64_t i = 0; i < DRAWS; i++) {
        counts[alias_draw(&alias, counter_bits(1, 0, i))] += 1.0;
    }
    for (size_t i = 0; i < 3; i++) {
        double expected = meant[i] / 3.0 * DRAWS;
        statistic += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    assert_true(statistic > bound(2.0));
    alias_finish(&alias);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_distributions),
        cmocka_unit_test(words_by_their_rank),
        cmocka_unit_test(a_wrong_distribution_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
