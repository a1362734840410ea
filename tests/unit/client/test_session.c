/* The session against a server made of frames in memory. */
#include "tests/unit/client/session_world.h"

/* ---- the greeting ---- */

static void test_hello_says_who_and_for_which_thread(void **state) {
    (void)state;
    struct world world;
    uint8_t digest[JOB_DIGEST_BYTES];
    memset(digest, 9, sizeof digest);
    open_world(&world, 1 << 20);
    assert_int_equal(session_state(world.session), SESSION_DOWN);
    assert_int_equal(session_begin(world.session, digest, NULL), CANYON_OK);
    assert_int_equal(session_state(world.session), SESSION_GREETING);
    pump(&world, ALL);
    struct frame_header header = received_frame(&world, 0);
    assert_int_equal(header.type, FRAME_HELLO);
    assert_true(header.request > 0);
    struct message_hello hello;
    assert_int_equal(message_unpack_hello(world.out + FRAME_HEADER_BYTES, header.message_bytes, &hello, NULL),
                     CANYON_OK);
    assert_int_equal(hello.thread, 1);
    assert_int_equal(hello.protocol, FRAME_VERSION);
    assert_string_equal(hello.name, "tester");
    assert_true(hello.has_digest);
    assert_memory_equal(hello.digest, digest, sizeof digest);
    close_world(&world);
}

static void test_welcome_is_kept(void **state) {
    (void)state;
    struct world world;
    open_world(&world, 1 << 20);
    greet(&world);
    size_t bytes = 0;
    const char *servers = session_servers(world.session, &bytes);
    assert_int_equal(bytes, strlen(SERVERS));
    assert_memory_equal(servers, SERVERS, bytes);
    assert_string_equal(session_welcome(world.session)->job, "job");
    assert_int_equal(session_welcome(world.session)->threads, 2);
    close_world(&world);
}

static void test_refused_hello_tells_the_servers_reason(void **state) {
    (void)state;
    struct world world;
    struct error error;
    open_world(&world, 1 << 20);
    assert_int_equal(session_begin(world.session, NULL, NULL), CANYON_OK);
    pump(&world, ALL);
    uint64_t hello = received_frame(&world, 0).request;
    assert_int_equal(reply_error(&world, hello, CANYON_CONFIGURATION, "other shards", &error), CANYON_CONFIGURATION);
    assert_non_null(strstr(error.text, "other shards"));
    assert_non_null(strstr(error.text, "server:1"));
    close_world(&world);
}

static void test_welcome_of_another_protocol_is_refused(void **state) {
    (void)state;
    struct world world;
    struct error error;
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES + sizeof SERVERS];
    open_world(&world, 1 << 20);
    assert_int_equal(session_begin(world.session, NULL, NULL), CANYON_OK);
    pump(&world, ALL);
    size_t count = make_welcome(bytes, received_frame(&world, 0).request, 2);
    assert_int_equal(feed(&world, bytes, count, ALL, &error), CANYON_UNSUPPORTED);
    close_world(&world);
}

static void test_something_else_than_a_welcome_is_refused(void **state) {
    (void)state;
    struct world world;
    struct error error;
    open_world(&world, 1 << 20);
    assert_int_equal(session_begin(world.session, NULL, NULL), CANYON_OK);
    pump(&world, ALL);
    assert_int_equal(reply(&world, FRAME_PULLED, received_frame(&world, 0).request, NULL, 0, &error), CANYON_PROTOCOL);
    close_world(&world);
}

static void test_requests_wait_for_the_welcome(void **state) {
    (void)state;
    struct world world;
    struct outcome outcome;
    struct session_request request = request_of(FRAME_LIST, &outcome);
    open_world(&world, 1 << 20);
    session_submit(world.session, &request);
    assert_int_equal(pump(&world, ALL), 0);
    greet(&world);
    assert_int_equal(pump(&world, ALL), FRAME_HEADER_BYTES);
    assert_int_equal(received_frame(&world, 0).type, FRAME_LIST);
    close_world(&world);
    assert_int_equal(outcome.calls, 1);
}

/* ---- replies ---- */

