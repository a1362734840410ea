/* Modes and synchronous clocks at a handler, in virtual time: clocks that close on several threads, what counts in
 * them, and which mode may follow which. */
#include "tests/unit/server/clocks_fixture.h"

#include "server/handler_state.h"

/* ---- synchronous clocks ---- */

static void a_clock_closes_on_each_thread_when_all_have_passed_it(void **state) {
    (void)state;
    set_mode("sync", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    const float before = take_pulled(&anna, 0, ask_pull(&anna, 0, 1, 0));
    uint64_t open = 99;
    assert_int_equal(take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, 1, -1.0f), &open).version, 0);
    assert_int_equal(open, 0);
    assert_int_equal(take_pushed(&bert, 0, ask_push(&bert, FRAME_PUSH, 0, 1, -3.0f), NULL).version, 0);
    worker_clock(&anna, 2);
    const uint64_t waits = ask_pull(&anna, 0, 2, 1000);
    assert_int_equal(take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, 2, -1.0f), &open).status, CANYON_BUSY);
    assert_int_equal(open, 1);
    (void)tell(owner(&bert, 0), 2);
    assert_true(take_pulled(&anna, 0, waits) == before + 2.0f);
    assert_int_equal(take_pushed(&bert, 0, ask_push(&bert, FRAME_PUSH, 0, 1, -9.0f), &open).status, CANYON_LATE);
    assert_int_equal(open, 2);
    /* Another thread has not heard of bert's clock. */
    uint32_t other = 1;
    while (owner(&anna, other)->handler == owner(&anna, 0)->handler) {
        other++;
    }
    client_fails(owner(&anna, other), ask_pull(&anna, other, 2, 0), CANYON_TIMEOUT, "'bert'");
}

static void what_a_dead_worker_sent_whole_counts(void **state) {
    (void)state;
    set_mode("sync:sum", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    const float before = take_pulled(&anna, 0, ask_pull(&anna, 0, 1, 0));
    (void)take_pushed(&bert, 0, ask_push(&bert, FRAME_PUSH, 0, 1, -3.0f), NULL);
    (void)take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, 1, -1.0f), NULL);
    (void)tell(owner(&anna, 0), 2);
    const uint64_t waits = ask_pull(&anna, 0, 2, 60000);
    bench_pass(&bench, 9999);
    assert_int_equal(owner(&anna, 0)->waiting, 0);
    bench_pass(&bench, 1);
    assert_true(take_pulled(&anna, 0, waits) == before + 4.0f);
}

/* Anna's gradient stays when she dies. Who gets her rank begins after it, and the mean is that of two. */
static void a_successor_counts_for_itself(void **state) {
    (void)state;
    struct worker carl;
    set_mode("sync", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    const float before = take_pulled(&anna, 0, ask_pull(&anna, 0, 1, 0));
    assert_int_equal(take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, 1, -1.0f), NULL).status, CANYON_OK);
    for (int i = 0; i < 3; i++) {
        bench_pass(&bench, 5000);
        worker_clock(&bert, 1);
    }
    worker_come(&carl, &bench, 3, "carl");
    assert_int_equal(worker_enter(&carl), 2); /* as one thread says */
    uint64_t open = 0;
    assert_int_equal(take_pushed(&carl, 0, ask_push(&carl, FRAME_PUSH, 0, 1, -9.0f), &open).status, CANYON_LATE);
    assert_int_equal(open, 1);
    assert_int_equal(take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, 1, -9.0f), NULL).status, CANYON_LATE);
    assert_int_equal(take_pushed(&bert, 0, ask_push(&bert, FRAME_PUSH, 0, 1, -3.0f), NULL).status, CANYON_OK);
    worker_clock(&carl, 2);
    worker_clock(&bert, 2);
    assert_true(take_pulled(&bert, 0, ask_pull(&bert, 0, 2, 0)) == before + 2.0f);
    assert_int_equal(take_pushed(&carl, 0, ask_push(&carl, FRAME_PUSH, 0, 2, -5.0f), NULL).status, CANYON_OK);
    assert_int_equal(take_pushed(&bert, 0, ask_push(&bert, FRAME_PUSH, 0, 2, -7.0f), NULL).status, CANYON_OK);
    worker_clock(&carl, 3);
    worker_clock(&bert, 3);
    assert_true(take_pulled(&bert, 0, ask_pull(&bert, 0, 3, 0)) == before + 2.0f + 6.0f);
    worker_go(&carl);
}

