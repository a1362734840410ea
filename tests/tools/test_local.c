/* Local servers: they start, serve, are watched, and go away whatever happens to the program that started them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/tools/local.h"

#define SERVER CANYON_BINARY_DIR "/bin/canyon-server"

static struct local *start(uint32_t servers) {
    struct local_options options;
    struct local *local = NULL;
    char text[LOCAL_TEXT_BYTES] = "";
    local_options_init(&options);
    options.servers = servers;
    options.program = SERVER;
    if (local_start(&options, &local, text, sizeof text) != CANYON_OK) {
        fail_msg("%s", text);
    }
    return local;
}

static void sleep_ms(long ms) {
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

/* "…/canyon-XXXXXX/server-0.log" without its last part. */
static void directory_of(const struct local *local, char *directory, size_t bytes) {
    snprintf(directory, bytes, "%s", local_log(local, 0));
    *strrchr(directory, '/') = '\0';
}

static void test_start_serve_stop(void **state) {
    (void)state;
    struct local *local = start(3);
    struct canyon_options options;
    struct canyon_server_statistics *servers = NULL;
    canyon_client *client = NULL;
    size_t count = 0;
    pid_t processes[3];
    char directory[1200];
    directory_of(local, directory, sizeof directory);
    canyon_options_init(&options);
    options.servers = local_servers(local);
    keys_apply(local_keys(local), &options);
    assert_int_equal(canyon_connect(&options, &client), CANYON_OK);
    assert_int_equal(canyon_statistics(client, 0, &servers, &count), CANYON_OK);
    assert_int_equal(count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        processes[i] = local_process(local, i);
        assert_true(processes[i] > 0);
        assert_true(servers[i].reachable);
        assert_non_null(strstr(local_servers(local), servers[i].address));
        assert_int_equal(access(local_log(local, i), R_OK), 0);
        assert_int_not_equal(getpgid(processes[i]), getpgrp());
    }
    canyon_free(servers);
    canyon_close(client);
    assert_true(local_stop(local));
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(kill(processes[i], 0), -1);
        assert_int_equal(errno, ESRCH);
    }
    assert_int_equal(access(directory, F_OK), -1);
}

static void test_options_reach_the_servers(void **state) {
    (void)state;
    struct local_options options;
    struct canyon_options connect;
    struct canyon_job job;
    struct local *local = NULL;
    canyon_client *client = NULL;
    char text[LOCAL_TEXT_BYTES];
    local_options_init(&options);
    options.program = SERVER;
    options.servers = 2;
    options.threads = 3;
    options.shards = 64;
    options.block_elements = 1024;
    options.job = "digits";
    assert_int_equal(local_start(&options, &local, text, sizeof text), CANYON_OK);
    assert_int_equal(local_count(local), 2);
    canyon_options_init(&connect);
    connect.servers = local_servers(local);
    keys_apply(local_keys(local), &connect);
    assert_int_equal(canyon_connect(&connect, &client), CANYON_OK);
    assert_int_equal(canyon_job(client, &job), CANYON_OK);
    assert_string_equal(job.name, "digits");
    assert_int_equal(job.servers, 2);
    assert_int_equal(job.threads, 6);
    assert_int_equal(job.shards, 64);
    assert_int_equal(job.block_elements, 1024);
    canyon_close(client);
    assert_true(local_stop(local));
}

static void test_check_sees_a_server_end(void **state) {
    (void)state;
    struct local *local = start(2);
    char text[LOCAL_TEXT_BYTES] = "";
    assert_true(local_check(local, text, sizeof text));
    kill(local_process(local, 1), SIGKILL);
    for (int i = 0; i < 1000 && local_check(local, text, sizeof text); i++) {
        sleep_ms(10);
    }
    assert_non_null(strstr(text, "signal 9"));
    assert_int_equal(local_process(local, 1), -1);
    /* It did not exit with 0, and nobody meant it to end. */
    assert_false(local_stop(local));
}

static void test_kill_on_purpose(void **state) {
    (void)state;
    struct local *local = start(2);
    pid_t process = local_process(local, 0);
    local_kill(local, 0, SIGKILL);
    assert_int_equal(kill(process, 0), -1);
    assert_int_equal(local_process(local, 0), -1);
    local_kill(local, 0, SIGKILL);
    assert_true(local_stop(local));
}