/* The whole conversation with the server's bytes cut at every place. */
static void test_replies_cut_anywhere(void **state) {
    (void)state;
    const float fresh[4] = {1.0f, 2.0f, 3.0f, 4.0f};
    for (size_t cut = 1; cut < 120; cut++) {
        struct world world;
        struct outcome first, second;
        struct error error;
        float weights[4] = {0};
        struct session_request one = request_of(FRAME_PULL, &first);
        struct session_request two = request_of(FRAME_LIST, &second);
        one.destination = weights;
        one.destination_bytes = sizeof weights;
        open_world(&world, 1 << 20);
        assert_int_equal(session_begin(world.session, NULL, NULL), CANYON_OK);
        pump(&world, ALL);
        session_submit(world.session, &one);
        session_submit(world.session, &two);

        uint8_t bytes[8192];
        size_t count = make_welcome(bytes, received_frame(&world, 0).request, FRAME_VERSION);
        assert_int_equal(feed(&world, bytes, count, cut, &error), CANYON_OK);
        world.out_bytes = 0;
        pump(&world, ALL);
        count = make_frame(bytes, FRAME_PULLED, one.id, "m", 1, fresh, sizeof fresh);
        count += make_frame(bytes + count, FRAME_LISTED, two.id, "ab", 2, NULL, 0);
        assert_int_equal(feed(&world, bytes, count, cut, &error), CANYON_OK);

        assert_int_equal(first.calls, 1);
        assert_int_equal(second.calls, 1);
        assert_int_equal(first.status, CANYON_OK);
        assert_int_equal(second.type, FRAME_LISTED);
        assert_memory_equal(weights, fresh, sizeof fresh);
        close_world(&world);
    }
}

static void test_replies_may_overtake(void **state) {
    (void)state;
    struct world world;
    struct outcome outcomes[3];
    struct session_request requests[3];
    struct error error;
    open_world(&world, 1 << 20);
    greet(&world);
    for (size_t i = 0; i < 3; i++) {
        requests[i] = request_of(FRAME_PULL, &outcomes[i]);
        session_submit(world.session, &requests[i]);
    }
    pump(&world, ALL);
    static const size_t order[] = {2, 0, 1};
    for (size_t i = 0; i < 3; i++) {
        char payload = (char)('a' + order[i]);
        assert_int_equal(reply(&world, FRAME_PULLED, requests[order[i]].id, &payload, 1, &error), CANYON_OK);
        assert_int_equal(outcomes[order[i]].calls, 1);
        assert_int_equal(outcomes[order[i]].payload[0], (uint8_t)payload);
        assert_int_equal(session_outstanding(world.session), 2 - i);
    }
    close_world(&world);
}

static void test_reply_of_unexpected_size_does_not_touch_the_destination(void **state) {
    (void)state;
    struct world world;
    struct outcome outcome;
    struct error error;
    float weights[2] = {5.0f, 6.0f};
    const float four[4] = {1.0f, 2.0f, 3.0f, 4.0f};
    struct session_request request = request_of(FRAME_PULL, &outcome);
    request.destination = weights;
    request.destination_bytes = sizeof weights;
    open_world(&world, 1 << 20);
    greet(&world);
    session_submit(world.session, &request);
    pump(&world, ALL);
    assert_int_equal(reply(&world, FRAME_PULLED, request.id, four, sizeof four, &error), CANYON_OK);
    assert_int_equal(outcome.payload_bytes, sizeof four);
    assert_memory_equal(outcome.payload, four, sizeof four);
    assert_true(weights[0] == 5.0f && weights[1] == 6.0f);
    close_world(&world);
}

static void test_error_reply_ends_only_its_request(void **state) {
    (void)state;
    struct world world;
    struct outcome first, second;
    struct error error;
    struct session_request one = request_of(FRAME_OPEN, &first);
    struct session_request two = request_of(FRAME_OPEN, &second);
    open_world(&world, 1 << 20);
    greet(&world);
    session_submit(world.session, &one);
    session_submit(world.session, &two);
    pump(&world, ALL);
    assert_int_equal(reply_error(&world, one.id, CANYON_NOT_FOUND, "no tensor \"w\"", &error), CANYON_OK);
    assert_int_equal(first.status, CANYON_NOT_FOUND);
    assert_string_equal(first.text, "no tensor \"w\"");
    assert_int_equal(second.calls, 0);
    close_world(&world);
}

