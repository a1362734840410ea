/* A lane's channel between a real session and a responder in memory: no socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "client/lane_channel.h"
#include "common/random.h"

enum { WIRE_BYTES = 1 << 20 };

/* Both ends of one connection, and what the client's end has sent and was not read yet. */
struct pair {
    struct key_pair *client_key, *server_key;
    struct known_server known;
    struct session *session;
    struct lane_channel *lane;
    struct channel_handshake *handshake;
    struct channel *server;
    uint8_t client[KEY_BYTES]; /* as the third message proved it */
    uint8_t hello[CHANNEL_HELLO_LIMIT_BYTES];
    size_t hello_bytes;
    uint8_t *wire;
    size_t wired;
    enum canyon_status outcome; /* of the last request */
};

static void pair_dial(struct pair *pair) {
    struct lane_channel_options options = {.own = pair->client_key, .server = &pair->known, .address = "10.0.0.5:7077"};
    uint8_t seed[KEY_BYTES];
    random_fill(options.seed, sizeof options.seed);
    random_fill(seed, sizeof seed);
    pair->lane = lane_channel_create(&options);
    pair->handshake = channel_respond(CHANNEL_CHACHA20POLY1305, pair->server_key, seed);
    assert_non_null(pair->lane);
    assert_non_null(pair->handshake);
}

static void pair_hang_up(struct pair *pair) {
    lane_channel_destroy(pair->lane);
    channel_handshake_destroy(pair->handshake);
    channel_destroy(pair->server);
    pair->lane = NULL;
    pair->handshake = NULL;
    pair->server = NULL;
    pair->wired = 0;
}

/* The lane's channel borrows from the pair, which stays where it is. */
static void pair_begin(struct pair *pair) {
    struct session_options options = {
        .name = "test", .address = "10.0.0.5:7077", .thread = 3, .window_bytes = 64u << 20};
    assert_int_equal(random_start(NULL), CANYON_OK);
    *pair = (struct pair){.client_key = key_pair_generate(),
                          .server_key = key_pair_generate(),
                          .session = session_create(&options),
                          .wire = malloc(WIRE_BYTES)};
    assert_non_null(pair->client_key);
    assert_non_null(pair->server_key);
    assert_non_null(pair->session);
    assert_non_null(pair->wire);
    memcpy(pair->known.key, pair->server_key->public, KEY_BYTES);
    pair_dial(pair);
}

static void pair_end(struct pair *pair) {
    pair_hang_up(pair);
    session_fail(pair->session, CANYON_CLOSED, "");
    session_destroy(pair->session);
    key_pair_destroy(pair->client_key);
    key_pair_destroy(pair->server_key);
    free(pair->wire);
}

/* Moves what the client sends onto the wire, `piece` bytes at a time, until it has no more or the wire is full. */
static void pump(struct pair *pair, size_t piece) {
    for (;;) {
        struct iovec bytes;
        assert_int_equal(lane_channel_output(pair->lane, pair->session, &bytes, NULL), CANYON_OK);
        assert_true(bytes.iov_len <= LANE_CHANNEL_OUTPUT_BYTES);
        size_t room = WIRE_BYTES - pair->wired;
        size_t step = bytes.iov_len < piece ? bytes.iov_len : piece;
        step = step < room ? step : room;
        if (step == 0)
            return;
        memcpy(pair->wire + pair->wired, bytes.iov_base, step);
        pair->wired += step;
        lane_channel_sent(pair->lane, step);
    }
}

/* Gives bytes to the client, `piece` at a time; returns the last event that was not NEEDS_MORE, or that. */
static enum lane_channel_event deliver(struct pair *pair, const uint8_t *bytes, size_t count, size_t piece,
                                       struct error *error) {
    enum lane_channel_event last = LANE_CHANNEL_NEEDS_MORE;
    while (count > 0) {
        uint8_t *at = NULL;
        size_t room = 0, got = 0;
        lane_channel_space(pair->lane, &at, &room);
        assert_true(room > 0);
        size_t step = count < piece ? count : piece;
        step = step < room ? step : room;
        memcpy(at, bytes, step);
        lane_channel_received(pair->lane, step);
        bytes += step;
        count -= step;
        for (;;) {
            enum lane_channel_event event = lane_channel_next(pair->lane, pair->session, &got, error);
            if (event == LANE_CHANNEL_NEEDS_MORE)
                break;
            last = event;
            if (event == LANE_CHANNEL_PROVEN)
                assert_int_equal(session_begin(pair->session, NULL, NULL), CANYON_OK);
            if (event == LANE_CHANNEL_BYTES)
                assert_int_equal(session_received(pair->session, got, NULL), CANYON_OK);
            if (event == LANE_CHANNEL_LAST || event == LANE_CHANNEL_FAILED)
                return event;
        }
    }
    return last;
}

