/* The words of --consistency, --staleness-policy and --straggle, weights kept on their way, and what a study adds up.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/simulator/news.h"
#include "client/simulator/pacing.h"
#include "client/simulator/study_report.h"
#include "client/simulator/trail.h"

static char why[PACING_TEXT_BYTES];

static void modes_are_read_as_a_whole(void **state) {
    static const struct {
        const char *text;
        bool good, sync;
    } modes[] = {{"async", true, false},           {"ssp:0", true, false},
                 {"ssp:3", true, false},           {"sync", true, true},
                 {"sync:sum", true, true},         {"sync:mean,rank,minimum=3", true, true},
                 {"sync:arrival", true, true},     {"", false, false},
                 {"asynchronous", false, false},   {"ssp", false, false},
                 {"ssp:", false, false},           {"ssp:-1", false, false},
                 {"ssp:3x", false, false},         {"ssp:1000000001", false, false},
                 {"sync:", false, false},          {"sync:,rank", false, false},
                 {"sync:rank,", false, false},     {"sync:fast", false, false},
                 {"sync:minimum=0", false, false}, {"sync:minimum=", false, false},
                 {"synchronous", false, false}};
    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct pacing pacing = {.mode = NULL};
        why[0] = '\0';
        if (pacing_mode(&pacing, modes[i].text, why, sizeof why) != modes[i].good) {
            fail_msg("'%s': %s", modes[i].text, why);
        }
        assert_true(modes[i].good ? pacing.mode == modes[i].text : pacing.mode == NULL && why[0] != '\0');
        assert_int_equal(pacing.sync, modes[i].sync);
    }
}

static void policies_become_settings(void **state) {
    static const struct {
        const char *text, *settings;
    } policies[] = {{"accept", "staleness=accept"},
                    {"scale", "staleness=scale"},
                    {"refuse:8", "staleness=refuse,staleness_bound=8"},
                    {"refuse:0", "staleness=refuse,staleness_bound=0"},
                    {"refuse", NULL},
                    {"refuse:", NULL},
                    {"refuse:x", NULL},
                    {"", NULL}};
    (void)state;
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        struct pacing pacing = {.mode = NULL};
        assert_int_equal(pacing_policy(&pacing, policies[i].text, why, sizeof why), policies[i].settings != NULL);
        assert_string_equal(pacing.staleness, policies[i].settings != NULL ? policies[i].settings : "");
        assert_string_equal(pacing.policy, policies[i].settings != NULL ? policies[i].text : "");
    }
}

static void stragglers_are_lists_that_add_up(void **state) {
    static const char *const wrong[] = {
        "",    "1",       ":5",       "1:",   "1:x",  "x:1",   "1:5,",  ",1:5",
        "4:5", "1:60001", "1:5,,2:5", "1:-5", "1:5;", "1:5:6", " 1: 5", "99999999999999999999:1"};
    struct pacing pacing = {.mode = NULL};
    (void)state;
    assert_true(pacing_straggle(&pacing, "0:20", 4, why, sizeof why));
    assert_true(pacing_straggle(&pacing, "3:5,0:1,1:0", 4, why, sizeof why));
    assert_true(pacing.delay_ms[0] == 21 && pacing.delay_ms[1] == 0 && pacing.delay_ms[2] == 0);
    assert_true(pacing.delay_ms[3] == 5 && pacing.delay_ms[4] == 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        why[0] = '\0';
        if (pacing_straggle(&pacing, wrong[i], 4, why, sizeof why) || strstr(why, wrong[i]) == NULL) {
            fail_msg("'%s': %s", wrong[i], why);
        }
    }
}

/* However busy the machine is, a sleep is not shorter than it was to be. */
static void stragglers_sleep(void **state) {
    const struct pacing pacing = {.delay_ms = {0, 30}};
    (void)state;
    uint64_t before = news_clock();
    pacing_sleep(&pacing, 0);
    pacing_sleep(&pacing, 1);
    assert_true(news_clock() - before >= 30000000);
}

