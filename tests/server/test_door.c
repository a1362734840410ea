/* The door of an encrypting server: who gets in, and what the others learn. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "common/random.h"
#include "tests/server/fixture.h"
#include "tests/server/keys.h"

#define ELEMENTS 1000

static int setup(void **state) {
    (void)state;
    keys_allow_usual();
    fixture_encrypt(true);
    return 0;
}

/* The server closes the connection and has not sent a byte. */
static void expect_silence(struct peer *peer) {
    struct pollfd ready = {.fd = peer->descriptor, .events = POLLIN};
    char byte;
    assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
    ssize_t got = recv(peer->descriptor, &byte, 1, 0);
    assert_true(got == 0 || (got < 0 && errno == ECONNRESET));
}

static size_t hello_frame(const char *name, uint8_t *bytes) {
    struct message_hello hello = {.protocol = 1};
    struct frame_header header = {.type = FRAME_HELLO, .request = 1};
    snprintf(hello.name, sizeof hello.name, "%s", name);
    header.message_bytes = (uint32_t)message_pack_hello(&hello, bytes + FRAME_HEADER_BYTES);
    frame_header_encode(&header, bytes);
    return FRAME_HEADER_BYTES + header.message_bytes;
}

static void welcome(struct peer *peer) {
    struct frame frame;
    peer_expect(peer, &frame, FRAME_WELCOME, 1);
    peer_check(peer);
}

static struct message_statistics statistics_of(struct peer *peer) {
    struct message_statistics statistics;
    struct frame frame;
    uint64_t request = peer_send(peer, FRAME_STATISTICS, NULL, 0, NULL, 0);
    peer_expect(peer, &frame, FRAME_STATISTICS_ARE, request);
    assert_int_equal(message_unpack_statistics(frame.message, frame.header.message_bytes, &statistics, NULL),
                     CANYON_OK);
    return statistics;
}

static void reload(struct process *process, const char *logged) {
    process_signal(process, SIGHUP);
    assert_true(process_logged(process, logged, PATIENCE_MS));
}

/* ---- who is met with silence ---- */

