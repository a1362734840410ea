/* A server's settings, from a file and a command line, with every allocation failing once: reading them is an error
 * then, and read again they are what they should be. The log takes no memory at all. */
#include "tests/allocation/fail.h"
#include "tests/unit/server/fixture.h"

#include <unistd.h>

#include "server/config.h"

static char path[] = "/tmp/canyon-allocation-XXXXXX";
static char expected[4096], got[4096];

static const char text[] = "listen = 127.0.0.1:7001\n"
                           "servers = 127.0.0.1:7001,\n"
                           "    127.0.0.1:7002,\n"
                           "    [::1]:7003\n"
                           "job = job\n"
                           "threads = 2\n";

static void written(const struct config *config, char *into, size_t bytes) {
    FILE *file = fmemopen(into, bytes, "w");
    assert_non_null(file);
    config_write(config, file);
    assert_int_equal(fclose(file), 0);
}

static enum canyon_status read_all(struct config *config, struct error *error) {
    static char program[] = "canyon-server", name[] = "--config", shards[] = "--shards=64";
    char *words[] = {program, name, path, shards};
    enum config_action action;
    fail_arm();
    config_init(config);
    enum canyon_status status = config_arguments(config, 4, words, &action, error);
    if (status == CANYON_OK) {
        status = config_place(config, &config->listen_address, error);
    }
    fail_disarm();
    return status;
}

static void scenario(size_t nth) {
    struct config config;
    struct error error = {.status = CANYON_OK};
    fail_begin(nth);
    if (read_all(&config, &error) != CANYON_OK) {
        assert_true(fail_happened());
        assert_int_equal(error.status, CANYON_NO_MEMORY);
        assert_true(error.text[0] != '\0');
        config_finish(&config);
        assert_int_equal(read_all(&config, &error), CANYON_OK);
    } else if (fail_happened()) {
        fail_msg("nothing was refused: %s", fail_place());
    }
    written(&config, got, sizeof got);
    config_finish(&config);
    assert_string_equal(got, expected);
}

/* The list of servers in the text of an error may be missing; the error may not. */
static void another_place(size_t nth) {
    struct config config;
    struct address elsewhere;
    struct error error;
    fail_begin(0);
    assert_int_equal(read_all(&config, &error), CANYON_OK);
    assert_int_equal(address_parse("127.0.0.1:9999", &elsewhere, NULL), CANYON_OK);
    config.advertise[0] = '\0';
    fail_begin(nth);
    fail_arm();
    enum canyon_status status = config_place(&config, &elsewhere, &error);
    fail_disarm();
    assert_int_equal(status, CANYON_CONFIGURATION);
    assert_non_null(strstr(error.text, "127.0.0.1:9999"));
    config_finish(&config);
}

static void each_allocation_fails_once(void **state) {
    (void)state;
    struct config config;
    struct error error;
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, text, sizeof text - 1), sizeof text - 1);
    close(descriptor);
    fail_begin(0);
    assert_int_equal(read_all(&config, &error), CANYON_OK);
    written(&config, expected, sizeof expected);
    config_finish(&config);
    fail_each("settings", scenario, 200);
    fail_each("a server that is not in its list", another_place, 200);
    unlink(path);
}

static void take_line(void *user, enum log_level level, const char *line) {
    (void)level;
    snprintf(user, sizeof got, "%s", line);
}

static void logging_takes_no_memory(void **state) {
    (void)state;
    char quoted[64];
    struct log log = {.threshold = LOG_DEBUG, .descriptor = -1, .callback = take_line, .user = got};
    fail_begin(1);
    fail_arm();
    log_event(&log, LOG_INFO, "event", "name=%s", log_quote("a \"b\"\n", quoted, sizeof quoted));
    fail_disarm();
    assert_int_equal(fail_count(), 0);
    assert_string_equal(got, "event name=\"a \\\"b\\\"\\n\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation_fails_once),
                                       cmocka_unit_test(logging_takes_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