static void test_stray_replies_break_the_stream(void **state) {
    (void)state;
    struct outcome outcome;
    struct error error;
    static const struct {
        uint16_t type;
        uint64_t request;
    } strays[] = {{FRAME_PULLED, 0}, {FRAME_PULLED, 1000}, {FRAME_PUSHED, 2}};
    for (size_t i = 0; i < sizeof strays / sizeof strays[0]; i++) {
        struct world world;
        struct session_request request = request_of(FRAME_PULL, &outcome);
        open_world(&world, 1 << 20);
        greet(&world);
        session_submit(world.session, &request);
        pump(&world, ALL);
        assert_int_equal(request.id, 2);
        assert_int_equal(reply(&world, strays[i].type, strays[i].request, NULL, 0, &error), CANYON_PROTOCOL);
        assert_int_equal(outcome.calls, 0);
        close_world(&world);
        assert_int_equal(outcome.calls, 1);
    }
}

static void test_reply_before_its_request_is_whole_breaks_the_stream(void **state) {
    (void)state;
    struct world world;
    struct outcome outcome;
    struct error error;
    float gradient[8] = {0};
    struct iovec payload = {.iov_base = gradient, .iov_len = sizeof gradient};
    struct session_request request = request_of(FRAME_PUSH, &outcome);
    request.payload = &payload;
    request.payload_count = 1;
    request.payload_bytes = sizeof gradient;
    open_world(&world, 1 << 20);
    greet(&world);
    session_submit(world.session, &request);
    pump(&world, FRAME_HEADER_BYTES + 5);
    assert_int_equal(reply(&world, FRAME_PUSHED, request.id, NULL, 0, &error), CANYON_PROTOCOL);
    close_world(&world);
}

static void test_error_for_no_request_carries_the_servers_text(void **state) {
    (void)state;
    struct world world;
    struct error error;
    open_world(&world, 1 << 20);
    greet(&world);
    assert_int_equal(reply_error(&world, 0, CANYON_PROTOCOL, "wrong magic", &error), CANYON_PROTOCOL);
    assert_non_null(strstr(error.text, "wrong magic"));
    close_world(&world);
}

static void test_garbage_breaks_the_stream(void **state) {
    (void)state;
    struct world world;
    struct error error;
    uint8_t garbage[64];
    memset(garbage, 0x5a, sizeof garbage);
    open_world(&world, 1 << 20);
    greet(&world);
    assert_int_equal(feed(&world, garbage, sizeof garbage, ALL, &error), CANYON_PROTOCOL);
    assert_non_null(strstr(error.text, "server:1"));
    close_world(&world);
}

static void test_greeting_has_a_small_payload_limit(void **state) {
    (void)state;
    struct world world;
    struct error error;
    uint8_t bytes[FRAME_HEADER_BYTES];
    struct frame_header header = {.type = FRAME_WELCOME, .request = 1, .payload_bytes = FRAME_PAYLOAD_LIMIT};
    open_world(&world, 1 << 20);
    assert_int_equal(session_begin(world.session, NULL, NULL), CANYON_OK);
    frame_header_encode(&header, bytes);
    assert_int_equal(feed(&world, bytes, sizeof bytes, ALL, &error), CANYON_TOO_LARGE);
    close_world(&world);
}

/* ---- output ---- */

static void test_payload_slices_go_out_in_order_and_unchanged(void **state) {
    (void)state;
    for (size_t step = 1; step < 90; step++) {
        struct world world;
        struct outcome outcome;
        uint8_t message[3] = {1, 2, 3}, a[5] = {10, 11, 12, 13, 14}, c[4] = {20, 21, 22, 23};
        struct iovec payload[3] = {{a, sizeof a}, {NULL, 0}, {c, sizeof c}};
        struct session_request request = request_of(FRAME_PUSH, &outcome);
        request.message = message;
        request.message_bytes = sizeof message;
        request.payload = payload;
        request.payload_count = 3;
        request.payload_bytes = sizeof a + sizeof c;
        open_world(&world, 1 << 20);
        greet(&world);
        session_submit(world.session, &request);
        while (pump(&world, step) > 0)
            continue;
        assert_int_equal(world.out_bytes, FRAME_HEADER_BYTES + 12);
        static const uint8_t expected[12] = {1, 2, 3, 10, 11, 12, 13, 14, 20, 21, 22, 23};
        assert_memory_equal(world.out + FRAME_HEADER_BYTES, expected, sizeof expected);
        assert_int_equal(session_unsent(world.session), 0);
        close_world(&world);
    }
}

