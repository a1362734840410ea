/* canyon-sim load --table as people run it: every mode, what it prints, that verifying passes and that it cleans up. */
#include "answers.h"
#include "program.h"

#include <jansson.h>

#include "canyon.h"
#include "servers.h"

static struct local *local;

static int start(void **state) {
    (void)state;
    return servers_start(2, &local);
}

static int stop(void **state) {
    (void)state;
    return local_stop(local) ? 0 : -1;
}

/* Runs it on the servers with --table, --json and further words; the object is owned. */
static json_t *run_json(const char *const *words) {
    struct program program;
    json_error_t error;
    const char *all[PROGRAM_WORDS] = {"load", "--servers", local_servers(local), "--table", "--json"};
    for (size_t i = 0; words[i] != NULL; i++) {
        all[5 + i] = words[i];
    }
    program_run(&program, NULL, 0, all);
    json_t *object = json_loads(program.said, 0, &error);
    if (object == NULL) {
        fail_msg("%s in:\n%s%s", error.text, program.said, program.told);
    }
    program_finish(&program);
    return object;
}

static bool near(double found, double expected, double by) {
    return found >= expected - by && found <= expected + by;
}

static void every_mode_moves_what_it_says(void **state) {
    static const char *const modes[] = {"push_pull", "push", "pull", "mixed"};
    (void)state;
    for (size_t m = 0; m < 4; m++) {
        json_t *object = run_json(WORDS("--mode", modes[m], "-w", "3", "-p", "2", "--dim", "8", "--rows", "5000", "-b",
                                        "300", "-t", "0.4", "-d", "2", "-o", "adam:lr=0.01,steps=shard"));
        const bool pushes = m != 2, pulls = m != 1, both = m == 0;
        const double seconds = number_of(object, "duration_s"), calls = number_of(object, "calls");
        const double pushed = number_of(object, "blocks_pushed_per_s"),
                     pulled = number_of(object, "blocks_pulled_per_s");
        const double rows = 1e6 * number_of(object, "mrows_s");
        assert_true(calls > 0 && json_is_true(json_object_get(object, "table")));
        assert_true(number_of(object, "dim") == 8 && number_of(object, "rows") == 5000);
        assert_true(number_of(object, "batch") == 300);
        assert_string_equal(json_string_value(json_object_get(object, "distribution")), "zipf:1.05");
        assert_true(json_is_null(json_object_get(object, "tensors")));
        assert_true(json_is_null(json_object_get(object, "tensor_bytes")));
        assert_true((pushed > 0) == pushes && (pulled > 0) == pulls);
        /* A row is counted once a call, however often it was drawn, and whichever way it went. */
        assert_true(rows * seconds < 300 * calls && rows * seconds > 60 * calls);
        assert_true(near(rows, both || m == 1 ? pushed : pulled, m == 3 ? 1e12 : 1.0));
        assert_true(m == 3 || !both || near(pushed, pulled, 1.0));
        /* A row is 8 floats. */
        assert_true(near(1e9 * number_of(object, "gradient_gbps"), 32 * pushed, 100));
        assert_true(near(1e9 * number_of(object, "weight_gbps"), 32 * pulled, 100));
        assert_true(number_of(object, "failed_calls") == 0 && number_of(object, "refused_blocks") == 0);
        json_decref(object);
    }
    servers_hold_nothing(local);
}

static void an_open_loop_keeps_its_rate(void **state) {
    (void)state;
    json_t *object = run_json(WORDS("-w", "10", "--rate", "50", "-t", "1", "-d", "4", "-b", "50", "--distribution",
                                    "uniform", "--rows", "281474976710656"));
    const double count = number_of(json_object_get(object, "latency"), "count");
    assert_true(json_is_true(json_object_get(object, "kept_up")) && count >= 49 && count <= 51);
    json_decref(object);
    object = run_json(WORDS("-w", "2", "--codec", "bf16/int8", "-t", "0.3", "-b", "100"));
    assert_true(number_of(object, "calls") > 0);
    json_decref(object);
}

static void verifying_passes(void **state) {
    static const char *const laws[] = {"zipf:1.05", "uniform"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        json_t *object =
            run_json(WORDS("--verify", "-w", "8", "-p", "2", "--clients", "2", "--mode", "mixed", "-d", "3", "-t",
                           "0.7", "--rows", "3000", "-b", "200", "--dim", "7", "--distribution", laws[i]));
        assert_true(json_is_true(json_object_get(object, "verified")));
        assert_true(number_of(object, "calls") > 0 && number_of(object, "torn_blocks") == 0);
        assert_string_equal(json_string_value(json_object_get(object, "optimizer")), "sgd:lr=1");
        json_decref(object);
    }
    struct program program;
    program_run(&program, NULL, 0,
                WORDS("load", "-s", local_servers(local), "--table", "--verify", "-w", "1", "-t", "0.3", "-b", "100"));
    expect_part(program.said, "each applied exactly once in all of");
    expect_part(program.said, " rows\n");
    expect_part(program.said, "M rows/s");
    program_finish(&program);
    servers_hold_nothing(local);
}

/* One row in every draw: few calls are as many as float32 can hold, and then it ends, and is good. */
static void it_ends_before_sums_become_inexact(void **state) {
    struct program program;
    (void)state;
    program_run(&program, NULL, 0,
                WORDS("load", "-s", local_servers(local), "--table", "--verify", "--rows", "1", "--dim", "1", "-b",
                      "1000000", "-w", "2", "-t", "5"));
    expect_part(program.told, "ended after 5 pushing calls");
    expect_part(program.said, "yes: 5 pushing calls, each applied exactly once in all of 1 rows");
    program_finish(&program);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mode_moves_what_it_says),
        cmocka_unit_test(an_open_loop_keeps_its_rate),
        cmocka_unit_test(verifying_passes),
        cmocka_unit_test(it_ends_before_sums_become_inexact),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
