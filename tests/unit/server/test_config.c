/* Settings: defaults, both ways in, and a readable fault for every wrong one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/random.h"
#include "server/config.h"
#include "server/config_file.h"
#include "server/help.h"

#define SAMPLE CANYON_SOURCE_DIR "/deploy/canyon.conf"

static int start(void **state) {
    struct config *config = calloc(1, sizeof *config);
    assert_non_null(config);
    config_init(config);
    *state = config;
    return 0;
}

static int stop(void **state) {
    config_finish(*state);
    free(*state);
    return 0;
}

static void assert_contains(const char *text, const char *part) {
    if (strstr(text, part) == NULL) {
        fail_msg("\"%s\" does not contain \"%s\"", text, part);
    }
}

static void assert_defaults(const struct config *config) {
    assert_string_equal(config->listen, "127.0.0.1:7077");
    assert_int_equal(config->listen_descriptor, -1);
    assert_string_equal(config->listen_address.host, "127.0.0.1");
    assert_int_equal(config->listen_address.port, 7077);
    assert_string_equal(config->advertise, "");
    assert_int_equal(config->threads, 1);
    assert_int_equal(config->lease, 10000);
    assert_int_equal(config->drain, 5);
    assert_int_equal(config->log_level, LOG_INFO);
    assert_string_equal(config->job.name, "default");
    assert_int_equal(config->job.shards, 256);
    assert_int_equal(config->job.block, 65536);
    assert_int_equal(config->job.server_count, 0);
    assert_string_equal(config->key, "");
    assert_string_equal(config->allow, "");
    assert_int_equal(config->cipher, CHANNEL_CHACHA20POLY1305);
    assert_int_equal(config->connections, 0);
    assert_int_equal(config->connections_per_key, 4096);
    assert_false(config->plaintext);
    assert_false(config->plaintext_anywhere);
    assert_int_equal(config->memory_limit, 0);
    assert_int_equal(config->memory_percent, 75);
    assert_string_equal(config->pin, "");
    assert_string_equal(config->congestion, "auto");
    assert_int_equal(config->spin, 0);
}

static void test_defaults(void **state) {
    assert_defaults(*state);
}

/* Reads `text` as a file; the file's name is "<path>" in the error. */
static enum canyon_status read_text(struct config *config, const char *text, struct error *error) {
    char path[] = "/tmp/canyon-config-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, text, strlen(text)), strlen(text));
    close(descriptor);
    enum canyon_status status = config_file_read(config, path, error);
    unlink(path);
    return status;
}

static void test_file_sets_every_key(void **state) {
    struct config *config = *state;
    struct error error;
    assert_int_equal(read_text(config,
                               "# a comment\n"
                               "listen = [::1]:9\n"
                               "advertise = Host.example:9\n"
                               "threads=3\n"
                               "job = mnist/1 ; behind a value\n"
                               "shards = 8\n"
                               "block = 1024\n"
                               "lease = 250\n"
                               "drain = 0\n"
                               "log-level = debug\n"
                               "memory-limit = 3G\n"
                               "pin = 0-2\n"
                               "congestion = reno\n"
                               "spin = 50\n"
                               "key = /etc/canyon/server.key\n"
                               "allow = relative/allow\n"
                               "cipher = aes256gcm\n"
                               "connections = 17\n"
                               "connections-per-key = 3\n"
                               "insecure-plaintext = yes\n"
                               "insecure-plaintext-anywhere = yes\n"
                               "servers = Host.example:9,\n"
                               "    [::1]:10\n"
                               "    10.0.0.6:7077\n",
                               &error),
                     CANYON_OK);
    assert_string_equal(config->listen_address.host, "::1");
    assert_string_equal(config->advertise, "Host.example:9");
    assert_int_equal(config->threads, 3);
    assert_string_equal(config->job.name, "mnist/1");
    assert_int_equal(config->job.shards, 8);
    assert_int_equal(config->job.block, 1024);
    assert_int_equal(config->lease, 250);
    assert_int_equal(config->drain, 0);
    assert_int_equal(config->log_level, LOG_DEBUG);
    assert_string_equal(config->key, "/etc/canyon/server.key");
    assert_string_equal(config->allow, "relative/allow");
    assert_int_equal(config->cipher, CHANNEL_AES256GCM);
    assert_int_equal(config->connections, 17);
    assert_int_equal(config->connections_per_key, 3);
    assert_true(config->plaintext);
    assert_true(config->plaintext_anywhere);
    assert_int_equal(config->memory_limit, 3ull << 30);
    assert_string_equal(config->pin, "0-2");
    assert_string_equal(config->congestion, "reno");
    assert_int_equal(config->spin, 50);
    assert_int_equal(config->job.server_count, 3);
    assert_string_equal(config->job.servers[1], "[::1]:10");
    assert_string_equal(config->job.servers[2], "10.0.0.6:7077");
}