static void test_window_bounds_what_is_unanswered(void **state) {
    (void)state;
    struct world world;
    struct outcome outcomes[4];
    struct session_request requests[4];
    struct error error;
    uint8_t block[100] = {0};
    struct iovec payload = {.iov_base = block, .iov_len = sizeof block};
    open_world(&world, 2 * (FRAME_HEADER_BYTES + sizeof block) + 10);
    greet(&world);
    for (size_t i = 0; i < 4; i++) {
        requests[i] = request_of(FRAME_PUSH, &outcomes[i]);
        requests[i].payload = &payload;
        requests[i].payload_count = 1;
        requests[i].payload_bytes = sizeof block;
        session_submit(world.session, &requests[i]);
    }
    assert_int_equal(pump(&world, ALL), 2 * (FRAME_HEADER_BYTES + sizeof block));
    assert_int_equal(session_unsent(world.session), 2);
    assert_int_equal(reply(&world, FRAME_PUSHED, requests[0].id, NULL, 0, &error), CANYON_OK);
    assert_int_equal(pump(&world, ALL), FRAME_HEADER_BYTES + sizeof block);
    close_world(&world);
}

/* Writes the payload when its turn comes: the first byte of the payload counts how often. */
static void write_payload(struct session_request *request) {
    uint8_t *bytes = request->payload[0].iov_base;
    bytes[0]++;
    memset(bytes + 1, 7, request->payload_bytes - 1);
}

/* With a window for both: the second is not prepared before the first has gone. */
static void test_only_what_goes_first_is_prepared(void **state) {
    (void)state;
    struct world world;
    struct outcome outcomes[2];
    struct session_request requests[2];
    uint8_t blocks[2][100] = {{0}};
    struct iovec payloads[2], slices[16];
    open_world(&world, 1 << 20);
    greet(&world);
    for (size_t i = 0; i < 2; i++) {
        payloads[i] = (struct iovec){.iov_base = blocks[i], .iov_len = sizeof blocks[i]};
        requests[i] = request_of(FRAME_PUSH, &outcomes[i]);
        requests[i].payload = &payloads[i];
        requests[i].payload_count = 1;
        requests[i].payload_bytes = sizeof blocks[i];
        requests[i].prepare = write_payload;
        session_submit(world.session, &requests[i]);
    }
    assert_int_equal(session_output(world.session, slices, 16), 2); /* header and payload */
    assert_int_equal(blocks[0][0], 1);
    assert_int_equal(blocks[1][0], 0);
    session_sent(world.session, FRAME_HEADER_BYTES + sizeof blocks[0]);
    assert_int_equal(session_output(world.session, slices, 16), 2);
    assert_int_equal(blocks[1][0], 1);
    close_world(&world);
}

static void test_a_payload_is_prepared_when_its_turn_comes(void **state) {
    (void)state;
    struct world world;
    struct outcome outcomes[2];
    struct session_request requests[2];
    struct error error;
    uint8_t blocks[2][100] = {{0}};
    struct iovec payloads[2];
    open_world(&world, FRAME_HEADER_BYTES + sizeof blocks[0]); /* one at a time */
    greet(&world);
    for (size_t i = 0; i < 2; i++) {
        payloads[i] = (struct iovec){.iov_base = blocks[i], .iov_len = sizeof blocks[i]};
        requests[i] = request_of(FRAME_PUSH, &outcomes[i]);
        requests[i].payload = &payloads[i];
        requests[i].payload_count = 1;
        requests[i].payload_bytes = sizeof blocks[i];
        requests[i].prepare = write_payload;
        session_submit(world.session, &requests[i]);
    }
    assert_int_equal(blocks[0][0], 0);
    world.out_bytes = 0;
    assert_int_equal(pump(&world, 10), 10); /* a part of the header */
    assert_int_equal(blocks[0][0], 1);
    assert_int_equal(pump(&world, ALL), FRAME_HEADER_BYTES + sizeof blocks[0] - 10);
    assert_int_equal(blocks[0][0], 1); /* not again, once a byte went out */
    assert_memory_equal(world.out + FRAME_HEADER_BYTES, blocks[0], sizeof blocks[0]);
    assert_int_equal(blocks[1][0], 0); /* its turn has not come */
    /* Given up before it comes, it is never prepared. */
    assert_true(session_cancel(world.session, &requests[1], CANYON_TIMEOUT, "late"));
    assert_int_equal(reply(&world, FRAME_PUSHED, requests[0].id, NULL, 0, &error), CANYON_OK);
    assert_int_equal(pump(&world, ALL), 0);
    assert_int_equal(blocks[1][0], 0);
    close_world(&world);
}

