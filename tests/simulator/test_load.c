/* canyon-sim load as people run it: every mode, what it prints, what it finds, and that it cleans up. */
#include "answers.h"
#include "program.h"

#include <jansson.h>

#include "canyon.h"
#include "servers.h"

static struct local *local; /* servers that some of the tests share */

static int start_servers(void **state) {
    (void)state;
    return servers_start(2, &local);
}

static int stop_servers(void **state) {
    (void)state;
    return local_stop(local) ? 0 : -1;
}

/* The one object that was printed; owned. */
static json_t *object_of(const struct program *program) {
    json_error_t error;
    json_t *object = json_loads(program->said, 0, &error);
    if (object == NULL) {
        fail_msg("%s in:\n%s%s", error.text, program->said, program->told);
    }
    return object;
}

static void expect_near(double found, double expected, double by) {
    if (!(found >= expected - by && found <= expected + by)) {
        fail_msg("%.9g where %.9g is expected", found, expected);
    }
}

/* Runs it on the shared servers with --json and further words; the object is owned. */
static json_t *run_json(int code, const char *const *words) {
    struct program program;
    const char *all[PROGRAM_WORDS] = {"load", "--servers", local_servers(local), "--json"};
    for (size_t i = 0; words[i] != NULL; i++) {
        all[4 + i] = words[i];
    }
    program_run(&program, NULL, code, all);
    json_t *object = object_of(&program);
    program_finish(&program);
    return object;
}

static canyon_client *connect_client(void) {
    struct canyon_options options;
    canyon_client *client = NULL;
    canyon_options_init(&options);
    options.servers = local_servers(local);
    assert_int_equal(canyon_connect(&options, &client), CANYON_OK);
    return client;
}

static const char *const keys[] = {"mode",
                                   "codec",
                                   "optimizer",
                                   "workers",
                                   "processes",
                                   "clients",
                                   "in_flight",
                                   "tensors",
                                   "tensor_bytes",
                                   "rate",
                                   "verify",
                                   "encrypted",
                                   "servers",
                                   "server_threads",
                                   "warmup_s",
                                   "duration_s",
                                   "interrupted",
                                   "calls",
                                   "calls_per_s",
                                   "pushes_per_s",
                                   "blocks_pushed_per_s",
                                   "gradient_gbps",
                                   "weight_gbps",
                                   "latency",
                                   "latency_push",
                                   "latency_pull",
                                   "blocks_pulled_per_s",
                                   "wire_in_bytes",
                                   "wire_out_bytes",
                                   "wire_s",
                                   "cpu_servers_s",
                                   "cpu_workers_s",
                                   "failed_calls",
                                   "unknown_calls",
                                   "refused_blocks",
                                   "waiting_calls",
                                   "kept_up",
                                   "failure",
                                   "verified",
                                   "wrong_blocks",
                                   "undecided_blocks",
                                   "torn_blocks",
                                   "latency_push_pull",
                                   "gradient_ratio",
                                   "weight_ratio",
                                   "table",
                                   "dim",
                                   "rows",
                                   "batch",
                                   "distribution",
                                   "mrows_s"};
#define KEYS (sizeof keys / sizeof *keys)

