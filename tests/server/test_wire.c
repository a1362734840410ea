/* Connections of a real server: greeting, bad input, partial and slow input, half-closed sockets. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/server/fixture.h"

#define ELEMENTS 1000

static size_t hello_frame(const struct message_hello *hello, uint8_t *bytes) {
    struct frame_header header = {.type = FRAME_HELLO, .request = 7};
    header.message_bytes = (uint32_t)message_pack_hello(hello, bytes + FRAME_HEADER_BYTES);
    frame_header_encode(&header, bytes);
    return FRAME_HEADER_BYTES + header.message_bytes;
}

static void each_thread_welcomes(bool ipv6) {
    static const char *const arguments[] = {"--threads", "3",       "--job", "digits", "--shards",
                                            "8",         "--block", "1024",  NULL};
    struct process *process = process_start(ipv6, arguments, 0);
    struct message_welcome first = {.protocol = 0};
    for (uint32_t thread = 0; thread < 3; ++thread) {
        struct message_welcome welcome;
        struct peer peer;
        peer_open(&peer, process, thread, &welcome);
        first = thread == 0 ? welcome : first;
        assert_int_equal(welcome.thread, thread);
        assert_int_equal(welcome.threads, 3);
        assert_int_equal(welcome.shards, 8);
        assert_int_equal(welcome.block, 1024);
        assert_string_equal(welcome.job, "digits");
        assert_memory_equal(welcome.boot, first.boot, BOOT_BYTES);
        assert_memory_equal(welcome.digest, first.digest, JOB_DIGEST_BYTES);
        peer_check(&peer);
        peer_close(&peer);
    }
    process_stop(process);
}

static void test_each_thread_welcomes(void **state) {
    (void)state;
    each_thread_welcomes(false);
}

static void test_ipv6(void **state) {
    (void)state;
    int probe = socket(AF_INET6, SOCK_STREAM, 0);
    if (probe < 0 || access("/proc/net/if_inet6", R_OK) != 0) {
        print_message("SKIPPED: this machine has no IPv6; nothing was tested over it\n");
        skip();
    }
    close(probe);
    each_thread_welcomes(true);
}

static void test_hello_that_is_refused(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    struct message_hello hello = {.protocol = 1, .thread = 1};
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    struct peer peer, good;
    peer_open(&good, process, 0, NULL);
    size_t count = hello_frame(&hello, bytes);

    peer_connect(&peer, process, 0);
    assert_true(peer_write(&peer, bytes, count));
    peer_expect_error(&peer, 7, CANYON_INVALID_ARGUMENT, "thread 1");
    peer_expect_end(&peer, PATIENCE_MS);
    peer_close(&peer);

    hello = (struct message_hello){.protocol = 1, .has_digest = true, .digest = {1}};
    count = hello_frame(&hello, bytes);
    peer_connect(&peer, process, 0);
    assert_true(peer_write(&peer, bytes, count));
    peer_expect_error(&peer, 7, CANYON_CONFIGURATION, "job=default shards=256 block=65536 servers=127.0.0.1:");
    peer_expect_end(&peer, PATIENCE_MS);
    peer_close(&peer);

    bytes[4] = 9; /* the frame's version */
    peer_connect(&peer, process, 0);
    assert_true(peer_write(&peer, bytes, count));
    peer_expect_error(&peer, 0, CANYON_UNSUPPORTED, "9");
    peer_expect_end(&peer, PATIENCE_MS);
    peer_close(&peer);

    peer_connect(&peer, process, 0);
    assert_true(peer_write(&peer, "GET / HTTP/1.1\r\n\r\n", 18));
    peer_expect_error(&peer, 0, CANYON_PROTOCOL, "");
    peer_expect_end(&peer, PATIENCE_MS);
    peer_close(&peer);

    peer_connect(&peer, process, 0);
    peer_send(&peer, FRAME_LIST, NULL, 0, NULL, 0);
    peer_expect_error(&peer, 0, CANYON_PROTOCOL, "HELLO");
    peer_expect_end(&peer, PATIENCE_MS);
    peer_close(&peer);

    peer_check(&good);
    process_stop(process);
    peer_close(&good);
}

