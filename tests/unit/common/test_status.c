/* Errors keep their code, cut their text, and every code has its own name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/status.h"

static void text_is_formatted_and_cut(void **state) {
    (void)state;
    struct error error;
    assert_int_equal(error_set(&error, CANYON_NOT_FOUND, "no tensor %s (%d)", "w", 7), CANYON_NOT_FOUND);
    assert_int_equal(error.status, CANYON_NOT_FOUND);
    assert_string_equal(error.text, "no tensor w (7)");
    char big[2 * ERROR_TEXT_BYTES];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    error_set(&error, CANYON_BUSY, "%s", big);
    assert_int_equal(strlen(error.text), ERROR_TEXT_BYTES - 1);
}

static void null_is_allowed(void **state) {
    (void)state;
    assert_int_equal(error_set(NULL, CANYON_TIMEOUT, "x%d", 1), CANYON_TIMEOUT);
    error_prefix(NULL, "nowhere");
}

static void prefix_goes_in_front(void **state) {
    (void)state;
    struct error error;
    error_set(&error, CANYON_MISMATCH, "shape");
    error_prefix(&error, "tensor %s", "w");
    assert_string_equal(error.text, "tensor w: shape");
    assert_int_equal(error.status, CANYON_MISMATCH);
    for (int i = 0; i < 200; i++) {
        error_prefix(&error, "again and again");
    }
    assert_int_equal(strlen(error.text), ERROR_TEXT_BYTES - 1);
}

static void a_text_may_quote_itself(void **state) {
    (void)state;
    struct error error;
    error_set(&error, CANYON_CLOSED, "inner");
    error_set(&error, CANYON_UNAVAILABLE, "outer (%s)", error.text);
    assert_string_equal(error.text, "outer (inner)");
}

static void names_are_distinct(void **state) {
    (void)state;
    for (int one = CANYON_OK; one <= CANYON_STATUS_LAST; one++) {
        assert_string_not_equal(status_name((enum canyon_status)one), "UNKNOWN_STATUS");
        for (int other = CANYON_OK; other < one; other++) {
            assert_string_not_equal(status_name((enum canyon_status)one), status_name((enum canyon_status)other));
        }
    }
    assert_string_equal(status_name((enum canyon_status)(CANYON_STATUS_LAST + 1)), "UNKNOWN_STATUS");
    assert_string_equal(status_name(CANYON_STATE_LOST), "STATE_LOST");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_formatted_and_cut), cmocka_unit_test(null_is_allowed),
        cmocka_unit_test(prefix_goes_in_front),      cmocka_unit_test(a_text_may_quote_itself),
        cmocka_unit_test(names_are_distinct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
