/* Pulls that may wait at the server for other workers: their window, who passes them, and what is said of them. */
#include "tests/unit/client/session_world.h"

enum { REPLY = 100 };

static struct session_request waiting_pull(struct outcome *outcome) {
    struct session_request request = request_of(FRAME_PULL, outcome);
    request.reply_bytes = REPLY;
    request.may_wait = true;
    return request;
}

static struct session_request push_of(const struct iovec *payload, struct outcome *outcome) {
    struct session_request request = request_of(FRAME_PUSH, outcome);
    request.payload = payload;
    request.payload_count = 1;
    request.payload_bytes = (uint32_t)payload->iov_len;
    return request;
}

/* All frames that went out since the last look. */
static void check_sent(struct world *world, const uint64_t *ids, size_t count) {
    size_t bytes = 0;
    pump(world, ALL);
    for (size_t i = 0; i < count; i++) {
        const struct frame_header header = received_frame(world, i);
        assert_int_equal(header.request, ids[i]);
        bytes += FRAME_HEADER_BYTES + header.message_bytes + header.payload_bytes;
    }
    assert_int_equal(world->out_bytes, bytes);
    world->out_bytes = 0;
}

/* The last frame that goes out, after `before` others: the session's own, which asks whether a pull waits. */
static uint64_t check_asks(struct world *world, size_t before) {
    pump(world, ALL);
    const struct frame_header header = received_frame(world, before);
    assert_int_equal(header.type, FRAME_MEMBERS);
    assert_int_equal(header.payload_bytes, 0);
    world->out_bytes = 0;
    return header.request;
}

/* Pulls wait at the server, as many as fit and two more here. When the answer to something else shows that they do,
 * pushes go past all of them and are answered, and when a pull is, the one that waited here goes. */
static void test_pulls_that_wait_keep_no_push_back(void **state) {
    (void)state;
    struct world world;
    struct outcome pulled[4], pushed[3];
    struct session_request pulls[4], pushes[3];
    struct error error;
    uint8_t block[REPLY] = {0};
    const struct iovec payload = {.iov_base = block, .iov_len = sizeof block};
    open_world(&world, 2 * REPLY + FRAME_HEADER_BYTES); /* two pulls or one push and no more */
    greet(&world);
    for (size_t i = 0; i < 4; i++) {
        pulls[i] = waiting_pull(&pulled[i]);
        session_submit(world.session, &pulls[i]);
    }
    assert_int_equal(pump(&world, ALL), 2 * FRAME_HEADER_BYTES);
    assert_int_equal(session_unsent(world.session), 2);
    world.out_bytes = 0;
    for (size_t i = 0; i < 3; i++) {
        pushes[i] = push_of(&payload, &pushed[i]);
        session_submit(world.session, &pushes[i]);
    }
    const uint64_t asks = check_asks(&world, 0);
    assert_int_equal(pump(&world, ALL), 0); /* once */
    /* Any answer will do. */
    assert_int_equal(reply_error(&world, asks, CANYON_DENIED, "who asks?", &error), CANYON_OK);
    for (size_t i = 0; i < 3; i++) {
        check_sent(&world, &pushes[i].id, 1); /* the window of pushes still holds */
        assert_int_equal(reply(&world, FRAME_PUSHED, pushes[i].id, NULL, 0, &error), CANYON_OK);
        assert_int_equal(pushed[i].status, CANYON_OK);
    }
    assert_int_equal(pump(&world, ALL), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(reply(&world, FRAME_PULLED, pulls[1 - i].id, NULL, 0, &error), CANYON_OK);
        check_sent(&world, &pulls[2 + i].id, 1);
    }
    assert_int_equal(session_unsent(world.session), 0);
    close_world(&world);
}

