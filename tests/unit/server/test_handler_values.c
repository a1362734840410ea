/* The requests that carry values: routing, refusal piece by piece, replies that are never torn. */
#include "tests/unit/server/handler_fixture.h"

#include <malloc.h>
#include <math.h>

#define BLOCK 1024

static struct bench bench;
static struct worker worker;

static int setup(void **state) {
    (void)state;
    bench_init(&bench, 2, 2, 8, BLOCK);
    worker_come(&worker, &bench, 1, "anna");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    worker_go(&worker);
    bench_finish(&bench);
    return 0;
}

static struct bench_digests digests_now(void) {
    struct bench_digests digests;
    worker_digests(&worker, &digests);
    return digests;
}

static void nothing_changed_since(const struct bench_digests *before) {
    struct bench_digests now = digests_now();
    assert_memory_equal(&now, before, sizeof now);
}

/* The values of one block. Owned. */
static struct reply *pull(const char *name, uint64_t id, uint32_t block, uint32_t elements) {
    struct client *client = worker_client(&worker, name, block);
    return client_take(client, ask_piece(client, FRAME_PULL, id, block, elements, 0, NULL), FRAME_PULLED);
}

static void push_pull_answers_what_pull_would(void **state) {
    (void)state;
    static float gradient[BLOCK];
    uint64_t seed = 5;
    struct tensor_spec spec = fixture_spec("w", 9 * BLOCK + 3, "adam");
    struct tensor_info info = worker_create(&worker, &spec);
    for (uint32_t block = 0; block < 10; block++) {
        uint32_t elements = block == 9 ? 3 : BLOCK;
        struct client *client = worker_client(&worker, "w", block);
        for (uint64_t version = 0; version < 3; version++) {
            fixture_fill(&seed, gradient, elements);
            struct reply *fresh =
                client_take(client, ask_piece(client, FRAME_PUSH_PULL, info.id, block, elements, version, gradient),
                            FRAME_PUSH_PULLED);
            struct reply *pulled = pull("w", info.id, block, elements);
            struct message_piece_results one = results_of(fresh), other = results_of(pulled);
            assert_int_equal(one.results[0].status, CANYON_OK);
            assert_int_equal(one.results[0].version, version + 1);
            assert_int_equal(one.results[0].staleness, 0);
            assert_int_equal(other.results[0].version, version + 1);
            assert_string_equal(one.text, "");
            assert_int_equal(fresh->header.payload_bytes, elements * sizeof(float));
            assert_int_equal(pulled->header.payload_bytes, elements * sizeof(float));
            assert_memory_equal(fresh->payload, pulled->payload, elements * sizeof(float));
            reply_free(fresh);
            reply_free(pulled);
        }
    }
}

static void assign_then_push_then_pull(void **state) {
    (void)state;
    float values[3] = {1, 2, 3}, gradient[3] = {2, -4, 8}, expected[3] = {0, 4, -1};
    struct tensor_spec spec = fixture_spec("w", 3, "sgd:lr=0.5");
    struct tensor_info info = worker_create(&worker, &spec);
    struct client *client = worker_client(&worker, "w", 0);
    struct reply *reply =
        client_take(client, ask_piece(client, FRAME_ASSIGN, info.id, 0, 3, 77, values), FRAME_ASSIGNED);
    assert_int_equal(results_of(reply).results[0].version, 1);
    assert_int_equal(results_of(reply).results[0].staleness, 0);
    assert_int_equal(reply->header.payload_bytes, 0);
    reply_free(reply);
    reply = client_take(client, ask_piece(client, FRAME_PUSH, info.id, 0, 3, 0, gradient), FRAME_PUSHED);
    assert_int_equal(results_of(reply).results[0].version, 2);
    assert_int_equal(results_of(reply).results[0].staleness, 1);
    assert_int_equal(reply->header.payload_bytes, 0);
    reply_free(reply);
    reply = pull("w", info.id, 0, 3);
    assert_memory_equal(reply->payload, expected, sizeof expected);
    reply_free(reply);
    struct message_statistics statistics = client_statistics(client);
    assert_int_equal(statistics.assigns, 1);
    assert_int_equal(statistics.pushes, 1);
    assert_int_equal(statistics.pulls, 1);
    assert_int_equal(statistics.staleness_sum, 1);
    assert_int_equal(statistics.staleness_max, 1);
}