static void test_hello_byte_by_byte_with_a_request_behind_it(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    struct message_hello hello = {.protocol = 1, .name = "slow"};
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    struct frame_header next = {.type = FRAME_STATISTICS, .request = 8};
    struct frame frame;
    struct peer peer;
    size_t count = hello_frame(&hello, bytes);
    frame_header_encode(&next, bytes + count);
    peer_connect(&peer, process, 0);
    for (size_t i = 0; i < count - 1; ++i) {
        assert_true(peer_write(&peer, bytes + i, 1));
        sleep_ms(1);
    }
    assert_true(peer_write(&peer, bytes + count - 1, 1 + FRAME_HEADER_BYTES));
    peer_expect(&peer, &frame, FRAME_WELCOME, 7);
    peer_expect(&peer, &frame, FRAME_STATISTICS_ARE, 8);
    peer_close(&peer);
    process_stop(process);
}

static void test_silent_stranger_is_let_go(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    struct peer peer;
    uint64_t before = now_ms();
    peer_connect(&peer, process, 0);
    assert_true(peer_write(&peer, "CNYN", 4));
    peer_expect_end(&peer, PATIENCE_MS);
    uint64_t took = now_ms() - before;
    assert_true(took >= 4500);
    assert_true(process_logged(process, "hello-refused", PATIENCE_MS));
    peer_close(&peer);
    process_stop(process);
}

/* After a good hello: `bytes` break the framing. ERROR in answer to no request, then the end. */
static void breaks(struct process *process, const void *bytes, size_t count, enum canyon_status status,
                   const char *part) {
    struct peer peer;
    peer_open(&peer, process, 0, NULL);
    assert_true(peer_write(&peer, bytes, count));
    peer_expect_error(&peer, 0, status, part);
    peer_expect_end(&peer, PATIENCE_MS);
    peer_close(&peer);
}

static void test_broken_framing_closes_one_connection(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    struct frame_header header = {.type = FRAME_PUSH, .message_bytes = LIMIT_MESSAGE_BYTES + 1, .request = 5};
    uint8_t bytes[FRAME_HEADER_BYTES], garbage[100];
    struct peer good;
    peer_open(&good, process, 0, NULL);
    memset(garbage, 'x', sizeof garbage);
    breaks(process, garbage, sizeof garbage, CANYON_PROTOCOL, "");
    frame_header_encode(&header, bytes);
    breaks(process, bytes, sizeof bytes, CANYON_TOO_LARGE, "4097");
    header = (struct frame_header){.type = FRAME_PUSH, .payload_bytes = 0x7fffffff, .request = 5};
    frame_header_encode(&header, bytes);
    breaks(process, bytes, sizeof bytes, CANYON_TOO_LARGE, "2147483647");
    header = (struct frame_header){.type = FRAME_LIST, .request = 5};
    frame_header_encode(&header, bytes);
    bytes[4] = 2;
    breaks(process, bytes, sizeof bytes, CANYON_UNSUPPORTED, "2");
    assert_true(process_logged(process, "connection-refused", PATIENCE_MS));
    peer_check(&good);
    peer_close(&good);
    process_stop(process);
}

/* A client that breaks the framing and goes on sending must still be able to read why. */
static void test_error_survives_input_that_nobody_reads(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    static uint8_t garbage[1 << 20];
    struct peer peer;
    memset(garbage, 'x', sizeof garbage);
    peer_open(&peer, process, 0, NULL);
    assert_true(peer_write(&peer, garbage, sizeof garbage));
    peer_expect_error(&peer, 0, CANYON_PROTOCOL, "");
    peer_expect_end(&peer, PATIENCE_MS);
    peer_close(&peer);
    process_stop(process);
}

static void test_bad_requests_are_answered_and_change_nothing(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    static const float ones[ELEMENTS] = {1.0f};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    struct frame frame;
    struct peer peer;
    peer_open(&peer, process, 0, NULL);
    uint64_t tensor = peer_create(&peer, "w", ELEMENTS);
    size_t count = piece_pack(tensor, 0, ELEMENTS, 0, bytes);

    uint64_t request = peer_send(&peer, 999, NULL, 0, NULL, 0);
    peer_expect_error(&peer, request, CANYON_UNSUPPORTED, "999");
    request = peer_send(&peer, FRAME_PUSH, bytes, count, ones, sizeof ones - 4);
    peer_expect_error(&peer, request, CANYON_PROTOCOL, "");
    request = peer_send(&peer, FRAME_PUSH, (const uint8_t *)"\xff\xff\xff", 3, ones, 4);
    peer_expect_error(&peer, request, CANYON_PROTOCOL, "");
    request = peer_send(&peer, FRAME_PUSHED, bytes, count, NULL, 0);
    peer_expect(&peer, &frame, FRAME_ERROR, request);
    request = peer_send(&peer, FRAME_HELLO, NULL, 0, NULL, 0);
    peer_expect(&peer, &frame, FRAME_ERROR, request);

    struct message_piece_results results;
    request = peer_send(&peer, FRAME_PULL, bytes, count, NULL, 0);
    peer_expect(&peer, &frame, FRAME_PULLED, request);
    assert_int_equal(message_unpack_piece_results(frame.message, frame.header.message_bytes, &results, NULL),
                     CANYON_OK);
    assert_int_equal(results.results[0].status, CANYON_OK);
    assert_int_equal(results.results[0].version, 0);
    assert_int_equal(frame.header.payload_bytes, sizeof ones);
    peer_close(&peer);
    process_stop(process);
}