static void test_window_counts_expected_replies_and_lets_one_go_alone(void **state) {
    (void)state;
    struct world world;
    struct outcome outcomes[2];
    struct session_request requests[2];
    struct error error;
    open_world(&world, 1000);
    greet(&world);
    for (size_t i = 0; i < 2; i++) {
        requests[i] = request_of(FRAME_PULL, &outcomes[i]);
        requests[i].reply_bytes = 5000;
        session_submit(world.session, &requests[i]);
    }
    assert_int_equal(pump(&world, ALL), FRAME_HEADER_BYTES);
    assert_int_equal(reply(&world, FRAME_PULLED, requests[0].id, NULL, 0, &error), CANYON_OK);
    assert_int_equal(pump(&world, ALL), FRAME_HEADER_BYTES);
    close_world(&world);
}

static void test_awaited_is_what_sent_requests_hope_for(void **state) {
    (void)state;
    struct world world;
    struct outcome outcomes[3];
    struct session_request requests[3];
    struct error error;
    open_world(&world, 1 << 20);
    greet(&world);
    for (size_t i = 0; i < 3; i++) {
        requests[i] = request_of(FRAME_PULL, &outcomes[i]);
        requests[i].reply_bytes = 1000;
        session_submit(world.session, &requests[i]);
        assert_int_equal(session_awaited(world.session), 1000 * i);
        assert_int_equal(pump(&world, ALL), FRAME_HEADER_BYTES);
        assert_int_equal(session_awaited(world.session), 1000 * (i + 1));
    }
    assert_int_equal(reply(&world, FRAME_PULLED, requests[1].id, NULL, 0, &error), CANYON_OK);
    assert_int_equal(session_awaited(world.session), 2000);
    assert_true(session_cancel(world.session, &requests[0], CANYON_TIMEOUT, "late"));
    assert_int_equal(session_awaited(world.session), 1000);
    session_fail(world.session, CANYON_UNAVAILABLE, "gone");
    assert_int_equal(session_awaited(world.session), 0);
    close_world(&world);
}

/* ---- the end of requests ---- */

static void test_deadlines_before_during_and_after_sending(void **state) {
    (void)state;
    struct world world;
    struct outcome outcomes[4];
    struct session_request requests[4];
    open_world(&world, 1 << 20);
    greet(&world);
    for (size_t i = 0; i < 4; i++) {
        requests[i] = request_of(i == 1 ? FRAME_PULL : FRAME_PUSH, &outcomes[i]);
        requests[i].changes_state = i != 1;
        requests[i].deadline = i == 3 ? 900 : 500;
    }
    assert_true(session_wakeup(world.session) == UINT64_MAX);
    for (size_t i = 0; i < 4; i++)
        session_submit(world.session, &requests[i]);
    assert_true(session_wakeup(world.session) <= 500);
    pump(&world, 2 * FRAME_HEADER_BYTES); /* the first two are sent, the others not */
    assert_true(session_tick(world.session, 499));
    assert_int_equal(outcomes[0].calls, 0);
    assert_true(session_tick(world.session, 500));
    assert_int_equal(outcomes[0].status, CANYON_OUTCOME_UNKNOWN);
    assert_int_equal(outcomes[1].status, CANYON_TIMEOUT);
    assert_int_equal(outcomes[2].status, CANYON_TIMEOUT);
    assert_int_equal(outcomes[3].calls, 0);
    assert_non_null(strstr(outcomes[0].text, "server:1"));
    assert_true(session_wakeup(world.session) <= 900);
    assert_true(session_wakeup(world.session) > 500);
    close_world(&world);
}

static void test_deadline_of_a_half_sent_request_costs_the_connection(void **state) {
    (void)state;
    struct world world;
    struct outcome outcome;
    struct session_request request = request_of(FRAME_PUSH, &outcome);
    request.changes_state = true;
    request.deadline = 10;
    open_world(&world, 1 << 20);
    greet(&world);
    session_submit(world.session, &request);
    pump(&world, FRAME_HEADER_BYTES - 1);
    assert_false(session_tick(world.session, 10));
    assert_int_equal(outcome.status, CANYON_OUTCOME_UNKNOWN);
    close_world(&world);
    assert_int_equal(outcome.calls, 1);
}