static void enough_workers_close_a_clock(void **state) {
    (void)state;
    set_mode("sync:sum,minimum=1", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    (void)take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, 1, -1.0f), NULL);
    (void)tell(owner(&anna, 0), 4); /* and those between are closed with it */
    (void)take_pulled(&anna, 0, ask_pull(&anna, 0, 4, 0));
    uint64_t open = 0;
    assert_int_equal(take_pushed(&bert, 0, ask_push(&bert, FRAME_PUSH, 0, 1, -1.0f), &open).status, CANYON_LATE);
    assert_int_equal(open, 4);
    assert_int_equal(tell(owner(&bert, 0), 1).clock, 4); /* where there is something to do */
}

/* How many have to pass a clock is its own mode's affair: one that is far ahead ends no clock of a mode that asks for
 * all. */
static void enough_for_one_mode_are_not_for_the_next(void **state) {
    (void)state;
    struct message_consistency_is is;
    set_mode("sync:sum,minimum=1", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    set_mode("sync:sum", 3);
    (void)tell(owner(&anna, 0), 6);
    is = take_mode(owner(&anna, 0), ask_mode(owner(&anna, 0), NULL, 0));
    assert_int_equal(is.open, 3);
    assert_int_equal(tell(owner(&bert, 0), 1).clock, 3);
    assert_int_equal(take_pushed(&bert, 0, ask_push(&bert, FRAME_PUSH, 0, 3, -1.0f), NULL).status, CANYON_OK);
    (void)tell(owner(&bert, 0), 4);
    is = take_mode(owner(&anna, 0), ask_mode(owner(&anna, 0), NULL, 0));
    assert_int_equal(is.open, 4);
}

static void contributions_count_against_the_limit(void **state) {
    (void)state;
    struct client *client = owner(&anna, 0);
    set_mode("sync:rank", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    uint64_t taken = client_statistics(client).state_bytes;
    assert_true(taken > 0);
    bench.environment.state_limit = taken + 4096 + 100; /* one block more */
    assert_int_equal(take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, 1, -1.0f), NULL).status, CANYON_OK);
    assert_int_equal(take_pushed(&bert, 0, ask_push(&bert, FRAME_PUSH, 0, 1, -1.0f), NULL).status, CANYON_NO_MEMORY);
    assert_int_equal(take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, 1, -1.0f), NULL).status, CANYON_OK);
    bench.environment.state_limit = 0;
    assert_int_equal(take_pushed(&bert, 0, ask_push(&bert, FRAME_PUSH, 0, 1, -1.0f), NULL).status, CANYON_OK);
}

static void what_is_contributed_to_keeps_its_mode(void **state) {
    (void)state;
    struct client *client = owner(&anna, 0);
    set_mode("sync", 10);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    assert_int_equal(take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, 10, 1.0f), NULL).status, CANYON_OK);
    assert_int_equal(take_pushed(&bert, 0, ask_push(&bert, FRAME_PUSH, 0, 10, 1.0f), NULL).status, CANYON_OK);
    client_fails(client, ask_mode(client, "sync:rank", 10), CANYON_CONFLICT, "a worker at clock 10 already");
    assert_int_equal(take_pushed(&bert, 0, ask_push(&bert, FRAME_PUSH, 0, 10, 1.0f), NULL).status, CANYON_OK);
}

/* ---- numbers ---- */