static void test_truncated_frame_disturbs_nobody(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    static const float ones[ELEMENTS] = {1.0f};
    uint8_t bytes[LIMIT_MESSAGE_BYTES], head[FRAME_HEADER_BYTES];
    struct frame frame;
    struct peer good, peer;
    peer_open(&good, process, 0, NULL);
    uint64_t tensor = peer_create(&good, "w", ELEMENTS);
    size_t count = piece_pack(tensor, 0, ELEMENTS, 0, bytes);
    struct frame_header header = {
        .type = FRAME_PUSH, .message_bytes = (uint32_t)count, .payload_bytes = sizeof ones, .request = 1};
    frame_header_encode(&header, head);
    peer_open(&peer, process, 0, NULL);
    assert_true(peer_write(&peer, head, sizeof head) && peer_write(&peer, bytes, count));
    assert_true(peer_write(&peer, ones, sizeof ones - 1));
    peer_finish(&peer);
    peer_expect_end(&peer, PATIENCE_MS);
    peer_close(&peer);
    assert_true(process_logged(process, "frame-cut", PATIENCE_MS));
    uint64_t request = peer_send(&good, FRAME_PULL, bytes, count, NULL, 0);
    peer_expect(&good, &frame, FRAME_PULLED, request);
    struct message_piece_results results;
    assert_int_equal(message_unpack_piece_results(frame.message, frame.header.message_bytes, &results, NULL),
                     CANYON_OK);
    assert_int_equal(results.results[0].version, 0);
    peer_close(&good);
    process_stop(process);
}

static void test_push_byte_by_byte(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    const float gradient[3] = {1.0f, -2.0f, 4.0f};
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES + sizeof gradient];
    struct frame frame;
    struct peer peer;
    peer_open(&peer, process, 0, NULL);
    uint64_t tensor = peer_create(&peer, "w", 3);
    size_t count = piece_pack(tensor, 0, 3, 0, bytes + FRAME_HEADER_BYTES);
    struct frame_header header = {
        .type = FRAME_PUSH_PULL, .message_bytes = (uint32_t)count, .payload_bytes = sizeof gradient, .request = 50};
    frame_header_encode(&header, bytes);
    memcpy(bytes + FRAME_HEADER_BYTES + count, gradient, sizeof gradient);
    for (size_t i = 0; i < FRAME_HEADER_BYTES + count + sizeof gradient; ++i) {
        assert_true(peer_write(&peer, bytes + i, 1));
        sleep_ms(1);
    }
    peer_expect(&peer, &frame, FRAME_PUSH_PULLED, 50);
    float weights[3];
    assert_int_equal(frame.header.payload_bytes, sizeof weights);
    memcpy(weights, frame.payload, sizeof weights);
    /* One step of sgd from zero: w = -lr * g, whatever the default rate is. */
    assert_true(weights[0] < 0.0f && weights[1] == -2.0f * weights[0] && weights[2] == 4.0f * weights[0]);
    peer_close(&peer);
    process_stop(process);
}

static void test_half_closed_client_gets_its_replies(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    struct frame frame;
    struct peer peer;
    peer_open(&peer, process, 0, NULL);
    uint64_t tensor = peer_create(&peer, "w", 60000), last = 0;
    size_t count = piece_pack(tensor, 0, 60000, 0, bytes);
    uint64_t first = peer.request + 1;
    for (int i = 0; i < 60; ++i) {
        last = peer_send(&peer, FRAME_PULL, bytes, count, NULL, 0);
    }
    peer_finish(&peer);
    sleep_ms(50);
    for (uint64_t request = first; request <= last; ++request) {
        peer_expect(&peer, &frame, FRAME_PULLED, request);
        assert_int_equal(frame.header.payload_bytes, 240000);
    }
    peer_expect_end(&peer, PATIENCE_MS);
    peer_close(&peer);
    process_stop(process);
}