static void json_has_its_keys_and_they_agree(void **state) {
    static const char *const quantiles[] = {"p50_us", "p90_us", "p99_us", "p99_9_us", "max_us"};
    struct program program;
    (void)state;
    program_run(&program, NULL, 0,
                WORDS("load", "--local", "2", "--threads", "2", "-w", "3", "-k", "2", "--size", "20000", "-t", "0.6",
                      "--block", "1024", "--json"));
    json_t *object = object_of(&program);
    assert_int_equal(json_object_size(object), KEYS);
    for (size_t i = 0; i < KEYS; i++) {
        if (json_object_get(object, keys[i]) == NULL) {
            fail_msg("%s is missing", keys[i]);
        }
    }
    double seconds = number_of(object, "duration_s"), calls = number_of(object, "calls");
    assert_true(seconds >= 0.599 && seconds <= 0.601 && number_of(object, "warmup_s") == 0.06);
    assert_true(calls > 0 && number_of(object, "servers") == 2 && number_of(object, "server_threads") == 4);
    /* Two tensors of 5,000 elements in blocks of 1,024: five blocks each. */
    assert_true(number_of(object, "tensor_bytes") == 20000);
    expect_near(number_of(object, "calls_per_s") * seconds, calls, 0.01);
    expect_near(number_of(object, "pushes_per_s") * seconds, 2 * calls, 0.01);
    expect_near(number_of(object, "blocks_pushed_per_s") * seconds, 10 * calls, 0.1);
    expect_near(number_of(object, "blocks_pulled_per_s") * seconds, 10 * calls, 0.1);
    expect_near(number_of(object, "gradient_gbps") * 1e9 * seconds, 40000 * calls, 100);
    expect_near(number_of(object, "weight_gbps") * 1e9 * seconds, 40000 * calls, 100);
    /* Every payload byte crosses the wire; calls that began before a look and ended after it are three at most. */
    assert_true(number_of(object, "wire_in_bytes") > 40000 * (calls * 0.2 - 3));
    assert_true(number_of(object, "wire_out_bytes") > 40000 * (calls * 0.2 - 3));
    const json_t *latency = json_object_get(object, "latency");
    double before = 0.0;
    for (size_t i = 0; i < 5; i++) {
        assert_true(number_of(latency, quantiles[i]) >= before);
        before = number_of(latency, quantiles[i]);
    }
    assert_true(number_of(latency, "mean_us") <= before && number_of(latency, "count") > 0);
    assert_true(json_is_null(json_object_get(object, "latency_push")));
    assert_true(json_is_null(json_object_get(object, "kept_up")) && json_is_null(json_object_get(object, "verified")));
    assert_true(number_of(object, "cpu_servers_s") > 0 && number_of(object, "cpu_workers_s") > 0);
    assert_true(json_is_true(json_object_get(object, "encrypted")));
    assert_true(json_is_false(json_object_get(object, "table")) && json_is_null(json_object_get(object, "rows")));
    assert_true(json_is_null(json_object_get(object, "mrows_s")));
    json_decref(object);
    program_finish(&program);
}

static void every_mode_moves_what_it_says(void **state) {
    static const char *const modes[] = {"push_pull", "push", "pull", "mixed"};
    (void)state;
    for (size_t m = 0; m < 4; m++) {
        json_t *object = run_json(0, WORDS("--mode", modes[m], "-w", "4", "-p", "2", "--size", "8K", "-t", "0.2", "-o",
                                           "adagrad", "--in-flight", "2"));
        bool pushes = m != 2, pulls = m != 1;
        assert_string_equal(json_string_value(json_object_get(object, "mode")), modes[m]);
        assert_true((number_of(object, "gradient_gbps") > 0) == pushes);
        assert_true((number_of(object, "weight_gbps") > 0) == pulls);
        assert_true(json_is_object(json_object_get(object, "latency_push_pull")) == (m == 0 || m == 3));
        assert_true(json_is_object(json_object_get(object, "latency_push")) == (m == 1 || m == 3));
        assert_true(json_is_object(json_object_get(object, "latency_pull")) == (m == 2 || m == 3));
        assert_true(number_of(object, "failed_calls") == 0 && number_of(object, "refused_blocks") == 0);
        json_decref(object);
    }
    servers_hold_nothing(local);
}

/* A rate that any machine keeps up with is kept to; one that none can is said not to be, with the waiting counted. */
static void an_open_loop_keeps_its_rate_or_says_that_it_does_not(void **state) {
    (void)state;
    json_t *object = run_json(0, WORDS("-w", "10", "-k", "1", "--size", "4K", "--rate", "50", "-t", "1", "-d", "4"));
    assert_true(json_is_true(json_object_get(object, "kept_up")));
    /* 50 are due; at the edges one may be in or out. */
    const json_t *latency = json_object_get(object, "latency");
    assert_true(number_of(latency, "count") >= 49 && number_of(latency, "count") <= 51);
    assert_true(number_of(object, "waiting_calls") <= 0);
    json_decref(object);
    object = run_json(0, WORDS("-w", "4", "-k", "1", "--size", "4K", "--rate", "2e6", "-t", "0.5"));
    assert_true(json_is_false(json_object_get(object, "kept_up")));
    latency = json_object_get(object, "latency");
    /* Every call that was due is counted, done or not. */
    assert_true(number_of(latency, "count") >= 999990 && number_of(latency, "count") <= 1000010);
    assert_true(number_of(object, "waiting_calls") > 500000);
    assert_true(number_of(latency, "p99_us") > 200000.0); /* of half a second: most have waited long */
    json_decref(object);
    struct program program;
    program_run(&program, NULL, 0,
                WORDS("load", "-s", local_servers(local), "-k", "1", "--size", "4K", "--rate", "2e6", "-t", "0.2"));
    expect_part(program.told, "2000000 calls/s were asked for");
    program_finish(&program);
}