static void each_piece_is_judged_alone(void **state) {
    (void)state;
    enum { PIECES = 6 };
    float values[40], five = 5;
    uint64_t ids[3];
    /* Three small tensors on one thread. */
    char names[3][8];
    struct client *client = &worker.clients[0];
    unsigned number = 0;
    for (int i = 0; i < 3; i++) {
        do {
            snprintf(names[i], sizeof names[i], "n%u", number++);
        } while (worker_client(&worker, names[i], 0) != client);
        struct tensor_spec spec = fixture_spec(names[i], 10, "sgd:lr=1");
        ids[i] = worker_create(&worker, &spec).id;
    }
    for (size_t i = 0; i < 40; i++) {
        values[i] = (float)i;
    }
    values[17] = NAN;
    struct message_pieces pieces = {.count = 5,
                                    .pieces = {{.tensor = ids[0], .elements = 10}, /* good */
                                               {.tensor = ids[1], .elements = 10}, /* not finite */
                                               {.tensor = 12345, .elements = 4},   /* unknown */
                                               {.tensor = ids[2], .elements = 10}, /* good: values from 24 on */
                                               {.tensor = ids[2], .block = 1, .elements = 2}}}; /* no such block */
    struct reply *before[3];
    for (int i = 0; i < 3; i++) {
        before[i] = pull(names[i], ids[i], 0, 10);
    }
    struct reply *reply =
        client_take(client, ask_pieces(client, FRAME_PUSH_PULL, &pieces, values, 36), FRAME_PUSH_PULLED);
    struct message_piece_results results = results_of(reply);
    assert_int_equal(results.count, 5);
    assert_int_equal(results.results[0].status, CANYON_OK);
    assert_int_equal(results.results[1].status, CANYON_NOT_FINITE);
    assert_int_equal(results.results[2].status, CANYON_NOT_FOUND);
    assert_int_equal(results.results[3].status, CANYON_OK);
    assert_int_equal(results.results[4].status, CANYON_INVALID_ARGUMENT);
    assert_int_equal(results.results[1].version + results.results[2].version, 0);
    assert_non_null(strstr(results.text, "index 7 is nan"));
    assert_non_null(strstr(results.text, names[1]));
    /* The payload holds the pieces that are OK and no others. */
    assert_int_equal(reply->header.payload_bytes, 2 * 10 * sizeof(float));
    float weights[20], old[10];
    memcpy(weights, reply->payload, sizeof weights);
    memcpy(old, before[0]->payload, sizeof old);
    for (size_t i = 0; i < 10; i++) {
        assert_true(weights[i] == old[i] - values[i]);
    }
    memcpy(old, before[2]->payload, sizeof old);
    for (size_t i = 0; i < 10; i++) {
        assert_true(weights[10 + i] == old[i] - values[24 + i]);
    }
    reply_free(reply);
    reply = pull(names[1], ids[1], 0, 10);
    assert_memory_equal(reply->payload, before[1]->payload, sizeof old);
    assert_int_equal(results_of(reply).results[0].version, 0);
    reply_free(reply);
    assert_int_equal(client_statistics(client).refused, 3);
    for (int i = 0; i < 3; i++) {
        reply_free(before[i]);
    }
    /* A refused piece alone is an answer, not an error. */
    reply = client_take(client, ask_piece(client, FRAME_PUSH, ids[0], 0, 1, 0, &five), FRAME_PUSHED);
    assert_int_equal(results_of(reply).results[0].status, CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(results_of(reply).text, "has 10 elements, not 1"));
    reply_free(reply);
}