static void test_file_faults_name_line_key_value_and_rule(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *parts[4];
    } cases[] = {
        {"threads = 0\n", {":1: ", "threads = 0", "1 to 256", ""}},
        {"\nthreads = 257\n", {":2: ", "threads = 257", "1 to 256", ""}},
        {"threads = 2x\n", {":1: ", "threads = 2x", "whole number", ""}},
        {"threads =\n", {":1: ", "threads = ", "whole number", ""}},
        {"threads = -1\n", {":1: ", "threads = -1", "whole number", ""}},
        {"threads = 99999999999999999999999\n", {":1: ", "threads = 9", "1 to 256", ""}},
        {"# x\n\nshards = 3\n", {":3: ", "shards = 3", "power of two", "65536"}},
        {"block = 1023\n", {":1: ", "block = 1023", "1024 to 4194304", ""}},
        {"job = no good\n", {":1: ", "job = no good", "", ""}},
        {"listen = 7077\n", {":1: ", "listen = 7077", "HOST:PORT", "fd:N"}},
        {"listen = fd:x\n", {":1: ", "listen = fd:x", "fd:N", ""}},
        {"listen = ::1:5\n", {":1: ", "listen = ::1:5", "[IPv6]:PORT", ""}},
        {"advertise = host:0\n", {":1: ", "advertise = host:0", "not 0", ""}},
        {"servers = a:1,a:1\n", {":1: ", "servers = a:1,a:1", "", ""}},
        {"job = x\nservers = a:1,\n  b:2,\n  c\n", {":2: ", "servers = a:1,b:2,c", "", ""}},
        {"pin = 0,0\n", {":1: ", "pin = 0,0", "each once", ""}},
        {"congestion = nonsense\n", {":1: ", "congestion = nonsense", "reno", ""}},
        {"spin = 1000001\n", {":1: ", "spin = 1000001", "0 to 1000000", ""}},
        {"lease = 99\n", {":1: ", "lease = 99", "100 to 3600000", ""}},
        {"drain = 3601\n", {":1: ", "drain = 3601", "0 to 3600", ""}},
        {"log-level = loud\n", {":1: ", "log-level = loud", "debug, info, warning, error", ""}},
        {"insecure-plaintext = maybe\n", {":1: ", "insecure-plaintext = maybe", "yes or no", ""}},
        {"insecure-plaintext-anywhere =\n", {":1: ", "yes or no", "", ""}},
        {"cipher = rot13\n", {":1: ", "cipher = rot13", "chacha20poly1305 or aes256gcm", ""}},
        {"cipher =\n", {":1: ", "aes256gcm", "", ""}},
        {"connections = 0\n", {":1: ", "connections = 0", "1 to 1000000", ""}},
        {"connections = 1000001\n", {":1: ", "1 to 1000000", "", ""}},
        {"connections-per-key =\n", {":1: ", "1 to 1000000", "", ""}},
        {"memory-limit = 0\n", {":1: ", "memory-limit = 0", "900M", "75%"}},
        {"memory-limit = 101%\n", {":1: ", "memory-limit = 101%", "1% to 100%", ""}},
        {"memory-limit = 0%\n", {":1: ", "1% to 100%", "", ""}},
        {"memory-limit = 5GB\n", {":1: ", "75%", "", ""}},
        {"memory-limit = 5X\n", {":1: ", "75%", "", ""}},
        {"memory-limit = M\n", {":1: ", "75%", "", ""}},
        {"memory-limit = -1\n", {":1: ", "75%", "", ""}},
        {"memory-limit = 1048577T\n", {":1: ", "75%", "", ""}},
        {"memory-limit = 9999999999999999\n", {":1: ", "75%", "", ""}},
        {"colour = red\n", {":1: ", "colour = red", "no such key", "log-level"}},
        {"threads = 1\nthreads = 1\n", {":2: ", "threads", "second time", ""}},
        {"[server]\nthreads = 1\n", {":2: ", "[sections]", "", ""}},
        {"threads = 1\n  2\n", {":2: ", "indented", "servers", ""}},
        {"threads\n", {":1: ", "key = value", "", ""}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        struct config config;
        struct error error = {.text = ""};
        config_init(&config);
        assert_int_equal(read_text(&config, cases[i].text, &error), CANYON_INVALID_ARGUMENT);
        for (size_t j = 0; j < 4; ++j) {
            assert_contains(error.text, cases[i].parts[j]);
        }
        config_finish(&config);
    }
}