static void garbage_is_met_with_silence(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    uint8_t garbage[2000], hello[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    struct peer good;
    peer_open(&good, process, 0, NULL);
    for (int i = 0; i < 20; ++i) {
        struct peer peer;
        random_fill(garbage, sizeof garbage);
        peer_connect(&peer, process, 0);
        assert_true(peer_write_raw(&peer, garbage, i % 2 == 0 ? sizeof garbage : CHANNEL_FIRST_BYTES));
        expect_silence(&peer);
        peer_close(&peer);
    }
    assert_true(process_logged(process, "not made for this server's key", PATIENCE_MS));
    /* A client that was told not to encrypt; also when it says no more than its header. */
    for (int i = 0; i < 2; ++i) {
        struct peer peer;
        peer_connect(&peer, process, 0);
        assert_true(peer_write_raw(&peer, hello, i == 0 ? hello_frame("plain", hello) : FRAME_HEADER_BYTES));
        expect_silence(&peer);
        peer_close(&peer);
    }
    assert_true(process_logged(process, "stranger-refused", PATIENCE_MS));
    assert_int_equal(statistics_of(&good).turned_away, 22);
    assert_int_equal(statistics_of(&good).aborted, 0);
    peer_close(&good);
    process_stop(process);
}

static void who_expects_another_server_is_met_with_silence(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    struct introduction_options options = {.server = key_of(KEY_STRANGER)->public};
    struct peer peer;
    assert_false(peer_introduce(&peer, process, &options));
    peer_close(&peer);
    process_stop(process);
}

/* The same where it expects another cipher: nothing is negotiated. */
static void who_expects_another_cipher_is_met_with_silence(void **state) {
    (void)state;
    if (!channel_cipher_usable(CHANNEL_AES256GCM)) {
        print_message("SKIPPED: this machine's CPU cannot do aes256gcm\n");
        skip();
    }
    static const char *const arguments[] = {"--cipher", "aes256gcm", NULL};
    struct process *process = process_start(false, arguments, 0);
    struct introduction_options usual = {.thread = 0}, good = {.cipher = CHANNEL_AES256GCM};
    struct peer peer;
    assert_false(peer_introduce(&peer, process, &usual));
    peer_close(&peer);
    assert_true(peer_introduce(&peer, process, &good));
    welcome(&peer);
    peer_close(&peer);
    process_stop(process);
}

static void who_is_not_in_the_list_is_met_with_silence(void **state) {
    (void)state;
    char fingerprint[KEY_FINGERPRINT_BYTES];
    struct process *process = process_start(false, NULL, 0);
    struct introduction_options options = {.key = key_of(KEY_STRANGER)};
    struct frame frame;
    struct peer peer;
    assert_true(peer_introduce(&peer, process, &options));
    assert_int_equal(peer_receive(&peer, &frame, PATIENCE_MS), PEER_CUT);
    peer_close(&peer);
    assert_true(process_logged(process, "unknown-key from=127.0.0.1:", PATIENCE_MS));
    assert_true(process_logged(process, key_fingerprint(key_of(KEY_STRANGER)->public, fingerprint), PATIENCE_MS));
    process_stop(process);
}

static void who_comes_from_elsewhere_is_met_with_silence(void **state) {
    (void)state;
    keys_allow("worker here @worker from=127.0.0.1\nworker there @second from=10.0.0.0/8,127.0.0.2\n");
    struct process *process = process_start(false, NULL, 0);
    struct sockaddr_in two = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
    struct introduction_options here = {.key = key_of(KEY_WORKER)}, there = {.key = key_of(KEY_SECOND_WORKER)};
    struct frame frame;
    struct peer peer;
    assert_true(peer_introduce(&peer, process, &here));
    welcome(&peer);
    peer_close(&peer);
    assert_true(peer_introduce(&peer, process, &there));
    assert_int_equal(peer_receive(&peer, &frame, PATIENCE_MS), PEER_CUT);
    peer_close(&peer);
    assert_true(process_logged(process, "(there) may not come from this address", PATIENCE_MS));
    there.address = &two;
    assert_true(peer_introduce(&peer, process, &there));
    welcome(&peer);
    peer_close(&peer);
    process_stop(process);
}

/* Every byte of the handshake matters: whichever is flipped, the server closes without a word more. */
static void an_edited_handshake_is_met_with_silence(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    uint8_t first[CHANNEL_FIRST_BYTES + CHANNEL_THIRD_LIMIT_BYTES];
    for (size_t i = 0; i < CHANNEL_FIRST_BYTES; i += 3) {
        struct introduction_options options = {.transcript = first};
        struct peer peer;
        assert_true(peer_introduce(&peer, process, &options));
        peer_close(&peer);
        first[i] ^= 4;
        peer_connect(&peer, process, 0);
        assert_true(peer_write_raw(&peer, first, CHANNEL_FIRST_BYTES));
        expect_silence(&peer);
        peer_close(&peer);
    }
    process_stop(process);
}

static void an_impossible_length_is_met_with_silence(void **state) {
    (void)state;
    static const uint16_t lengths[] = {0, 1, 63, 513, 4096, 65535};
    struct process *process = process_start(false, NULL, 0);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; ++i) {
        uint8_t seed[KEY_BYTES], first[CHANNEL_FIRST_BYTES], second[CHANNEL_SECOND_BYTES];
        uint8_t length[] = {(uint8_t)lengths[i], (uint8_t)(lengths[i] >> 8)};
        struct peer peer;
        random_fill(seed, sizeof seed);
        struct channel_handshake *handshake =
            channel_initiate(CHANNEL_CHACHA20POLY1305, key_of(KEY_ADMIN), key_of(KEY_SERVER)->public, seed);
        assert_int_equal(channel_write_first(handshake, first), CANYON_OK);
        channel_handshake_destroy(handshake);
        peer_connect(&peer, process, 0);
        assert_true(peer_write_raw(&peer, first, sizeof first));
        assert_int_equal(recv(peer.descriptor, second, sizeof second, MSG_WAITALL), sizeof second);
        assert_true(peer_write_raw(&peer, length, sizeof length));
        expect_silence(&peer);
        peer_close(&peer);
    }
    process_stop(process);
}

