/* Handlers that were built again from their commands: what they decide about modes, clocks and pushes is what those
 * would have that lived, or nothing that counts. */
#include "tests/unit/server/clocks_fixture.h"

#include "server/handler_state.h"

#define LEASE 10000 /* ms */

static struct bench copy;

static void repeat(void *user, const struct command *command) {
    const uint32_t shard = (uint32_t)(uintptr_t)user;
    struct error error = {.text = ""};
    if (handler_replay(copy.handlers[bench_place(&copy, shard)], shard, command, &error) != CANYON_OK) {
        fail_msg("kind %d of shard %u: %s", (int)command->kind, shard, error.text);
    }
}

/* All that happens is told to a second set of handlers. */
static int setup_copied(void **state) {
    (void)setup(state);
    worker_go(&anna);
    worker_go(&bert);
    bench_finish(&bench);
    bench_init(&copy, 2, 2, 16, 1024);
    bench_init(&bench, 2, 2, 16, 1024);
    for (uint32_t shard = 0; shard < 16; shard++) {
        assert_true(handler_watch(bench.handlers[bench_place(&bench, shard)], shard, repeat, (void *)(uintptr_t)shard));
    }
    worker_come(&anna, &bench, 1, "anna");
    worker_come(&bert, &bench, 2, "bert");
    const struct tensor_spec spec = fixture_spec("w", ELEMENTS, "sgd:lr=1");
    tensor = worker_create(&anna, &spec);
    return 0;
}

/* The servers are gone, and back with their state; nobody has come yet. */
static void restart(void) {
    worker_go(&anna);
    worker_go(&bert);
    bench_finish(&bench);
    bench = copy;
    bench.environment.user = &bench;
    for (uint32_t i = 0; i < 4; i++) {
        bench.handlers[i]->environment = &bench.environment;
        bench.handlers[i]->job = &bench.job;
    }
}

static void come_back(struct worker *worker, unsigned session, const char *name) {
    worker_come(worker, &bench, session, name);
}

/* A push with a number to block 0. */
static uint64_t ask_numbered(struct worker *worker, uint64_t number, uint64_t clock) {
    float values[1024];
    for (size_t i = 0; i < 1024; i++) {
        values[i] = -1.0f;
    }
    const struct message_pieces pieces = {
        .count = 1, .clock = clock, .pieces = {{.tensor = tensor.id, .elements = length(0), .number = number}}};
    return ask_pieces(owner(worker, 0), FRAME_PUSH, &pieces, values, length(0));
}

static struct message_piece_result push(struct worker *worker, uint64_t number, uint64_t clock) {
    return take_pushed(worker, 0, ask_numbered(worker, number, clock), NULL);
}

/* Its connection to the owner of block 0 ends, and is made anew. */
static void is_sent_away(struct worker *worker, unsigned session, const char *name) {
    struct client *client = owner(worker, 0);
    client_fails(client, 0, CANYON_BUSY, "restarted");
    assert_true(client->closed);
    struct handler *handler = client->handler;
    client_go(client);
    client_come(client, handler, session, name);
}

static float weight(struct worker *worker) {
    return take_pulled(worker, 0, ask_pull(worker, 0, 0, 0));
}

static void clock_told(struct worker *worker, uint64_t clock, uint32_t rank) {
    for (uint32_t i = 0; i < 4; i++) {
        const struct message_clock message = {.clock = clock, .rank = rank + 1};
        uint8_t bytes[LIMIT_MESSAGE_BYTES];
        struct client *client = &worker->clients[i];
        client_succeeds(client, client_ask(client, FRAME_CLOCK, bytes, message_pack_clock(&message, bytes), NULL, 0),
                        FRAME_CLOCKED);
    }
}

