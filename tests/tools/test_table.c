/* Tables: alignment, UTF-8, hostile texts, misuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/tools/table.h"
#include "tests/tools/capture.h"

static char *print(const struct table *table) {
    struct capture capture;
    capture_begin(&capture);
    assert_true(table_print(table, capture.file));
    return capture_end(&capture);
}

static void test_alignment(void **state) {
    (void)state;
    struct table *table = table_create();
    table_column(table, "name", TABLE_LEFT);
    table_column(table, "steps", TABLE_RIGHT);
    table_column(table, "note", TABLE_LEFT);
    table_cell(table, "%s", "adam");
    table_cell(table, "%d", 7);
    table_cell(table, "%s", "x");
    table_cell(table, "%s", "momentum");
    table_cell(table, "%d", 1234567);
    table_cell(table, "%s", "");
    char *text = print(table);
    assert_string_equal(text, "name        steps  note\n"
                              "--------  -------  ----\n"
                              "adam            7  x\n"
                              "momentum  1234567  \n");
    assert_int_equal(table_rows(table), 2);
    free(text);
    table_destroy(table);
}

static void test_utf8_widths(void **state) {
    (void)state;
    assert_int_equal(table_width(""), 0);
    assert_int_equal(table_width("abc"), 3);
    assert_int_equal(table_width("ä€𝄞"), 3);
    assert_int_equal(table_width("\xff\xc3"), 2);      /* not UTF-8: a byte each */
    assert_int_equal(table_width("\xe2\x82"), 2);      /* cut in the middle */
    assert_int_equal(table_width("\xc3(\xf0\x9f"), 4); /* and never beyond the NUL */
    struct table *table = table_create();
    table_column(table, "β", TABLE_LEFT);
    table_column(table, "n", TABLE_RIGHT);
    table_cell(table, "%s", "äöü");
    table_cell(table, "%d", 1);
    char *text = print(table);
    assert_string_equal(text, "β    n\n---  -\näöü  1\n");
    free(text);
    table_destroy(table);
}

static void test_control_characters_are_shown(void **state) {
    (void)state;
    struct table *table = table_create();
    table_column(table, "c", TABLE_LEFT);
    table_cell(table, "%s", "a\033[2Jb\nc\x7f");
    char *text = print(table);
    assert_string_equal(text, "c\n---------\na?[2Jb?c?\n");
    free(text);
    table_destroy(table);
}

static void test_incomplete_row_is_filled(void **state) {
    (void)state;
    struct table *table = table_create();
    table_column(table, "a", TABLE_LEFT);
    table_column(table, "b", TABLE_RIGHT);
    table_cell(table, "%s", "x");
    assert_int_equal(table_rows(table), 0);
    char *text = print(table);
    assert_string_equal(text, "a  b\n-  -\nx   \n");
    free(text);
    table_destroy(table);
}

static void test_many_rows(void **state) {
    (void)state;
    struct table *table = table_create();
    table_column(table, "i", TABLE_RIGHT);
    for (int i = 0; i < 1000; i++) {
        table_cell(table, "%d", i);
    }
    char *text = print(table);
    assert_int_equal(table_rows(table), 1000);
    assert_non_null(strstr(text, "\n  0\n"));
    assert_non_null(strstr(text, "\n999\n"));
    free(text);
    table_destroy(table);
}

static void test_misuse_prints_nothing(void **state) {
    (void)state;
    struct capture capture;
    struct table *table = table_create();
    capture_begin(&capture);
    table_cell(table, "no column yet");
    table_column(table, "late", TABLE_LEFT);
    assert_false(table_print(table, capture.file));
    assert_false(table_print(NULL, capture.file));
    char *text = capture_end(&capture);
    assert_string_equal(text, "");
    free(text);
    table_cell(NULL, "x");
    table_column(NULL, "x", TABLE_LEFT);
    table_destroy(NULL);
    table_destroy(table);
}

static void test_full_device_is_an_error(void **state) {
    (void)state;
    FILE *full = fopen("/dev/full", "w");
    if (full == NULL) {
        print_message("SKIPPED: this machine has no /dev/full\n");
        skip();
    }
    setvbuf(full, NULL, _IONBF, 0);
    struct table *table = table_create();
    table_column(table, "a", TABLE_LEFT);
    assert_false(table_print(table, full));
    table_destroy(table);
    fclose(full);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_utf8_widths),
        cmocka_unit_test(test_control_characters_are_shown),
        cmocka_unit_test(test_incomplete_row_is_filled),
        cmocka_unit_test(test_many_rows),
        cmocka_unit_test(test_misuse_prints_nothing),
        cmocka_unit_test(test_full_device_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