/* Both steps of the responder up to its answer. */
static void answer_first(struct pair *pair, uint8_t second[CHANNEL_SECOND_BYTES]) {
    assert_int_equal(pair->wired, CHANNEL_FIRST_BYTES);
    assert_int_equal(channel_read_first(pair->handshake, pair->wire), CANYON_OK);
    assert_int_equal(channel_write_second(pair->handshake, second), CANYON_OK);
    pair->wired = 0;
}

static void answer_third(struct pair *pair) {
    assert_int_equal(channel_third_bytes(pair->wire), pair->wired);
    assert_int_equal(
        channel_read_third(pair->handshake, pair->wire, pair->wired, pair->hello, &pair->hello_bytes, pair->client),
        CANYON_OK);
    pair->server = channel_establish(pair->handshake);
    assert_non_null(pair->server);
    pair->wired = 0;
}

/* Up to the third message. */
static void shake_hands(struct pair *pair, size_t piece) {
    uint8_t second[CHANNEL_SECOND_BYTES];
    pump(pair, piece);
    answer_first(pair, second);
    assert_int_equal(deliver(pair, second, sizeof second, piece, NULL), LANE_CHANNEL_PROVEN);
    pump(pair, piece);
    answer_third(pair);
}

/* The server seals a frame and the client gets it. */
static void server_says(struct pair *pair, uint16_t type, uint64_t request, const uint8_t *message,
                        size_t message_bytes, const void *payload, size_t payload_bytes, size_t piece) {
    uint8_t header_bytes[FRAME_HEADER_BYTES];
    struct frame_header header = {.type = type,
                                  .request = request,
                                  .message_bytes = (uint32_t)message_bytes,
                                  .payload_bytes = (uint32_t)payload_bytes};
    frame_header_encode(&header, header_bytes);
    size_t plain = sizeof header_bytes + message_bytes + payload_bytes, skip = 0;
    uint8_t *frame = malloc(plain);
    assert_non_null(frame);
    memcpy(frame, header_bytes, sizeof header_bytes);
    if (message_bytes > 0)
        memcpy(frame + sizeof header_bytes, message, message_bytes);
    if (payload_bytes > 0)
        memcpy(frame + sizeof header_bytes + message_bytes, payload, payload_bytes);
    size_t room = channel_sealed_most(plain, 1);
    uint8_t *sealed = malloc(room);
    assert_non_null(sealed);
    struct iovec slice = {.iov_base = frame, .iov_len = plain};
    while (skip < plain) {
        size_t taken = 0, made = channel_seal(pair->server, &slice, 1, skip, sealed, room, &taken);
        assert_true(made > 0);
        skip += taken;
        assert_int_equal(deliver(pair, sealed, made, piece, NULL), LANE_CHANNEL_BYTES);
    }
    free(sealed);
    free(frame);
}

static void server_welcomes(struct pair *pair, size_t piece) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct message_welcome welcome = {
        .protocol = FRAME_VERSION, .threads = 4, .job = "test", .shards = 4, .block = 65536, .version = "test"};
    struct frame_header hello;
    assert_int_equal(frame_header_decode(pair->hello, FRAME_PAYLOAD_LIMIT, &hello, NULL), CANYON_OK);
    assert_int_equal(hello.type, FRAME_HELLO);
    server_says(pair, FRAME_WELCOME, hello.request, message, message_pack_welcome(&welcome, message), "10.0.0.5:7077",
                13, piece);
    assert_int_equal(session_state(pair->session), SESSION_READY);
}