/* Where none waits, a push goes out when all pulls before it did, however few of them fit, and before those behind. */
static void test_pulls_that_do_not_wait_are_not_passed(void **state) {
    (void)state;
    struct world world;
    struct outcome pulled[6], pushed;
    struct session_request pulls[6];
    struct error error;
    uint8_t block[REPLY] = {0};
    const struct iovec payload = {.iov_base = block, .iov_len = sizeof block};
    struct session_request push = push_of(&payload, &pushed);
    open_world(&world, 2 * REPLY + FRAME_HEADER_BYTES);
    greet(&world);
    for (size_t i = 0; i < 6; i++) {
        if (i == 5)
            session_submit(world.session, &push);
        pulls[i] = waiting_pull(&pulled[i]);
        session_submit(world.session, &pulls[i]);
    }
    const uint64_t asks = check_asks(&world, 2);
    assert_int_equal(reply(&world, FRAME_PULLED, pulls[0].id, NULL, 0, &error), CANYON_OK);
    check_sent(&world, &pulls[2].id, 1);
    assert_int_equal(reply(&world, FRAME_PULLED, pulls[1].id, NULL, 0, &error), CANYON_OK);
    check_sent(&world, &pulls[3].id, 1);
    /* Those that are out now were sent after it: nothing is known of them, and it is asked again. */
    assert_int_equal(reply(&world, FRAME_MEMBERS_ARE, asks, NULL, 0, &error), CANYON_OK);
    const uint64_t again = check_asks(&world, 0);
    assert_int_equal(reply(&world, FRAME_PULLED, pulls[2].id, NULL, 0, &error), CANYON_OK);
    const uint64_t last[] = {pulls[4].id, push.id};
    check_sent(&world, last, 2);
    assert_int_equal(reply(&world, FRAME_PULLED, pulls[3].id, NULL, 0, &error), CANYON_OK);
    check_sent(&world, &pulls[5].id, 1);
    assert_int_equal(reply(&world, FRAME_MEMBERS_ARE, again, NULL, 0, &error), CANYON_OK);
    close_world(&world);
}

/* What could not be sent yet goes in the order in which it came, over this connection and the next. */
static void test_order_lasts_while_nothing_is_sent(void **state) {
    (void)state;
    struct world world;
    struct outcome pulled[3], looked[3];
    struct session_request pulls[3], looks[3];
    struct error error;
    open_world(&world, 2 * REPLY); /* two pulls that may wait, and one other request */
    for (size_t i = 0; i < 3; i++) {
        pulls[i] = waiting_pull(&pulled[i]);
        looks[i] = request_of(FRAME_TABLE_PULL, &looked[i]);
        looks[i].reply_bytes = 2 * REPLY;
    }
    session_submit(world.session, &pulls[0]); /* without a connection */
    session_submit(world.session, &looks[0]);
    session_submit(world.session, &pulls[1]);
    session_submit(world.session, &looks[1]);
    session_submit(world.session, &pulls[2]);
    session_submit(world.session, &looks[2]);
    greet(&world);
    const uint64_t first[] = {pulls[0].id, looks[0].id, pulls[1].id};
    check_sent(&world, first, 3);
    assert_int_equal(reply(&world, FRAME_PULLED, pulls[0].id, NULL, 0, &error), CANYON_OK);
    assert_int_equal(pump(&world, ALL), 0); /* the third pull has its place, between what does not fit yet */
    session_lose(world.session, CANYON_UNAVAILABLE, "cut");
    greet(&world);
    const uint64_t again[] = {looks[0].id, pulls[1].id};
    check_sent(&world, again, 2);
    assert_int_equal(reply(&world, FRAME_TABLE_PULLED, looks[0].id, NULL, 0, &error), CANYON_OK);
    const uint64_t then[] = {looks[1].id, pulls[2].id};
    check_sent(&world, then, 2);
    assert_int_equal(reply(&world, FRAME_TABLE_PULLED, looks[1].id, NULL, 0, &error), CANYON_OK);
    check_sent(&world, &looks[2].id, 1);
    close_world(&world);
}

/* Nor do pushes take the place of pulls that may wait. */
static void test_pushes_keep_no_waiting_pull_back(void **state) {
    (void)state;
    struct world world;
    struct outcome pulled, pushed;
    uint8_t block[REPLY] = {0};
    const struct iovec payload = {.iov_base = block, .iov_len = sizeof block};
    struct session_request push = push_of(&payload, &pushed), pull = waiting_pull(&pulled);
    open_world(&world, 1);
    greet(&world);
    session_submit(world.session, &push);
    session_submit(world.session, &pull);
    assert_int_equal(pump(&world, ALL), 2 * FRAME_HEADER_BYTES + sizeof block);
    assert_int_equal(received_frame(&world, 1).request, pull.id);
    close_world(&world);
}