/* There are places for 165 strangers. Who has been silent for longest gives way to who comes. */
static void test_crowd_of_strangers(void **state) {
    (void)state;
    enum { CROWD = 200 };
    static struct peer crowd[CROWD];
    struct process *process = process_start(false, NULL, 300);
    struct peer good, late;
    struct frame frame;
    peer_open(&good, process, 0, NULL);
    for (size_t i = 0; i < CROWD; ++i) {
        peer_connect(&crowd[i], process, 0);
    }
    assert_true(process_logged(process, "crowded", PATIENCE_MS));
    peer_expect_end(&crowd[0], PATIENCE_MS);
    peer_open(&late, process, 0, NULL);
    peer_check(&good);
    peer_check(&late);
    /* The last ones are still there, unless this took longer than anybody may be silent. */
    if (peer_receive(&crowd[CROWD - 1], &frame, 0) == PEER_END) {
        assert_true(process_logged(process, "it took too long", 0));
    }
    for (size_t i = 0; i < CROWD; ++i) {
        peer_close(&crowd[i]);
    }
    peer_close(&late);
    peer_close(&good);
    process_stop(process);
}

/* More connections are permitted than there are descriptors for. */
static void test_out_of_descriptors_sheds_newcomers_only(void **state) {
    (void)state;
    enum { CROWD = 64 };
    static const char *const arguments[] = {"--connections", "1000", NULL};
    static struct peer crowd[CROWD];
    struct process *process = process_start(false, arguments, 48);
    struct peer late;
    struct frame frame;
    size_t inside = 0;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    const struct message_hello hello = {.protocol = 1, .name = "one of many"};
    size_t count = message_pack_hello(&hello, bytes);
    for (size_t i = 0; i < CROWD; ++i) {
        peer_connect(&crowd[i], process, 0);
        peer_send(&crowd[i], FRAME_HELLO, bytes, count, NULL, 0);
        enum peer_result result = peer_receive(&crowd[i], &frame, PATIENCE_MS);
        assert_true(result == PEER_FRAME ? inside == i : result == PEER_END);
        inside += result == PEER_FRAME;
    }
    assert_true(inside > 20);
    assert_true(process_logged(process, "shed", PATIENCE_MS));
    for (size_t i = 0; i < inside; ++i) {
        peer_check(&crowd[i]);
    }
    for (size_t i = 0; i < CROWD; ++i) {
        peer_close(&crowd[i]);
    }
    /* The server learns of it in its own time. */
    do {
        sleep_ms(10);
        peer_connect(&late, process, 0);
        peer_send(&late, FRAME_HELLO, bytes, count, NULL, 0);
        if (peer_receive(&late, &frame, PATIENCE_MS) == PEER_FRAME) {
            break;
        }
        peer_close(&late);
    } while (true);
    peer_check(&late);
    peer_close(&late);
    process_stop(process);
}

static void test_more_connections_than_settings_permit(void **state) {
    (void)state;
    static const char *const arguments[] = {"--connections", "2", NULL};
    struct process *process = process_start(false, arguments, 0);
    struct peer one, two, three;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    const struct message_hello hello = {.protocol = 1, .name = "third"};
    peer_open(&one, process, 0, NULL);
    peer_open(&two, process, 0, NULL);
    peer_connect(&three, process, 0);
    uint64_t request = peer_send(&three, FRAME_HELLO, bytes, message_pack_hello(&hello, bytes), NULL, 0);
    peer_expect_error(&three, request, CANYON_BUSY, "connections = 2");
    peer_expect_end(&three, PATIENCE_MS);
    peer_close(&three);
    peer_close(&two);
    peer_check(&one);
    peer_close(&one);
    process_stop(process);
}

