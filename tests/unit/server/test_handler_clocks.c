/* Clocks and modes at a handler, in virtual time: pulls that wait and are let go, what they wait for, leases, clocks
 * that close on several threads, and what is counted. */
#include "tests/unit/server/rows_fixture.h"

#include <math.h>

#include "server/handler_state.h"

#define ELEMENTS 5000 /* five blocks */

static struct bench bench;
static struct worker anna, bert;
static struct tensor_info tensor;

static int setup(void **state) {
    (void)state;
    bench_init(&bench, 2, 2, 16, 1024);
    worker_come(&anna, &bench, 1, "anna");
    worker_come(&bert, &bench, 2, "bert");
    const struct tensor_spec spec = fixture_spec("w", ELEMENTS, "sgd:lr=1");
    tensor = worker_create(&anna, &spec);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    worker_go(&anna);
    worker_go(&bert);
    bench_finish(&bench);
    return 0;
}

static struct message_entered enter(struct client *client, uint32_t rank) {
    const struct message_enter message = {.rank = rank};
    struct message_entered entered;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    uint64_t request = client_ask(client, FRAME_ENTER, bytes, message_pack_enter(&message, bytes), NULL, 0);
    struct reply *reply = client_take(client, request, FRAME_ENTERED);
    assert_int_equal(message_unpack_entered(reply->message, reply->header.message_bytes, &entered, NULL), CANYON_OK);
    reply_free(reply);
    return entered;
}

/* On every thread, as shard 0's says which rank. */
static uint64_t worker_enter(struct worker *worker) {
    struct message_entered entered = enter(&worker->clients[0], 0);
    uint64_t clock = entered.clock;
    for (uint32_t i = 1; i < bench.servers * bench.threads; i++) {
        const struct message_entered there = enter(&worker->clients[i], entered.rank + 1);
        assert_int_equal(there.rank, entered.rank);
        clock = there.clock > clock ? there.clock : clock;
    }
    return clock;
}

static uint64_t ask_clock(struct client *client, uint64_t clock, bool leave) {
    const struct message_clock message = {.clock = clock, .leave = leave};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    return client_ask(client, FRAME_CLOCK, bytes, message_pack_clock(&message, bytes), NULL, 0);
}

static struct message_clocked tell(struct client *client, uint64_t clock) {
    struct message_clocked clocked;
    uint64_t request = ask_clock(client, clock, false);
    struct reply *reply = client_take(client, request, FRAME_CLOCKED);
    assert_int_equal(message_unpack_clocked(reply->message, reply->header.message_bytes, &clocked, NULL), CANYON_OK);
    reply_free(reply);
    return clocked;
}

static void worker_clock(struct worker *worker, uint64_t clock) {
    for (uint32_t i = 0; i < bench.servers * bench.threads; i++) {
        (void)tell(&worker->clients[i], clock);
    }
}

static uint64_t ask_mode(struct client *client, const char *text, uint64_t from) {
    struct message_consistency message = {.set = text != NULL, .from = from};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    if (text != NULL) {
        assert_int_equal(consistency_parse(text, &message.mode, NULL), CANYON_OK);
    }
    return client_ask(client, FRAME_CONSISTENCY, bytes, message_pack_consistency(&message, bytes), NULL, 0);
}

static struct message_consistency_is take_mode(struct client *client, uint64_t request) {
    struct message_consistency_is is;
    struct reply *reply = client_take(client, request, FRAME_CONSISTENCY_IS);
    assert_int_equal(message_unpack_consistency_is(reply->message, reply->header.message_bytes, &is, NULL), CANYON_OK);
    reply_free(reply);
    return is;
}

static void set_mode(const char *text, uint64_t from) {
    for (uint32_t i = 0; i < bench.servers * bench.threads; i++) {
        struct client *client = &anna.clients[i];
        const struct message_consistency_is is = take_mode(client, ask_mode(client, text, from));
        assert_true(is.set && is.from == from);
    }
}

static struct client *owner(struct worker *worker, uint32_t block) {
    return worker_client(worker, "w", block);
}

static uint32_t length(uint32_t block) {
    return block < 4 ? 1024 : ELEMENTS - 4 * 1024;
}

static uint64_t ask_pull(struct worker *worker, uint32_t block, uint64_t clock, uint32_t wait_ms) {
    const struct message_pieces pieces = {.count = 1,
                                          .clock = clock,
                                          .wait_ms = wait_ms,
                                          .pieces = {{.tensor = tensor.id, .block = block, .elements = length(block)}}};
    return ask_pieces(owner(worker, block), FRAME_PULL, &pieces, NULL, 0);
}