/* A server refuses more: they wait here instead. */
static void test_no_more_pulls_wait_than_a_server_lets(void **state) {
    (void)state;
    struct world world;
    static struct outcome pulled[SESSION_PATIENCE + 2];
    static struct session_request pulls[SESSION_PATIENCE + 2];
    struct error error;
    open_world(&world, 1 << 20);
    greet(&world);
    for (size_t i = 0; i < SESSION_PATIENCE + 2; i++) {
        pulls[i] = waiting_pull(&pulled[i]);
        session_submit(world.session, &pulls[i]);
    }
    assert_int_equal(pump(&world, ALL), SESSION_PATIENCE * FRAME_HEADER_BYTES);
    assert_int_equal(reply_error(&world, pulls[5].id, CANYON_TIMEOUT, "waits for 'bert'", &error), CANYON_OK);
    assert_int_equal(pulled[5].status, CANYON_TIMEOUT);
    assert_int_equal(pump(&world, ALL), FRAME_HEADER_BYTES);
    close_world(&world);
    for (size_t i = 0; i < SESSION_PATIENCE + 2; i++)
        assert_int_equal(pulled[i].calls, 1);
}

/* One that waits here ends at its deadline, or is cancelled, and one that waits there gives its place back. */
static void test_waiting_pulls_end_wherever_they_are(void **state) {
    (void)state;
    struct world world;
    struct outcome pulled[5];
    struct session_request pulls[5];
    struct error error;
    open_world(&world, 1); /* one at a time */
    greet(&world);
    for (size_t i = 0; i < 5; i++) {
        pulls[i] = waiting_pull(&pulled[i]);
        pulls[i].deadline = i < 2 ? 500 : 900;
        session_submit(world.session, &pulls[i]);
    }
    assert_int_equal(pump(&world, ALL), FRAME_HEADER_BYTES);
    assert_int_equal(reply(&world, FRAME_PULLED, pulls[3].id, NULL, 0, &error), CANYON_PROTOCOL); /* never asked */
    assert_true(session_tick(world.session, 500));
    assert_int_equal(pulled[0].status, CANYON_TIMEOUT); /* there */
    assert_int_equal(pulled[1].status, CANYON_TIMEOUT); /* here */
    assert_int_equal(session_wakeup(world.session), 900);
    assert_true(session_cancel(world.session, &pulls[2], CANYON_TIMEOUT, "late"));
    assert_int_equal(session_outstanding(world.session), 2);
    assert_int_equal(pump(&world, ALL), FRAME_HEADER_BYTES);
    assert_int_equal(reply(&world, FRAME_PULLED, pulls[3].id, NULL, 0, &error), CANYON_OK);
    assert_int_equal(pump(&world, ALL), FRAME_HEADER_BYTES);
    assert_int_equal(pulled[4].calls, 0);
    close_world(&world);
}

/* What waited for nothing but others says so, and for whom, as far as the server has said it of any. */
static void test_waiting_pulls_say_what_they_waited_for(void **state) {
    (void)state;
    struct world world;
    struct outcome pulled[4];
    struct session_request pulls[4];
    struct error error;
    open_world(&world, 1); /* one at a time */
    greet(&world);
    for (size_t i = 0; i < 4; i++) {
        pulls[i] = waiting_pull(&pulled[i]);
        pulls[i].deadline = i == 1 ? 400 : 500;
        session_submit(world.session, &pulls[i]);
    }
    assert_int_equal(pump(&world, ALL), FRAME_HEADER_BYTES);
    assert_true(session_tick(world.session, 400));
    assert_string_equal(pulled[1].text,
                        "PULL stood behind 1 pulls that server:1 has not answered yet: allow more time");
    assert_int_equal(reply_error(&world, pulls[0].id, CANYON_TIMEOUT, "waits for 'bert'", &error), CANYON_OK);
    assert_int_equal(pump(&world, ALL), FRAME_HEADER_BYTES);
    assert_true(session_tick(world.session, 500));
    assert_string_equal(pulled[2].text,
                        "server:1 did not answer PULL before the deadline: it may wait for other workers "
                        "there (the last answer to one that did: waits for 'bert')");
    assert_int_equal(pulled[3].status, CANYON_TIMEOUT);
    assert_null(strstr(pulled[3].text, "allow more time"));
    assert_non_null(
        strstr(pulled[3].text, "which wait for other workers (the last answer to one that did: waits for 'bert'"));
    close_world(&world);
}

