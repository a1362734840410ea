/* Vectors written as text, and lines from a descriptor. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/simulator/lines.h"
#include "client/simulator/vector.h"

static char text[VECTOR_TEXT_BYTES];

static void expect_values(const char *line, size_t wanted, const float *values) {
    float got[8] = {0};
    size_t count = 99;
    if (!vector_read(line, strlen(line), got, 8, &count, text, sizeof text)) {
        fail_msg("'%s': %s", line, text);
    }
    assert_int_equal(count, wanted);
    assert_memory_equal(got, values, wanted * sizeof *got);
}

static void expect_refused(const char *line, size_t bytes, const char *said) {
    float got[4];
    size_t count = 0;
    assert_false(vector_read(line, bytes, got, 4, &count, text, sizeof text));
    if (strstr(text, said) == NULL) {
        fail_msg("'%s' where '%s' is expected", text, said);
    }
}

static void refuse(const char *line, const char *said) {
    expect_refused(line, strlen(line), said);
}

static void blanks_and_commas_separate(void **state) {
    const float three[] = {1.0f, -2.5f, 3e-4f};
    (void)state;
    expect_values("1 -2.5 3e-4", 3, three);
    expect_values("1,-2.5,3e-4\n", 3, three);
    expect_values("  1 ,\t-2.5  ,3E-4  \r\n", 3, three);
    expect_values("+1.0 -.25e1 0.0003", 3, three);
    expect_values("7", 1, (const float[]){7.0f});
}

static void numbers_are_the_nearest_float32(void **state) {
    (void)state;
    expect_values("0.1 16777217 1e-45 1e-60", 4, (const float[]){0.1f, 16777216.0f, 1e-45f, 0.0f});
    /* Just above the middle of 1 and the next float: rounded once it goes up; by way of double it would go down. */
    expect_values("1.00000005960464477539062500001", 1, (const float[]){1.00000011920928955078125f});
}

static void more_than_there_is_room_for_is_counted(void **state) {
    float got[3] = {0, 0, 9};
    size_t count = 0;
    (void)state;
    assert_true(vector_read("1 2 3 4", 7, got, 2, &count, text, sizeof text));
    assert_int_equal(count, 4);
    assert_true(got[2] == 9.0f);
    assert_true(vector_read("1 2", 3, NULL, 0, &count, text, sizeof text));
    assert_int_equal(count, 2);
}

static void what_is_wrong_is_named(void **state) {
    (void)state;
    refuse("", "no numbers");
    refuse(" \t\n", "no numbers");
    refuse("1,,2", "missing before comma 2");
    refuse(",1", "missing before comma 1");
    refuse("1,", "after the last comma");
    refuse("1 x", "'x' is not a decimal number");
    refuse("1 2x", "'2x'");
    refuse("nan", "'nan' is not");
    refuse("-inf", "'-inf' is not");
    refuse("0x10", "'0x10' is not");
    refuse("1e", "'1e' is not");
    refuse("1-2", "'1-2' is not");
    refuse("--1", "is not");
    refuse("1e39", "range of float32");
    refuse("1;2", "'1;2'");
    refuse("\033[2J", "'?[2J'");
    expect_refused("1\0002", 3, "'1?2' is not");
    refuse("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a...'");
}

static void lines_are_given_one_by_one(void **state) {
    int ends[2];
    struct lines lines;
    const char *line = NULL;
    size_t length = 0;
    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "one\n\nthree\nfo", 13), 13);
    lines_init(&lines, ends[0]);
    assert_int_equal(lines_next(&lines, &line, &length), LINES_READ);
    assert_string_equal(line, "one");
    assert_int_equal(lines_next(&lines, &line, &length), LINES_READ);
    assert_string_equal(line, "");
    assert_int_equal(length, 0);
    assert_int_equal(lines_next(&lines, &line, &length), LINES_READ);
    assert_string_equal(line, "three");
    assert_int_equal(write(ends[1], "ur\nfi\0ve", 8), 8);
    close(ends[1]);
    assert_int_equal(lines_next(&lines, &line, &length), LINES_READ);
    assert_string_equal(line, "four");
    assert_int_equal(lines_next(&lines, &line, &length), LINES_READ);
    assert_int_equal(length, 5);
    assert_memory_equal(line, "fi\0ve", 6);
    assert_int_equal(lines_next(&lines, &line, &length), LINES_ENDED);
    assert_int_equal(lines_next(&lines, &line, &length), LINES_ENDED);
    lines_finish(&lines);
    close(ends[0]);
}

static void long_lines_and_none(void **state) {
    FILE *file = tmpfile();
    struct lines lines;
    const char *line = NULL;
    size_t length = 0;
    (void)state;
    assert_non_null(file);
    lines_init(&lines, fileno(file));
    assert_int_equal(lines_next(&lines, &line, &length), LINES_ENDED);
    lines_finish(&lines);
    for (size_t i = 0; i < 3 * 4096; i++) {
        fputc(i == 4095 ? '\n' : 'x', file); /* a newline that is the last byte of the first read */
    }
    rewind(file);
    lines_init(&lines, fileno(file));
    assert_int_equal(lines_next(&lines, &line, &length), LINES_READ);
    assert_int_equal(length, 4095);
    assert_int_equal(lines_next(&lines, &line, &length), LINES_READ);
    assert_int_equal(length, 2 * 4096);
    assert_int_equal(lines_next(&lines, &line, &length), LINES_ENDED);
    lines_finish(&lines);
    lines_finish(&lines);
    fclose(file);
    int folder = open("/", O_RDONLY);
    assert_true(folder >= 0);
    lines_init(&lines, folder); /* can be opened, not read */
    assert_int_equal(lines_next(&lines, &line, &length), LINES_FAILED);
    lines_finish(&lines);
    close(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blanks_and_commas_separate),
        cmocka_unit_test(numbers_are_the_nearest_float32),
        cmocka_unit_test(more_than_there_is_room_for_is_counted),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(lines_are_given_one_by_one),
        cmocka_unit_test(long_lines_and_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