/* Opens what the client has put on the wire; appends the plaintext at `plain`, returns how much. */
static size_t server_opens(struct pair *pair, uint8_t *plain, size_t room) {
    size_t have = 0;
    for (size_t at = 0; at < pair->wired;) {
        uint8_t *space = NULL;
        size_t fits = 0, got = 0;
        channel_space(pair->server, &space, &fits);
        size_t step = pair->wired - at < fits ? pair->wired - at : fits;
        memcpy(space, pair->wire + at, step);
        channel_received(pair->server, step);
        at += step;
        for (;;) {
            assert_true(have < room);
            enum channel_result result = channel_read(pair->server, plain + have, room - have, &got);
            if (result == CHANNEL_NEEDS_MORE)
                break;
            assert_int_equal(result, CHANNEL_BYTES);
            have += got;
        }
    }
    pair->wired = 0;
    return have;
}

static void note_outcome(struct session_request *request, enum canyon_status status, const char *text,
                         const struct frame *reply) {
    struct pair *pair = request->user;
    (void)text;
    (void)reply;
    pair->outcome = status;
}

/* ---- tests ---- */

static void test_hello_request_and_reply(void **state) {
    (void)state;
    static const size_t pieces[] = {1, 7, 64, 100000};
    for (size_t p = 0; p < sizeof pieces / sizeof pieces[0]; p++) {
        struct pair pair;
        float values[5000], fresh[5000] = {0};
        uint8_t message[16] = "abc", plain[65536];
        pair_begin(&pair);
        for (size_t i = 0; i < 5000; i++)
            values[i] = (float)i;
        shake_hands(&pair, pieces[p]);
        assert_memory_equal(pair.client, pair.client_key->public, KEY_BYTES);
        server_welcomes(&pair, pieces[p]);
        const struct iovec payload = {.iov_base = values, .iov_len = sizeof values};
        struct session_request request = {.type = FRAME_PUSH_PULL,
                                          .message = message,
                                          .message_bytes = 3,
                                          .payload = &payload,
                                          .payload_count = 1,
                                          .payload_bytes = sizeof values,
                                          .destination = fresh,
                                          .destination_bytes = sizeof fresh,
                                          .deadline = UINT64_MAX,
                                          .done = note_outcome,
                                          .user = &pair};
        pair.outcome = CANYON_INTERNAL;
        session_submit(pair.session, &request);
        pump(&pair, pieces[p]);
        assert_int_equal(session_unsent(pair.session), 0);
        assert_int_equal(lane_channel_waiting(pair.lane), 0);
        size_t got = server_opens(&pair, plain, sizeof plain);
        assert_int_equal(got, FRAME_HEADER_BYTES + 3 + sizeof values);
        assert_memory_equal(plain + FRAME_HEADER_BYTES, "abc", 3);
        assert_memory_equal(plain + FRAME_HEADER_BYTES + 3, values, sizeof values);
        server_says(&pair, FRAME_PUSH_PULL + 1, request.id, NULL, 0, values, sizeof values, pieces[p]);
        assert_int_equal(pair.outcome, CANYON_OK);
        assert_memory_equal(fresh, values, sizeof values);
        assert_true(lane_channel_carried(pair.lane) >= got + sizeof values);
        pair_end(&pair);
    }
}

