/* Pulls that wait for clocks at a handler, in virtual time: who waits and for whom, how many may, and how they go on.
 */
#include "tests/unit/server/clocks_fixture.h"

#include "server/handler_state.h"

/* ---- waiting ---- */

static void a_pull_waits_and_holds_up_nothing_else(void **state) {
    (void)state;
    set_mode("ssp:2", 1);
    assert_true(worker_enter(&anna) == 1 && worker_enter(&bert) == 1);
    struct client *client = owner(&anna, 0);
    (void)take_pulled(&anna, 0, ask_pull(&anna, 0, 3, 0)); /* 1 is not more than 2 behind */
    worker_clock(&anna, 4);
    const uint64_t waits = ask_pull(&anna, 0, 4, 1000);
    assert_int_equal(client->waiting, 0);
    /* Behind it, on the same connection: a push, a look, a pull at an earlier clock. */
    assert_int_equal(take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, 4, -1.0f), NULL).status, CANYON_OK);
    (void)client_statistics(client);
    const float before = take_pulled(&anna, 0, ask_pull(&anna, 0, 3, 0));
    /* Who is behind never waits; neither does push_pull. */
    (void)take_pulled(&bert, 0, ask_pull(&bert, 0, 1, 0));
    reply_free(client_take(client, ask_push(&anna, FRAME_PUSH_PULL, 0, 4, -1.0f), FRAME_PUSH_PULLED));
    bench_pass(&bench, 999);
    assert_int_equal(client->waiting, 0);
    (void)tell(owner(&bert, 0), 2);
    assert_true(take_pulled(&anna, 0, waits) == before + 1.0f); /* the weights of when it was let go */
}