static void test_file_refuses_what_it_would_misread(void **state) {
    struct error error;
    char text[400];
    snprintf(text, sizeof text, "threads = 1\nservers = a:1,%0300d\n", 0);
    assert_int_equal(read_text(*state, text, &error), CANYON_INVALID_ARGUMENT);
    assert_contains(error.text, ":2: ");
    assert_contains(error.text, "too long");
    assert_int_equal(config_file_read(*state, "/nonexistent/canyon.conf", &error), CANYON_NOT_FOUND);
    assert_contains(error.text, "/nonexistent/canyon.conf");
}

static enum canyon_status parse(struct config *config, enum config_action *action, struct error *error, const char *one,
                                const char *two, const char *three, const char *four) {
    char program[] = "canyon-server";
    char *argv[6] = {program};
    const char *words[] = {one, two, three, four};
    int argc = 1;
    for (size_t i = 0; i < 4 && words[i] != NULL; ++i) {
        argv[argc++] = strdup(words[i]);
    }
    enum canyon_status status = config_arguments(config, argc, argv, action, error);
    for (int i = 1; i < argc; ++i) {
        free(argv[i]);
    }
    return status;
}

static void test_command_line_wins_over_file_wherever_it_stands(void **state) {
    struct config *config = *state;
    struct error error;
    enum config_action action;
    char path[] = "/tmp/canyon-config-XXXXXX";
    int descriptor = mkstemp(path);
    assert_int_equal(write(descriptor, "threads = 7\njob = filed\n", 24), 24);
    close(descriptor);
    assert_int_equal(parse(config, &action, &error, "--threads=2", "--config", path, NULL), CANYON_OK);
    unlink(path);
    assert_int_equal(action, CONFIG_RUN);
    assert_int_equal(config->threads, 2);
    assert_string_equal(config->job.name, "filed");
}