/* Sealed bytes count as sent, and never more of them wait than the buffer holds. */
static void test_much_goes_through_a_bounded_buffer(void **state) {
    (void)state;
    enum { BYTES = 3 << 20 };
    struct pair pair;
    uint8_t *values = malloc(BYTES), *plain = malloc(BYTES + 65536), message[1] = {0};
    pair_begin(&pair);
    assert_non_null(values);
    assert_non_null(plain);
    for (size_t i = 0; i < BYTES; i++)
        values[i] = (uint8_t)(i * 31 >> 5);
    shake_hands(&pair, 100000);
    server_welcomes(&pair, 100000);
    const struct iovec payload[] = {{.iov_base = values, .iov_len = 1000},
                                    {.iov_base = values + 1000, .iov_len = BYTES - 1000}};
    struct session_request request = {.type = FRAME_PUSH,
                                      .message = message,
                                      .message_bytes = 1,
                                      .payload = payload,
                                      .payload_count = 2,
                                      .payload_bytes = BYTES,
                                      .deadline = UINT64_MAX,
                                      .done = note_outcome,
                                      .user = &pair};
    session_submit(pair.session, &request);
    size_t have = 0;
    for (int turn = 0; session_unsent(pair.session) > 0 || lane_channel_waiting(pair.lane) > 0; turn++) {
        struct iovec bytes;
        assert_true(turn < 10000);
        assert_int_equal(lane_channel_output(pair.lane, pair.session, &bytes, NULL), CANYON_OK);
        assert_true(lane_channel_waiting(pair.lane) <= LANE_CHANNEL_OUTPUT_BYTES);
        size_t step = bytes.iov_len < 50021 ? bytes.iov_len : 50021; /* a socket that takes a part */
        memcpy(pair.wire, bytes.iov_base, step);
        pair.wired = step;
        lane_channel_sent(pair.lane, step);
        have += server_opens(&pair, plain + have, BYTES + 65536 - have);
    }
    assert_int_equal(have, FRAME_HEADER_BYTES + 1 + BYTES);
    assert_memory_equal(plain + FRAME_HEADER_BYTES + 1, values, BYTES);
    pair_end(&pair);
    free(values);
    free(plain);
}

/* Until the server has proven itself it hears 64 bytes that say nothing. */
static void test_nothing_is_said_to_another_server(void **state) {
    (void)state;
    struct pair pair;
    struct error error;
    struct iovec bytes;
    char fingerprint[KEY_FINGERPRINT_BYTES];
    struct key_pair *other = key_pair_generate();
    pair_begin(&pair);
    assert_non_null(other);
    pump(&pair, 1000);
    assert_int_equal(pair.wired, CHANNEL_FIRST_BYTES);
    assert_true(channel_first_plausible(pair.server_key->public, pair.wire));
    assert_false(channel_first_plausible(other->public, pair.wire));
    assert_int_equal(lane_channel_output(pair.lane, pair.session, &bytes, NULL), CANYON_OK);
    assert_int_equal(bytes.iov_len, 0);
    assert_int_equal(lane_channel_ended(pair.lane, 0, &error), CANYON_UNAUTHENTICATED);
    assert_non_null(strstr(error.text, "10.0.0.5:7077 did not prove"));
    assert_non_null(strstr(error.text, key_fingerprint(pair.server_key->public, fingerprint)));
    assert_non_null(strstr(error.text, "cipher="));
    assert_int_equal(lane_channel_ended(pair.lane, ECONNRESET, &error), CANYON_UNAVAILABLE);
    key_pair_destroy(other);
    pair_end(&pair);
}