/* Slots, step and scalars are read and written piece by piece, without making a new version of the weights. */
static void optimizer_state_is_pulled_and_assigned(void **state) {
    (void)state;
    const float gradient[3] = {1, -2, 4}, moments[3] = {0.5f, -0.25f, 8}, squares[3] = {1, 0, 4};
    const uint64_t step = 41;
    const double product = 0.125;
    struct tensor_spec spec = fixture_spec("w", 3, "nadam");
    uint64_t id = worker_create(&worker, &spec).id;
    struct client *client = worker_client(&worker, "w", 0);
    client_succeeds(client, ask_piece(client, FRAME_PUSH, id, 0, 3, 0, gradient), FRAME_PUSHED);
    const struct {
        uint32_t slot, elements;
        const void *values;
    } parts[] = {{SLOT_ARRAYS, 3, moments},
                 {SLOT_ARRAYS + 1, 3, squares},
                 {SLOT_STEP, SLOT_NUMBER_WORDS, &step},
                 {SLOT_SCALARS, SLOT_NUMBER_WORDS, &product}};
    for (size_t i = 0; i < 4; i++) {
        struct reply *reply = client_take(
            client, ask_slot(client, FRAME_ASSIGN, id, 0, parts[i].elements, parts[i].slot, parts[i].values),
            FRAME_ASSIGNED);
        assert_int_equal(results_of(reply).results[0].status, CANYON_OK);
        assert_int_equal(results_of(reply).results[0].version, 1);
        reply_free(reply);
    }
    /* All of them in one frame. */
    struct message_pieces pieces = {.count = 4};
    for (uint32_t i = 0; i < 4; i++) {
        pieces.pieces[i] = (struct message_piece){.tensor = id, .elements = parts[i].elements, .slot = parts[i].slot};
    }
    struct reply *reply = client_take(client, ask_pieces(client, FRAME_PULL, &pieces, NULL, 0), FRAME_PULLED);
    const uint8_t *at = reply->payload;
    assert_int_equal(reply->header.payload_bytes, 40);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(results_of(reply).results[i].version, 1);
        assert_memory_equal(at, parts[i].values, parts[i].elements * sizeof(float));
        at += parts[i].elements * sizeof(float);
    }
    reply_free(reply);
}

static void state_refused(uint64_t id, uint32_t slot, uint32_t elements, const void *values, enum canyon_status status,
                          const char *text) {
    struct client *client = worker_client(&worker, "w", 0);
    struct reply *reply =
        client_take(client, ask_slot(client, FRAME_ASSIGN, id, 0, elements, slot, values), FRAME_ASSIGNED);
    struct message_piece_results results = results_of(reply);
    assert_int_equal(results.results[0].status, status);
    if (strstr(results.text, text) == NULL) {
        fail_msg("'%s' is not in: %s", text, results.text);
    }
    reply_free(reply);
}

static void optimizer_state_that_cannot_be_is_refused(void **state) {
    (void)state;
    const float negative[3] = {1, 1, -1}, infinite[3] = {1, INFINITY, 0};
    const uint64_t far = LIMIT_STEP + 1, farthest = UINT64_MAX;
    const double two = 2, less = -0.5, none = (double)NAN;
    struct tensor_spec spec = fixture_spec("w", 3, "nadam");
    uint64_t id = worker_create(&worker, &spec).id;
    struct client *client = worker_client(&worker, "w", 0);
    struct bench_digests before = digests_now();
    state_refused(id, SLOT_ARRAYS + 1, 3, negative, CANYON_INVALID_ARGUMENT, "exp_avg_sq: the value at index 2 is -1");
    state_refused(id, SLOT_ARRAYS, 3, infinite, CANYON_NOT_FINITE, "exp_avg: the value at index 1 is inf");
    state_refused(id, SLOT_ARRAYS + 2, 3, negative, CANYON_INVALID_ARGUMENT, "no slot of number 3");
    state_refused(id, SLOT_STEP - 1, 3, negative, CANYON_INVALID_ARGUMENT, "no slot of number 127");
    state_refused(id, SLOT_SCALARS + 1, 2, &two, CANYON_INVALID_ARGUMENT, "no slot of number 130");
    state_refused(id, SLOT_HIGH, 2, &two, CANYON_INVALID_ARGUMENT, "no slot of number 255");
    state_refused(id, SLOT_STEP, 2, &far, CANYON_INVALID_ARGUMENT, "step 1000000000000001 is above");
    state_refused(id, SLOT_STEP, 2, &farthest, CANYON_INVALID_ARGUMENT, "step 18446744073709551615 is above");
    state_refused(id, SLOT_SCALARS, 2, &two, CANYON_INVALID_ARGUMENT, "mu_product=2 is outside [0, 1]");
    state_refused(id, SLOT_SCALARS, 2, &less, CANYON_INVALID_ARGUMENT, "mu_product=-0.5 is outside [0, 1]");
    state_refused(id, SLOT_SCALARS, 2, &none, CANYON_NOT_FINITE, "mu_product is nan");
    state_refused(id, SLOT_STEP, 3, negative, CANYON_INVALID_ARGUMENT, "2 elements (8 bytes), not 3");
    state_refused(id, SLOT_ARRAYS, 2, negative, CANYON_INVALID_ARGUMENT, "has 3 elements, not 2");
    nothing_changed_since(&before);
    /* A slot in a push, and one twice in a frame, make no sense as a frame. */
    client_fails(client, ask_slot(client, FRAME_PUSH, id, 0, 3, SLOT_ARRAYS, negative), CANYON_PROTOCOL,
                 "names slot 1");
    client_fails(client, ask_slot(client, FRAME_PUSH_PULL, id, 0, 2, SLOT_STEP, negative), CANYON_PROTOCOL,
                 "names slot 128");
    struct message_pieces twice = {
        .count = 2,
        .pieces = {{.tensor = id, .elements = 2, .slot = SLOT_STEP}, {.tensor = id, .elements = 2, .slot = SLOT_STEP}}};
    client_fails(client, ask_pieces(client, FRAME_PULL, &twice, NULL, 0), CANYON_PROTOCOL, "twice");
    nothing_changed_since(&before);
}