/* A worker that is not known yet: nothing of it is applied, refused or taken, whatever is known of the clocks. */
static void nothing_is_applied_before_its_worker_is_known(void **state) {
    (void)state;
    set_mode("async", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    set_mode("sync", 10);
    worker_clock(&anna, 12);
    worker_clock(&bert, 12);
    assert_int_equal(push(&anna, 1, 12).status, CANYON_OK);
    restart();
    come_back(&anna, 1, "anna");
    come_back(&bert, 2, "bert");
    const float before = weight(&anna);
    (void)ask_numbered(&bert, 1, 12); /* nothing of his is in any command */
    is_sent_away(&bert, 2, "bert");
    (void)ask_numbered(&bert, 1, 0);
    is_sent_away(&bert, 2, "bert");
    client_fails(owner(&bert, 0), ask_push(&bert, FRAME_PUSH, 0, 12, -1.0f), CANYON_BUSY, "restarted");
    assert_true(weight(&bert) == before && client_statistics(owner(&bert, 0)).pushes == 0);
    /* What was taken is answered as it was. */
    assert_int_equal(push(&anna, 1, 12).status, CANYON_OK);
    clock_told(&anna, 12, 0);
    clock_told(&bert, 12, 1);
    assert_int_equal(push(&bert, 1, 12).status, CANYON_OK);
    assert_true(weight(&bert) == before);
    clock_told(&anna, 13, 0);
    clock_told(&bert, 13, 1);
    assert_true(weight(&bert) == before + 1.0f); /* the mean of both */
}

/* The clock goes on as open as it was, and nobody enters before it. */
static void the_open_clock_stays(void **state) {
    (void)state;
    set_mode("sync", 5);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    worker_clock(&anna, 7);
    worker_clock(&bert, 7);
    assert_int_equal(push(&anna, 1, 7).status, CANYON_OK);
    struct client *client = owner(&anna, 0);
    client_fails(client, ask_mode(client, "sync:sum", 6), CANYON_CONFLICT, "at clock 7 already");
    const uint64_t kept = client->handler->state_bytes;
    restart();
    come_back(&anna, 1, "anna");
    come_back(&bert, 2, "bert");
    client = owner(&anna, 0);
    assert_true(client->handler->state_bytes == kept);
    client_fails(client, ask_mode(client, "sync:sum", 6), CANYON_CONFLICT, "at clock 7 already");
    /* A later one might be, or not: who knows where bert is? */
    client_fails(client, ask_mode(client, "sync:sum", 8), CANYON_BUSY, "restarted");
    const struct message_consistency_is is = take_mode(client, ask_mode(client, "sync", 5)); /* the same again */
    assert_true(is.open == 7 && is.highest == 7);
    struct client late;
    client_come(&late, client->handler, 3, "carl");
    assert_int_equal(enter(&late, 0).clock, 7);
    client_go(&late);
    bench_pass(&bench, LEASE);
    (void)take_mode(client, ask_mode(client, "sync:sum", 8));
}

/* Who contributed lately is waited for until it comes back, or for a lease; its rank is its own. */
static void who_contributed_is_waited_for(void **state) {
    (void)state;
    set_mode("sync:sum", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    assert_int_equal(push(&anna, 1, 1).status, CANYON_OK);
    assert_int_equal(push(&bert, 1, 1).status, CANYON_OK);
    worker_clock(&anna, 2);
    worker_clock(&bert, 2);
    assert_int_equal(push(&anna, 2, 2).status, CANYON_OK);
    restart();
    come_back(&anna, 1, "anna");
    const float before = weight(&anna);
    clock_told(&anna, 3, 0);
    assert_int_equal(plan_open(owner(&anna, 0)->handler), 2);
    come_back(&bert, 2, "bert");
    assert_int_equal(push(&bert, 2, 2).status, CANYON_OK); /* at the clock where he is known to have been, or later */
    clock_told(&bert, 3, 1);
    assert_true(weight(&anna) == before + 2.0f);
    assert_int_equal(plan_open(owner(&anna, 0)->handler), 3);
    bench_pass(&bench, LEASE);
    assert_int_equal(members_live(owner(&anna, 0)->handler->members), 0);
}

/* One that comes in place of another, which died and whose gradient is kept, is not counted as that one. */
static void a_successor_is_another(void **state) {
    (void)state;
    set_mode("sync", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    assert_int_equal(push(&anna, 1, 1).status, CANYON_OK);
    restart();
    come_back(&bert, 2, "bert");
    come_back(&anna, 9, "anna"); /* another process, another session */
    clock_told(&bert, 1, 1);
    bench_pass(&bench, LEASE - 1);
    clock_told(&bert, 1, 1);
    bench_pass(&bench, 1); /* the one before is gone */
    assert_int_equal(enter(owner(&anna, 0), 1).clock, 2);
    assert_int_equal(push(&anna, 1, 1).status, CANYON_LATE);
}

/* One that has left before is not waited for. */
static void who_left_is_not_waited_for(void **state) {
    (void)state;
    set_mode("sync", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    assert_int_equal(push(&anna, 1, 1).status, CANYON_OK);
    assert_int_equal(push(&bert, 1, 1).status, CANYON_OK);
    struct client *client = owner(&bert, 0);
    client_succeeds(client, client_ask(client, FRAME_LEAVE, NULL, 0, NULL, 0), FRAME_LEFT);
    restart();
    come_back(&anna, 1, "anna");
    come_back(&bert, 3, "carl");
    clock_told(&anna, 2, 0);
    assert_int_equal(plan_open(owner(&anna, 0)->handler), 2);
}

/* After a lease it is known who counts: who has told nothing does not. */
static void who_does_not_count_is_told_so(void **state) {
    (void)state;
    (void)worker_enter(&anna);
    assert_int_equal(push(&bert, 1, 0).status, CANYON_OK); /* of a client that counts none, before */
    set_mode("sync", 2);
    worker_clock(&anna, 2);
    assert_int_equal(push(&anna, 1, 2).status, CANYON_OK);
    restart();
    come_back(&anna, 1, "anna");
    come_back(&bert, 2, "bert");
    clock_told(&anna, 2, 0);
    (void)ask_numbered(&bert, 2, 0);
    is_sent_away(&bert, 2, "bert");
    bench_pass(&bench, LEASE - 1);
    (void)ask_numbered(&bert, 2, 0);
    is_sent_away(&bert, 2, "bert");
    bench_pass(&bench, 1);
    assert_int_equal(push(&bert, 2, 0).status, CANYON_CONFLICT);
}

#define TEST_COPIED(function) cmocka_unit_test_setup_teardown(function, setup_copied, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_COPIED(nothing_is_applied_before_its_worker_is_known),
        TEST_COPIED(the_open_clock_stays),
        TEST_COPIED(who_contributed_is_waited_for),
        TEST_COPIED(a_successor_is_another),
        TEST_COPIED(who_left_is_not_waited_for),
        TEST_COPIED(who_does_not_count_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