/* A recorded conversation, played again, changes nothing, and its session, which is still there, is not disturbed. */
static void a_replayed_transcript_changes_nothing(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    uint8_t transcript[CHANNEL_FIRST_BYTES + CHANNEL_THIRD_LIMIT_BYTES], second[CHANNEL_SECOND_BYTES];
    struct introduction_options options = {.key = key_of(KEY_WORKER), .transcript = transcript};
    struct peer peer, again;
    assert_true(peer_introduce(&peer, process, &options));
    welcome(&peer);
    uint64_t tensor = peer_create(&peer, "w", ELEMENTS);
    for (int i = 0; i < 3; ++i) {
        peer_connect(&again, process, 0);
        assert_true(peer_write_raw(&again, transcript, CHANNEL_FIRST_BYTES));
        assert_int_equal(recv(again.descriptor, second, sizeof second, MSG_WAITALL), sizeof second);
        assert_true(
            peer_write_raw(&again, transcript + CHANNEL_FIRST_BYTES, options.transcript_bytes - CHANNEL_FIRST_BYTES));
        expect_silence(&again);
        peer_close(&again);
    }
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    struct frame frame;
    uint64_t request = peer_send(&peer, FRAME_PULL, bytes, piece_pack(tensor, 0, ELEMENTS, 0, bytes), NULL, 0);
    peer_expect(&peer, &frame, FRAME_PULLED, request);
    peer_close(&peer);
    process_stop(process);
}

static void silence_ends_in_five_seconds(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    uint8_t first[CHANNEL_FIRST_BYTES + CHANNEL_THIRD_LIMIT_BYTES], second[CHANNEL_SECOND_BYTES];
    struct introduction_options options = {.transcript = first};
    struct peer known, silent, half;
    assert_true(peer_introduce(&known, process, &options));
    welcome(&known);
    peer_connect(&silent, process, 0);
    peer_connect(&half, process, 0);
    assert_true(peer_write_raw(&half, first, CHANNEL_FIRST_BYTES));
    assert_int_equal(recv(half.descriptor, second, sizeof second, MSG_WAITALL), sizeof second);
    expect_silence(&silent);
    expect_silence(&half);
    assert_true(process_logged(process, "it took too long", PATIENCE_MS));
    peer_check(&known);
    peer_close(&half);
    peer_close(&silent);
    peer_close(&known);
    process_stop(process);
}

/* ---- who gets in, and who is told why not ---- */

static void a_handshake_byte_by_byte(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    struct introduction_options options = {.byte_by_byte = true};
    struct peer peer;
    assert_true(peer_introduce(&peer, process, &options));
    welcome(&peer);
    peer_finish(&peer);
    peer_expect_end(&peer, PATIENCE_MS);
    peer_close(&peer);
    process_stop(process);
}