/* Three weights that are the point's number. */
static void keep(struct trail *trail, uint64_t nanoseconds, uint64_t updates) {
    const struct trail_point point = {.nanoseconds = nanoseconds, .updates = updates};
    const float weights[3] = {(float)updates, (float)updates, (float)updates};
    trail_add(trail, &point, weights);
}

static void a_trail_thins_out_when_it_is_full(void **state) {
    struct trail trail;
    (void)state;
    assert_true(trail_init(&trail, 3, 10));
    keep(&trail, 100, 1);
    keep(&trail, 109, 2); /* too soon */
    keep(&trail, 120, 1); /* nothing new */
    assert_int_equal(trail.count, 1);
    trail.count = 0;
    for (uint64_t i = 0; i < 3 * TRAIL_POINTS; i++) {
        keep(&trail, 10 * i, i);
        assert_true(trail.count <= TRAIL_POINTS);
    }
    assert_true(trail.count > TRAIL_POINTS / 2 && trail.interval == 40);
    for (size_t i = 0; i < trail.count; i++) {
        const float *weights = trail_weights(&trail, i);
        assert_true(trail.points[i].nanoseconds == 10 * trail.points[i].updates);
        assert_true(weights[0] == (float)trail.points[i].updates && weights[2] == weights[0]);
        assert_true(i == 0 || trail.points[i].updates > trail.points[i - 1].updates);
    }
    assert_true(trail.points[0].updates == 0); /* the beginning stays */
    trail_finish(&trail);
    trail_finish(&trail);
}

static void the_goal_is_reached_by_the_first_point_that_is_there(void **state) {
    static struct progression way = {.count = 4,
                                     .points = {{0.5, 10, 0.3}, {1.0, 20, 0.93}, {1.5, 30, 0.92}, {2.0, 40, 0.95}}};
    (void)state;
    assert_ptr_equal(progression_reaches(&way, 0.93), &way.points[1]);
    assert_ptr_equal(progression_reaches(&way, 0.94), &way.points[3]);
    assert_null(progression_reaches(&way, 0.96));
}

/* Of 1, 2 and 6 seconds the mean is 3 and the standard error sqrt(((1 - 3)^2 + (2 - 3)^2 + (6 - 3)^2) / 2 / 3). */
static void rows_have_means_and_errors(void **state) {
    static const double seconds[] = {1.0, 2.0, 6.0};
    static struct study_row row;
    double mean = 0.0, error = 0.0;
    (void)state;
    assert_false(study_row_goal(&row, &mean, &error));
    for (size_t i = 0; i < 3; i++) {
        const struct progression_point goal = {.seconds = seconds[i], .steps = 10 * (i + 1), .accuracy = 0.93};
        const struct study_run run = {
            .goal = &goal, .steps = 100, .seconds = 10.0, .accuracy = 0.9 + 0.01 * (double)i, .staleness_max = 5 - i};
        study_row_add(&row, &run);
        assert_true(study_row_goal(&row, &mean, &error));
        assert_true(i > 0 || (mean == 1.0 && error < 0.0)); /* one has no error */
    }
    assert_true(fabs(mean - 3.0) < 1e-12 && fabs(error - sqrt(14.0 / 6.0)) < 1e-12);
    assert_true(row.goal_steps == 60.0 && fabs(row.accuracy - 2.73) < 1e-12 && row.staleness_max == 5);
    const struct study_run never = {.goal = NULL, .steps = 100};
    study_row_add(&row, &never);
    assert_false(study_row_goal(&row, &mean, &error));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modes_are_read_as_a_whole),
        cmocka_unit_test(policies_become_settings),
        cmocka_unit_test(stragglers_are_lists_that_add_up),
        cmocka_unit_test(stragglers_sleep),
        cmocka_unit_test(a_trail_thins_out_when_it_is_full),
        cmocka_unit_test(the_goal_is_reached_by_the_first_point_that_is_there),
        cmocka_unit_test(rows_have_means_and_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