static struct message_piece_result push_numbered(struct worker *worker, unsigned type, uint64_t number, float value) {
    float values[1024];
    for (size_t i = 0; i < 1024; i++) {
        values[i] = value;
    }
    const struct message_pieces pieces = {
        .count = 1, .clock = 1, .pieces = {{.tensor = tensor.id, .elements = 1024, .number = number}}};
    struct reply *reply =
        client_take(owner(worker, 0), ask_pieces(owner(worker, 0), type, &pieces, values, 1024), type + 1);
    const struct message_piece_results results = results_of(reply);
    reply_free(reply);
    return results.results[0];
}

/* Whatever became of the memory, the mode or the worker meanwhile. */
static void what_was_taken_is_answered_as_it_was(void **state) {
    (void)state;
    set_mode("sync", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    assert_int_equal(push_numbered(&bert, FRAME_PUSH, 1, -1.0f).status, CANYON_OK);
    assert_int_equal(push_numbered(&anna, FRAME_PUSH_PULL, 1, -1.0f).status, CANYON_OK);
    worker_clock(&anna, 2);
    worker_clock(&bert, 2);
    bench.environment.state_limit = 1;
    assert_int_equal(push_numbered(&anna, FRAME_PUSH, 1, -1.0f).status, CANYON_OK);
    assert_int_equal(push_numbered(&anna, FRAME_PUSH_PULL, 1, -1.0f).status, CANYON_OK);
    bench.environment.state_limit = 0;
    /* One that does not count clocks any more as far as its thread knows. */
    struct client *client = owner(&bert, 0);
    client->peer.member = NULL;
    assert_int_equal(push_numbered(&bert, FRAME_PUSH_PULL, 1, -1.0f).status, CANYON_OK);
    assert_int_equal(push_numbered(&bert, FRAME_PUSH_PULL, 2, -1.0f).status, CANYON_CONFLICT);
    assert_int_equal(push_numbered(&bert, FRAME_PUSH_PULL, 2, -1.0f).status, CANYON_CONFLICT);
}

/* ---- modes ---- */

static void a_clock_that_was_reached_cannot_get_another_mode(void **state) {
    (void)state;
    struct client *client = &anna.clients[1];
    (void)worker_enter(&anna);
    worker_clock(&anna, 6);
    client_fails(client, ask_mode(client, "sync", 6), CANYON_CONFLICT, "a worker at clock 6 already");
    client_fails(client, ask_mode(client, "sync", 0), CANYON_INVALID_ARGUMENT, "count from 1");
    assert_true(take_mode(client, ask_mode(client, "sync", 7)).next.mode == CONSISTENCY_SYNC);
    (void)tell(client, 8);
    assert_true(take_mode(client, ask_mode(client, "sync", 7)).open == 8); /* repeated: as it is */
    assert_true(take_mode(client, ask_mode(client, "ssp:1", 9)).now.mode == CONSISTENCY_SYNC);
    client->peer.role = ROLE_WORKER;
    assert_true(take_mode(client, ask_mode(client, NULL, 0)).set);
    client_fails(client, ask_mode(client, "async", 99), CANYON_DENIED, "needs the role admin");
    client->peer.role = ROLE_ADMIN;
}

/* One thread has heard of a clock beyond the mode that was set, the others have not: what the client says decides. */
static void threads_judge_alike_what_has_begun(void **state) {
    (void)state;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    struct message_consistency message = {.set = true, .from = 20, .highest = 12};
    set_mode("sync", 10);
    (void)worker_enter(&anna);
    (void)tell(&anna.clients[0], 12);
    for (uint32_t i = 0; i < bench.servers * bench.threads; i++) {
        struct client *client = &anna.clients[i];
        const uint64_t asks =
            client_ask(client, FRAME_CONSISTENCY, bytes, message_pack_consistency(&message, bytes), NULL, 0);
        const struct message_consistency_is is = take_mode(client, asks);
        assert_true(is.now.mode == CONSISTENCY_SYNC && is.next.mode == CONSISTENCY_ASYNC && is.from == 20);
    }
    /* The client had asked before anna came that far. */
    (void)tell(&anna.clients[0], 20);
    message = (struct message_consistency){.set = true, .from = 30, .highest = 19};
    client_fails(
        &anna.clients[0],
        client_ask(&anna.clients[0], FRAME_CONSISTENCY, bytes, message_pack_consistency(&message, bytes), NULL, 0),
        CANYON_CONFLICT, "came to clock 20, where another mode begins, meanwhile");
}

/* With a gradient of -1 kept for it, where bert is still at it. Returns the weight before. */
static float anna_passes_the_last_synchronous_clock(void) {
    set_mode("sync", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    set_mode("async", 2);
    const float before = take_pulled(&anna, 0, ask_pull(&anna, 0, 1, 0));
    assert_int_equal(take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, 1, -1.0f), NULL).status, CANYON_OK);
    worker_clock(&anna, 2);
    return before;
}