/* A straggler is slower by what was asked for: one worker, 100 ms late each time, makes ten calls a second at most. */
static void stragglers_and_thinkers_take_their_time(void **state) {
    (void)state;
    json_t *object = run_json(0, WORDS("-w", "1", "-k", "1", "--size", "4K", "--straggle", "1:100", "-t", "0.5"));
    assert_true(number_of(object, "calls") >= 1 && number_of(object, "calls") <= 6);
    json_decref(object);
    object = run_json(0, WORDS("-w", "2", "-k", "1", "--size", "4K", "--think", "100", "-t", "0.5"));
    assert_true(number_of(object, "calls") >= 2 && number_of(object, "calls") <= 12);
    json_decref(object);
    /* In an open loop its lateness is part of the latency. */
    object = run_json(0, WORDS("-w", "2", "-k", "1", "--size", "4K", "--rate", "20", "--straggle", "1:60", "-t", "1"));
    assert_true(number_of(json_object_get(object, "latency"), "p90_us") >= 60000.0);
    json_decref(object);
}

/* Each codec, one way or both, takes the bytes it says. */
static void codecs_save_bytes(void **state) {
    static const struct {
        const char *text;
        double gradients, weights;
    } codecs[] = {{"f32", 1.0, 1.0},
                  {"bf16", 0.5, 1.0},
                  {"int8:stochastic/f16", 0.265625, 0.5},
                  {"f16:feedback/int8", 0.5, 0.265625},
                  {"topk:0.0625", 0.125, 1.0}};
    (void)state;
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++) {
        json_t *object = run_json(0, WORDS("--codec", codecs[i].text, "-w", "2", "--size", "16K", "-t", "0.1"));
        assert_string_equal(json_string_value(json_object_get(object, "codec")), codecs[i].text);
        /* Blocks of 1,024 elements: a header of some bytes is a hundredth at most. */
        expect_near(number_of(object, "gradient_ratio"), codecs[i].gradients, 0.02);
        expect_near(number_of(object, "weight_ratio"), codecs[i].weights, 0.02);
        json_decref(object);
    }
    json_t *object = run_json(0, WORDS("--codec", "bf16/f16", "--verify", "-w", "4", "--size", "16K", "-t", "0.2"));
    assert_true(json_is_true(json_object_get(object, "verified")));
    json_decref(object);
    struct program program;
    program_run(&program, NULL, 2, WORDS("load", "-s", local_servers(local), "--codec", "topk:7", "--size", "16K"));
    expect_part(program.told, "topk:7");
    program_finish(&program);
    servers_hold_nothing(local);
}

static void verifying_passes(void **state) {
    (void)state;
    json_t *object = run_json(0, WORDS("--verify", "-w", "8", "-p", "2", "--clients", "2", "-k", "3", "--size", "20000",
                                       "--mode", "mixed", "-d", "3", "-t", "0.7"));
    assert_true(json_is_true(json_object_get(object, "verified")));
    assert_true(number_of(object, "calls") > 0 && number_of(object, "torn_blocks") == 0);
    assert_string_equal(json_string_value(json_object_get(object, "optimizer")), "sgd:lr=1");
    json_decref(object);
    struct program program;
    program_run(&program, NULL, 0,
                WORDS("load", "-s", local_servers(local), "--verify", "-w", "1", "--size", "8K", "-t", "0.3"));
    expect_part(program.said, "each applied exactly once");
    program_finish(&program);
    servers_hold_nothing(local);
}

static uint64_t blocks_pushed(canyon_client *client) {
    struct canyon_server_statistics *servers = NULL;
    size_t count = 0;
    uint64_t pushes = 0;
    assert_int_equal(canyon_statistics(client, 0, &servers, &count), CANYON_OK);
    for (size_t i = 0; i < count; i++) {
        pushes += servers[i].pushes;
    }
    canyon_free(servers);
    return pushes;
}