/* Who has proven an allowed key is told what is wrong with its hello, in a record, and then the last one comes. */
static void a_known_key_is_told_why_its_hello_is_refused(void **state) {
    (void)state;
    uint8_t other_protocol[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES], pull[FRAME_HEADER_BYTES],
        cut[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    struct message_hello hello = {.protocol = 99};
    struct frame_header header = {.type = FRAME_HELLO, .request = 1};
    header.message_bytes = (uint32_t)message_pack_hello(&hello, other_protocol + FRAME_HEADER_BYTES);
    frame_header_encode(&header, other_protocol);
    size_t whole = hello_frame("cut", cut);
    frame_header_encode(&(struct frame_header){.type = FRAME_PULL, .request = 1}, pull);
    const struct {
        const uint8_t *hello;
        size_t bytes;
        uint64_t request;
        enum canyon_status status;
        const char *text;
    } cases[] = {
        {other_protocol, FRAME_HEADER_BYTES + header.message_bytes, 1, CANYON_UNSUPPORTED, "protocol 99"},
        {pull, sizeof pull, 0, CANYON_PROTOCOL, "must be HELLO, not PULL"},
        {cut, whole - 1, 0, CANYON_PROTOCOL, "not one HELLO"},
        {cut, 5, 0, CANYON_PROTOCOL, "not one HELLO"},
        {cut, 0, 0, CANYON_PROTOCOL, "not one HELLO"},
        {(const uint8_t *)"garbage that is no frame at all", 31, 0, CANYON_PROTOCOL, ""},
    };
    struct process *process = process_start(false, NULL, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        struct introduction_options options = {.hello = cases[i].hello, .hello_bytes = cases[i].bytes};
        struct peer peer;
        assert_true(peer_introduce(&peer, process, &options));
        peer_expect_error(&peer, cases[i].request, cases[i].status, cases[i].text);
        peer_expect_end(&peer, PATIENCE_MS);
        peer_close(&peer);
    }
    process_stop(process);
}

static void limits_on_connections_are_told(void **state) {
    (void)state;
    static const char *const arguments[] = {"--connections", "5", "--connections-per-key", "3", NULL};
    static const struct {
        int key;
        const char *text; /* of the refusal; NULL when there is none */
    } steps[] = {
        {KEY_WORKER, NULL}, {KEY_WORKER, "conns=1"},
        {KEY_ADMIN, NULL},  {KEY_ADMIN, NULL},
        {KEY_ADMIN, NULL},  {KEY_ADMIN, "connections-per-key = 3"},
        {KEY_READER, NULL}, {KEY_READER, "connections = 5"},
    };
    enum { STEPS = sizeof steps / sizeof steps[0] };
    struct peer peers[STEPS], late;
    keys_allow("worker one @worker conns=1\nadmin many @admin\nreader some @reader\n");
    struct process *process = process_start(false, arguments, 0);
    for (size_t i = 0; i < STEPS; ++i) {
        struct introduction_options options = {.key = key_of(steps[i].key)};
        assert_true(peer_introduce(&peers[i], process, &options));
        if (steps[i].text != NULL) {
            peer_expect_error(&peers[i], 1, CANYON_BUSY, steps[i].text);
            peer_expect_end(&peers[i], PATIENCE_MS);
        } else {
            welcome(&peers[i]);
        }
    }
    /* A place that is given back is free again. */
    for (size_t i = 0; i < STEPS; ++i) {
        if (steps[i].text == NULL && i != 0) {
            peer_check(&peers[i]);
        }
        peer_finish(&peers[i]);
        if (steps[i].text == NULL) {
            peer_expect_end(&peers[i], PATIENCE_MS);
        }
        peer_close(&peers[i]);
    }
    peer_open_as(&late, process, KEY_WORKER);
    peer_close(&late);
    process_stop(process);
}

/* ---- records ---- */

static void a_stream_without_a_last_record_is_an_abort(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    struct peer good, peer;
    peer_open(&good, process, 0, NULL);
    peer_finish(&good);
    peer_expect_end(&good, PATIENCE_MS);
    peer_close(&good);
    assert_false(process_logged(process, "aborted", 0));
    peer_open(&peer, process, 0, NULL);
    peer_close(&peer);
    assert_true(process_logged(process, "aborted", PATIENCE_MS));
    assert_true(process_logged(process, "without a last record", 0));
    peer_open(&peer, process, 0, NULL);
    assert_int_equal(statistics_of(&peer).aborted, 1);
    assert_int_equal(statistics_of(&peer).turned_away, 0);
    peer_close(&peer);
    process_stop(process);
}

static void a_record_that_was_not_sealed_closes_the_connection(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    for (int i = 0; i < 3; ++i) {
        uint8_t record[64] = {sizeof record - 2, 0}, frame[FRAME_HEADER_BYTES];
        struct frame reply;
        struct peer peer;
        peer_open(&peer, process, 0, NULL);
        if (i == 0) { /* garbage */
            random_fill(record + 2, sizeof record - 2);
        } else { /* a record, but twice; or with a bit flipped */
            struct frame_header header = {.type = FRAME_STATISTICS, .request = 2};
            frame_header_encode(&header, frame);
            struct iovec slice = {.iov_base = frame, .iov_len = sizeof frame};
            size_t taken = 0, bytes = channel_seal(peer.channel, &slice, 1, 0, record, sizeof record, &taken);
            assert_int_equal(bytes, sizeof frame + CHANNEL_RECORD_BYTES);
            record[10] ^= i == 2;
            if (i == 1) {
                assert_true(peer_write_raw(&peer, record, bytes));
                peer_expect(&peer, &reply, FRAME_STATISTICS_ARE, 2);
            }
            memset(record + bytes, 0, sizeof record - bytes);
        }
        assert_true(peer_write_raw(&peer, record, sizeof record));
        assert_int_equal(peer_receive(&peer, &reply, PATIENCE_MS), PEER_CUT);
        peer_close(&peer);
    }
    assert_true(process_logged(process, "not sealed by the client", PATIENCE_MS));
    process_stop(process);
}

/* A push in records of one byte each, and bulk records of every size, come to the same. */
static void records_of_any_size(void **state) {
    (void)state;
    static float ones[ELEMENTS];
    struct process *process = process_start(false, NULL, 0);
    struct message_piece_results results;
    uint8_t bytes[LIMIT_MESSAGE_BYTES], whole[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES + sizeof ones];
    struct frame frame;
    struct peer peer;
    peer_open(&peer, process, 0, NULL);
    uint64_t tensor = peer_create(&peer, "w", ELEMENTS);
    static const size_t sizes[] = {1, 7, 24, 100, 4096};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; ++i) {
        struct frame_header header = {.type = FRAME_PUSH, .payload_bytes = sizeof ones, .request = ++peer.request};
        header.message_bytes = (uint32_t)piece_pack(tensor, 0, ELEMENTS, i, bytes);
        frame_header_encode(&header, whole);
        memcpy(whole + FRAME_HEADER_BYTES, bytes, header.message_bytes);
        memcpy(whole + FRAME_HEADER_BYTES + header.message_bytes, ones, sizeof ones);
        size_t count = FRAME_HEADER_BYTES + header.message_bytes + sizeof ones;
        for (size_t at = 0; at < count; at += sizes[i]) {
            assert_true(peer_write(&peer, whole + at, count - at < sizes[i] ? count - at : sizes[i]));
        }
        peer_expect(&peer, &frame, FRAME_PUSHED, peer.request);
        assert_int_equal(message_unpack_piece_results(frame.message, frame.header.message_bytes, &results, NULL),
                         CANYON_OK);
        assert_int_equal(results.results[0].status, CANYON_OK);
        assert_int_equal(results.results[0].version, i + 1);
    }
    peer_close(&peer);
    process_stop(process);
}