static void test_late_reply_of_an_abandoned_request_is_swallowed(void **state) {
    (void)state;
    struct world world;
    struct outcome outcome;
    struct error error;
    float weights[4] = {9.0f, 9.0f, 9.0f, 9.0f};
    const float fresh[4] = {1.0f, 2.0f, 3.0f, 4.0f};
    struct session_request request = request_of(FRAME_PULL, &outcome);
    request.destination = weights;
    request.destination_bytes = sizeof weights;
    open_world(&world, 1 << 20);
    greet(&world);
    session_submit(world.session, &request);
    pump(&world, ALL);
    assert_true(session_cancel(world.session, &request, CANYON_TIMEOUT, "given up"));
    assert_int_equal(outcome.status, CANYON_TIMEOUT);
    assert_int_equal(reply(&world, FRAME_PULLED, request.id, fresh, sizeof fresh, &error), CANYON_OK);
    assert_true(weights[0] == 9.0f && weights[3] == 9.0f);
    assert_int_equal(outcome.calls, 1);
    close_world(&world);
}

/* The reply is arriving in the caller's memory when its deadline passes: the rest must go elsewhere, wherever it is
 * cut. */
static void test_cancelled_while_its_reply_arrives(void **state) {
    (void)state;
    enum { ELEMENTS = 16384 };
    static float fresh[ELEMENTS], weights[ELEMENTS];
    size_t bytes = FRAME_HEADER_BYTES + 1 + sizeof fresh;
    uint8_t *wire = malloc(bytes);
    assert_non_null(wire);
    for (size_t i = 0; i < ELEMENTS; i++)
        fresh[i] = (float)i + 1.0f;
    static const size_t cuts[] = {1, 24, 25, 26, 1000, 20000, 60000, 65560};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct world world;
        struct outcome outcome, later;
        struct error error;
        struct session_request request = request_of(FRAME_PULL, &outcome), next = request_of(FRAME_LIST, &later);
        request.destination = weights;
        request.destination_bytes = sizeof weights;
        open_world(&world, 1 << 20);
        greet(&world);
        session_submit(world.session, &request);
        session_submit(world.session, &next);
        pump(&world, ALL);
        make_frame(wire, FRAME_PULLED, request.id, "m", 1, fresh, sizeof fresh);
        assert_int_equal(feed(&world, wire, cuts[i], ALL, &error), CANYON_OK);
        assert_true(session_cancel(world.session, &request, CANYON_TIMEOUT, "given up"));
        memset(weights, 0, sizeof weights); /* the caller's again */
        assert_int_equal(feed(&world, wire + cuts[i], bytes - cuts[i], 30000, &error), CANYON_OK);
        for (size_t k = 0; k < ELEMENTS; k++)
            assert_true(weights[k] == 0.0f);
        assert_int_equal(reply(&world, FRAME_LISTED, next.id, NULL, 0, &error), CANYON_OK);
        assert_int_equal(later.status, CANYON_OK);
        close_world(&world);
    }
    free(wire);
}

static void test_lost_connection_tells_unknown_from_unavailable(void **state) {
    (void)state;
    struct world world;
    struct outcome outcomes[4];
    struct session_request requests[4];
    open_world(&world, 1 << 20);
    greet(&world);
    for (size_t i = 0; i < 4; i++) {
        requests[i] = request_of(i == 1 ? FRAME_PULL : FRAME_PUSH, &outcomes[i]);
        requests[i].changes_state = i != 1;
        session_submit(world.session, &requests[i]);
    }
    pump(&world, 2 * FRAME_HEADER_BYTES + 3); /* two whole, the third begun */
    session_fail(world.session, CANYON_UNAVAILABLE, "server:1 went away");
    static const enum canyon_status expected[] = {CANYON_OUTCOME_UNKNOWN, CANYON_UNAVAILABLE, CANYON_OUTCOME_UNKNOWN,
                                                  CANYON_UNAVAILABLE};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(outcomes[i].calls, 1);
        assert_int_equal(outcomes[i].status, expected[i]);
        assert_string_equal(outcomes[i].text, "server:1 went away");
    }
    assert_int_equal(session_state(world.session), SESSION_DOWN);
    close_world(&world);
}

static void test_closing_is_closed_whatever_was_sent(void **state) {
    (void)state;
    struct world world;
    struct outcome outcome;
    struct session_request request = request_of(FRAME_PUSH, &outcome);
    request.changes_state = true;
    open_world(&world, 1 << 20);
    greet(&world);
    session_submit(world.session, &request);
    pump(&world, ALL);
    session_fail(world.session, CANYON_CLOSED, "closed");
    assert_int_equal(outcome.status, CANYON_CLOSED);
    close_world(&world);
}

