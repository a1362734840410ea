/* The server as a process: its exit codes, stopping with requests under way, and what a slow reader may cost. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/server/fixture.h"

#define ELEMENTS 1024

static void test_exit_codes(void **state) {
    (void)state;
    static const struct {
        const char *arguments[8];
        int code;
        const char *text;
    } cases[] = {
        {{"--help"}, 0, "usage: canyon-server"},
        {{"--version"}, 0, "canyon-server "},
        {{"--check"}, 0, "listen = 127.0.0.1:7077"},
        {{"--check", "--config", CANYON_SOURCE_DIR "/deploy/canyon.conf"}, 0, "advertise = 127.0.0.1:7077"},
        {{"--insecure-plaintext", "--listen", "127.0.0.1:0", "--pin", "0,1023", "--threads", "2"},
         2,
         "may not use processor 1023"},
        {{"--threads", "0"}, 2, "threads = 0: must be a whole number from 1 to 256"},
        {{"--listen", "0.0.0.0:0"}, 2, "advertise"},
        {{"--insecure-plaintext", "--listen", "fd:77"}, 2, "descriptor 77 is not a listening TCP socket"},
        {{"--servers", "a:1,b:2"}, 2, "127.0.0.1:7077 is not in servers"},
        {{"--insecure-plaintext", "--listen", "0.0.0.0:0"}, 2, "insecure-plaintext-anywhere"},
        {{"--key", "/nonexistent/key"}, 2, "canyon keygen --server --output /nonexistent/key"},
        {{"--insecure-plaintext", "--check"}, 0, "insecure-plaintext = yes"},
        {{"--config", "/nonexistent"}, 2, "/nonexistent"},
        {{"--insecure-plaintext", "--listen", "192.0.2.1:7077", "--insecure-plaintext-anywhere"}, 1, "no such address"},
        {{"--insecure-plaintext", "--listen", "host.invalid:7077"}, 1, "cannot listen on host.invalid:7077"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        struct process *process = process_run(cases[i].arguments);
        if (!process_logged(process, cases[i].text, PATIENCE_MS)) {
            fail_msg("case %zu does not say \"%s\"", i, cases[i].text);
        }
        assert_int_equal(process_wait(process, PATIENCE_MS), cases[i].code);
    }
}

static void test_port_in_use(void **state) {
    (void)state;
    char address[32], says[128];
    struct process *process = process_start(false, NULL, 0);
    struct peer peer;
    peer_open(&peer, process, 0, NULL);
    snprintf(address, sizeof address, "127.0.0.1:%u", process->port);
    snprintf(says, sizeof says, "cannot listen on %s: Address already in use: another program", address);
    const char *const arguments[] = {"--listen", address, "--insecure-plaintext", NULL};
    struct process *second = process_run(arguments);
    assert_true(process_logged(second, says, PATIENCE_MS));
    assert_int_equal(process_wait(second, PATIENCE_MS), 1);
    peer_check(&peer);
    peer_close(&peer);
    process_stop(process);
}

static void test_port_zero_of_a_lone_server(void **state) {
    (void)state;
    static const char *const arguments[] = {"--listen", "localhost:0", "--insecure-plaintext", NULL};
    struct process *process = process_run(arguments);
    assert_true(process_logged(process, "listening address=localhost:", PATIENCE_MS));
    assert_true(process_logged(process, " advertise=localhost:", PATIENCE_MS));
    assert_true(process_logged(process, " instructions=baseline", 0) ||
                process_logged(process, " instructions=AVX2", 0) ||
                process_logged(process, " instructions=AVX-512", 0));
    assert_false(process_logged(process, "localhost:0 ", 0));
    process_stop(process);
}

/* How many threads of a process may run on one processor only. */
static unsigned bound_threads(const struct process *process) {
    char path[300], line[256];
    unsigned bound = 0;
    snprintf(path, sizeof path, "/proc/%ld/task", (long)process->pid);
    DIR *tasks = opendir(path);
    assert_non_null(tasks);
    for (struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks)) {
        snprintf(path, sizeof path, "/proc/%ld/task/%.200s/status", (long)process->pid, task->d_name);
        FILE *status = task->d_name[0] != '.' ? fopen(path, "re") : NULL;
        while (status != NULL && fgets(line, sizeof line, status) != NULL) {
            /* One number: neither a range nor a list. */
            bound += strncmp(line, "Cpus_allowed_list:", 18) == 0 && strpbrk(line, "-,") == NULL;
        }
        if (status != NULL) {
            fclose(status);
        }
    }
    closedir(tasks);
    return bound;
}