static void test_command_line_faults(void **state) {
    struct config *config = *state;
    struct error error;
    enum config_action action;
    assert_int_equal(parse(config, &action, &error, "--threads", "many", NULL, NULL), CANYON_INVALID_ARGUMENT);
    assert_contains(error.text, "command line: threads = many");
    assert_int_equal(parse(config, &action, &error, "--color", "red", NULL, NULL), CANYON_INVALID_ARGUMENT);
    assert_contains(error.text, "no such key");
    assert_int_equal(parse(config, &action, &error, "--threads", NULL, NULL, NULL), CANYON_INVALID_ARGUMENT);
    assert_contains(error.text, "--threads needs a value");
    assert_int_equal(parse(config, &action, &error, "threads", NULL, NULL, NULL), CANYON_INVALID_ARGUMENT);
    assert_contains(error.text, "not an option");
    assert_defaults(config);
    assert_int_equal(parse(config, &action, &error, "--color", "red", "--help", NULL), CANYON_OK);
    assert_int_equal(action, CONFIG_HELP);
    assert_int_equal(parse(config, &action, &error, "--check", "--job", "x", NULL), CANYON_OK);
    assert_int_equal(action, CONFIG_CHECK);
    assert_string_equal(config->job.name, "x");
}

static void test_switches_may_stand_alone(void **state) {
    struct config *config = *state;
    struct error error;
    enum config_action action;
    assert_int_equal(parse(config, &action, &error, "--insecure-plaintext", "--threads", "2", NULL), CANYON_OK);
    assert_true(config->plaintext);
    assert_int_equal(config->threads, 2);
    assert_int_equal(parse(config, &action, &error, "--insecure-plaintext", "no", "--check", NULL), CANYON_OK);
    assert_false(config->plaintext);
    assert_int_equal(
        parse(config, &action, &error, "--insecure-plaintext=yes", "--insecure-plaintext-anywhere", NULL, NULL),
        CANYON_OK);
    assert_true(config->plaintext);
    assert_true(config->plaintext_anywhere);
    assert_int_equal(parse(config, &action, &error, "--insecure-plaintext", "maybe", NULL, NULL),
                     CANYON_INVALID_ARGUMENT);
    assert_contains(error.text, "maybe is not an option");
}