static uint64_t ask_push(struct worker *worker, unsigned type, uint32_t block, uint64_t clock, float value) {
    float values[1024];
    for (size_t i = 0; i < 1024; i++) {
        values[i] = value;
    }
    const struct message_pieces pieces = {
        .count = 1, .clock = clock, .pieces = {{.tensor = tensor.id, .block = block, .elements = length(block)}}};
    return ask_pieces(owner(worker, block), type, &pieces, values, length(block));
}

/* The first weight that a pull brought. */
static float take_pulled(struct worker *worker, uint32_t block, uint64_t request) {
    struct reply *reply = client_take(owner(worker, block), request, FRAME_PULLED);
    const struct message_piece_results results = results_of(reply);
    float first;
    assert_int_equal(results.results[0].status, CANYON_OK);
    assert_int_equal(reply->header.payload_bytes, length(block) * sizeof(float));
    memcpy(&first, reply->payload, sizeof first);
    reply_free(reply);
    return first;
}

static struct message_piece_result take_pushed(struct worker *worker, uint32_t block, uint64_t request,
                                               uint64_t *open) {
    struct reply *reply = client_take(owner(worker, block), request, FRAME_PUSHED);
    const struct message_piece_results results = results_of(reply);
    reply_free(reply);
    if (open != NULL) {
        *open = results.clock;
    }
    return results.results[0];
}

/* ---- bounded staleness ---- */

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
    struct wait *wait = client->handler->waits.first;
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

/* ---- synchronous ---- */

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

/* ---- rows ---- */

#define DIM 3

static struct batch batch;

/* Of shard 0's rows some, by a number of the session where it has one. */
static struct batch_reply give_rows(struct worker *worker, unsigned type, uint64_t table, uint64_t clock,
                                    uint64_t first, uint32_t rows, float gradient, uint64_t number) {
    struct client *client = shard_client(worker, 0);
    struct batch_reply answer;
    uint64_t ids[64];
    assert_true(rows <= 64);
    ids_in(&bench.job, "t", 0, first, rows, ids);
    one_run(&batch, type, table, DIM, 0, ids, rows, gradient);
    batch.message.clock = clock;
    batch.runs[0].number = number;
    take_batch(client, ask_batch(client, &batch), &batch, &answer);
    return answer;
}

static enum canyon_status push_rows(struct worker *worker, uint64_t table, uint64_t clock, uint64_t first,
                                    uint32_t rows, float gradient) {
    const struct batch_reply answer = give_rows(worker, FRAME_TABLE_PUSH, table, clock, first, rows, gradient, 0);
    free(answer.weights);
    return (enum canyon_status)answer.results[0].code;
}