static void frames_that_make_no_sense_change_nothing(void **state) {
    (void)state;
    static float values[BLOCK + 1];
    struct tensor_spec spec = fixture_spec("w", 8 * BLOCK, "sgd");
    struct tensor_info info = worker_create(&worker, &spec);
    struct client *client = worker_client(&worker, "w", 0);
    struct bench_digests before = digests_now();
    struct message_pieces none = {.count = 0}, one = {.count = 1, .pieces = {{.tensor = info.id, .elements = BLOCK}}},
                          twice = {.count = 2,
                                   .pieces = {{.tensor = info.id, .elements = BLOCK / 2},
                                              {.tensor = info.id, .elements = BLOCK / 2}}};
    static const unsigned types[] = {FRAME_ASSIGN, FRAME_PUSH, FRAME_PUSH_PULL};
    for (size_t i = 0; i < 3; i++) {
        client_fails(client, ask_pieces(client, types[i], &none, NULL, 0), CANYON_PROTOCOL, "without pieces");
        client_fails(client, ask_pieces(client, types[i], &one, values, BLOCK - 1), CANYON_PROTOCOL, "4092");
        client_fails(client, ask_pieces(client, types[i], &one, values, BLOCK + 1), CANYON_PROTOCOL, "4100");
        client_fails(client, ask_pieces(client, types[i], &one, NULL, 0), CANYON_PROTOCOL, "4096");
        client_fails(client, ask_pieces(client, types[i], &twice, values, BLOCK), CANYON_PROTOCOL, "twice");
    }
    client_fails(client, ask_pieces(client, FRAME_PULL, &none, NULL, 0), CANYON_PROTOCOL, "without pieces");
    client_fails(client, ask_pieces(client, FRAME_PULL, &one, values, BLOCK), CANYON_PROTOCOL, "no payload");
    client_fails(client, ask_pieces(client, FRAME_PULL, &twice, NULL, 0), CANYON_PROTOCOL, "twice");
    twice.pieces[0].elements = twice.pieces[1].elements = BLOCK * 200; /* together more than the MiB that is allowed */
    twice.pieces[1].block = 1;
    client_fails(client, ask_pieces(client, FRAME_PULL, &twice, NULL, 0), CANYON_TOO_LARGE, "1638400");
    nothing_changed_since(&before);
}

static void blocks_elsewhere_are_pointed_to(void **state) {
    (void)state;
    static float values[BLOCK];
    struct tensor_spec spec = fixture_spec("w", 8 * BLOCK, "sgd");
    struct tensor_info info = worker_create(&worker, &spec);
    struct bench_digests before = digests_now();
    for (uint32_t block = 0; block < 8; block++) {
        uint32_t shard = job_shard_of(&bench.job, job_home("w"), block), place = bench_place(&bench, shard);
        char where[80];
        snprintf(where, sizeof where, "block %u of tensor 'w' is on server %u (127.0.0.1:%u), thread %u", block,
                 place / 2, 7001 + place / 2, place % 2);
        for (uint32_t i = 0; i < 4; i++) {
            if (i != place) {
                struct client *client = &worker.clients[i];
                struct reply *reply =
                    client_take(client, ask_piece(client, FRAME_PUSH, info.id, block, BLOCK, 0, values), FRAME_PUSHED);
                assert_int_equal(results_of(reply).results[0].status, CANYON_INVALID_ARGUMENT);
                assert_non_null(strstr(results_of(reply).text, where));
                reply_free(reply);
            }
        }
    }
    nothing_changed_since(&before);
}

