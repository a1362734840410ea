/* Numbers as text: shortest, exact, and whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <locale.h>
#include <math.h>

#include "common/number.h"
#include "seed.h"

static void shortest_texts(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},
                 {1, "1"},
                 {-1, "-1"},
                 {0.1, "0.1"},
                 {0.001, "0.001"},
                 {1e-8, "1e-08"},
                 {0.30000000000000004, "0.30000000000000004"},
                 {1e300, "1e+300"},
                 {HUGE_VAL, "inf"},
                 {-HUGE_VAL, "-inf"},
                 {5e-324, "5e-324"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[NUMBER_TEXT_BYTES];
        assert_string_equal(number_text(cases[i].value, text, sizeof text), cases[i].text);
    }
    char text[NUMBER_TEXT_BYTES];
    assert_non_null(strstr(number_text((double)NAN, text, sizeof text), "nan"));
}

static void every_text_reads_back(void **state) {
    (void)state;
    uint64_t random = seed_begin("every_text_reads_back");
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = seed_next(&random);
        double value, back;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) {
            continue;
        }
        char text[NUMBER_TEXT_BYTES];
        assert_true(number_parse(number_text(value, text, sizeof text), &back));
        assert_memory_equal(&back, &value, sizeof value);
    }
}

static void only_whole_numbers_are_read(void **state) {
    (void)state;
    static const char *const bad[] = {"",    " 1", "1 ",    "1x",     "0,1",   "x",
                                      "--1", "1e", "1e999", "-1e999", "1.2.3", "0.1,"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        double value = 42;
        assert_false(number_parse(bad[i], &value));
        assert_true(value == 42);
    }
    double value;
    assert_true(number_parse("-2.5e-3", &value));
    assert_true(value == -0.0025);
    assert_true(number_parse("1e-999", &value)); /* too small is zero, not an error */
    assert_true(value == 0);
    char longest[200];
    memset(longest, '1', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    assert_false(number_parse(longest, &value));
}

/* With a decimal comma, where such a locale is installed, nothing changes. */
static void the_locale_does_not_matter(void **state) {
    (void)state;
    if (setlocale(LC_NUMERIC, "de_DE.UTF-8") == NULL && setlocale(LC_NUMERIC, "fr_FR.UTF-8") == NULL) {
        print_message("SKIPPED: no locale with a decimal comma (de_DE.UTF-8, fr_FR.UTF-8) is installed\n");
        skip();
    }
    double value;
    char text[NUMBER_TEXT_BYTES];
    assert_string_equal(number_text(0.25, text, sizeof text), "0.25");
    assert_true(number_parse("0.25", &value));
    assert_true(value == 0.25);
    assert_false(number_parse("0,25", &value));
    setlocale(LC_NUMERIC, "C");
}

static void unsigned_numbers(void **state) {
    (void)state;
    uint64_t value = 7;
    static const char *const bad[] = {
        "", "-1", "+1", " 1", "1 ", "0x10", "18446744073709551616", "99999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(number_parse_u64(bad[i], UINT64_MAX, &value));
    }
    assert_int_equal(value, 7);
    assert_true(number_parse_u64("18446744073709551615", UINT64_MAX, &value));
    assert_int_equal(value, UINT64_MAX);
    assert_true(number_parse_u64("0065535", UINT16_MAX, &value));
    assert_int_equal(value, 65535);
    assert_false(number_parse_u64("65536", UINT16_MAX, &value));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shortest_texts),
        cmocka_unit_test(every_text_reads_back),
        cmocka_unit_test(only_whole_numbers_are_read),
        cmocka_unit_test(the_locale_does_not_matter),
        cmocka_unit_test(unsigned_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