/* ---- the list changes ---- */

static void a_revoked_key_is_told_and_closed(void **state) {
    (void)state;
    static const char *const arguments[] = {"--connections", "3", NULL};
    struct process *process = process_start(false, arguments, 0);
    struct peer admin, worker, deaf;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    peer_open_as(&admin, process, KEY_ADMIN);
    peer_open_as(&worker, process, KEY_WORKER);
    peer_open_as(&deaf, process, KEY_SECOND_WORKER);
    uint64_t tensor = peer_create(&admin, "w", 65536);
    /* This one asks for more than it reads. */
    size_t count = piece_pack(tensor, 0, 65536, 0, bytes);
    for (int i = 0; i < 100; ++i) {
        peer_send(&deaf, FRAME_PULL, bytes, count, NULL, 0);
    }
    keys_allow("admin admin @admin\n");
    uint64_t before = now_ms();
    reload(process, "allow-list allowed=1");
    peer_expect_error(&worker, 0, CANYON_UNAUTHENTICATED, "taken off");
    peer_expect_end(&worker, PATIENCE_MS);
    assert_true(process_logged(process, "revoked", 0));
    peer_check(&admin);
    struct introduction_options revoked = {.key = key_of(KEY_WORKER)}, options = {.key = key_of(KEY_ADMIN)};
    struct frame frame = {.header.type = FRAME_ERROR};
    struct peer again[2];
    assert_true(peer_introduce(&again[0], process, &revoked));
    assert_int_equal(peer_receive(&again[0], &frame, PATIENCE_MS), PEER_CUT);
    peer_close(&again[0]);
    /* The places of both are free: within a second, and what a loaded machine adds. */
    for (size_t free = 0; free < 2;) {
        free = 0;
        for (size_t i = 0; i < 2; ++i) {
            assert_true(peer_introduce(&again[i], process, &options));
            assert_int_equal(peer_receive(&again[i], &frame, PATIENCE_MS), PEER_FRAME);
            free += frame.header.type == FRAME_WELCOME;
        }
        peer_close(&again[0]);
        peer_close(&again[1]);
    }
    print_message("closed %llu ms after the signal\n", (unsigned long long)(now_ms() - before));
    assert_true(now_ms() - before < PATIENCE_MS);
    peer_close(&deaf);
    peer_close(&worker);
    peer_close(&admin);
    process_stop(process);
}