/* A program that is not a server: what it printed is in the text. */
static void test_start_that_fails(void **state) {
    (void)state;
    struct local_options options;
    struct local *local = NULL;
    char text[LOCAL_TEXT_BYTES], script[] = "/tmp/canyon-local-XXXXXX";
    int file = mkstemp(script);
    assert_true(file >= 0);
    assert_true(dprintf(file, "#!/bin/sh\necho port is bewitched >&2\nexit 7\n") > 0);
    assert_int_equal(fchmod(file, 0700), 0);
    close(file);
    local_options_init(&options);
    options.servers = 2;
    options.program = script;
    assert_int_equal(local_start(&options, &local, text, sizeof text), CANYON_UNAVAILABLE);
    assert_null(local);
    assert_non_null(strstr(text, "exit code 7"));
    assert_non_null(strstr(text, "port is bewitched"));
    assert_int_equal(chmod(script, 0600), 0);
    options.program = "/nonexistent/canyon-server";
    assert_int_equal(local_start(&options, &local, text, sizeof text), CANYON_NOT_FOUND);
    assert_non_null(strstr(text, options.program));
    unlink(script);
}

static void test_a_file_that_cannot_be_run(void **state) {
    (void)state;
    struct local_options options;
    struct local *local = NULL;
    char text[LOCAL_TEXT_BYTES], garbage[] = "/tmp/canyon-local-XXXXXX";
    int file = mkstemp(garbage);
    assert_true(file >= 0);
    assert_int_equal(write(file,
                           "\x7f"
                           "ELFno",
                           6),
                     6);
    assert_int_equal(fchmod(file, 0700), 0);
    close(file);
    local_options_init(&options);
    options.program = garbage;
    assert_int_equal(local_start(&options, &local, text, sizeof text), CANYON_INTERNAL);
    assert_null(local);
    assert_non_null(strstr(text, strerror(ENOEXEC)));
    unlink(garbage);
}

static void test_a_server_that_never_answers(void **state) {
    (void)state;
    struct local_options options;
    struct local *local = NULL;
    char text[LOCAL_TEXT_BYTES], script[] = "/tmp/canyon-local-XXXXXX";
    int file = mkstemp(script);
    assert_true(file >= 0);
    assert_true(dprintf(file, "#!/bin/sh\nexec sleep 1000\n") > 0);
    assert_int_equal(fchmod(file, 0700), 0);
    close(file);
    local_options_init(&options);
    options.program = script;
    options.timeout_ms = 300;
    assert_int_not_equal(local_start(&options, &local, text, sizeof text), CANYON_OK);
    assert_null(local);
    assert_non_null(strstr(text, "did not all answer within 300 ms"));
    unlink(script);
}

/* The directory, its keys and its lists are this user's alone, and the keys of two runs have nothing in common. */
static void test_their_keys_are_private(void **state) {
    static const char *const files[] = {"key", "known_servers", "server.key", "allow"};
    struct local *locals[2] = {start(1), start(1)};
    char directories[2][1200], path[1300], shown[2][CANYON_KEY_TEXT_BYTES];
    struct stat facts;
    struct canyon_options options;
    canyon_client *client = NULL;
    (void)state;
    for (int i = 0; i < 2; i++) {
        directory_of(locals[i], directories[i], sizeof directories[i]);
        assert_string_equal(local_home(locals[i]), directories[i]);
        assert_int_equal(stat(directories[i], &facts), 0);
        assert_int_equal(facts.st_mode & 0777, 0700);
        for (size_t f = 0; f < sizeof files / sizeof files[0]; f++) {
            snprintf(path, sizeof path, "%s/%s", directories[i], files[f]);
            assert_int_equal(stat(path, &facts), 0);
            assert_int_equal(facts.st_mode & 0777, 0600);
        }
        snprintf(path, sizeof path, "%s/server.key", directories[i]);
        assert_int_equal(canyon_key_show(path, shown[i]), CANYON_OK);
    }
    assert_string_not_equal(shown[0], shown[1]);
    canyon_options_init(&options); /* with the other's keys */
    options.servers = local_servers(locals[0]);
    keys_apply(local_keys(locals[1]), &options);
    assert_int_equal(canyon_connect(&options, &client), CANYON_UNAUTHENTICATED);
    for (int i = 0; i < 2; i++) {
        assert_true(local_stop(locals[i]));
        assert_int_equal(access(directories[i], F_OK), -1);
    }
}

