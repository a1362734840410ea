/* Handlers whose workers count clocks: two servers of two threads, Anna and Bert on all of them, and a tensor of five
 * blocks. */
#ifndef CANYON_TESTS_UNIT_SERVER_CLOCKS_FIXTURE_H
#define CANYON_TESTS_UNIT_SERVER_CLOCKS_FIXTURE_H

#include "tests/unit/server/keyed.h"
#include "tests/unit/server/rows_fixture.h"

#define ELEMENTS 5000 /* five blocks */

static struct bench bench;
static struct worker anna, bert;
static struct tensor_info tensor;

static inline int setup(void **state) {
    (void)state;
    bench_init(&bench, 2, 2, 16, 1024);
    worker_come(&anna, &bench, 1, "anna");
    worker_come(&bert, &bench, 2, "bert");
    const struct tensor_spec spec = fixture_spec("w", ELEMENTS, "sgd:lr=1");
    tensor = worker_create(&anna, &spec);
    return 0;
}

static inline int teardown(void **state) {
    (void)state;
    worker_go(&anna);
    worker_go(&bert);
    bench_finish(&bench);
    return 0;
}

static inline struct message_entered enter(struct client *client, uint32_t rank) {
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
static inline uint64_t worker_enter(struct worker *worker) {
    struct message_entered entered = enter(&worker->clients[0], 0);
    uint64_t clock = entered.clock;
    for (uint32_t i = 1; i < bench.servers * bench.threads; i++) {
        const struct message_entered there = enter(&worker->clients[i], entered.rank + 1);
        assert_int_equal(there.rank, entered.rank);
        clock = there.clock > clock ? there.clock : clock;
    }
    return clock;
}

static inline uint64_t ask_clock(struct client *client, uint64_t clock, bool leave) {
    const struct message_clock message = {.clock = clock, .leave = leave};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    return client_ask(client, FRAME_CLOCK, bytes, message_pack_clock(&message, bytes), NULL, 0);
}

static inline struct message_clocked tell(struct client *client, uint64_t clock) {
    struct message_clocked clocked;
    uint64_t request = ask_clock(client, clock, false);
    struct reply *reply = client_take(client, request, FRAME_CLOCKED);
    assert_int_equal(message_unpack_clocked(reply->message, reply->header.message_bytes, &clocked, NULL), CANYON_OK);
    reply_free(reply);
    return clocked;
}

static inline void worker_clock(struct worker *worker, uint64_t clock) {
    for (uint32_t i = 0; i < bench.servers * bench.threads; i++) {
        (void)tell(&worker->clients[i], clock);
    }
}

static inline uint64_t ask_mode(struct client *client, const char *text, uint64_t from) {
    struct message_consistency message = {.set = text != NULL, .from = from};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    if (text != NULL) {
        assert_int_equal(consistency_parse(text, &message.mode, NULL), CANYON_OK);
    }
    return client_ask(client, FRAME_CONSISTENCY, bytes, message_pack_consistency(&message, bytes), NULL, 0);
}

static inline struct message_consistency_is take_mode(struct client *client, uint64_t request) {
    struct message_consistency_is is;
    struct reply *reply = client_take(client, request, FRAME_CONSISTENCY_IS);
    assert_int_equal(message_unpack_consistency_is(reply->message, reply->header.message_bytes, &is, NULL), CANYON_OK);
    reply_free(reply);
    return is;
}

static inline void set_mode(const char *text, uint64_t from) {
    for (uint32_t i = 0; i < bench.servers * bench.threads; i++) {
        struct client *client = &anna.clients[i];
        const struct message_consistency_is is = take_mode(client, ask_mode(client, text, from));
        assert_true(is.set && is.from == from);
    }
}

static inline struct client *owner(struct worker *worker, uint32_t block) {
    return worker_client(worker, "w", block);
}

static inline uint32_t length(uint32_t block) {
    return block < 4 ? 1024 : ELEMENTS - 4 * 1024;
}

static inline uint64_t ask_pull(struct worker *worker, uint32_t block, uint64_t clock, uint32_t wait_ms) {
    const struct message_pieces pieces = {.count = 1,
                                          .clock = clock,
                                          .wait_ms = wait_ms,
                                          .pieces = {{.tensor = tensor.id, .block = block, .elements = length(block)}}};
    return ask_pieces(owner(worker, block), FRAME_PULL, &pieces, NULL, 0);
}

static inline uint64_t ask_push(struct worker *worker, unsigned type, uint32_t block, uint64_t clock, float value) {
    float values[1024];
    for (size_t i = 0; i < 1024; i++) {
        values[i] = value;
    }
    const struct message_pieces pieces = {
        .count = 1, .clock = clock, .pieces = {{.tensor = tensor.id, .block = block, .elements = length(block)}}};
    return ask_pieces(owner(worker, block), type, &pieces, values, length(block));
}

/* The first weight that a pull brought. */
static inline float take_pulled(struct worker *worker, uint32_t block, uint64_t request) {
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

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

#endif