/* A thousand addresses do not fit the first segments: the welcome goes out in parts. */
static void test_long_list_of_servers(void **state) {
    (void)state;
    enum { SERVERS = 1000 };
    static char list[SERVERS * 32];
    size_t used = 0;
    for (int i = 0; i < SERVERS; ++i) {
        used +=
            (size_t)snprintf(list + used, sizeof list - used, "%s10.1.%d.%d:7077", i > 0 ? "," : "", i / 250, i % 250);
    }
    const char *const arguments[] = {"--advertise", "10.1.3.249:7077", "--servers", list, NULL};
    struct process *process = process_start(false, arguments, 0);
    struct message_hello hello = {.protocol = 1};
    struct message_welcome welcome;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    struct frame frame;
    struct peer peer;
    if (process->encrypted) {
        struct introduction_options options = {.receive_bytes = 2048};
        assert_true(peer_introduce(&peer, process, &options));
    } else {
        peer_connect(&peer, process, 2048);
        peer_send(&peer, FRAME_HELLO, bytes, message_pack_hello(&hello, bytes), NULL, 0);
    }
    sleep_ms(50);
    peer_expect(&peer, &frame, FRAME_WELCOME, 1);
    assert_int_equal(message_unpack_welcome(frame.message, frame.header.message_bytes, &welcome, NULL), CANYON_OK);
    assert_int_equal(welcome.server, SERVERS - 1);
    assert_int_equal(frame.header.payload_bytes, used);
    for (size_t i = 0; i < used; ++i) {
        assert_int_equal(frame.payload[i], list[i] == ',' ? '\n' : list[i]);
    }
    peer_check(&peer);
    peer_close(&peer);
    process_stop(process);
}

/* Thousands of requests of one client are there when another asks once: it is answered after a few of them. */
static void test_greedy_client_starves_nobody(void **state) {
    (void)state;
    enum { REQUESTS = 5000 };
    struct process *process = process_start(false, NULL, 0);
    struct message_statistics statistics;
    struct frame frame;
    struct peer greedy, modest;
    peer_open(&greedy, process, 0, NULL);
    peer_open(&modest, process, 0, NULL);
    /* The welcome comes from the acceptor; an answer, only from the thread that both are with then. */
    peer_check(&greedy);
    peer_check(&modest);
    process_signal(process, SIGSTOP);
    for (int i = 0; i < REQUESTS; ++i) {
        peer_send(&greedy, FRAME_STATISTICS, NULL, 0, NULL, 0);
    }
    uint64_t request = peer_send(&modest, FRAME_STATISTICS, NULL, 0, NULL, 0);
    process_signal(process, SIGCONT);
    peer_expect(&modest, &frame, FRAME_STATISTICS_ARE, request);
    assert_int_equal(message_unpack_statistics(frame.message, frame.header.message_bytes, &statistics, NULL),
                     CANYON_OK);
    assert_true(statistics.frames < REQUESTS / 10);
    for (uint64_t i = 1; i <= REQUESTS; ++i) {
        peer_expect(&greedy, &frame, FRAME_STATISTICS_ARE, greedy.request - REQUESTS + i);
    }
    peer_close(&greedy);
    peer_close(&modest);
    process_stop(process);
}

#define EACH(test) cmocka_unit_test_teardown(test, fixture_end)

int main(int argc, char **argv) {
    /* A HELLO alone, and what may be instead of it, there is in plaintext only; test_door.c has the other door. */
    const struct CMUnitTest plaintext[] = {
        EACH(test_hello_that_is_refused),
        EACH(test_hello_byte_by_byte_with_a_request_behind_it),
        EACH(test_silent_stranger_is_let_go),
        EACH(test_crowd_of_strangers),
        EACH(test_out_of_descriptors_sheds_newcomers_only),
        EACH(test_more_connections_than_settings_permit),
    };
    const struct CMUnitTest tests[] = {
        EACH(test_each_thread_welcomes),
        EACH(test_ipv6),
        EACH(test_broken_framing_closes_one_connection),
        EACH(test_error_survives_input_that_nobody_reads),
        EACH(test_bad_requests_are_answered_and_change_nothing),
        EACH(test_truncated_frame_disturbs_nobody),
        EACH(test_push_byte_by_byte),
        EACH(test_half_closed_client_gets_its_replies),
        EACH(test_long_list_of_servers),
        EACH(test_greedy_client_starves_nobody),
    };
    bool encrypted = argc > 1 && strcmp(argv[1], "encrypted") == 0;
    fixture_encrypt(encrypted);
    int failures = encrypted ? 0 : cmocka_run_group_tests(plaintext, NULL, NULL);
    return failures + cmocka_run_group_tests(tests, NULL, NULL);
}
