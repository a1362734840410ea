/* JSON lines: exact numbers, order, escapes, and what happens when something is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "client/tools/outcome.h"
#include "client/tools/record.h"
#include "tests/tools/capture.h"

static void check(json_t *value, const char *expected) {
    struct capture capture;
    capture_begin(&capture);
    assert_true(record_print(capture.file, value));
    char *text = capture_end(&capture);
    assert_string_equal(text, expected);
    free(text);
}

static void test_one_line_in_order(void **state) {
    (void)state;
    check(json_pack("{s:s, s:i, s:[i, b, n], s:{}, s:[]}", "zeta", "a\n\"b\"", "alpha", -3, "list", 1, 1, "empty",
                    "none"),
          "{\"zeta\":\"a\\n\\\"b\\\"\",\"alpha\":-3,\"list\":[1,true,null],\"empty\":{},\"none\":[]}\n");
}

static void test_numbers_are_exact(void **state) {
    (void)state;
    check(record_number(0.1), "0.1\n");
    check(record_number(1.4142135623730951), "1.4142135623730951\n");
    check(record_number(1e-8), "1e-08\n");
    check(record_number(-2.0), "-2.0\n");
    check(record_number(0.0), "0.0\n");
    check(record_number((double)NAN), "null\n");
    check(record_number((double)-INFINITY), "null\n");
    check(record_unsigned(0), "0\n");
    check(record_unsigned(INT64_MAX), "9223372036854775807\n");
    check(record_unsigned(UINT64_MAX), "1.8446744073709552e+19\n");
}

/* What is printed is what any reader reads. */
static void test_it_reads_back(void **state) {
    (void)state;
    const double values[] = {0.30000000000000004, 5e-324, 1.7976931348623157e308, -1.0 / 3.0, 123456789.0};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct capture capture;
        json_error_t error;
        capture_begin(&capture);
        assert_true(record_print(capture.file, json_pack("{s:o}", "x", record_number(values[i]))));
        char *text = capture_end(&capture);
        json_t *read = json_loads(text, 0, &error);
        assert_non_null(read);
        assert_true(json_is_real(json_object_get(read, "x")));
        assert_true(json_real_value(json_object_get(read, "x")) == values[i]);
        json_decref(read);
        free(text);
    }
}

static void test_objects_have_their_fields_in_order(void **state) {
    (void)state;
    check(record_object((struct record_field[]){{"b", record_unsigned(1)}, {"a", json_null()}}, 2),
          "{\"b\":1,\"a\":null}\n");
    check(record_object(NULL, 0), "{}\n");
    assert_null(record_object((struct record_field[]){{"b", record_unsigned(1)}, {"a", NULL}}, 2));
    assert_null(record_object((struct record_field[]){{"a", NULL}, {"b", record_unsigned(1)}}, 2));
}

static void test_failures(void **state) {
    (void)state;
    struct capture capture;
    capture_begin(&capture);
    assert_false(record_print(capture.file, NULL));
    free(capture_end(&capture));
    FILE *full = fopen("/dev/full", "w");
    if (full != NULL) {
        assert_false(record_print(full, json_pack("{s:i}", "x", 1)));
        fclose(full);
    }
}

static void test_outcomes(void **state) {
    (void)state;
    assert_int_equal(outcome_of(CANYON_OK), 0);
    assert_int_equal(outcome_of(CANYON_NOT_FOUND), 1);
    assert_int_equal(outcome_of(CANYON_MISMATCH), 1);
    assert_int_equal(outcome_of(CANYON_INTERNAL), 1);
    assert_int_equal(outcome_of(CANYON_UNAVAILABLE), 3);
    assert_int_equal(outcome_of(CANYON_TIMEOUT), 3);
    assert_int_equal(outcome_of(CANYON_OUTCOME_UNKNOWN), 3);
    assert_int_equal(outcome_of(CANYON_DENIED), 4);
    assert_int_equal(outcome_of(CANYON_UNAUTHENTICATED), 4);
    assert_int_equal(outcome_report("test", "do nothing", CANYON_OK), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_line_in_order),
        cmocka_unit_test(test_numbers_are_exact),
        cmocka_unit_test(test_it_reads_back),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_objects_have_their_fields_in_order),
        cmocka_unit_test(test_outcomes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