/* Bound and spinning threads serve as others do; they are the two that are bound, and none where that was not asked
 * for. With one processor all threads are bound anyway. */
static void test_bound_and_spinning_threads(void **state) {
    (void)state;
    static const char *const arguments[] = {"--threads",    "2",    "--pin", "auto", "--spin", "200",
                                            "--congestion", "reno", NULL};
    static const char *const plain[] = {"--threads", "2", NULL};
    struct process *process = process_start(false, plain, 0);
    struct peer peer;
    peer_open(&peer, process, 1, NULL);
    unsigned always = bound_threads(process);
    peer_close(&peer);
    process_stop(process);
    process = process_start(false, arguments, 0);
    for (unsigned thread = 0; thread < 2; thread++) {
        peer_open(&peer, process, thread, NULL);
        peer_check(&peer);
        sleep_ms(5); /* it sleeps by now, and must wake */
        peer_check(&peer);
        peer_close(&peer);
    }
    if (always == 0) {
        assert_int_equal(bound_threads(process), 2);
    }
    process_stop(process);
}

static void test_idle_client_does_not_delay_stopping(void **state) {
    (void)state;
    static const char *const arguments[] = {"--threads", "2", NULL};
    struct process *process = process_start(false, arguments, 0);
    struct peer one, two;
    peer_open(&one, process, 0, NULL);
    peer_open(&two, process, 1, NULL);
    uint64_t before = now_ms();
    process_stop(process);
    assert_true(now_ms() - before < 900);
    peer_expect_end(&one, PATIENCE_MS);
    peer_expect_end(&two, PATIENCE_MS);
    peer_close(&one);
    peer_close(&two);
}

/* The server is stopped in its tracks while requests pile up in its receive buffer, so that the signal finds all of
 * them received and none executed. */
static void test_requests_under_way_are_answered(void **state) {
    (void)state;
    enum { REQUESTS = 200 };
    static const char *const arguments[] = {"--block", "1024", NULL};
    static const float ones[ELEMENTS] = {1.0f};
    struct process *process = process_start(false, arguments, 0);
    struct message_barrier barrier = {.name = "all", .count = 2, .wait_ms = 60000};
    struct message_piece_results results;
    uint8_t bytes[LIMIT_MESSAGE_BYTES], parked[LIMIT_MESSAGE_BYTES];
    struct frame frame;
    struct peer peer, waiter;
    peer_open(&peer, process, 0, NULL);
    peer_open(&waiter, process, 0, NULL);
    uint64_t tensor = peer_create(&peer, "w", ELEMENTS);
    peer_send(&waiter, FRAME_BARRIER, parked, message_pack_barrier(&barrier, parked), NULL, 0);
    peer_check(&peer);
    sleep_ms(50);

    process_signal(process, SIGSTOP);
    uint64_t first = peer.request + 1;
    for (uint64_t i = 0; i < REQUESTS; ++i) {
        size_t count = piece_pack(tensor, 0, ELEMENTS, i, bytes);
        peer_send(&peer, FRAME_PUSH_PULL, bytes, count, ones, sizeof ones);
    }
    snprintf(barrier.name, sizeof barrier.name, "late");
    uint64_t late = peer_send(&peer, FRAME_BARRIER, parked, message_pack_barrier(&barrier, parked), NULL, 0);
    process_signal(process, SIGTERM);
    process_signal(process, SIGCONT);

    for (uint64_t i = 0; i < REQUESTS; ++i) {
        peer_expect(&peer, &frame, FRAME_PUSH_PULLED, first + i);
        assert_int_equal(message_unpack_piece_results(frame.message, frame.header.message_bytes, &results, NULL),
                         CANYON_OK);
        assert_int_equal(results.results[0].status, CANYON_OK);
        assert_int_equal(results.results[0].version, i + 1);
        assert_int_equal(results.results[0].staleness, 0);
    }
    peer_expect_error(&peer, late, CANYON_UNAVAILABLE, "stopping");
    peer_expect_end(&peer, PATIENCE_MS);
    peer_expect_error(&waiter, 2, CANYON_UNAVAILABLE, "stopping");
    peer_expect_end(&waiter, PATIENCE_MS);
    assert_true(process_logged(process, "stopped", PATIENCE_MS));
    assert_int_equal(process_wait(process, PATIENCE_MS), 0);
    peer_close(&peer);
    peer_close(&waiter);
}

