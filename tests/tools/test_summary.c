/* What `canyon show` says about weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "client/cli/summary.h"

static void test_known_values(void **state) {
    (void)state;
    /* A textbook's eight numbers: mean 5, population deviation 2. */
    const float values[] = {2, 4, 4, 4, 5, 5, 7, 9};
    struct summary summary;
    summary_of(values, 8, &summary);
    assert_int_equal(summary.finite, 8);
    assert_int_equal(summary.not_finite, 0);
    assert_true(summary.minimum == 2.0 && summary.maximum == 9.0);
    assert_true(summary.mean == 5.0 && summary.deviation == 2.0);
}

static void test_not_finite_is_counted_apart(void **state) {
    (void)state;
    const float values[] = {NAN, -1, INFINITY, 3, -INFINITY};
    struct summary summary;
    summary_of(values, 5, &summary);
    assert_int_equal(summary.finite, 2);
    assert_int_equal(summary.not_finite, 3);
    assert_true(summary.minimum == -1.0 && summary.maximum == 3.0);
    assert_true(summary.mean == 1.0 && summary.deviation == 2.0);
}

static void test_nothing(void **state) {
    (void)state;
    const float nan = NAN;
    struct summary summary;
    summary_of(NULL, 0, &summary);
    assert_int_equal(summary.finite, 0);
    assert_true(isnan(summary.minimum) && isnan(summary.mean) && isnan(summary.deviation));
    summary_of(&nan, 1, &summary);
    assert_int_equal(summary.not_finite, 1);
    assert_true(isnan(summary.maximum));
}

/* A small spread about a large mean, and squares beyond float's range. */
static void test_no_cancellation_or_overflow(void **state) {
    (void)state;
    const float near[] = {16777214.0f, 16777216.0f}, large[] = {-3e38f, 3e38f};
    struct summary summary;
    summary_of(near, 2, &summary);
    assert_true(summary.mean == 16777215.0 && summary.deviation == 1.0);
    summary_of(large, 2, &summary);
    assert_true(summary.mean == 0.0 && summary.deviation == (double)3e38f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_not_finite_is_counted_apart),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_no_cancellation_or_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
