/* canyon-bench as a program: a run on small sizes has every figure, each a positive object of a median between its
 * extremes; what is asked for is what is there; wrong words are refused. Never how fast anything was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#define PROGRAM CANYON_BINARY_DIR "/tests/canyon-bench"

static const char *const figures[][2] = {
    {"dense_1", "gbps"},
    {"dense_1", "roofline_ratio"},
    {"dense_1", "server_cpu_s_per_gb"},
    {"dense_1", "server_cpu_ratio"},
    {"dense_2", "gbps"},
    {"dense_2", "roofline_ratio"},
    {"dense_2", "server_cpu_s_per_gb"},
    {"dense_secure_1", "gbps"},
    {"dense_secure_1", "roofline_ratio"},
    {"dense_secure_1", "server_cpu_s_per_gb"},
    {"dense_secure_2", "gbps"},
    {"dense_secure_2", "roofline_ratio"},
    {"dense_secure_2", "server_cpu_s_per_gb"},
    {"dense", "gain_ratio"},
    {"latency", "p50_us"},
    {"latency", "ratio_unpinned"},
    {"latency", "ratio_one_core"},
    {"latency", "ratio_spin"},
    {"memory", "dense_overhead"},
    {"sparse_1", "mrows_s"},
    {"sparse_1", "roofline_ratio"},
    {"sparse_1", "server_cpu_us_per_row"},
    {"sparse_2", "mrows_s"},
    {"sparse_2", "roofline_ratio"},
    {"sparse", "bytes_per_row"}, /* one of each of the two servers */
    {"sparse", "bytes_ratio"},
    {"sparse", "growth_p999_ratio"},
};

/* Runs it; *json (owned) is what it printed, NULL when that is none. Returns its exit code. */
static int run(const char *words, json_t **json) {
    char command[512];
    snprintf(command, sizeof command, "%s %s 2>/dev/null", PROGRAM, words);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    *json = json_loadf(out, 0, NULL);
    const int status = pclose(out);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static double number(const json_t *figure, const char *what) {
    const json_t *value = json_object_get(figure, what);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void check(const json_t *json, const char *group, const char *name, double repeats) {
    const json_t *figure = json_object_get(json_object_get(json, group), name);
    if (figure == NULL)
        fail_msg("there is no %s.%s", group, name);
    const double median = number(figure, "median"), least = number(figure, "min"), most = number(figure, "max");
    if (!(least > 0 && least <= median && median <= most))
        fail_msg("%s.%s: median %g, min %g, max %g", group, name, median, least, most);
    assert_true(number(figure, "repeats") == repeats);
}

static const char *said(const json_t *json, const char *who) {
    const char *text = json_string_value(json_object_get(json_object_get(json, "limits"), who));
    if (text == NULL)
        fail_msg("nothing is said of limits.%s", who);
    return text;
}

/* The limit moves the bytes that a round of the worker's moves, both ways together, to within a hundredth, and those
 * are at least an id and a row of 16 float32 for each row on the way there, and a row on the way back. */
static void check_bytes(const json_t *json, unsigned threads) {
    char who[32];
    double rows = 0, out = 0, in = 0, echo = 0;
    snprintf(who, sizeof who, "rows_%u", threads);
    assert_int_equal(sscanf(said(json, who), "%lf rows, %lf bytes to servers, %lf bytes from", &rows, &out, &in), 3);
    snprintf(who, sizeof who, "echo_rows_%u", threads);
    const char *text = said(json, who), *bytes = strstr(text, " bytes each way");
    while (bytes != NULL && bytes > text && bytes[-1] >= '0' && bytes[-1] <= '9')
        bytes--;
    assert_true(bytes != NULL && sscanf(bytes, "%lf", &echo) == 1);
    if (rows < 1 || out < rows * (8 + 64) || in < rows * 64)
        fail_msg("%.0f rows take %.0f bytes there and %.0f back", rows, out, in);
    if (2 * echo < 0.99 * (out + in) || 2 * echo > 1.01 * (out + in))
        fail_msg("the echo has %.0f bytes each way, the worker %.0f and %.0f", echo, out, in);
}

static void test_everything(void **state) {
    (void)state;
    json_t *json = NULL, *again = NULL;
    char path[] = "/tmp/canyon-bench-test-XXXXXX", words[128];
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    snprintf(words, sizeof words, "--quick --json --no-peers --output %s", path);
    assert_int_equal(run(words, &json), 0);
    assert_non_null(json);
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        check(json, figures[i][0], figures[i][1], 2);
    assert_true(json_is_string(json_object_get(json, "date")));
    assert_true(json_is_string(json_object_get(json, "congestion")));
    assert_true(number(json_object_get(json, "machine"), "processors") >= 1);
    assert_true(json_is_string(json_object_get(json_object_get(json, "limits"), "echo_1")));
    assert_true(json_is_string(json_object_get(json_object_get(json, "limits"), "table_2")));
    check_bytes(json, 1);
    check_bytes(json, 2);
    assert_null(json_object_get(json, "peer_redis"));
    again = json_load_file(path, 0, NULL);
    assert_true(json_equal(json, again));
    json_decref(json);
    json_decref(again);
    unlink(path);
}

static void test_only(void **state) {
    (void)state;
    json_t *json = NULL;
    assert_int_equal(run("--quick --json --only dense_1", &json), 0);
    check(json, "dense_1", "gbps", 2);
    assert_null(json_object_get(json, "dense_2"));
    assert_null(json_object_get(json, "dense"));
    assert_null(json_object_get(json, "latency"));
    assert_null(json_object_get(json_object_get(json, "limits"), "aead_1"));
    json_decref(json);
}

static void test_wrong_words(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "--only dense_3", "--only ''", "--repeats 0", "--plot picture.png", "--sweep --plot picture.txt",
        "--cipher none",  "more"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        json_t *json = NULL;
        assert_int_equal(run(wrong[i], &json), 2);
        json_decref(json);
    }
}

/* The same of tables; Redis is there, or it is said why not. */
static void test_rows(void **state) {
    (void)state;
    json_t *json = NULL;
    assert_int_equal(run("--quick --json --only sparse_1,redis --rows 30000", &json), 0);
    check(json, "sparse_1", "mrows_s", 2);
    assert_null(json_object_get(json, "sparse_2"));
    assert_null(json_object_get(json, "dense_1"));
    if (json_is_string(json_object_get(json_object_get(json, "skipped"), "peer_redis"))) {
        assert_null(json_object_get(json, "peer_redis"));
    } else {
        check(json, "peer_redis", "mrows_s", 2);
        check(json, "peer_redis", "canyon_is_faster_by", 2);
    }
    json_decref(json);
}

/* A server that cannot be started is a failure that is told, not figures. */
static void test_no_server(void **state) {
    (void)state;
    json_t *json = NULL;
    assert_int_equal(setenv("CANYON_SERVER", "/nonexistent/canyon-server", 1), 0);
    assert_int_equal(run("--quick --json --only dense_1", &json), 1);
    assert_null(json);
    assert_int_equal(unsetenv("CANYON_SERVER"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_wrong_words), cmocka_unit_test(test_no_server),
                                       cmocka_unit_test(test_only), cmocka_unit_test(test_rows),
                                       cmocka_unit_test(test_everything)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