/* Pulls of 256 KiB that nobody reads: far more than the server may hold. Returns the last request. */
static uint64_t flood(struct peer *peer, uint64_t tensor, uint32_t elements, int requests) {
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    size_t count = piece_pack(tensor, 0, elements, 0, bytes);
    for (int i = 0; i < requests; ++i) {
        peer_send(peer, FRAME_PULL, bytes, count, NULL, 0);
    }
    return peer->request;
}

static void test_slow_reader_costs_little_and_disturbs_nobody(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    struct frame frame;
    struct peer good, slow;
    peer_open(&good, process, 0, NULL);
    uint64_t tensor = peer_create(&good, "w", 65536);
    size_t before = process_memory(process, "VmRSS");
    peer_open(&slow, process, 0, NULL);
    uint64_t first = slow.request + 1;
    uint64_t last = flood(&slow, tensor, 65536, 10000);
    assert_int_equal(last - first + 1, 10000);
    for (int i = 0; i < 20; ++i) {
        uint64_t asked = now_ms();
        peer_check(&good);
        assert_true(now_ms() - asked < 2000);
        sleep_ms(10);
    }
    size_t grown = process_memory(process, "VmHWM") - before;
    print_message("10000 unread pulls of 256 KiB grew the server by %zu KiB\n", grown);
    assert_true(grown < 64 * 1024);
    /* It goes on where it stopped. */
    for (uint64_t request = first; request < first + 500; ++request) {
        peer_expect(&slow, &frame, FRAME_PULLED, request);
        assert_int_equal(frame.header.payload_bytes, 65536 * 4);
    }
    peer_close(&slow);
    peer_check(&good);
    peer_close(&good);
    process_stop(process);
}

static void test_stopping_is_bounded_by_the_drain_time(void **state) {
    (void)state;
    static const char *const arguments[] = {"--drain", "1", NULL};
    struct process *process = process_start(false, arguments, 0);
    struct peer slow;
    peer_open(&slow, process, 0, NULL);
    flood(&slow, peer_create(&slow, "w", 65536), 65536, 200);
    sleep_ms(100);
    uint64_t before = now_ms();
    process_signal(process, SIGTERM);
    assert_true(process_logged(process, "drain-cut", PATIENCE_MS));
    assert_int_equal(process_wait(process, PATIENCE_MS), 0);
    uint64_t took = now_ms() - before;
    assert_true(took >= 900 && took < 5000);
    peer_close(&slow);
}

static void test_second_signal_ends_it_at_once(void **state) {
    (void)state;
    static const char *const arguments[] = {"--drain", "60", NULL};
    struct process *process = process_start(false, arguments, 0);
    struct peer slow;
    peer_open(&slow, process, 0, NULL);
    flood(&slow, peer_create(&slow, "w", 65536), 65536, 200);
    sleep_ms(100);
    process_signal(process, SIGTERM);
    assert_true(process_logged(process, "stopping", PATIENCE_MS));
    sleep_ms(50);
    process_signal(process, SIGTERM);
    assert_int_equal(process_wait(process, 3000), 1);
    peer_close(&slow);
}

#define EACH(test) cmocka_unit_test_teardown(test, fixture_end)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        EACH(test_exit_codes),
        EACH(test_port_in_use),
        EACH(test_port_zero_of_a_lone_server),
        EACH(test_bound_and_spinning_threads),
        EACH(test_idle_client_does_not_delay_stopping),
        EACH(test_requests_under_way_are_answered),
        EACH(test_slow_reader_costs_little_and_disturbs_nobody),
        EACH(test_stopping_is_bounded_by_the_drain_time),
        EACH(test_second_signal_ends_it_at_once),
    };
    fixture_encrypt(argc > 1 && strcmp(argv[1], "encrypted") == 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