/* That one was known to wait is forgotten with its connection, and so is a question. */
static void test_a_new_connection_is_asked_anew(void **state) {
    (void)state;
    struct world world;
    struct outcome pulled[2], looked[2];
    struct session_request pulls[2], looks[2];
    struct error error;
    open_world(&world, REPLY + 50); /* one pull, one look and the question */
    greet(&world);
    for (size_t i = 0; i < 2; i++) {
        pulls[i] = waiting_pull(&pulled[i]);
        session_submit(world.session, &pulls[i]);
    }
    looks[0] = request_of(FRAME_TABLE_PULL, &looked[0]);
    session_submit(world.session, &looks[0]);
    (void)check_asks(&world, 1);
    session_lose(world.session, CANYON_UNAVAILABLE, "cut");
    greet(&world);
    const uint64_t asks = check_asks(&world, 1);
    assert_int_equal(reply(&world, FRAME_MEMBERS_ARE, asks, NULL, 0, &error), CANYON_OK);
    check_sent(&world, &looks[0].id, 1);
    assert_int_equal(reply(&world, FRAME_TABLE_PULLED, looks[0].id, NULL, 0, &error), CANYON_OK);
    session_lose(world.session, CANYON_UNAVAILABLE, "cut");
    looks[1] = request_of(FRAME_TABLE_PULL, &looked[1]);
    session_submit(world.session, &looks[1]);
    greet(&world);
    (void)check_asks(&world, 1);
    /* Nor is one known to wait that has ended: the next may. */
    assert_true(session_cancel(world.session, &pulls[0], CANYON_TIMEOUT, "late"));
    const uint64_t last[] = {pulls[1].id, looks[1].id};
    check_sent(&world, last, 2);
    close_world(&world);
}

/* They outlast a connection, and keep to their window on the next. */
static void test_waiting_pulls_outlast_their_connection(void **state) {
    (void)state;
    struct world world;
    struct outcome pulled[3];
    struct session_request pulls[3];
    struct error error;
    open_world(&world, 2 * REPLY);
    greet(&world);
    for (size_t i = 0; i < 3; i++) {
        pulls[i] = waiting_pull(&pulled[i]);
        session_submit(world.session, &pulls[i]);
    }
    assert_int_equal(pump(&world, ALL), 2 * FRAME_HEADER_BYTES);
    session_lose(world.session, CANYON_UNAVAILABLE, "cut");
    assert_int_equal(session_outstanding(world.session), 3);
    greet(&world);
    assert_int_equal(pump(&world, ALL), 2 * FRAME_HEADER_BYTES);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(reply(&world, FRAME_PULLED, pulls[i].id, NULL, 0, &error), CANYON_OK);
        assert_int_equal(pulled[i].status, CANYON_OK);
        assert_int_equal(pump(&world, ALL), i == 0 ? FRAME_HEADER_BYTES : 0);
    }
    close_world(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pulls_that_wait_keep_no_push_back),
        cmocka_unit_test(test_pulls_that_do_not_wait_are_not_passed),
        cmocka_unit_test(test_order_lasts_while_nothing_is_sent),
        cmocka_unit_test(test_pushes_keep_no_waiting_pull_back),
        cmocka_unit_test(test_no_more_pulls_wait_than_a_server_lets),
        cmocka_unit_test(test_waiting_pulls_end_wherever_they_are),
        cmocka_unit_test(test_waiting_pulls_say_what_they_waited_for),
        cmocka_unit_test(test_a_new_connection_is_asked_anew),
        cmocka_unit_test(test_waiting_pulls_outlast_their_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
