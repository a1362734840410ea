/* The waits between attempts to connect. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/backoff.h"

/* Ten milliseconds, doubled up to two seconds. */
static const uint32_t bounds[] = {10, 20, 40, 80, 160, 320, 640, 1280, 2000, 2000, 2000};
enum { WAITS = sizeof bounds / sizeof bounds[0] };

static void test_waits_are_anywhere_below_bounds_that_double(void **state) {
    (void)state;
    uint32_t least[WAITS], most[WAITS] = {0};
    uint64_t sums[WAITS] = {0};
    enum { SEEDS = 4000 };
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct backoff backoff;
        backoff_init(&backoff, seed);
        for (size_t i = 0; i < WAITS; i++) {
            const uint32_t wait = backoff_next(&backoff);
            assert_true(wait <= bounds[i]);
            least[i] = seed == 0 || wait < least[i] ? wait : least[i];
            most[i] = wait > most[i] ? wait : most[i];
            sums[i] += wait;
        }
    }
    for (size_t i = 0; i < WAITS; i++) {
        assert_true(least[i] <= bounds[i] / 100);
        assert_true(most[i] >= bounds[i] - bounds[i] / 100);
        /* Uniform: the mean is half the bound, with a standard error of bound / sqrt(12 * SEEDS), 0.5 % of it. */
        const double mean = (double)sums[i] / SEEDS, half = bounds[i] / 2.0;
        assert_true(mean > half * 0.95 && mean < half * 1.05);
    }
}

static void test_a_seed_gives_its_waits_again(void **state) {
    (void)state;
    struct backoff one, same, other;
    int differ = 0;
    backoff_init(&one, 42);
    backoff_init(&same, 42);
    backoff_init(&other, 43);
    for (size_t i = 0; i < 20; i++) {
        const uint32_t wait = backoff_next(&one);
        assert_int_equal(backoff_next(&same), wait);
        differ += backoff_next(&other) != wait;
    }
    assert_true(differ > 10);
}

static void test_success_begins_anew(void **state) {
    (void)state;
    struct backoff backoff;
    backoff_init(&backoff, 1);
    for (size_t i = 0; i < 100; i++)
        backoff_next(&backoff);
    backoff_reset(&backoff);
    assert_true(backoff_next(&backoff) <= 10);
    assert_true(backoff_next(&backoff) <= 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_are_anywhere_below_bounds_that_double),
        cmocka_unit_test(test_a_seed_gives_its_waits_again),
        cmocka_unit_test(test_success_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
