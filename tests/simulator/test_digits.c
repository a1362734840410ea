/* The reader of the digits, and the split into training and test images. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/simulator/digits.h"
#include "client/simulator/split.h"

/* Images of each label in optdigits.tes, from the data set's own description (optdigits.names). */
static const unsigned label_counts[DIGITS_CLASSES] = {178, 182, 177, 183, 181, 182, 181, 179, 174, 180};

static char text[DIGITS_TEXT_BYTES];

/* A line of `numbers` numbers, all `value`. */
static char *line_of(size_t numbers, const char *value, const char *end) {
    char *line = calloc(numbers * 4 + 8, 1);
    assert_non_null(line);
    for (size_t i = 0; i < numbers; i++) {
        strcat(line, i == 0 ? "" : ",");
        strcat(line, value);
    }
    return strcat(line, end);
}

static void expect_refused(const char *csv, size_t bytes, const char *said) {
    struct digits digits;
    memset(&digits, 0xff, sizeof digits);
    text[0] = '\0';
    assert_false(digits_parse(csv, bytes, &digits, text, sizeof text));
    assert_non_null(strstr(text, said));
    assert_null(digits.pixels);
    assert_null(digits.labels);
    assert_int_equal(digits.count, 0);
    digits_finish(&digits);
}

static void refuse_line(size_t numbers, const char *value, const char *end, const char *said) {
    char *line = line_of(numbers, value, end);
    expect_refused(line, strlen(line), said);
    free(line);
}

static void the_programs_own_data_are_the_known_ones(void **state) {
    struct digits digits;
    unsigned counts[DIGITS_CLASSES] = {0};
    (void)state;
    assert_true(digits_load(&digits, text, sizeof text));
    assert_int_equal(digits.count, 1797);
    for (size_t i = 0; i < digits.count; i++) {
        assert_in_range(digits.labels[i], 0, 9);
        counts[digits.labels[i]]++;
    }
    for (size_t c = 0; c < DIGITS_CLASSES; c++) {
        assert_int_equal(counts[c], label_counts[c]);
    }
    for (size_t i = 0; i < digits.count * DIGITS_PIXELS; i++) {
        float shade = digits.pixels[i] * 16.0f;
        assert_true(shade >= 0.0f && shade <= 16.0f && shade == (float)(int)shade);
    }
    digits_finish(&digits);
}

static void the_embedded_bytes_are_the_files(void **state) {
    extern const unsigned char digits_csv[];
    extern const size_t digits_csv_bytes;
    FILE *file = fopen(CANYON_SOURCE_DIR "/client/simulator/data/digits.csv", "rb");
    (void)state;
    assert_non_null(file);
    for (size_t i = 0; i < digits_csv_bytes; i++) {
        assert_int_equal(fgetc(file), digits_csv[i]);
    }
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
}

static void small_files_are_read(void **state) {
    struct digits digits;
    char *line = line_of(65, "7", "");
    (void)state;
    assert_true(digits_parse(line, strlen(line), &digits, text, sizeof text)); /* no newline at the end */
    assert_int_equal(digits.count, 1);
    assert_int_equal(digits.labels[0], 7);
    assert_true(digits.pixels[63] == 7.0f / 16.0f);
    digits_finish(&digits);
    digits_finish(&digits);
    digits_finish(NULL);
    free(line);
}

static void what_is_wrong_is_named(void **state) {
    (void)state;
    expect_refused("", 0, "no images");
    refuse_line(64, "1", "\n", "line 1, number 64");
    refuse_line(66, "1", "\n", "line 1, number 65");
    refuse_line(65, "17", "\n", "pixel is above 16");
    refuse_line(65, "16", "\n", "label is above 9");
    refuse_line(65, "007", "\n", "line 1, number 1");
    refuse_line(65, "-1", "\n", "number is missing");
    refuse_line(65, "1 ", "\n", "comma");
    refuse_line(65, "", "\n", "number is missing");
    refuse_line(65, "1", "\r\n", "end after 65");
    refuse_line(65, "1", "\n\n", "line 2, number 1");
    expect_refused("1,\0,1", 5, "line 1, number 2");
}

/* Every byte of a good line replaced by every other: an error or a good line, and never out of bounds. */
static void no_byte_can_hurt(void **state) {
    char *line = line_of(65, "9", "\n");
    size_t length = strlen(line);
    (void)state;
    for (size_t at = 0; at < length; at += 7) {
        char kept = line[at];
        for (int byte = 0; byte < 256; byte++) {
            struct digits digits;
            char *exact = malloc(length); /* so that a sanitizer sees a step beyond */
            assert_non_null(exact);
            line[at] = (char)byte;
            memcpy(exact, line, length);
            bool read = digits_parse(exact, length, &digits, text, sizeof text);
            assert_true(read == (digits.count > 0));
            digits_finish(&digits);
            free(exact);
        }
        line[at] = kept;
    }
    free(line);
}

static void the_split_is_exact_disjoint_and_stratified(void **state) {
    struct digits digits;
    struct split split;
    unsigned char seen[DIGITS_COUNT] = {0};
    unsigned tests[DIGITS_CLASSES] = {0};
    (void)state;
    assert_true(digits_load(&digits, text, sizeof text));
    split_make(&digits, &split);
    assert_int_equal(SPLIT_TRAIN, 1297);
    for (size_t i = 0; i < SPLIT_TRAIN; i++) {
        assert_int_equal(seen[split.train[i]]++, 0);
        assert_true(i == 0 || split.train[i] > split.train[i - 1]);
    }
    for (size_t i = 0; i < SPLIT_TEST; i++) {
        assert_int_equal(seen[split.test[i]]++, 0);
        assert_true(i == 0 || split.test[i] > split.test[i - 1]);
        tests[digits.labels[split.test[i]]]++;
    }
    for (size_t c = 0; c < DIGITS_CLASSES; c++) {
        double share = 500.0 * label_counts[c] / 1797.0;
        assert_true((double)tests[c] > share - 1.0 && (double)tests[c] < share + 1.0);
    }
    digits_finish(&digits);
}

/* 500 n / 1797 by hand: 178 49.53, 182 50.64, 177 49.25, 183 50.92, 181 50.36, 182 50.64, 181 50.36, 179 49.81,
 * 174 48.41, 180 50.08. The whole parts sum to 495; the five largest remainders are those of 3, 7, 1, 5 and 0. */
static void the_quotas_are_by_largest_remainder(void **state) {
    static const unsigned quotas[DIGITS_CLASSES] = {50, 51, 49, 51, 50, 51, 50, 50, 48, 50};
    struct digits digits;
    struct split split;
    unsigned tests[DIGITS_CLASSES] = {0};
    (void)state;
    assert_true(digits_load(&digits, text, sizeof text));
    split_make(&digits, &split);
    for (size_t i = 0; i < SPLIT_TEST; i++) {
        tests[digits.labels[split.test[i]]]++;
    }
    assert_memory_equal(tests, quotas, sizeof tests);
    digits_finish(&digits);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_programs_own_data_are_the_known_ones),
        cmocka_unit_test(the_embedded_bytes_are_the_files),
        cmocka_unit_test(small_files_are_read),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(no_byte_can_hurt),
        cmocka_unit_test(the_split_is_exact_disjoint_and_stratified),
        cmocka_unit_test(the_quotas_are_by_largest_remainder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