/* A complete tensor whose part is not there is never made anew. */
static void a_server_that_came_back_empty_is_found_out(void **state) {
    (void)state;
    struct tensor_spec spec = fixture_spec("w", 8 * BLOCK, "sgd"), small = fixture_spec("s", 1, "sgd");
    struct tensor_info info = worker_create(&worker, &spec), other = worker_create(&worker, &small);
    worker_define(&worker, &other);
    info.state = other.state = TENSOR_COMPLETE;
    worker_define(&worker, &info);
    handler_peer_gone(bench.handlers[3], &worker.clients[3].peer);
    handler_destroy(bench.handlers[3]);
    bench.handlers[3] = handler_create(&bench.job, 1, 1, 2, &bench.environment);
    client_come(&worker.clients[3], bench.handlers[3], 1, "anna");
    struct bench_digests before = digests_now();
    client_fails(&worker.clients[3], ask_define(&worker.clients[3], &info), CANYON_STATE_LOST,
                 "server 1 (127.0.0.1:7002), thread 1");
    for (uint32_t i = 0; i < 3; i++) {
        client_succeeds(&worker.clients[i], ask_define(&worker.clients[i], &info), FRAME_DEFINED);
    }
    /* Its part of a tensor that has none there is not missed. */
    bool has_small = worker_client(&worker, "s", 0) == &worker.clients[3];
    client_succeeds(&worker.clients[3], ask_define(&worker.clients[3], &other),
                    has_small ? FRAME_ERROR : FRAME_DEFINED);
    struct reply *reply = client_take(
        &worker.clients[3], ask_piece(&worker.clients[3], FRAME_PULL, info.id, 0, BLOCK, 0, NULL), FRAME_PULLED);
    assert_int_equal(results_of(reply).results[0].status, CANYON_NOT_FOUND);
    reply_free(reply);
    nothing_changed_since(&before);
    /* The other way round: the catalogue forgot a tensor whose parts are still there. */
    struct tensor_info anew = info;
    anew.id ^= 1;
    anew.state = TENSOR_CREATING;
    client_fails(&worker.clients[0], ask_define(&worker.clients[0], &anew), CANYON_STATE_LOST, "'w'");
    nothing_changed_since(&before);
}

/* Steady pushing and pulling takes no memory: the heap's use in bytes and its blocks stay what they were. */
static void swallow(struct handler_peer *peer, const struct handler_slice *slices, size_t count) {
    (void)peer;
    (void)slices;
    (void)count;
}

static void pushing_allocates_nothing(void **state) {
    (void)state;
    static _Alignas(64) float values[BLOCK];
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    struct tensor_spec spec = fixture_spec("w", BLOCK, "adam");
    struct tensor_info info = worker_create(&worker, &spec);
    struct client *client = worker_client(&worker, "w", 0);
    struct message_pieces pieces = {.count = 1, .pieces = {{.tensor = info.id, .elements = BLOCK}}};
    struct frame frame = {.header = {.version = 1, .type = FRAME_PUSH_PULL, .payload_bytes = sizeof values},
                          .message = bytes,
                          .payload = (const uint8_t *)values};
    frame.header.message_bytes = (uint32_t)message_pack_pieces(&pieces, bytes);
    client->peer.send = swallow;
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < 1000; i++) {
        handler_frame(client->handler, &client->peer, &frame);
    }
    assert_int_equal(mallinfo2().uordblks, before);
    client->peer.send = client_send;
    assert_int_equal(client_statistics(client).pushes, 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(push_pull_answers_what_pull_would),
        TEST(assign_then_push_then_pull),
        TEST(each_piece_is_judged_alone),
        TEST(frames_that_make_no_sense_change_nothing),
        TEST(blocks_elsewhere_are_pointed_to),
        TEST(a_server_that_came_back_empty_is_found_out),
        TEST(pushing_allocates_nothing),
        TEST(optimizer_state_is_pulled_and_assigned),
        TEST(optimizer_state_that_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