static void a_changed_role_holds_for_open_connections(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    struct peer peer;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    static const float ones[ELEMENTS] = {1.0f};
    struct frame frame;
    peer_open_as(&peer, process, KEY_WORKER);
    uint64_t tensor = peer_create(&peer, "w", ELEMENTS);
    size_t count = piece_pack(tensor, 0, ELEMENTS, 0, bytes);
    uint64_t request = peer_send(&peer, FRAME_PUSH, bytes, count, ones, sizeof ones);
    peer_expect(&peer, &frame, FRAME_PUSHED, request);
    keys_allow("reader demoted @worker\n");
    reload(process, "allow-list allowed=1");
    request = peer_send(&peer, FRAME_PUSH, bytes, count, ones, sizeof ones);
    peer_expect_error(&peer, request, CANYON_DENIED, "PUSH needs the role worker; this client's key (demoted) has the");
    request = peer_send(&peer, FRAME_PULL, bytes, count, NULL, 0);
    peer_expect(&peer, &frame, FRAME_PULLED, request);
    keys_allow("admin promoted @worker\n");
    process_signal(process, SIGHUP);
    sleep_ms(200);
    struct message_tensor drop = {.id = tensor, .name = "w"};
    request = peer_send(&peer, FRAME_DROP, bytes, message_pack_tensor(&drop, bytes), NULL, 0);
    peer_expect(&peer, &frame, FRAME_DROPPING, request);
    peer_close(&peer);
    process_stop(process);
}

static void a_bad_list_leaves_the_old_one(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    char where[128];
    struct peer peer, more;
    peer_open_as(&peer, process, KEY_WORKER);
    keys_allow("admin admin @admin\nemperor nero @worker\n");
    process_signal(process, SIGHUP);
    assert_true(process_logged(process, "allow-list-refused", PATIENCE_MS));
    snprintf(where, sizeof where, "%s: line 3", keys_allow_path());
    assert_true(process_logged(process, where, 0));
    assert_true(process_logged(process, "the one before stays", 0));
    peer_check(&peer);
    peer_open_as(&more, process, KEY_READER);
    peer_close(&more);
    /* A key that comes into the list can connect. */
    keys_allow("worker worker @worker\nworker new @stranger\n");
    reload(process, "allow-list allowed=2");
    peer_open_as(&more, process, KEY_STRANGER);
    peer_check(&more);
    peer_check(&peer);
    peer_close(&more);
    peer_close(&peer);
    process_stop(process);
}

