/* Numbers as people read them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/tools/number.h"

typedef char *formatter(double, char *, size_t);

static void check(formatter *format, double value, const char *expected) {
    char text[NUMBER_BYTES];
    assert_string_equal(format(value, text, sizeof text), expected);
}

static void test_bytes(void **state) {
    (void)state;
    check(number_bytes, 0, "0 B");
    check(number_bytes, 512, "512 B");
    check(number_bytes, 1023, "1023 B");
    check(number_bytes, 1024, "1.0 KiB");
    check(number_bytes, 1.2 * 1048576, "1.2 MiB");
    check(number_bytes, 1048575, "1.0 MiB");
    check(number_bytes, 250.0 * 1073741824, "250 GiB");
    check(number_bytes, -2048, "-2.0 KiB");
}

static void test_counts(void **state) {
    (void)state;
    check(number_count, 7, "7");
    check(number_count, 999, "999");
    check(number_count, 0.25, "0.2");
    check(number_count, 999.7, "1.0 k");
    check(number_count, 34500, "34.5 k");
    check(number_count, 1.2e6, "1.2 M");
    check(number_count, 123456, "123 k");
    check(number_rate, 34500, "34.5 k/s");
    check(number_rate, 0, "0/s");
}

static void test_extremes_fit(void **state) {
    (void)state;
    char text[NUMBER_BYTES];
    const double extremes[] = {1e300, -1e300, (double)INFINITY, (double)-INFINITY, (double)NAN, 1e19, 5e-324};
    formatter *const formatters[] = {number_bytes,    number_count, number_rate,
                                     number_duration, number_clock, number_latency};
    for (size_t i = 0; i < sizeof extremes / sizeof *extremes; i++) {
        for (size_t k = 0; k < sizeof formatters / sizeof *formatters; k++) {
            assert_in_range(strlen(formatters[k](extremes[i], text, sizeof text)), 1, NUMBER_BYTES - 1);
        }
    }
}

static void test_durations(void **state) {
    (void)state;
    check(number_duration, 0, "0 ms");
    check(number_duration, 0.85, "850 ms");
    check(number_duration, 0.9999, "1.0 s");
    check(number_duration, 12.34, "12.3 s");
    check(number_duration, 59.99, "59.9 s");
    check(number_duration, 184, "3m 04s");
    check(number_duration, 7500, "2h 05m");
    check(number_duration, 3 * 86400 + 4 * 3600, "3d 04h");
    check(number_duration, -5, "0 ms");
    check(number_latency, 0, "0 ns");
    check(number_latency, -1, "0 ns");
    check(number_latency, 850, "850 ns");
    check(number_latency, 999.7, "1.0 us");
    check(number_latency, 85100, "85.1 us");
    check(number_latency, 999960, "1.00 ms");
    check(number_latency, 3.2e6, "3.20 ms");
    check(number_latency, 1.25e9, "1.25 s");
    check(number_latency, 6e11, "600.00 s");
    check(number_clock, 12, "0:12");
    check(number_clock, 184.9, "3:04");
    check(number_clock, 7509, "2:05:09");
}

static void test_grouped(void **state) {
    (void)state;
    char text[NUMBER_BYTES];
    assert_string_equal(number_grouped(0, text, sizeof text), "0");
    assert_string_equal(number_grouped(999, text, sizeof text), "999");
    assert_string_equal(number_grouped(1000, text, sizeof text), "1,000");
    assert_string_equal(number_grouped(1234567, text, sizeof text), "1,234,567");
    assert_string_equal(number_grouped(UINT64_MAX, text, sizeof text), "18,446,744,073,709,551,615");
    assert_string_equal(number_grouped(1234567, text, 4), "1,2");
}

static void test_shortest(void **state) {
    (void)state;
    check(number_shortest, 0.001, "0.001");
    check(number_shortest, 1e-8, "1e-08");
    check(number_shortest, 0.1 + 0.2, "0.30000000000000004");
    check(number_shortest, 0, "0");
    check(number_shortest, -2.5, "-2.5");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),     cmocka_unit_test(test_counts),  cmocka_unit_test(test_extremes_fit),
        cmocka_unit_test(test_durations), cmocka_unit_test(test_grouped), cmocka_unit_test(test_shortest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