/* Waits until a load pushes, for which all of its processes must be connected. */
static void wait_for_pushes(canyon_client *client, uint64_t before) {
    for (unsigned turns = 0; blocks_pushed(client) == before; turns++) {
        assert_true(turns < 3000);
        program_pause();
    }
}

/* Waits for the load's first tensor and opens it; *client is owned too. */
static canyon_tensor *open_first_tensor(canyon_client *client) {
    canyon_tensor *tensor = NULL;
    for (unsigned turns = 0; tensor == NULL && turns < 3000; turns++) {
        struct canyon_tensor_info *infos = NULL;
        size_t count = 0;
        assert_int_equal(canyon_tensor_list(client, 0, &infos, &count), CANYON_OK);
        if (count > 0 && infos[0].complete) {
            assert_int_equal(canyon_tensor_open(client, infos[0].name, 0, &tensor), CANYON_OK);
        } else {
            program_pause();
        }
        canyon_free(infos);
    }
    assert_non_null(tensor);
    return tensor;
}

/* The check can fail: somebody else pushes once, ones that fit the pattern of no call, while the load runs. */
static void a_push_by_somebody_else_is_found(void **state) {
    struct program program;
    static float gradient[2048];
    (void)state;
    for (size_t i = 0; i < 2048; i++) {
        gradient[i] = 1.0f;
    }
    canyon_client *client = connect_client();
    program_start(
        &program, NULL,
        WORDS("load", "-s", local_servers(local), "--verify", "-w", "4", "-k", "2", "--size", "8K", "-t", "1.5"));
    canyon_tensor *tensor = open_first_tensor(client);
    struct canyon_tensor_info info;
    assert_int_equal(canyon_tensor_describe(tensor, &info), CANYON_OK);
    assert_int_equal(info.elements, 2048);
    assert_int_equal(canyon_push(tensor, gradient, 0), CANYON_OK);
    program_wait(&program, 100);
    assert_int_equal(program.code, 1);
    expect_part(program.told, info.name);
    expect_part(program.told, "block 0: element 0 must be -");
    expect_part(program.told, "block 1: element 1024 must be -");
    expect_part(program.told, "doubled, or pushed by somebody else");
    expect_part(program.said, "NO: of 4 blocks 2 are wrong");
    canyon_tensor_close(tensor);
    canyon_close(client);
    program_finish(&program);
    servers_hold_nothing(local);
}

/* A tensor that somebody drops takes its pushes with it: that is told, and no verdict pretended. */
static void a_dropped_tensor_fails_calls_and_leaves_no_verdict(void **state) {
    struct program program;
    (void)state;
    canyon_client *client = connect_client();
    uint64_t before = blocks_pushed(client);
    program_start(&program, NULL,
                  WORDS("load", "-s", local_servers(local), "--verify", "-w", "2", "-k", "1", "--size", "8K", "-t",
                        "1.5", "--json"));
    canyon_tensor *tensor = open_first_tensor(client);
    struct canyon_tensor_info info;
    assert_int_equal(canyon_tensor_describe(tensor, &info), CANYON_OK);
    canyon_tensor_close(tensor);
    wait_for_pushes(client, before);
    assert_int_equal(canyon_tensor_drop(client, info.name, 0), CANYON_OK);
    program_wait(&program, 100);
    assert_int_equal(program.code, 1);
    json_t *object = object_of(&program);
    assert_true(number_of(object, "refused_blocks") + number_of(object, "failed_calls") > 0);
    assert_true(json_is_null(json_object_get(object, "verified")));
    assert_true(json_string_length(json_object_get(object, "failure")) > 0);
    json_decref(object);
    canyon_close(client);
    program_finish(&program);
}

static void a_killed_server_ends_it(void **state) {
    struct program program;
    pid_t servers[PROGRAM_PROCESSES], sims[PROGRAM_PROCESSES];
    (void)state;
    program_start(&program, NULL, WORDS("load", "--local", "2", "-w", "4", "-p", "2", "--size", "64K", "-t", "60"));
    size_t count = program_wait_children(program.process, "canyon-server", 2, servers);
    size_t members = program_wait_children(program.process, "canyon-sim", 2, sims);
    for (int i = 0; i < 50; i++) {
        program_pause();
    }
    kill(servers[1], SIGKILL);
    program_wait(&program, 60);
    assert_int_equal(program.code, 3);
    expect_part(program.told, "a local server");
    program_expect_gone(servers, count);
    program_expect_gone(sims, members);
    program_finish(&program);
}