/* ---- limits ---- */

/* A megabyte a second, of which a second's worth may come at once: three more take three seconds. Another key's
 * connection does not wait, and a list without the limit lifts it. */
static void a_pace_is_held(void **state) {
    (void)state;
    enum { COUNT = 65536, PUSHES = 16 };
    static const float gradient[COUNT];
    keys_allow("worker slow @worker push_bytes=1Mi/s\nworker fast @second\n");
    struct process *process = process_start(false, NULL, 0);
    struct peer slow, fast;
    struct frame frame;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    peer_open_as(&slow, process, KEY_WORKER);
    peer_open_as(&fast, process, KEY_SECOND_WORKER);
    uint64_t tensor = peer_create(&slow, "w", COUNT), begun = now_ms(), sent;
    size_t count = piece_pack(tensor, 0, COUNT, 0, bytes);
    for (int i = 0; i < PUSHES; ++i) {
        sent = peer_send(&slow, FRAME_PUSH, bytes, count, gradient, sizeof gradient);
        peer_expect(&slow, &frame, FRAME_PUSHED, sent);
        peer_check(&fast);
    }
    /* Four megabytes less the first one and what the last push still owes. */
    assert_true(now_ms() - begun >= 2500);
    for (int i = 0; i < PUSHES; ++i) {
        sent = peer_send(&slow, FRAME_PUSH, bytes, count, gradient, sizeof gradient);
        if (i == 0) {
            keys_allow("worker slow @worker\nworker fast @second\n");
            reload(process, "allow-list allowed=2");
        }
        peer_expect(&slow, &frame, FRAME_PUSHED, sent);
    }
    peer_close(&fast);
    peer_close(&slow);
    process_stop(process);
}

static void memory_has_a_limit(void **state) {
    (void)state;
    static const char *const arguments[] = {"--memory-limit", "1M", NULL};
    struct process *process = process_start(false, arguments, 0);
    struct message_create create = {
        .spec = {.name = "large", .shape = {.rank = 1, .dims = {1 << 20}}, .optimizer = {.name = "sgd"}}};
    struct message_created created;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    struct frame frame;
    struct peer peer;
    peer_open(&peer, process, 0, NULL);
    (void)peer_create(&peer, "small", 1000);
    uint64_t request = peer_send(&peer, FRAME_CREATE, bytes, message_pack_create(&create, bytes), NULL, 0);
    peer_expect(&peer, &frame, FRAME_CREATED, request);
    assert_int_equal(message_unpack_created(frame.message, frame.header.message_bytes, &created, NULL), CANYON_OK);
    request = peer_send(&peer, FRAME_DEFINE, bytes, message_pack_define(&created.tensor, bytes), NULL, 0);
    peer_expect_error(&peer, request, CANYON_NO_MEMORY, "of at most 1048576");
    peer_check(&peer);
    peer_close(&peer);
    process_stop(process);
}

/* ---- sessions ---- */

static void a_session_belongs_to_its_key(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    struct introduction_options options = {.key = key_of(KEY_WORKER), .session = {1, 2, 3, 200}};
    struct peer one, two, same;
    struct frame frame;
    assert_true(peer_introduce(&one, process, &options));
    welcome(&one);
    assert_true(peer_introduce(&same, process, &options));
    welcome(&same);
    options.key = key_of(KEY_SECOND_WORKER);
    for (int i = 0; i < 2; ++i) {
        assert_true(peer_introduce(&two, process, &options));
        peer_expect(&two, &frame, FRAME_WELCOME, 1);
        peer_expect_error(&two, 0, CANYON_DENIED, "belongs to another key");
        peer_expect_end(&two, PATIENCE_MS);
        peer_close(&two);
        if (i == 0) { /* then also when its owner is gone */
            peer_check(&one);
            peer_finish(&one);
            peer_finish(&same);
            peer_expect_end(&one, PATIENCE_MS);
            peer_expect_end(&same, PATIENCE_MS);
        }
    }
    options.key = key_of(KEY_WORKER);
    peer_close(&one);
    assert_true(peer_introduce(&one, process, &options));
    welcome(&one);
    peer_close(&same);
    peer_close(&one);
    process_stop(process);
}