static void test_every_changed_bit_of_the_second_message_is_found(void **state) {
    (void)state;
    struct pair pair;
    pair_begin(&pair);
    for (size_t bit = 0; bit < CHANNEL_SECOND_BYTES * 8; bit++) {
        struct error error;
        struct iovec bytes;
        uint8_t second[CHANNEL_SECOND_BYTES];
        pair_hang_up(&pair);
        pair_dial(&pair);
        pump(&pair, 1000);
        answer_first(&pair, second);
        second[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum lane_channel_event event = deliver(&pair, second, sizeof second, 1000, &error);
        /* X25519 takes no notice of the highest bit of e, but the hash of the handshake does. */
        assert_int_equal(event, LANE_CHANNEL_FAILED);
        assert_int_equal(error.status, CANYON_UNAUTHENTICATED);
        assert_int_equal(lane_channel_output(pair.lane, pair.session, &bytes, NULL), CANYON_OK);
        assert_int_equal(bytes.iov_len, 0);
        assert_int_equal(session_state(pair.session), SESSION_DOWN);
    }
    pair_end(&pair);
}

/* A plaintext server answers garbage with an error frame, which may be longer or shorter than a second message. */
static void test_a_plaintext_server_is_named(void **state) {
    (void)state;
    for (size_t bytes = 4; bytes <= CHANNEL_SECOND_BYTES; bytes += CHANNEL_SECOND_BYTES - 4) {
        struct pair pair;
        uint8_t frame[CHANNEL_SECOND_BYTES] = "CNYN";
        struct error error = {.status = CANYON_OK};
        pair_begin(&pair);
        pump(&pair, 1000);
        if (deliver(&pair, frame, bytes, 1000, &error) != LANE_CHANNEL_FAILED)
            lane_channel_ended(pair.lane, ECONNRESET, &error);
        assert_int_equal(error.status, CANYON_UNAUTHENTICATED);
        assert_non_null(strstr(error.text, "--insecure-plaintext"));
        assert_non_null(strstr(error.text, "no data was sent"));
        pair_end(&pair);
    }
}

static void test_a_key_that_is_not_accepted(void **state) {
    (void)state;
    struct pair pair;
    struct error error;
    char text[KEY_TEXT_BYTES], line[KEY_TEXT_BYTES + 16];
    pair_begin(&pair);
    shake_hands(&pair, 1000);
    assert_int_equal(lane_channel_ended(pair.lane, ECONNRESET, &error), CANYON_UNAVAILABLE);
    assert_int_equal(lane_channel_ended(pair.lane, 0, &error), CANYON_UNAUTHENTICATED);
    snprintf(line, sizeof line, "worker NAME %s", key_text(pair.client_key->public, text));
    assert_non_null(strstr(error.text, line));
    server_welcomes(&pair, 1000);
    assert_int_equal(lane_channel_ended(pair.lane, 0, &error), CANYON_UNAVAILABLE);
    assert_non_null(strstr(error.text, "last record"));
    pair_end(&pair);
}

static void test_last_records(void **state) {
    (void)state;
    struct pair pair;
    uint8_t last[CHANNEL_RECORD_BYTES], plain[16], *at = NULL;
    struct iovec rest;
    size_t room = 0, got = 0;
    pair_begin(&pair);
    pump(&pair, 1000);
    assert_false(lane_channel_finish(pair.lane, &rest)); /* there is no channel yet that could be ended */
    pair_hang_up(&pair);
    pair_dial(&pair);
    shake_hands(&pair, 1000);
    server_welcomes(&pair, 1000);
    assert_true(lane_channel_finish(pair.lane, &rest));
    assert_int_equal(rest.iov_len, CHANNEL_RECORD_BYTES);
    channel_space(pair.server, &at, &room);
    assert_true(room >= rest.iov_len);
    memcpy(at, rest.iov_base, rest.iov_len);
    channel_received(pair.server, rest.iov_len);
    assert_int_equal(channel_read(pair.server, plain, sizeof plain, &got), CHANNEL_LAST);
    assert_false(lane_channel_finish(pair.lane, &rest));
    channel_seal_last(pair.server, last);
    assert_int_equal(deliver(&pair, last, sizeof last, 5, NULL), LANE_CHANNEL_LAST);
    pair_end(&pair);
}

static void test_a_record_that_the_server_did_not_seal(void **state) {
    (void)state;
    struct pair pair;
    struct error error;
    uint8_t sealed[256];
    struct iovec slice = {.iov_base = sealed + 128, .iov_len = 100};
    size_t taken = 0;
    pair_begin(&pair);
    memset(sealed, 7, sizeof sealed);
    shake_hands(&pair, 1000);
    server_welcomes(&pair, 1000);
    size_t made = channel_seal(pair.server, &slice, 1, 0, sealed, 128, &taken);
    assert_int_equal(made, 100 + CHANNEL_RECORD_BYTES);
    sealed[50] ^= 1;
    assert_int_equal(deliver(&pair, sealed, made, 1000, &error), LANE_CHANNEL_FAILED);
    assert_int_equal(error.status, CANYON_PROTOCOL);
    assert_non_null(strstr(error.text, "tampered"));
    pair_end(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_request_and_reply),
        cmocka_unit_test(test_much_goes_through_a_bounded_buffer),
        cmocka_unit_test(test_nothing_is_said_to_another_server),
        cmocka_unit_test(test_every_changed_bit_of_the_second_message_is_found),
        cmocka_unit_test(test_a_plaintext_server_is_named),
        cmocka_unit_test(test_a_key_that_is_not_accepted),
        cmocka_unit_test(test_last_records),
        cmocka_unit_test(test_a_record_that_the_server_did_not_seal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
