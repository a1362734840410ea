/* A session and a server made of frames in memory, for tests: bytes out, bytes in, no socket and no clock. */
#ifndef TESTS_UNIT_CLIENT_SESSION_WORLD_H
#define TESTS_UNIT_CLIENT_SESSION_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/session.h"

#define SERVERS "10.0.0.1:7077\n10.0.0.2:7077"
#define ALL     SIZE_MAX

/* What `done` was told about a request. */
struct outcome {
    unsigned calls;
    enum canyon_status status;
    char text[ERROR_TEXT_BYTES];
    uint16_t type;
    uint32_t payload_bytes;
    uint8_t payload[64];
};

/* A session and everything the server received from it. */
struct world {
    struct session *session;
    uint8_t *out;
    size_t out_bytes;
};

static inline void take_outcome(struct session_request *request, enum canyon_status status, const char *text,
                                const struct frame *reply) {
    struct outcome *outcome = request->user;
    outcome->calls++;
    outcome->status = status;
    snprintf(outcome->text, sizeof outcome->text, "%s", text);
    assert_true((status == CANYON_OK) == (reply != NULL));
    if (reply == NULL)
        return;
    outcome->type = reply->header.type;
    outcome->payload_bytes = reply->header.payload_bytes;
    if (reply->header.payload_bytes > 0 && reply->header.payload_bytes <= sizeof outcome->payload)
        memcpy(outcome->payload, reply->payload, reply->header.payload_bytes);
}

static inline struct session_request request_of(uint16_t type, struct outcome *outcome) {
    memset(outcome, 0, sizeof *outcome);
    return (struct session_request){.type = type, .deadline = UINT64_MAX, .done = take_outcome, .user = outcome};
}

/* ---- the server's side ---- */

/* Lets the session send up to `most` bytes; returns how many went. */
static inline size_t pump(struct world *world, size_t most) {
    size_t total = 0;
    while (total < most) {
        struct iovec slices[3];
        size_t count = session_output(world->session, slices, 3);
        size_t sent = 0;
        for (size_t i = 0; i < count && total < most; i++) {
            size_t bytes = slices[i].iov_len < most - total ? slices[i].iov_len : most - total;
            assert_true(slices[i].iov_len > 0);
            world->out = realloc(world->out, world->out_bytes + bytes);
            assert_non_null(world->out);
            memcpy(world->out + world->out_bytes, slices[i].iov_base, bytes);
            world->out_bytes += bytes;
            sent += bytes;
            total += bytes;
        }
        if (sent == 0)
            break;
        session_sent(world->session, sent);
    }
    return total;
}

/* Feeds bytes, at most `piece` at a time. */
static inline enum canyon_status feed(struct world *world, const uint8_t *bytes, size_t count, size_t piece,
                                      struct error *error) {
    enum canyon_status status = CANYON_OK;
    while (count > 0 && status == CANYON_OK) {
        uint8_t *at = NULL;
        size_t room = 0;
        session_space(world->session, &at, &room);
        assert_true(room > 0);
        size_t step = count < room ? count : room;
        step = step < piece ? step : piece;
        memcpy(at, bytes, step);
        status = session_received(world->session, step, error);
        bytes += step;
        count -= step;
    }
    return status;
}

/* A whole frame into `bytes`; returns its length. */
static inline size_t make_frame(uint8_t *bytes, uint16_t type, uint64_t request, const void *message,
                                size_t message_bytes, const void *payload, size_t payload_bytes) {
    struct frame_header header = {.type = type,
                                  .request = request,
                                  .message_bytes = (uint32_t)message_bytes,
                                  .payload_bytes = (uint32_t)payload_bytes};
    frame_header_encode(&header, bytes);
    if (message_bytes > 0)
        memcpy(bytes + FRAME_HEADER_BYTES, message, message_bytes);
    if (payload_bytes > 0)
        memcpy(bytes + FRAME_HEADER_BYTES + message_bytes, payload, payload_bytes);
    return FRAME_HEADER_BYTES + message_bytes + payload_bytes;
}

static inline enum canyon_status reply(struct world *world, uint16_t type, uint64_t request, const void *payload,
                                       size_t payload_bytes, struct error *error) {
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    return feed(world, bytes, make_frame(bytes, type, request, NULL, 0, payload, payload_bytes), ALL, error);
}

static inline enum canyon_status reply_error(struct world *world, uint64_t request, enum canyon_status status,
                                             const char *text, struct error *error) {
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES], message[LIMIT_MESSAGE_BYTES];
    struct error sent;
    error_set(&sent, status, "%s", text);
    size_t message_bytes = message_pack_error(&sent, message);
    return feed(world, bytes, make_frame(bytes, FRAME_ERROR, request, message, message_bytes, NULL, 0), ALL, error);
}

static inline size_t make_welcome(uint8_t *bytes, uint64_t request, uint32_t protocol) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct message_welcome welcome = {
        .protocol = protocol, .thread = 1, .threads = 2, .job = "job", .shards = 8, .block = 1024, .version = "v"};
    memset(welcome.boot, 7, sizeof welcome.boot);
    size_t message_bytes = message_pack_welcome(&welcome, message);
    return make_frame(bytes, FRAME_WELCOME, request, message, message_bytes, SERVERS, strlen(SERVERS));
}

/* The header of frame number `index` that the server received. */
static inline struct frame_header received_frame(const struct world *world, size_t index) {
    struct frame_header header = {0};
    size_t at = 0;
    for (size_t i = 0; i <= index; i++) {
        assert_true(at + FRAME_HEADER_BYTES <= world->out_bytes);
        assert_int_equal(frame_header_decode(world->out + at, FRAME_PAYLOAD_LIMIT, &header, NULL), CANYON_OK);
        at += FRAME_HEADER_BYTES + header.message_bytes + header.payload_bytes;
        assert_true(at <= world->out_bytes);
    }
    return header;
}

/* ---- beginning and end of each test ---- */

static inline void open_world(struct world *world, uint64_t window_bytes) {
    struct session_options options = {
        .name = "tester", .address = "server:1", .thread = 1, .window_bytes = window_bytes};
    memset(options.session_id, 3, sizeof options.session_id);
    *world = (struct world){.session = session_create(&options)};
    assert_non_null(world->session);
}

static inline void greet(struct world *world) {
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES + sizeof SERVERS];
    assert_int_equal(session_begin(world->session, NULL, NULL), CANYON_OK);
    world->out_bytes = 0;
    pump(world, ALL);
    uint64_t hello = received_frame(world, 0).request;
    struct error error;
    assert_int_equal(feed(world, bytes, make_welcome(bytes, hello, FRAME_VERSION), ALL, &error), CANYON_OK);
    assert_int_equal(session_state(world->session), SESSION_READY);
    world->out_bytes = 0;
}

static inline void close_world(struct world *world) {
    session_fail(world->session, CANYON_UNAVAILABLE, "the test is over");
    assert_int_equal(session_outstanding(world->session), 0);
    session_destroy(world->session);
    free(world->out);
}

#endif