/* ---- starting ---- */

static void what_is_missing_is_named(void **state) {
    (void)state;
    const char *key = keys_server_path(), *allow = keys_allow_path();
    const char *const no_key[] = {"--key", "/nonexistent/server.key", "--allow", allow, NULL};
    const char *const no_list[] = {"--key", key, "--allow", "/nonexistent/allow", NULL};
    const char *const wrong[] = {"--key", allow, "--allow", allow, NULL};
    const struct {
        const char *const *arguments;
        const char *texts[2];
    } cases[] = {
        {no_key, {"/nonexistent/server.key", "canyon keygen --server"}},
        {no_list, {"/nonexistent/allow", "format canyon-allow-1"}},
        {wrong, {"allow", "chmod 600"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        struct process *process = process_run(cases[i].arguments);
        for (int j = 0; j < 2; ++j) {
            if (!process_logged(process, cases[i].texts[j], PATIENCE_MS)) {
                fail_msg("case %zu does not say \"%s\"", i, cases[i].texts[j]);
            }
        }
        assert_int_equal(process_wait(process, PATIENCE_MS), 2);
    }
}

static void the_log_has_the_line_for_clients_and_no_secret(void **state) {
    (void)state;
    char text[KEY_TEXT_BYTES], line[160];
    struct process *process = process_start(false, NULL, 0);
    struct peer peer;
    snprintf(line, sizeof line, "known_servers=\"server 127.0.0.1:%u %s\"", process->port,
             key_text(key_of(KEY_SERVER)->public, text));
    assert_true(process_logged(process, line, PATIENCE_MS));
    assert_true(process_logged(process, "cipher=chacha20poly1305 allowed=4", PATIENCE_MS));
    assert_false(process_logged(process, "plaintext", 0));
    assert_false(process_logged(process, "cns1", 0));
    peer_open(&peer, process, 0, NULL);
    peer_close(&peer);
    process_stop(process);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, setup, fixture_end)

int main(void) {
    const struct CMUnitTest tests[] = {
        EACH(garbage_is_met_with_silence),
        EACH(who_expects_another_server_is_met_with_silence),
        EACH(who_expects_another_cipher_is_met_with_silence),
        EACH(who_is_not_in_the_list_is_met_with_silence),
        EACH(who_comes_from_elsewhere_is_met_with_silence),
        EACH(an_edited_handshake_is_met_with_silence),
        EACH(an_impossible_length_is_met_with_silence),
        EACH(a_replayed_transcript_changes_nothing),
        EACH(silence_ends_in_five_seconds),
        EACH(a_handshake_byte_by_byte),
        EACH(a_known_key_is_told_why_its_hello_is_refused),
        EACH(limits_on_connections_are_told),
        EACH(a_stream_without_a_last_record_is_an_abort),
        EACH(a_record_that_was_not_sealed_closes_the_connection),
        EACH(records_of_any_size),
        EACH(a_revoked_key_is_told_and_closed),
        EACH(a_changed_role_holds_for_open_connections),
        EACH(a_bad_list_leaves_the_old_one),
        EACH(a_pace_is_held),
        EACH(memory_has_a_limit),
        EACH(a_session_belongs_to_its_key),
        EACH(what_is_missing_is_named),
        EACH(the_log_has_the_line_for_clients_and_no_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