/* Bert is where the first mode holds: what was contributed there is not forgotten for a third one. */
static void a_mode_stays_while_its_clock_is_open(void **state) {
    (void)state;
    struct client *client = owner(&anna, 0);
    const float before = anna_passes_the_last_synchronous_clock();
    client_fails(client, ask_mode(client, "ssp:3", 5), CANYON_CONFLICT, "clock 1 is still open");
    assert_true(take_pulled(&bert, 0, ask_pull(&bert, 0, 1, 0)) == before);
    worker_clock(&bert, 2);
    set_mode("ssp:3", 5);
    assert_true(take_pulled(&anna, 0, ask_pull(&anna, 0, 2, 0)) == before + 1.0f);
}

static void a_mode_closes_what_nobody_will(void **state) {
    (void)state;
    const float before = anna_passes_the_last_synchronous_clock();
    bench_pass(&bench, 10000); /* both at once */
    set_mode("ssp:3", 5);
    assert_true(take_pulled(&anna, 0, ask_pull(&anna, 0, 2, 0)) == before + 1.0f);
}

static uint64_t bytes_of_all(void) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < bench.servers * bench.threads; i++) {
        bytes += bench.handlers[i]->state_bytes;
    }
    return bytes;
}

/* A mode that closes a clock gives the memory of its contributions back, in every shard. */
static void what_a_mode_closes_takes_no_memory(void **state) {
    (void)state;
    const uint64_t before = bytes_of_all();
    set_mode("sync", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    set_mode("async", 2);
    for (uint32_t block = 0; block < 5; block++) {
        assert_int_equal(take_pushed(&bert, block, ask_push(&bert, FRAME_PUSH, block, 1, -1.0f), NULL).status,
                         CANYON_OK);
    }
    assert_true(bytes_of_all() >= before + ELEMENTS * sizeof(float));
    worker_clock(&anna, 3);
    struct worker *leaving[] = {&anna, &bert};
    for (int w = 0; w < 2; w++) {
        for (uint32_t i = 0; i < bench.servers * bench.threads; i++) {
            struct client *client = &leaving[w]->clients[i];
            client_succeeds(client, ask_clock(client, 0, true), FRAME_CLOCKED);
        }
    }
    /* Nobody is left to pass clock 1. */
    assert_int_equal(plan_open(bench.handlers[0]), 1);
    set_mode("async", 10);
    assert_int_equal(bytes_of_all(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_clock_closes_on_each_thread_when_all_have_passed_it),
        TEST(what_a_dead_worker_sent_whole_counts),
        TEST(a_successor_counts_for_itself),
        TEST(enough_workers_close_a_clock),
        TEST(enough_for_one_mode_are_not_for_the_next),
        TEST(contributions_count_against_the_limit),
        TEST(what_is_contributed_to_keeps_its_mode),
        TEST(what_was_taken_is_answered_as_it_was),
        TEST(a_clock_that_was_reached_cannot_get_another_mode),
        TEST(threads_judge_alike_what_has_begun),
        TEST(a_mode_stays_while_its_clock_is_open),
        TEST(a_mode_closes_what_nobody_will),
        TEST(what_a_mode_closes_takes_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