static void rows_are_kept_until_their_clock_closes(void **state) {
    (void)state;
    const uint64_t table = worker_create_table(&anna, "t", DIM, "sgd:lr=1", 0).id;
    set_mode("sync", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    /* New rows are there at once, as they begin; the weights that come back are those of now. */
    struct batch_reply answer = give_rows(&anna, FRAME_TABLE_PUSH_PULL, table, 1, 0, 2, -1.0f, 0);
    assert_true(answer.results[0].code == CANYON_OK && answer.results[0].rows == 2 && answer.results[0].version == 0);
    assert_true(answer.weights[0] == 0.0f && answer.done.clock == 0);
    free(answer.weights);
    /* A number counts once, whatever is sent again. */
    for (int i = 0; i < 3; i++) {
        answer = give_rows(&bert, FRAME_TABLE_PUSH, table, 0, 0, 1, -3.0f, 1);
        assert_true(answer.results[0].code == CANYON_OK && answer.results[0].applied == 1);
        free(answer.weights);
    }
    worker_clock(&anna, 2);
    answer = give_rows(&anna, FRAME_TABLE_PUSH, table, 2, 0, 1, -1.0f, 0);
    assert_true(answer.results[0].code == CANYON_BUSY && answer.done.clock == 1);
    free(answer.weights);
    worker_clock(&bert, 2);
    answer = give_rows(&bert, FRAME_TABLE_PULL, table, 2, 0, 2, 0, 0);
    assert_true(answer.results[0].version == 1);
    assert_true(answer.weights[0] == 2.0f);   /* the mean of both */
    assert_true(answer.weights[DIM] == 1.0f); /* of one alone */
    free(answer.weights);
    answer = give_rows(&bert, FRAME_TABLE_PUSH, table, 1, 0, 2, -9.0f, 2);
    assert_true(answer.results[0].code == CANYON_LATE && answer.done.clock == 2 && answer.results[0].applied == 2);
    assert_non_null(strstr(answer.done.text, "clock 1 is closed"));
    free(answer.weights);
    const struct message_table_totals totals = shard_totals_of(&anna, table, 0, NULL);
    assert_true(totals.rows == 2 && totals.version == 1 && totals.clock == 1);
}

static void rows_that_are_kept_count_against_the_limit(void **state) {
    (void)state;
    const uint64_t table = worker_create_table(&anna, "t", DIM, "sgd:lr=1", 0).id;
    struct client *client = shard_client(&anna, 0);
    set_mode("sync:rank", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    assert_int_equal(push_rows(&anna, table, 1, 0, 8, -1.0f), CANYON_OK);
    const uint64_t taken = client_statistics(client).state_bytes;
    bench.environment.state_limit = taken; /* what there is has room for a few more */
    assert_int_equal(push_rows(&bert, table, 1, 0, 8, -1.0f), CANYON_OK);
    assert_true(client_statistics(client).state_bytes == taken);
    enum canyon_status status = CANYON_OK;
    uint32_t given = 0;
    while (status == CANYON_OK && given < 10000) {
        status = push_rows(&anna, table, 1, 100 + 1000 * given++, 64, -1.0f);
        assert_true(client_statistics(client).state_bytes <= taken);
    }
    assert_int_equal(status, CANYON_NO_MEMORY);
    /* Rows that are there already take memory too, of another worker. */
    bench.environment.state_limit = 0;
    for (uint64_t i = 0; i < 40; i++) {
        assert_int_equal(push_rows(&anna, table, 1, 100 + 2000 * i, 64, -1.0f), CANYON_OK);
    }
    const uint64_t alone = client_statistics(client).state_bytes;
    bench.environment.state_limit = alone;
    status = CANYON_OK;
    for (uint64_t i = 0; i < 40 && status == CANYON_OK; i++) {
        status = push_rows(&bert, table, 1, 100 + 2000 * i, 64, -1.0f);
    }
    assert_int_equal(status, CANYON_NO_MEMORY);
    assert_true(client_statistics(client).state_bytes == alone);
    bench.environment.state_limit = 0;
    for (uint64_t i = 0; i < 40; i++) {
        assert_int_equal(push_rows(&bert, table, 1, 100 + 2000 * i, 64, -1.0f), CANYON_OK);
    }
    assert_true(client_statistics(client).state_bytes > alone);
    /* With the last synchronous clock what was taken for it goes. */
    set_mode("async", 2);
    worker_clock(&anna, 2);
    worker_clock(&bert, 2);
    assert_true(client_statistics(client).state_bytes < alone);
    const uint64_t now = client_statistics(client).state_bytes;
    assert_int_equal(push_rows(&anna, table, 2, 0, 8, -1.0f), CANYON_OK);
    assert_true(client_statistics(client).state_bytes == now);
    assert_true(shard_totals_of(&anna, table, 0, NULL).version == 2);
}

static struct bench copy;

static void repeat(void *user, const struct command *command) {
    const uint32_t shard = (uint32_t)(uintptr_t)user;
    struct error error = {.text = ""};
    if (handler_replay(copy.handlers[bench_place(&copy, shard)], shard, command, &error) != CANYON_OK) {
        fail_msg("kind %d of shard %u: %s", (int)command->kind, shard, error.text);
    }
}

/* Told to another handler as they happen, contributions, duplicates, refusals and closed clocks give the same digests,
 * and count the same bytes. */
static void rows_that_are_kept_are_built_again(void **state) {
    (void)state;
    struct bench_digests one, other;
    const uint32_t place = bench_place(&bench, 0);
    uint64_t numbers[2] = {0, 0};
    bench_init(&copy, 2, 2, 16, 1024);
    worker_go(&anna);
    worker_go(&bert);
    bench_finish(&bench);
    bench_init(&bench, 2, 2, 16, 1024);
    for (uint32_t shard = 0; shard < 16; shard++) {
        assert_true(handler_watch(bench.handlers[bench_place(&bench, shard)], shard, repeat, (void *)(uintptr_t)shard));
    }
    worker_come(&anna, &bench, 1, "anna");
    worker_come(&bert, &bench, 2, "bert");
    const uint64_t table = worker_create_table(&anna, "t", DIM, "adam", 0).id;
    set_mode("sync:rank", 1);
    (void)worker_enter(&bert);
    (void)worker_enter(&anna);
    for (uint64_t step = 0; step < 60; step++) {
        struct worker *worker = step % 3 == 0 ? &anna : &bert;
        uint64_t *number = &numbers[step % 3 == 0];
        *number += step % 7 != 6 || *number == 0;
        const float gradient = step % 11 == 10 ? NAN : (float)step - 20.0f;
        free(give_rows(worker, step % 2 == 0 ? FRAME_TABLE_PUSH : FRAME_TABLE_PUSH_PULL, table, step % 13 == 12 ? 1 : 0,
                       step * 40, 30, gradient, *number)
                 .weights);
        if (step % 10 == 9) {
            worker_clock(&anna, step / 10 + 2);
            worker_clock(&bert, step / 10 + 2);
        }
        struct worker look = {.bench = &copy};
        client_come(&look.clients[place], copy.handlers[place], 99, "look");
        memset(&one, 0, sizeof one);
        memset(&other, 0, sizeof other);
        client_digests(&anna.clients[place], &one);
        client_digests(&look.clients[place], &other);
        assert_memory_equal(&one, &other, sizeof one);
        assert_true(client_statistics(&look.clients[place]).state_bytes ==
                    client_statistics(&anna.clients[place]).state_bytes);
        client_go(&look.clients[place]);
    }
    assert_true(shard_totals_of(&anna, table, 0, NULL).version == 6);
    for (uint32_t shard = 0; shard < 16; shard++) {
        assert_true(handler_watch(bench.handlers[bench_place(&bench, shard)], shard, NULL, NULL));
    }
    bench_finish(&copy);
}

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

static void who_does_not_count_cannot_contribute(void **state) {
    (void)state;
    set_mode("sync", 1);
    (void)worker_enter(&anna);
    assert_int_equal(take_pushed(&bert, 0, ask_push(&bert, FRAME_PUSH, 0, 1, -1.0f), NULL).status, CANYON_CONFLICT);
    const uint64_t table = worker_create_table(&anna, "t", DIM, "sgd:lr=1", 0).id;
    assert_int_equal(push_rows(&bert, table, 1, 0, 1, -1.0f), CANYON_CONFLICT);
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

/* Bert is where the first mode holds: what was contributed there is not forgotten for a third one. */
static void a_mode_stays_while_its_clock_is_open(void **state) {
    (void)state;
    struct client *client = owner(&anna, 0);
    set_mode("sync", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    set_mode("async", 2);
    const float before = take_pulled(&anna, 0, ask_pull(&anna, 0, 1, 0));
    assert_int_equal(take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, 1, -1.0f), NULL).status, CANYON_OK);
    worker_clock(&anna, 2);
    client_fails(client, ask_mode(client, "ssp:3", 5), CANYON_CONFLICT, "clock 1 is still open");
    assert_true(take_pulled(&bert, 0, ask_pull(&bert, 0, 1, 0)) == before);
    worker_clock(&bert, 2);
    set_mode("ssp:3", 5);
    assert_true(take_pulled(&anna, 0, ask_pull(&anna, 0, 2, 0)) == before + 1.0f);
}

static void a_mode_closes_what_nobody_will(void **state) {
    (void)state;
    set_mode("sync", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    set_mode("async", 2);
    const float before = take_pulled(&anna, 0, ask_pull(&anna, 0, 1, 0));
    assert_int_equal(take_pushed(&anna, 0, ask_push(&anna, FRAME_PUSH, 0, 1, -1.0f), NULL).status, CANYON_OK);
    worker_clock(&anna, 2);
    bench_pass(&bench, 10000); /* both at once */
    set_mode("ssp:3", 5);
    assert_true(take_pulled(&anna, 0, ask_pull(&anna, 0, 2, 0)) == before + 1.0f);
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

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_pull_waits_and_holds_up_nothing_else),
        TEST(time_names_who_is_waited_for),
        TEST(leases_and_leaving_let_pulls_go),
        TEST(a_thread_that_was_stopped_judges_nobody_by_it),
        TEST(parts_of_a_frame_are_signs_of_life),
        TEST(what_is_parked_is_no_sign_of_life),
        TEST(who_does_not_count_does_not_wait),
        TEST(so_many_may_wait),
        TEST(so_many_may_wait_on_a_thread),
        TEST(what_says_nothing_new_looks_at_no_wait),
        TEST(a_clock_closes_on_each_thread_when_all_have_passed_it),
        TEST(what_a_dead_worker_sent_whole_counts),
        TEST(a_successor_counts_for_itself),
        TEST(enough_workers_close_a_clock),
        TEST(contributions_count_against_the_limit),
        TEST(rows_are_kept_until_their_clock_closes),
        TEST(rows_that_are_kept_count_against_the_limit),
        TEST(rows_that_are_kept_are_built_again),
        TEST(a_pull_or_push_tells_its_clock),
        TEST(where_nobody_waits_it_tells_nothing),
        TEST(what_is_contributed_to_keeps_its_mode),
        TEST(what_was_taken_is_answered_as_it_was),
        TEST(who_does_not_count_cannot_contribute),
        TEST(one_absurd_clock_ends_nothing),
        TEST(a_clock_that_was_reached_cannot_get_another_mode),
        TEST(threads_judge_alike_what_has_begun),
        TEST(a_mode_stays_while_its_clock_is_open),
        TEST(a_mode_closes_what_nobody_will),
        TEST(workers_and_staleness_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