static void test_plaintext_when_it_is_asked_for(void **state) {
    struct local_options options;
    struct canyon_options connect;
    struct local *local = NULL;
    canyon_client *client = NULL;
    char text[LOCAL_TEXT_BYTES];
    (void)state;
    local_options_init(&options);
    options.program = SERVER;
    options.plaintext = true;
    assert_int_equal(local_start(&options, &local, text, sizeof text), CANYON_OK);
    assert_null(local_home(local));
    canyon_options_init(&connect);
    connect.servers = local_servers(local);
    keys_apply(local_keys(local), &connect);
    assert_int_equal(connect.insecure_plaintext, 1);
    assert_int_equal(canyon_connect(&connect, &client), CANYON_OK);
    canyon_close(client);
    assert_true(local_stop(local));
}

static void test_wrong_options(void **state) {
    (void)state;
    struct local_options options;
    struct local *local = NULL;
    char text[LOCAL_TEXT_BYTES];
    local_options_init(&options);
    options.program = SERVER;
    options.servers = 0;
    assert_int_equal(local_start(&options, &local, text, sizeof text), CANYON_INVALID_ARGUMENT);
    options.servers = LOCAL_SERVERS_HIGH + 1;
    assert_int_equal(local_start(&options, &local, text, sizeof text), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(text, "65 local servers"));
    options.servers = 1;
    options.shards = 3; /* not a power of two: the server says so */
    assert_int_equal(local_start(&options, &local, text, sizeof text), CANYON_UNAVAILABLE);
    assert_non_null(strstr(text, "power of two"));
    assert_true(local_stop(NULL));
}

static void test_a_forked_child_does_not_stop_them(void **state) {
    (void)state;
    struct local *local = start(1);
    char text[LOCAL_TEXT_BYTES] = "";
    int outcome = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        local_stop(local);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &outcome, 0), child);
    assert_int_equal(outcome, 0);
    sleep_ms(200);
    assert_true(local_check(local, text, sizeof text));
    assert_int_equal(access(local_log(local, 0), R_OK), 0);
    assert_true(local_stop(local));
}

/* Starts servers in a child that is then killed without a chance to clean up. */
static void test_servers_end_with_their_starter(void **state) {
    (void)state;
    int channel[2];
    pid_t processes[2] = {0, 0};
    char directory[1200] = "";
    assert_int_equal(pipe(channel), 0);
    /* Orphans come to this process, so that their end can be seen. */
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct local *local = start(2);
        processes[0] = local_process(local, 0);
        processes[1] = local_process(local, 1);
        directory_of(local, directory, sizeof directory);
        if (write(channel[1], processes, sizeof processes) != (ssize_t)sizeof processes ||
            write(channel[1], directory, sizeof directory) != (ssize_t)sizeof directory) {
            _exit(1);
        }
        for (;;) {
            pause();
        }
    }
    close(channel[1]);
    assert_int_equal(read(channel[0], processes, sizeof processes), sizeof processes);
    assert_int_equal(read(channel[0], directory, sizeof directory), sizeof directory);
    close(channel[0]);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    for (int i = 0; i < 2; i++) {
        int outcome = -1;
        assert_int_equal(waitpid(processes[i], &outcome, 0), processes[i]); /* ctest's time limit watches */
        assert_true(WIFEXITED(outcome) && WEXITSTATUS(outcome) == 0);
    }
    /* Nobody was left who could do that. */
    static const char *const files[] = {"server-0.log", "server-1.log", "key", "known_servers", "server.key", "allow"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[1300];
        snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(directory), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_serve_stop),
        cmocka_unit_test(test_options_reach_the_servers),
        cmocka_unit_test(test_check_sees_a_server_end),
        cmocka_unit_test(test_kill_on_purpose),
        cmocka_unit_test(test_start_that_fails),
        cmocka_unit_test(test_a_file_that_cannot_be_run),
        cmocka_unit_test(test_a_server_that_never_answers),
        cmocka_unit_test(test_wrong_options),
        cmocka_unit_test(test_their_keys_are_private),
        cmocka_unit_test(test_plaintext_when_it_is_asked_for),
        cmocka_unit_test(test_a_forked_child_does_not_stop_them),
        cmocka_unit_test(test_servers_end_with_their_starter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