static void a_killed_process_ends_it(void **state) {
    struct program program;
    pid_t sims[PROGRAM_PROCESSES];
    (void)state;
    program_start(&program, NULL, WORDS("load", "-s", local_servers(local), "-w", "4", "-p", "2", "-t", "60"));
    size_t members = program_wait_children(program.process, "canyon-sim", 2, sims);
    for (int i = 0; i < 50; i++) {
        program_pause();
    }
    kill(sims[1], SIGKILL);
    program_wait(&program, 60);
    assert_int_equal(program.code, 1);
    expect_part(program.told, "process 1 ended before its work was done: signal 9");
    program_expect_gone(sims, members);
    program_finish(&program);
    servers_hold_nothing(local);
}

static void a_signal_ends_it_early_with_its_report(void **state) {
    struct program program;
    pid_t sims[PROGRAM_PROCESSES];
    (void)state;
    canyon_client *client = connect_client();
    uint64_t before = blocks_pushed(client);
    program_start(&program, NULL,
                  WORDS("load", "-s", local_servers(local), "-w", "4", "-p", "2", "--size", "64K", "-t", "60",
                        "--warmup", "0", "--verify", "--json"));
    size_t members = program_wait_children(program.process, "canyon-sim", 2, sims);
    wait_for_pushes(client, before);
    canyon_close(client);
    kill(program.process, SIGINT);
    program_wait(&program, 60);
    assert_int_equal(program.code, 128 + SIGINT);
    json_t *object = object_of(&program);
    assert_true(json_is_true(json_object_get(object, "interrupted")));
    assert_true(json_is_true(json_object_get(object, "verified"))); /* what was done was done right */
    assert_true(number_of(object, "duration_s") < 60.0);
    json_decref(object);
    program_expect_gone(sims, members);
    program_finish(&program);
    servers_hold_nothing(local);
}

static void people_get_a_table_and_progress(void **state) {
    struct program program;
    (void)state;
    program_run(&program, NULL, 0,
                WORDS("load", "-w", "2", "--size", "64K", "-t", "0.5", "--insecure-plaintext", "--mode", "mixed"));
    static const char *const parts[] = {"workload",      "mixed 50/25/25 of 4 x 64.0 KiB",
                                        "PLAINTEXT",     "GB/s pushed",
                                        "GB/s pulled",   "p50",
                                        "p99.9",         "of push_pull",
                                        "wire",          "processors",
                                        "0 calls failed"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        expect_part(program.said, parts[i]);
    }
    expect_part(program.told, "100%");
    program_finish(&program);
    program_run(&program, NULL, 0, WORDS("load", "--help"));
    for (size_t i = 0; i < KEYS; i++) { /* the keys are documented */
        expect_part(program.said, keys[i]);
    }
    for (const char *line = program.said; *line != '\0'; line += strcspn(line, "\n") + 1) {
        assert_true(strcspn(line, "\n") <= 80);
    }
    program_finish(&program);
    program_run(&program, NULL, 2, WORDS("load", "--rate", "some"));
    program_finish(&program);
    program_run(&program, NULL, 3, WORDS("load", "-s", "127.0.0.1:1", "--timeout", "500"));
    expect_part(program.told, "canyon-sim load: ");
    program_finish(&program);
    program_run(&program, NULL, 1, WORDS("load", "-s", local_servers(local), "-o", "nosuch"));
    expect_part(program.told, "nosuch");
    program_finish(&program);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_has_its_keys_and_they_agree),
        cmocka_unit_test(every_mode_moves_what_it_says),
        cmocka_unit_test(an_open_loop_keeps_its_rate_or_says_that_it_does_not),
        cmocka_unit_test(stragglers_and_thinkers_take_their_time),
        cmocka_unit_test(codecs_save_bytes),
        cmocka_unit_test(verifying_passes),
        cmocka_unit_test(a_push_by_somebody_else_is_found),
        cmocka_unit_test(a_dropped_tensor_fails_calls_and_leaves_no_verdict),
        cmocka_unit_test(a_killed_server_ends_it),
        cmocka_unit_test(a_killed_process_ends_it),
        cmocka_unit_test(a_signal_ends_it_early_with_its_report),
        cmocka_unit_test(people_get_a_table_and_progress),
    };
    return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