static void test_memory_limit_in_bytes_and_in_shares(void **state) {
    struct config *config = *state;
    static const struct {
        const char *value;
        uint64_t machine, bytes;
    } cases[] = {
        {"1", 1000, 1},
        {"900M", 0, 900ull << 20},
        {"16K", 1, 16384},
        {"2T", 1, 2ull << 40},
        {"1048576T", 1, 1ull << 60},
        {"75%", 1000, 750},
        {"100%", 1ull << 40, (1ull << 40) / 100 * 100},
        {"1%", 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        assert_int_equal(config_set(config, "memory-limit", cases[i].value, NULL), CANYON_OK);
        assert_true(config_memory(config, cases[i].machine) == cases[i].bytes);
    }
}

static void test_plaintext_stays_on_this_machine(void **state) {
    struct config *config = *state;
    struct error error;
    static const struct {
        const char *host;
        bool good;
    } cases[] = {{"127.0.0.1", true},    {"127.9.9.9", true},  {"::1", true},
                 {"0.0.0.0", false},     {"10.0.0.5", false},  {"::", false},
                 {"2001:db8::1", false}, {"128.0.0.1", false}, {"a.name.test", true}}; /* judged when it is resolved */
    for (size_t i = 0; i < 4 * (sizeof cases / sizeof cases[0]); ++i) {
        struct address at = {.port = 5};
        snprintf(at.host, sizeof at.host, "%s", cases[i / 4].host);
        config->plaintext = i % 2 != 0;
        config->plaintext_anywhere = i / 2 % 2 != 0;
        assert_int_equal(config_set(config, "advertise", "a:5", NULL), CANYON_OK);
        bool good = cases[i / 4].good || i % 4 != 1;
        assert_int_equal(config_place(config, &at, &error), good ? CANYON_OK : CANYON_CONFIGURATION);
        if (!good) {
            assert_contains(error.text, "insecure-plaintext-anywhere");
            assert_contains(error.text, "keygen");
        }
        assert_int_equal(config_check_reach(config, false, &error), i % 4 != 1 ? CANYON_OK : CANYON_CONFIGURATION);
        assert_int_equal(config_check_reach(config, true, &error), CANYON_OK);
    }
}

static void test_place_defaults_to_the_listening_address(void **state) {
    struct config *config = *state;
    struct error error;
    struct address at = {.host = "::1", .port = 5};
    assert_int_equal(config_place(config, &at, &error), CANYON_OK);
    assert_string_equal(config->advertise, "[::1]:5");
    assert_int_equal(config->job.server_count, 1);
    assert_string_equal(config->job.servers[0], "[::1]:5");
    assert_int_equal(config->server, 0);
    assert_int_equal(config_place(config, &at, &error), CANYON_OK);
}

static void test_place_finds_itself_in_the_list(void **state) {
    struct config *config = *state;
    struct error error;
    struct address at = {.host = "0.0.0.0", .port = 5};
    assert_int_equal(config_set(config, "servers", "a:1, b:2 ,c:3", &error), CANYON_OK);
    assert_int_equal(config_set(config, "advertise", "b:2", &error), CANYON_OK);
    assert_int_equal(config_place(config, &at, &error), CANYON_OK);
    assert_int_equal(config->server, 1);
}

static void test_place_refuses(void **state) {
    struct config *config = *state;
    struct error error;
    struct address four = {.host = "0.0.0.0", .port = 5}, six = {.host = "::", .port = 5};
    struct address open = {.host = "127.0.0.1", .port = 0}, good = {.host = "127.0.0.1", .port = 7077};
    assert_int_equal(config_place(config, &four, &error), CANYON_CONFIGURATION);
    assert_contains(error.text, "0.0.0.0:5");
    assert_contains(error.text, "advertise");
    assert_int_equal(config_place(config, &six, &error), CANYON_CONFIGURATION);
    assert_contains(error.text, "[::]:5");
    /* The port is not known yet: nothing to refuse for a lone server, nothing decided. */
    assert_int_equal(config_place(config, &open, &error), CANYON_OK);
    assert_string_equal(config->advertise, "");
    assert_int_equal(config_set(config, "servers", "127.0.0.1:1,127.0.0.1:2", &error), CANYON_OK);
    assert_int_equal(config_place(config, &open, &error), CANYON_CONFIGURATION);
    assert_contains(error.text, "127.0.0.1:0");
    assert_int_equal(config_place(config, &good, &error), CANYON_CONFIGURATION);
    assert_contains(error.text, "127.0.0.1:7077");
    assert_contains(error.text, "127.0.0.1:1,127.0.0.1:2");
}

static char *slurp(const char *path) {
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = calloc(1, 1 << 16);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 16) - 1, file) > 0);
    fclose(file);
    return text;
}

/* Turns every key of `config` away from its default, so that a file that leaves one out is caught. */
static void disturb(struct config *config) {
    static const char *const others[][2] = {
        {"listen", "[::1]:1"},
        {"advertise", "x:1"},
        {"servers", "x:1,y:2"},
        {"threads", "9"},
        {"job", "other"},
        {"shards", "2"},
        {"block", "2048"},
        {"pin", "0,3"},
        {"congestion", "system"},
        {"spin", "50"},
        {"lease", "100"},
        {"drain", "77"},
        {"log-level", "error"},
        {"memory-limit", "123"},
        {"insecure-plaintext", "yes"},
        {"insecure-plaintext-anywhere", "yes"},
        {"key", "/k"},
        {"allow", "/a"},
        {"cipher", "aes256gcm"},
        {"connections", "5"},
        {"connections-per-key", "6"},
    };
    size_t count = sizeof others / sizeof others[0];
    for (size_t i = 0; i < count; ++i) {
        assert_int_equal(config_set(config, others[i][0], others[i][1], NULL), CANYON_OK);
    }
    assert_non_null(config_key(count - 1));
    assert_null(config_key(count));
}