static void test_a_new_connection_begins_afresh(void **state) {
    (void)state;
    struct world world;
    struct outcome first, second;
    struct error error;
    struct session_request one = request_of(FRAME_PULL, &first), two = request_of(FRAME_PULL, &second);
    open_world(&world, 1 << 20);
    greet(&world);
    session_submit(world.session, &one);
    pump(&world, ALL);
    uint8_t half[FRAME_HEADER_BYTES];
    make_frame(half, FRAME_PULLED, one.id, NULL, 0, NULL, 0);
    assert_int_equal(feed(&world, half, 11, ALL, &error), CANYON_OK); /* a torn frame stays with the old connection */
    session_fail(world.session, CANYON_UNAVAILABLE, "gone");
    greet(&world);
    session_submit(world.session, &two);
    pump(&world, ALL);
    assert_true(two.id > one.id);
    assert_int_equal(reply(&world, FRAME_PULLED, two.id, NULL, 0, &error), CANYON_OK);
    assert_int_equal(second.status, CANYON_OK);
    close_world(&world);
}

/* Before the welcome nothing was begun: what waits is served by the next connection as if there had been none. */
static void test_a_greeting_may_be_begun_again(void **state) {
    (void)state;
    struct world world;
    struct outcome outcome;
    struct error error;
    struct session_request request = request_of(FRAME_PUSH, &outcome);
    request.changes_state = true;
    open_world(&world, 1 << 20);
    assert_int_equal(session_begin(world.session, NULL, NULL), CANYON_OK);
    session_submit(world.session, &request);
    pump(&world, 10); /* the hello is cut */
    session_restart(world.session);
    assert_int_equal(session_state(world.session), SESSION_DOWN);
    assert_int_equal(outcome.calls, 0);
    session_restart(world.session);
    greet(&world);
    pump(&world, ALL);
    assert_int_equal(reply(&world, FRAME_PUSHED, request.id, NULL, 0, &error), CANYON_OK);
    assert_int_equal(outcome.status, CANYON_OK);
    close_world(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_greeting_may_be_begun_again),
        cmocka_unit_test(test_hello_says_who_and_for_which_thread),
        cmocka_unit_test(test_welcome_is_kept),
        cmocka_unit_test(test_refused_hello_tells_the_servers_reason),
        cmocka_unit_test(test_welcome_of_another_protocol_is_refused),
        cmocka_unit_test(test_something_else_than_a_welcome_is_refused),
        cmocka_unit_test(test_requests_wait_for_the_welcome),
        cmocka_unit_test(test_replies_cut_anywhere),
        cmocka_unit_test(test_replies_may_overtake),
        cmocka_unit_test(test_reply_of_unexpected_size_does_not_touch_the_destination),
        cmocka_unit_test(test_error_reply_ends_only_its_request),
        cmocka_unit_test(test_stray_replies_break_the_stream),
        cmocka_unit_test(test_reply_before_its_request_is_whole_breaks_the_stream),
        cmocka_unit_test(test_error_for_no_request_carries_the_servers_text),
        cmocka_unit_test(test_garbage_breaks_the_stream),
        cmocka_unit_test(test_greeting_has_a_small_payload_limit),
        cmocka_unit_test(test_payload_slices_go_out_in_order_and_unchanged),
        cmocka_unit_test(test_window_bounds_what_is_unanswered),
        cmocka_unit_test(test_only_what_goes_first_is_prepared),
        cmocka_unit_test(test_a_payload_is_prepared_when_its_turn_comes),
        cmocka_unit_test(test_awaited_is_what_sent_requests_hope_for),
        cmocka_unit_test(test_window_counts_expected_replies_and_lets_one_go_alone),
        cmocka_unit_test(test_deadlines_before_during_and_after_sending),
        cmocka_unit_test(test_deadline_of_a_half_sent_request_costs_the_connection),
        cmocka_unit_test(test_late_reply_of_an_abandoned_request_is_swallowed),
        cmocka_unit_test(test_cancelled_while_its_reply_arrives),
        cmocka_unit_test(test_lost_connection_tells_unknown_from_unavailable),
        cmocka_unit_test(test_closing_is_closed_whatever_was_sent),
        cmocka_unit_test(test_a_new_connection_begins_afresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