static void time_names_who_is_waited_for(void **state) {
    (void)state;
    set_mode("ssp:0", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    worker_clock(&anna, 5);
    const uint64_t none = ask_pull(&anna, 1, 5, 0);
    client_fails(owner(&anna, 1), none, CANYON_TIMEOUT, "'bert' (rank 1), which is at clock 1");
    const uint64_t first = ask_pull(&anna, 1, 5, 300), second = ask_pull(&anna, 1, 5, 200);
    assert_true(handler_wakeup(owner(&anna, 1)->handler) == bench.now + 200 * MS);
    bench_pass(&bench, 200);
    client_fails(owner(&anna, 1), second, CANYON_TIMEOUT, "a pull at clock 5 (ssp:0) waits for worker 'bert'");
    assert_true(handler_wakeup(owner(&anna, 1)->handler) == bench.now + 100 * MS);
    bench_pass(&bench, 100);
    client_fails(owner(&anna, 1), first, CANYON_TIMEOUT, "waited 300 ms");
}

static void who_does_not_count_does_not_wait(void **state) {
    (void)state;
    set_mode("ssp:0", 1);
    (void)worker_enter(&anna);
    (void)take_pulled(&bert, 0, ask_pull(&bert, 0, 77, 0));
    /* A peer that goes takes what waits along. */
    (void)worker_enter(&bert);
    (void)tell(owner(&bert, 0), 2);
    (void)ask_pull(&bert, 0, 2, 60000);
    struct client *client = owner(&bert, 0);
    client_go(client);
    (void)tell(owner(&anna, 0), 9);
    bench_pass(&bench, 70000);
    client_come(client, client->handler, 2, "bert");
    assert_int_equal(client->waiting, 0);
    /* A server that stops answers them. */
    (void)tell(owner(&anna, 0), 9);
    (void)tell(client, 9);
    (void)tell(client, 10);
    const uint64_t waits = ask_pull(&bert, 0, 10, 60000);
    handler_stop(client->handler);
    client_fails(client, waits, CANYON_UNAVAILABLE, "stopping");
}

/* Nobody would ever let them go: who has left is waited for by nobody, and waits for nobody. */
static void who_leaves_does_not_wait(void **state) {
    (void)state;
    struct client *client = owner(&anna, 0), carl;
    set_mode("sync:sum", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    client_come(&carl, client->handler, 3, "carl");
    (void)enter(&carl, 0);
    const float before = take_pulled(&anna, 0, ask_pull(&anna, 0, 1, 0));
    (void)take_pushed(&bert, 0, ask_push(&bert, FRAME_PUSH, 0, 1, -1.0f), NULL);
    const uint64_t hers = ask_pull(&anna, 0, 2, 60000), his = ask_pull(&bert, 0, 2, 60000);
    assert_int_equal(client->waiting, 0);
    client_succeeds(client, ask_clock(client, 0, true), FRAME_CLOCKED);
    assert_true(take_pulled(&anna, 0, hers) == before);
    assert_int_equal(owner(&bert, 0)->waiting, 0);
    (void)tell(&carl, 2);
    assert_true(take_pulled(&bert, 0, his) == before + 1.0f);
    /* With her session too. */
    assert_int_equal(tell(client, 2).clock, 2);
    const uint64_t more = ask_pull(&anna, 0, 3, 60000);
    assert_int_equal(client->waiting, 0);
    client_succeeds(client, client_ask(client, FRAME_LEAVE, NULL, 0, NULL, 0), FRAME_LEFT);
    assert_true(take_pulled(&anna, 0, more) == before + 1.0f);
    client_go(&carl);
}

static void so_many_may_wait(void **state) {
    (void)state;
    set_mode("ssp:0", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    worker_clock(&anna, 2);
    struct client *client = owner(&anna, 0);
    const uint64_t first = ask_pull(&anna, 0, 2, 1000);
    for (unsigned i = 1; i < HANDLER_WAITS_PER_PEER; i++) {
        (void)ask_pull(&anna, 0, 2, 1000);
    }
    assert_int_equal(client->waiting, 0);
    client_fails(client, ask_pull(&anna, 0, 2, 1000), CANYON_BUSY, "1024");
    (void)tell(owner(&bert, 0), 2);
    for (unsigned i = 0; i < HANDLER_WAITS_PER_PEER; i++) {
        (void)take_pulled(&anna, 0, first + i); /* in the order in which they came */
    }
}

/* And so many on a thread, however many connections they come from. */
static void so_many_may_wait_on_a_thread(void **state) {
    (void)state;
    static struct client many[HANDLER_WAITS / HANDLER_WAITS_PER_PEER + 1];
    const size_t count = sizeof many / sizeof many[0];
    const struct message_pieces pull = {
        .count = 1, .clock = 2, .wait_ms = 1000, .pieces = {{.tensor = tensor.id, .elements = 1024}}};
    set_mode("ssp:0", 1);
    (void)worker_enter(&bert);
    struct handler *handler = owner(&bert, 0)->handler;
    for (size_t i = 0; i < count; i++) {
        client_come(&many[i], handler, (unsigned)(100 + i), "many");
        (void)enter(&many[i], 0);
        for (unsigned j = 0; j < HANDLER_WAITS_PER_PEER && i + 1 < count; j++) {
            (void)ask_pieces(&many[i], FRAME_PULL, &pull, NULL, 0);
        }
        assert_int_equal(many[i].waiting, 0);
    }
    assert_int_equal(handler->waits.count, 65536);
    client_fails(&many[count - 1], ask_pieces(&many[count - 1], FRAME_PULL, &pull, NULL, 0), CANYON_BUSY, "65536");
    /* One that goes makes room. */
    client_go(&many[0]);
    (void)ask_pieces(&many[count - 1], FRAME_PULL, &pull, NULL, 0);
    assert_int_equal(many[count - 1].waiting, 0);
    for (size_t i = 1; i < count; i++) {
        client_go(&many[i]);
    }
    assert_true(handler->waits.count == 0 && handler->waits.bytes == 0);
}

/* What waits is looked through when the lowest clock moves, not whenever somebody tells one. */
static void what_says_nothing_new_looks_at_no_wait(void **state) {
    (void)state;
    struct client *client = owner(&anna, 0);
    set_mode("ssp:0", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    worker_clock(&anna, 2);
    const uint64_t first = ask_pull(&anna, 0, 2, 1000);
    const struct handler_pace before = client->handler->pace;
    struct wait *wait = waits_due(&client->handler->waits);
    const uint64_t clock = wait->clock;
    wait->clock = 0; /* it would be let go if it were looked at */
    (void)tell(client, 2);
    (void)tell(owner(&bert, 0), 1);
    (void)tell(client, 3);
    assert_int_equal(client->waiting, 0);
    assert_true(client->handler->pace.lowest == before.lowest && before.lowest == 1);
    wait->clock = clock;
    (void)tell(owner(&bert, 0), 2);
    (void)take_pulled(&anna, 0, first);
}

/* What goes, by a clock or by its time, is found without the others. */
static void what_moves_looks_at_no_other_wait(void **state) {
    (void)state;
    struct client *client = owner(&anna, 0);
    set_mode("ssp:0", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    set_mode("ssp:1", 7);
    worker_clock(&anna, 9);
    const uint64_t last = ask_pull(&anna, 0, 9, 60000), first = ask_pull(&anna, 0, 3, 60000);
    const uint64_t beyond = ask_pull(&anna, 0, 7, 50000), before = ask_pull(&anna, 0, 6, 60000);
    const uint64_t between = ask_pull(&anna, 0, 8, 60000), brief = ask_pull(&anna, 0, 9, 100);
    struct wait *wait = client->peer.waiting_first; /* at 9, behind others in whatever goes next */
    const uint64_t clock = wait->clock, deadline = wait->deadline;
    wait->clock = wait->deadline = 0; /* it would go if it were looked at */
    (void)tell(owner(&bert, 0), 3);
    (void)take_pulled(&anna, 0, first);
    assert_int_equal(client->waiting, 0);
    bench_pass(&bench, 100);
    client_fails(client, brief, CANYON_TIMEOUT, "waited 100 ms");
    assert_int_equal(client->waiting, 0);
    (void)tell(owner(&bert, 0), 6);
    (void)take_pulled(&anna, 0, before); /* ssp:0 at 6, and ssp:1 at 7 */
    (void)take_pulled(&anna, 0, beyond);
    assert_int_equal(client->waiting, 0);
    wait->clock = clock;
    wait->deadline = deadline;
    (void)tell(owner(&bert, 0), 8);
    (void)take_pulled(&anna, 0, between);
    (void)take_pulled(&anna, 0, last);
}

/* ---- room for what is let go ---- */

static unsigned woken;

static void wake(struct handler_peer *peer) {
    (void)peer;
    woken++;
}

/* Anna has a socket, whose room she knows; carl has all the room there is. Both wait for bert. Returns the first of her
 * requests. */
static uint64_t wait_for_room(struct client *carl, unsigned count) {
    set_mode("ssp:0", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    worker_clock(&anna, 2);
    client_come(carl, owner(&anna, 0)->handler, 3, "carl");
    (void)enter(carl, 0);
    (void)tell(carl, 2);
    woken = 0;
    owner(&anna, 0)->peer.wake = wake;
    const uint64_t first = owner(&anna, 0)->requests + 1;
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(ask_pull(&anna, 0, 2, 1000), first + i);
    }
    return first;
}

static void what_is_let_go_waits_for_room(void **state) {
    (void)state;
    struct client carl, *client = owner(&anna, 0);
    const struct message_pieces pull = {
        .count = 1, .clock = 2, .wait_ms = 1000, .pieces = {{.tensor = tensor.id, .elements = 1024}}};
    const uint64_t first = wait_for_room(&carl, 3);
    const uint64_t other = ask_pieces(&carl, FRAME_PULL, &pull, NULL, 0);
    assert_false(handler_go_on(client->handler, &client->peer)); /* nobody has let them go */
    (void)tell(owner(&bert, 0), 2);
    client_succeeds(&carl, other, FRAME_PULLED);
    assert_true(woken == 3 && client->waiting == 0);
    assert_true(client->peer.waiting == 0 && client->peer.ready == 3);
    /* They wait for no worker, so they are late for nothing; and are no sign of life. */
    assert_int_equal(members_live(client->handler->members), 3);
    bench_pass(&bench, 9000);
    (void)tell(owner(&bert, 0), 2);
    bench_pass(&bench, 1000);
    assert_int_equal(client->waiting, 0);
    assert_int_equal(members_live(client->handler->members), 1);
    assert_true(handler_wakeup(client->handler) == bench.now + 9000 * MS); /* when bert's lease ends */
    for (unsigned i = 0; i < 3; i++) {
        assert_true(handler_go_on(client->handler, &client->peer));
        assert_int_equal(client->waiting, 1);
        (void)take_pulled(&anna, 0, first + i); /* in the order in which they came */
    }
    assert_false(handler_go_on(client->handler, &client->peer));
    assert_int_equal(client->waiting, 0);
    client_go(&carl);
    assert_true(client->handler->waits.count == 0 && client->handler->waits.bytes == 0);
}

/* It takes memory until it is carried out, and when its peer goes. */
static void what_is_let_go_counts_as_long_as_it_is_there(void **state) {
    (void)state;
    struct client carl, *client = owner(&anna, 0);
    const uint64_t first = wait_for_room(&carl, HANDLER_WAITS_PER_PEER);
    client_go(&carl);
    (void)tell(owner(&bert, 0), 2);
    (void)tell(client, 3);
    client_fails(client, ask_pull(&anna, 0, 3, 1000), CANYON_BUSY, "1024");
    assert_true(handler_go_on(client->handler, &client->peer));
    (void)take_pulled(&anna, 0, first);
    const uint64_t waits = ask_pull(&anna, 0, 3, 1000); /* beside those that are ready */
    assert_int_equal(client->handler->waits.count, HANDLER_WAITS_PER_PEER);
    bench_pass(&bench, 1000);
    client_fails(client, waits, CANYON_TIMEOUT, "'bert'");
    /* What was let go is answered by a server that stops too, as its peer goes on. */
    handler_stop(client->handler);
    assert_int_equal(client->waiting, 0);
    assert_true(handler_go_on(client->handler, &client->peer));
    (void)take_pulled(&anna, 0, first + 1);
    client_go(client);
    assert_true(client->handler->waits.count == 0 && client->handler->waits.bytes == 0);
    client_come(client, client->handler, 1, "anna");
    assert_false(handler_go_on(client->handler, &client->peer));
}

/* ---- clocks in messages ---- */

/* A CLOCK goes with its connection, and a pull or push is sent again: it says as much. */
static void a_pull_or_push_tells_its_clock(void **state) {
    (void)state;
    set_mode("sync", 1);
    (void)worker_enter(&anna);
    const float before = take_pulled(&anna, 0, ask_pull(&anna, 0, 1, 0));
    assert_int_equal(take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, 1, -1.0f), NULL).status, CANYON_OK);
    assert_true(take_pulled(&anna, 0, ask_pull(&anna, 0, 2, 0)) == before + 1.0f); /* alone, she waits for nobody */
    assert_int_equal(take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, 3, -1.0f), NULL).status, CANYON_OK);
    assert_int_equal(tell(owner(&anna, 0), 1).clock, 3);
    /* Bert's push lets go what waits for him, after his own answer. */
    (void)worker_enter(&bert);
    const uint64_t waits = ask_pull(&anna, 0, 4, 1000);
    assert_int_equal(owner(&anna, 0)->waiting, 0);
    assert_int_equal(take_pushed(&bert, 0, ask_push(&bert, FRAME_PUSH, 0, 4, -7.0f), NULL).status, CANYON_OK);
    assert_true(take_pulled(&anna, 0, waits) == before + 2.0f);
}

/* It may be any number that a program gives its rows. */
static void where_nobody_waits_it_tells_nothing(void **state) {
    (void)state;
    (void)worker_enter(&anna);
    assert_int_equal(take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, LIMIT_CLOCK, -1.0f), NULL).status, CANYON_OK);
    (void)take_pulled(&anna, 0, ask_pull(&anna, 0, LIMIT_CLOCK, 0));
    assert_int_equal(tell(owner(&anna, 0), 1).clock, 1);
    set_mode("ssp:1", 2);
    assert_int_equal(take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, 9, -1.0f), NULL).status, CANYON_OK);
}

