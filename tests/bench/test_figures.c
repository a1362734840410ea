/* Figures of the benchmark: medians, summaries, JSON, tables; and its list of parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/bench/suite/figures.h"
#include "tests/bench/suite/parts.h"

static void test_median(void **state) {
    (void)state;
    double odd[] = {9, -1, 4}, even[] = {8, 1, 3, 100}, one[] = {7};
    assert_true(figures_median(odd, 3) == 4);
    assert_true(figures_median(even, 4) == 5.5);
    assert_true(figures_median(one, 1) == 7);
    assert_true(figures_median(NULL, 0) == 0);
}

static void test_summary(void **state) {
    (void)state;
    struct figures *figures = figures_create();
    struct figures_summary summary = {0, 0, 0, 0};
    assert_false(figures_summary(figures, "a.b", &summary));
    assert_true(figures_last(figures, "a.b") == 0);
    const double values[] = {5, 2, 9, 3, 4};
    for (size_t i = 0; i < 5; i++) {
        figures_add(figures, "a.b", values[i]);
        figures_add(figures, "a.c", -values[i]);
    }
    assert_true(figures_summary(figures, "a.b", &summary));
    assert_true(summary.median == 4 && summary.min == 2 && summary.max == 9 && summary.repeats == 5);
    assert_true(figures_summary(figures, "a.c", &summary));
    assert_true(summary.median == -4 && summary.min == -9 && summary.max == -2 && summary.repeats == 5);
    /* The order of repeats stays as it was: the last value is the last one given. */
    assert_true(figures_last(figures, "a.b") == 4);
    figures_destroy(figures);
    figures_destroy(NULL);
}

static double real(const json_t *json, const char *group, const char *name, const char *what) {
    const json_t *value = json_object_get(json_object_get(json_object_get(json, group), name), what);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void test_json(void **state) {
    (void)state;
    struct figures *figures = figures_create();
    json_t *json = json_pack("{s:i}", "before", 1);
    figures_add(figures, "dense_1.gbps", 2);
    figures_add(figures, "dense_1.gbps", 4);
    figures_add(figures, "dense_1.ratio", 1.25);
    figures_add(figures, "latency.p50_us", 82);
    figures_json(figures, json);
    assert_int_equal(json_object_size(json), 3);
    assert_int_equal(json_integer_value(json_object_get(json, "before")), 1);
    assert_int_equal(json_object_size(json_object_get(json, "dense_1")), 2);
    assert_true(real(json, "dense_1", "gbps", "median") == 3);
    assert_true(real(json, "dense_1", "gbps", "min") == 2);
    assert_true(real(json, "dense_1", "gbps", "max") == 4);
    assert_true(real(json, "dense_1", "gbps", "repeats") == 2);
    assert_true(real(json, "dense_1", "ratio", "median") == 1.25);
    assert_true(real(json, "latency", "p50_us", "repeats") == 1);
    json_decref(json);
    figures_destroy(figures);
}

static void test_table(void **state) {
    (void)state;
    static const struct figures_goal goals[] = {
        {"a.good", 1.1, true}, {"a.low", 1.1, true}, {"a.small", 1.4, false}, {"a.large", 1.4, false}};
    struct figures *figures = figures_create();
    char *text = NULL;
    size_t bytes = 0;
    figures_add(figures, "a.good", 1.1);
    figures_add(figures, "a.low", 1.09);
    figures_add(figures, "a.small", 1.4);
    figures_add(figures, "a.large", 1.41);
    figures_add(figures, "a.free", 12345);
    struct table *table = figures_table(figures, goals, 4);
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    assert_int_equal(table_rows(table), 5);
    assert_true(table_print(table, out));
    fclose(out);
    /* A row each, in the order in which they began, and the verdict at its end. */
    static const char *const rows[][3] = {{"a.good", "1.100", "reached"},
                                          {"a.low", "1.090", "missed"},
                                          {"a.small", "1.400", "reached"},
                                          {"a.large", "1.410", "missed"},
                                          {"a.free", "12345", "1"}};
    char *rest = NULL, *line = strtok_r(text, "\n", &rest);
    assert_non_null(strstr(line, "median"));
    (void)strtok_r(NULL, "\n", &rest); /* the rule */
    for (size_t i = 0; i < 5; i++) {
        line = strtok_r(NULL, "\n", &rest);
        assert_non_null(line);
        assert_true(strncmp(line, rows[i][0], strlen(rows[i][0])) == 0);
        assert_non_null(strstr(line, rows[i][1]));
        assert_non_null(strstr(line, rows[i][2]));
    }
    assert_null(strstr(line, "missed"));
    free(text);
    table_destroy(table);
    figures_destroy(figures);
}

static void test_parts(void **state) {
    (void)state;
    bool all[PARTS] = {false}, some[PARTS] = {false}, none[PARTS] = {false};
    char wrong[16] = "";
    assert_true(parts_choose(PARTS_LIST, all, wrong, sizeof wrong));
    for (enum part part = 0; part < PARTS; part++)
        assert_true(all[part]);
    assert_true(parts_choose("latency,dense_2", some, wrong, sizeof wrong));
    for (enum part part = 0; part < PARTS; part++)
        assert_true(some[part] == (part == PART_LATENCY || part == PART_DENSE_2));
    assert_false(parts_choose("latency,dense", none, wrong, sizeof wrong)); /* a beginning is no name */
    assert_string_equal(wrong, "dense");
    assert_false(parts_choose("dense_1,,latency", none, wrong, sizeof wrong));
    assert_string_equal(wrong, "");
    assert_false(parts_choose("", none, wrong, sizeof wrong));
    assert_false(parts_choose("a_name_that_is_too_long_to_repeat", none, wrong, sizeof wrong));
    assert_string_equal(wrong, "a_name_that_is_");
    assert_int_equal(parts_threads(PART_SECURE_2), 2);
    assert_true(parts_encrypted(PART_SECURE_2) && !parts_encrypted(PART_DENSE_2));
    assert_int_equal(parts_threads(PART_SPARSE_2), 2);
    assert_string_equal(parts_name(PART_SPARSE_GROWTH), "sparse_growth");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_median), cmocka_unit_test(test_summary),
                                       cmocka_unit_test(test_json), cmocka_unit_test(test_table),
                                       cmocka_unit_test(test_parts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