static void test_sample_file_is_the_defaults_and_mentions_every_key(void **state) {
    struct config *config = *state;
    struct error error = {.text = ""};
    disturb(config);
    if (config_file_read(config, SAMPLE, &error) != CANYON_OK) {
        fail_msg("%s", error.text);
    }
    assert_defaults(config);
    char *text = slurp(SAMPLE);
    for (size_t i = 0; config_key(i) != NULL; ++i) {
        char line[64];
        snprintf(line, sizeof line, "\n%s =", config_key(i));
        assert_contains(text, line);
    }
    free(text);
}

static void test_help_names_every_key(void **state) {
    (void)state;
    for (size_t i = 0; config_key(i) != NULL; ++i) {
        char option[64];
        snprintf(option, sizeof option, "  --%s", config_key(i));
        const char *found = strstr(help_text(), option);
        assert_non_null(found);
        assert_true(strchr(" \n", found[strlen(option)]) != NULL);
    }
    assert_contains(help_text(), "--config");
    assert_contains(help_text(), "--check");
    assert_contains(help_text(), "--version");
}

static void test_written_settings_read_back_equal(void **state) {
    struct config *config = *state;
    struct config again;
    struct error error;
    char *text = NULL;
    size_t bytes = 0;
    disturb(config);
    FILE *file = open_memstream(&text, &bytes);
    config_write(config, file);
    fclose(file);
    config_init(&again);
    assert_int_equal(read_text(&again, text, &error), CANYON_OK);
    assert_string_equal(again.listen, config->listen);
    assert_string_equal(again.advertise, config->advertise);
    assert_int_equal(again.threads, config->threads);
    assert_int_equal(again.lease, config->lease);
    assert_int_equal(again.drain, config->drain);
    assert_string_equal(again.pin, "0,3");
    assert_string_equal(again.congestion, "system");
    assert_int_equal(again.spin, 50);
    assert_string_equal(again.key, "/k");
    assert_string_equal(again.allow, "/a");
    assert_int_equal(again.cipher, CHANNEL_AES256GCM);
    assert_int_equal(again.connections, 5);
    assert_int_equal(again.connections_per_key, 6);
    assert_int_equal(again.memory_limit, 123);
    assert_true(again.plaintext);
    assert_true(again.plaintext_anywhere);
    assert_int_equal(again.log_level, config->log_level);
    assert_string_equal(again.job.name, config->job.name);
    assert_int_equal(again.job.shards, config->job.shards);
    assert_int_equal(again.job.block, config->job.block);
    assert_int_equal(again.job.server_count, 2);
    assert_string_equal(again.job.servers[1], "y:2");
    config_finish(&again);
    free(text);
}

static void test_inherited_descriptor(void **state) {
    struct config *config = *state;
    assert_int_equal(config_set(config, "listen", "fd:7", NULL), CANYON_OK);
    assert_int_equal(config->listen_descriptor, 7);
    assert_int_equal(config_set(config, "listen", "127.0.0.1:1", NULL), CANYON_OK);
    assert_int_equal(config->listen_descriptor, -1);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        EACH(test_defaults),
        EACH(test_file_sets_every_key),
        EACH(test_file_faults_name_line_key_value_and_rule),
        EACH(test_file_refuses_what_it_would_misread),
        EACH(test_command_line_wins_over_file_wherever_it_stands),
        EACH(test_command_line_faults),
        EACH(test_switches_may_stand_alone),
        EACH(test_memory_limit_in_bytes_and_in_shares),
        EACH(test_plaintext_stays_on_this_machine),
        EACH(test_place_defaults_to_the_listening_address),
        EACH(test_place_finds_itself_in_the_list),
        EACH(test_place_refuses),
        EACH(test_sample_file_is_the_defaults_and_mentions_every_key),
        EACH(test_help_names_every_key),
        EACH(test_written_settings_read_back_equal),
        EACH(test_inherited_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