/* In whatever message. */
static void one_absurd_clock_ends_nothing(void **state) {
    (void)state;
    struct client *client = owner(&anna, 0);
    set_mode("sync", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    client_fails(client, ask_clock(client, LIMIT_CLOCK, false), CANYON_INVALID_ARGUMENT, "1000000000000000");
    client_fails(client, ask_pull(&anna, 0, LIMIT_CLOCK, 9), CANYON_INVALID_ARGUMENT, "up to 1048577");
    assert_int_equal(take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, LIMIT_CLOCK, 1.0f), NULL).status,
                     CANYON_INVALID_ARGUMENT);
    struct client other;
    client_come(&other, client->handler, 7, "carl");
    const struct message_enter enters = {.clock = LIMIT_CLOCK};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    client_fails(&other, client_ask(&other, FRAME_ENTER, bytes, message_pack_enter(&enters, bytes), NULL, 0),
                 CANYON_INVALID_ARGUMENT, "1000000000000000");
    client_fails(&other, ask_clock(&other, LIMIT_CLOCK, false), CANYON_INVALID_ARGUMENT, "1000000000000000");
    client_go(&other);
    worker_clock(&anna, 2);
    worker_clock(&bert, 2);
    (void)take_pulled(&anna, 0, ask_pull(&anna, 0, 2, 0));
    set_mode("async", 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_pull_waits_and_holds_up_nothing_else),
        TEST(time_names_who_is_waited_for),
        TEST(who_does_not_count_does_not_wait),
        TEST(who_leaves_does_not_wait),
        TEST(so_many_may_wait),
        TEST(so_many_may_wait_on_a_thread),
        TEST(what_says_nothing_new_looks_at_no_wait),
        TEST(what_moves_looks_at_no_other_wait),
        TEST(what_is_let_go_waits_for_room),
        TEST(what_is_let_go_counts_as_long_as_it_is_there),
        TEST(a_pull_or_push_tells_its_clock),
        TEST(where_nobody_waits_it_tells_nothing),
        TEST(one_absurd_clock_ends_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
