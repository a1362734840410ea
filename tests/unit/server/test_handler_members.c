/* Members at a handler, in virtual time: leases and what renews them, shares of keys, and what is shown of them. */
#include "tests/unit/server/clocks_fixture.h"

#include "server/handler_state.h"

/* ---- life ---- */

static void leases_and_leaving_let_pulls_go(void **state) {
    (void)state;
    set_mode("ssp:0", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    worker_clock(&anna, 2);
    uint64_t waits = ask_pull(&anna, 2, 2, 60000);
    /* Whatever bert sends renews his lease; a pull that waits keeps anna's. */
    bench_pass(&bench, 9000);
    (void)client_statistics(owner(&bert, 2));
    bench_pass(&bench, 1000);
    bench_pass(&bench, 8000);
    assert_int_equal(owner(&anna, 2)->waiting, 0);
    bench_pass(&bench, 1000);
    (void)take_pulled(&anna, 2, waits);
    const struct message_consistency_is is = take_mode(owner(&anna, 2), ask_mode(owner(&anna, 2), NULL, 0));
    assert_true(is.workers == 1 && is.lease_ms == 10000 && is.highest == 2);
    /* He comes back and is where she is; then he leaves for good. */
    assert_int_equal(tell(owner(&bert, 2), 1).clock, 2);
    (void)tell(owner(&anna, 2), 3);
    waits = ask_pull(&anna, 2, 3, 60000);
    assert_int_equal(owner(&anna, 2)->waiting, 0);
    client_succeeds(owner(&bert, 2), ask_clock(owner(&bert, 2), 0, true), FRAME_CLOCKED);
    (void)take_pulled(&anna, 2, waits);
    /* And with the session itself. */
    assert_int_equal(tell(owner(&bert, 2), 0).clock, 3);
    (void)tell(owner(&anna, 2), 4);
    waits = ask_pull(&anna, 2, 4, 60000);
    client_succeeds(owner(&bert, 2), client_ask(owner(&bert, 2), FRAME_LEAVE, NULL, 0, NULL, 0), FRAME_LEFT);
    (void)take_pulled(&anna, 2, waits);
}

/* Half a minute of everybody's silence is the thread's own. */
static void a_thread_that_was_stopped_judges_nobody_by_it(void **state) {
    (void)state;
    set_mode("ssp:0", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    bench_pass(&bench, 30000);
    assert_int_equal(take_mode(&anna.clients[0], ask_mode(&anna.clients[0], NULL, 0)).workers, 2);
    bench_pass(&bench, 999);
    assert_int_equal(take_mode(&anna.clients[0], ask_mode(&anna.clients[0], NULL, 0)).workers, 2);
    bench_pass(&bench, 1); /* bert has said nothing after it either */
    assert_int_equal(take_mode(&anna.clients[0], ask_mode(&anna.clients[0], NULL, 0)).workers, 1);
}

/* An hour in which nobody counts clocks is no pause of the thread's: the next one's lease is as long as any. */
static void who_comes_after_an_idle_hour_is_not_waited_for_longer(void **state) {
    (void)state;
    set_mode("ssp:0", 1);
    struct client *client = &anna.clients[0];
    (void)enter(client, 0);
    (void)tell(client, 2);
    client_succeeds(client, ask_clock(client, 0, true), FRAME_CLOCKED);
    bench_pass(&bench, 3600000);
    (void)enter(&bert.clients[0], 0);
    assert_true(handler_wakeup(client->handler) == bench.now + 10000 * MS);
    bench_pass(&bench, 9999);
    assert_int_equal(members_live(client->handler->members), 1);
    bench_pass(&bench, 1);
    assert_int_equal(members_live(client->handler->members), 0);
}

/* A block over a slow line takes longer than a lease: its parts are signs of life. */
static void parts_of_a_frame_are_signs_of_life(void **state) {
    (void)state;
    set_mode("ssp:0", 1);
    (void)worker_enter(&anna);
    bench_pass(&bench, 9000);
    handler_peer_heard(anna.clients[0].handler, &anna.clients[0].peer);
    bench_pass(&bench, 1000);
    assert_int_equal(members_live(anna.clients[0].handler->members), 1);
    assert_int_equal(members_live(anna.clients[1].handler->members), 0);
    bench_pass(&bench, 9000);
    assert_int_equal(members_live(anna.clients[0].handler->members), 0);
}

/* A worker that is stopped in a barrier, or while it waits for a tensor, is as dead as any. */
static void what_is_parked_is_no_sign_of_life(void **state) {
    (void)state;
    set_mode("ssp:0", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    const struct message_open open = {.name = "nowhere", .wait_ms = 60000};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    struct client *client = &bert.clients[0];
    const uint64_t parked = client_ask(client, FRAME_OPEN, bytes, message_pack_open(&open, bytes), NULL, 0);
    assert_int_equal(client->peer.parked, 1);
    bench_pass(&bench, 9000);
    (void)tell(&anna.clients[0], 2);
    bench_pass(&bench, 1000);
    const struct message_consistency_is is = take_mode(&anna.clients[0], ask_mode(&anna.clients[0], NULL, 0));
    assert_int_equal(is.workers, 1);
    bench_pass(&bench, 50000);
    client_fails(client, parked, CANYON_TIMEOUT, "nowhere");
}

/* ---- ranks ---- */

static uint32_t tell_rank(struct client *client, uint64_t clock, uint32_t rank) {
    const struct message_clock message = {.clock = clock, .rank = rank + 1};
    struct message_clocked clocked;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    const uint64_t request = client_ask(client, FRAME_CLOCK, bytes, message_pack_clock(&message, bytes), NULL, 0);
    struct reply *reply = client_take(client, request, FRAME_CLOCKED);
    assert_int_equal(message_unpack_clocked(reply->message, reply->header.message_bytes, &clocked, NULL), CANYON_OK);
    reply_free(reply);
    return clocked.rank;
}

/* Anna's lease ends on shard 0's thread alone, and bert gets her rank. Her next sign of life says the old one, to all
 * threads at once: it puts him out nowhere, and each counts both for the clock. */
static void an_old_rank_puts_nobody_out(void **state) {
    (void)state;
    const struct member *berts[4];
    set_mode("sync:sum", 1);
    (void)worker_enter(&anna);
    assert_non_null(anna.clients[0].handler->shards[0]);
    client_succeeds(&anna.clients[0], ask_clock(&anna.clients[0], 0, true), FRAME_CLOCKED);
    (void)worker_enter(&bert);
    for (uint32_t i = 0; i < 4; i++) {
        berts[i] = bert.clients[i].peer.member;
        assert_true(berts[i]->live && berts[i]->rank == 0);
        assert_int_equal(tell_rank(&anna.clients[i], 1, 0), 1);
        assert_int_equal(tell_rank(&anna.clients[i], 1, 0), 1); /* she has not heard of it */
        assert_true(berts[i]->live && berts[i]->rank == 0 && anna.clients[i].peer.member->live);
    }
    for (uint32_t block = 0; block < 5; block++) {
        struct worker *workers[] = {&bert, &anna};
        for (int i = 0; i < 2; i++) {
            const uint64_t request = ask_push(workers[i], FRAME_PUSH, block, 1, -1.0f);
            assert_int_equal(take_pushed(workers[i], block, request, NULL).status, CANYON_OK);
        }
    }
    /* A rank that is new of her is what shard 0's thread says now. */
    assert_int_equal(tell_rank(&anna.clients[1], 2, 1), 1);
    assert_int_equal(tell_rank(&anna.clients[1], 2, 0), 0);
    assert_false(berts[1]->live);
}

/* ---- keys ---- */

static uint64_t ask_enter(struct client *client) {
    const struct message_enter message = {.rank = 0};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    return client_ask(client, FRAME_ENTER, bytes, message_pack_enter(&message, bytes), NULL, 0);
}

/* Members, and pulls that wait, are those of their keys. */
static void a_key_has_its_share(void **state) {
    (void)state;
    static struct keyed many[MEMBERS_OF_KEY + 1], other, more;
    struct handler *handler = owner(&bert, 0)->handler;
    const struct message_pieces pull = {
        .count = 1, .clock = 2, .wait_ms = 1000, .pieces = {{.tensor = tensor.id, .elements = 1024}}};
    set_mode("ssp:0", 1);
    (void)worker_enter(&bert);
    for (unsigned i = 0; i < MEMBERS_OF_KEY; i++) {
        come_to(&many[i], handler, 1000 + i, "worker", 'a', "");
        client_succeeds(&many[i].client, ask_enter(&many[i].client), FRAME_ENTERED);
    }
    come_to(&more, handler, 10, "worker", 'a', "");
    client_fails(&more.client, ask_enter(&more.client), CANYON_BUSY, "3072 workers with this key");
    client_fails(&more.client, ask_clock(&more.client, 1, false), CANYON_BUSY, "3072 workers with this key");
    come_to(&other, handler, 11, "worker", 'b', "");
    client_succeeds(&other.client, ask_enter(&other.client), FRAME_ENTERED);
    /* As if all the others had so many: to have them wait is for test_waits. */
    many[0].client.peer.share->waits = HANDLER_WAITS_OF_KEY - 1;
    (void)ask_pieces(&many[0].client, FRAME_PULL, &pull, NULL, 0);
    assert_int_equal(many[0].client.waiting, 0);
    client_fails(&many[1].client, ask_pieces(&many[1].client, FRAME_PULL, &pull, NULL, 0), CANYON_BUSY,
                 "49152 pulls of this key");
    (void)ask_pieces(&other.client, FRAME_PULL, &pull, NULL, 0);
    assert_int_equal(other.client.waiting, 0);
    for (unsigned i = 0; i < MEMBERS_OF_KEY; i++) {
        go(&many[i]);
    }
    go(&more);
    go(&other);
}

/* ---- looking ---- */

static void workers_and_staleness_are_shown(void **state) {
    (void)state;
    struct client *client = owner(&anna, 0);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    (void)take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, 1, -1.0f), NULL);
    (void)take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, 1, -1.0f), NULL);
    (void)take_pushed(&bert, 0, ask_push(&bert, FRAME_PUSH, 0, 1, -1.0f), NULL);
    bench_pass(&bench, 2000);
    (void)tell(client, 3);
    bench_pass(&bench, 9000);
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    const struct message_members ask = {.after = 0};
    struct message_members_are page;
    uint64_t request = client_ask(client, FRAME_MEMBERS, bytes, message_pack_members(&ask, bytes), NULL, 0);
    struct reply *reply = client_take(client, request, FRAME_MEMBERS_ARE);
    assert_int_equal(message_unpack_members_are(reply->message, reply->header.message_bytes, &page, NULL), CANYON_OK);
    reply_free(reply);
    assert_true(page.count == 2 && !page.more);
    assert_string_equal(page.members[0].name, "anna");
    assert_true(page.members[0].live && page.members[0].clock == 3 && page.members[0].lease_ms == 10000);
    assert_true(page.members[0].interval_us == 1000000 && page.members[0].pushes == 2);
    assert_true(page.members[0].staleness_max == 1 && page.members[0].staleness_sum == 1);
    assert_true(!page.members[1].live && page.members[1].seen_ms == 11000 && page.members[1].staleness_max == 2);
    assert_true(page.members[0].tag != page.members[1].tag);
    const struct message_staleness asks[] = {{.tensor = tensor.id}, {.tag = page.members[1].tag}, {.tag = 5}};
    static const uint64_t expected[3][3] = {{1, 1, 1}, {0, 0, 1}, {0, 0, 0}};
    for (size_t i = 0; i < 3; i++) {
        struct staleness counts;
        request = client_ask(client, FRAME_STALENESS, bytes, message_pack_staleness(&asks[i], bytes), NULL, 0);
        reply = client_take(client, request, FRAME_STALENESS_IS);
        assert_int_equal(message_unpack_staleness_is(reply->message, reply->header.message_bytes, &counts, NULL),
                         CANYON_OK);
        reply_free(reply);
        assert_memory_equal(counts.counts, expected[i], sizeof expected[i]);
    }
    const struct message_staleness nobody = {.tensor = 99};
    request = client_ask(client, FRAME_STALENESS, bytes, message_pack_staleness(&nobody, bytes), NULL, 0);
    client_fails(client, request, CANYON_NOT_FOUND, "0000000000000063");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(leases_and_leaving_let_pulls_go),
        TEST(a_thread_that_was_stopped_judges_nobody_by_it),
        TEST(who_comes_after_an_idle_hour_is_not_waited_for_longer),
        TEST(parts_of_a_frame_are_signs_of_life),
        TEST(what_is_parked_is_no_sign_of_life),
        TEST(an_old_rank_puts_nobody_out),
        TEST(a_key_has_its_share),
        TEST(workers_and_staleness_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
