/* Modes as text and numbers, and the histogram of staleness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/consistency.h"

static void texts_are_read_and_written(void **state) {
    (void)state;
    static const struct {
        const char *text, *canonical;
        struct consistency mode;
    } cases[] = {
        {"async", "async", {.mode = CONSISTENCY_ASYNC}},
        {"ssp:0", "ssp:0", {.mode = CONSISTENCY_SSP}},
        {"ssp:1000000", "ssp:1000000", {.mode = CONSISTENCY_SSP, .staleness = 1000000}},
        {"sync", "sync", {.mode = CONSISTENCY_SYNC}},
        {"sync:mean,arrival", "sync", {.mode = CONSISTENCY_SYNC}},
        {"sync:sum", "sync:sum", {.mode = CONSISTENCY_SYNC, .combine = CONSISTENCY_SUM}},
        {"sync:minimum=3,rank,sum",
         "sync:sum,rank,minimum=3",
         {.mode = CONSISTENCY_SYNC, .combine = CONSISTENCY_SUM, .order = CONSISTENCY_RANK, .minimum = 3}},
        {"sync:rank", "sync:rank", {.mode = CONSISTENCY_SYNC, .order = CONSISTENCY_RANK}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct consistency mode = {.mode = CONSISTENCY_SSP, .staleness = 77};
        char text[CONSISTENCY_TEXT_BYTES];
        assert_int_equal(consistency_parse(cases[i].text, &mode, NULL), CANYON_OK);
        assert_true(consistency_equal(&mode, &cases[i].mode));
        assert_string_equal(consistency_text(&mode, text, sizeof text), cases[i].canonical);
    }
}

static void other_texts_are_refused_and_the_forms_named(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "ASYNC",
                                      "async:1",
                                      "ssp",
                                      "ssp:",
                                      "ssp:-1",
                                      "ssp:1x",
                                      "ssp:1000001",
                                      "ssp:4294967297",
                                      "sync:",
                                      "sync,sum",
                                      "sync:sum,mean",
                                      "sync:rank,rank",
                                      "sync:minimum=",
                                      "sync:minimum=4097",
                                      "sync:x",
                                      "sync:sum,",
                                      "synchronous"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct consistency mode = {.mode = CONSISTENCY_SSP, .staleness = 77};
        struct error error;
        if (consistency_parse(bad[i], &mode, &error) != CANYON_INVALID_ARGUMENT) {
            fail_msg("\"%s\" was taken", bad[i]);
        }
        assert_true(mode.mode == CONSISTENCY_SSP && mode.staleness == 77);
    }
    struct consistency mode;
    struct error error;
    assert_int_equal(consistency_parse("bsp", &mode, &error), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "\"bsp\""));
    assert_non_null(strstr(error.text, "ssp:CLOCKS"));
}

static void numbers_are_judged(void **state) {
    (void)state;
    const struct consistency bad[] = {
        {.mode = (enum consistency_mode)3},
        {.mode = CONSISTENCY_SYNC, .combine = (enum consistency_combine)2},
        {.mode = CONSISTENCY_SYNC, .order = (enum consistency_order)2},
        {.mode = CONSISTENCY_SYNC, .staleness = 1},
        {.mode = CONSISTENCY_ASYNC, .staleness = 1},
        {.mode = CONSISTENCY_SSP, .combine = CONSISTENCY_SUM},
        {.mode = CONSISTENCY_SSP, .order = CONSISTENCY_RANK},
        {.mode = CONSISTENCY_ASYNC, .minimum = 1},
        {.mode = CONSISTENCY_SYNC, .minimum = LIMIT_MEMBERS + 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(consistency_check(&bad[i], NULL), CANYON_INVALID_ARGUMENT);
    }
}

static void a_plan_changes_at_its_clock(void **state) {
    (void)state;
    const struct consistency_plan plan = {
        .set = true, .now = {.mode = CONSISTENCY_SSP}, .next = {.mode = CONSISTENCY_SYNC}, .from = 10};
    assert_int_equal(consistency_at(&plan, 9)->mode, CONSISTENCY_SSP);
    assert_int_equal(consistency_at(&plan, 10)->mode, CONSISTENCY_SYNC);
}

static void staleness_is_counted_by_powers_of_two(void **state) {
    (void)state;
    static const struct {
        uint64_t staleness;
        size_t bucket;
    } cases[] = {{0, 0},
                 {1, 1},
                 {2, 2},
                 {3, 2},
                 {4, 3},
                 {7, 3},
                 {8, 4},
                 {1023, 10},
                 {1024, 11},
                 {UINT64_C(1) << 31, 32},
                 {(UINT64_C(1) << 31) - 1, 31},
                 {UINT64_MAX, 32}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct staleness counts = {.pushes = 0};
        staleness_count(&counts, cases[i].staleness);
        assert_int_equal(counts.counts[cases[i].bucket], 1);
        assert_true(staleness_floor(cases[i].bucket) <= cases[i].staleness);
        assert_true(counts.pushes == 1 && counts.sum == cases[i].staleness && counts.max == cases[i].staleness);
    }
    struct staleness one = {.pushes = 0}, other = {.pushes = 0};
    staleness_count(&one, 5);
    staleness_count(&other, 2);
    staleness_count(&other, 9);
    staleness_merge(&one, &other);
    assert_true(one.pushes == 3 && one.sum == 16 && one.max == 9);
    assert_true(one.counts[2] == 1 && one.counts[3] == 1 && one.counts[4] == 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_read_and_written),
        cmocka_unit_test(other_texts_are_refused_and_the_forms_named),
        cmocka_unit_test(numbers_are_judged),
        cmocka_unit_test(a_plan_changes_at_its_clock),
        cmocka_unit_test(staleness_is_counted_by_powers_of_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
