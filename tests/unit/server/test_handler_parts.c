/* DEFINE and UNDEFINE: repeatable, within the limit on memory, wholly or not at all, and never after the drop. */
#include "tests/unit/server/handler_fixture.h"

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

static void defining_is_repeatable_and_undone(void **state) {
    (void)state;
    struct tensor_spec spec = fixture_spec("w", 8 * BLOCK, "adam"), other = fixture_spec("w", 7 * BLOCK, "adam");
    struct tensor_info info = {.id = 9, .state = TENSOR_CREATING, .spec = spec},
                       changed = {9, TENSOR_CREATING, other, 0};
    struct message_statistics statistics;
    worker_define(&worker, &info);
    struct bench_digests before = digests_now();
    worker_define(&worker, &info);
    statistics = client_statistics(&worker.clients[1]);
    assert_int_equal(statistics.tensors, 1);
    assert_int_equal(statistics.parameters, 2 * BLOCK);
    assert_int_equal(statistics.state_bytes, 3 * 2 * BLOCK * sizeof(float));
    assert_int_equal(statistics.shards, 2);
    client_fails(&worker.clients[0], ask_define(&worker.clients[0], &changed), CANYON_MISMATCH, "[7168]");
    info.id = 0;
    client_fails(&worker.clients[0], ask_define(&worker.clients[0], &info), CANYON_PROTOCOL, "id is 0");
    info.id = 9;
    info.state = TENSOR_DROPPING;
    client_fails(&worker.clients[0], ask_define(&worker.clients[0], &info), CANYON_CONFLICT, "dropped");
    nothing_changed_since(&before);
    for (int i = 0; i < 8; i++) {
        client_succeeds(&worker.clients[i % 4], ask_tensor(&worker.clients[i % 4], FRAME_UNDEFINE, 9, "w"),
                        FRAME_UNDEFINED);
    }
    statistics = client_statistics(&worker.clients[1]);
    assert_int_equal(statistics.tensors + statistics.parameters + statistics.state_bytes, 0);
    client_fails(&worker.clients[0], ask_tensor(&worker.clients[0], FRAME_UNDEFINE, 0, "w"), CANYON_INVALID_ARGUMENT,
                 "0");
}

static void the_limit_on_memory_is_kept(void **state) {
    (void)state;
    struct tensor_spec spec = fixture_spec("w", 8 * BLOCK, "adam"), more = fixture_spec("v", 8 * BLOCK, "sgd"),
                       huge = fixture_spec("huge", LIMIT_ELEMENTS, "adam");
    struct tensor_info first = {.id = 9, .state = TENSOR_CREATING, .spec = spec},
                       second = {10, TENSOR_CREATING, more, 0}, third = {11, TENSOR_CREATING, huge, 0};
    struct client *client = &worker.clients[0];
    bench.environment.state_limit = 4 * 2 * BLOCK * sizeof(float) - 1; /* adam's three arrays, but not sgd's one more */
    worker_define(&worker, &first);
    struct bench_digests before = digests_now();
    client_fails(client, ask_define(client, &second), CANYON_NO_MEMORY,
                 "takes 8192 bytes here; 24576 of at most 32767");
    client_fails(client, ask_define(client, &third), CANYON_NO_MEMORY, "takes 3298534883328 bytes");
    nothing_changed_since(&before);
    client_succeeds(client, ask_define(client, &first), FRAME_DEFINED); /* it is there, and takes nothing more */
    client_succeeds(client, ask_tensor(client, FRAME_UNDEFINE, 9, "w"), FRAME_UNDEFINED);
    client_succeeds(client, ask_define(client, &second), FRAME_DEFINED);
}

/* Without a limit the allocation itself fails; nothing of the tensor is left then, not even its name. */
static void a_definition_that_fails_leaves_nothing(void **state) {
    (void)state;
    if (fixture_overcommits()) {
        print_message("SKIPPED: this machine promises any amount of memory (vm.overcommit_memory is 1)\n");
        skip();
    }
    struct tensor_info huge = {9, TENSOR_CREATING, fixture_spec("w", LIMIT_ELEMENTS, "adam"), 0},
                       small = {10, TENSOR_CREATING, fixture_spec("w", 8 * BLOCK, "adam"), 0};
    struct bench_digests before = digests_now();
    client_fails(&worker.clients[1], ask_define(&worker.clients[1], &huge), CANYON_NO_MEMORY, "1649267441664 bytes");
    nothing_changed_since(&before);
    client_succeeds(&worker.clients[1], ask_define(&worker.clients[1], &small), FRAME_DEFINED);
}

/* The parts of the smaller tensor are in some shards only; the others must not take those of the larger one. */
static void an_id_means_one_tensor(void **state) {
    (void)state;
    struct tensor_info small = {9, TENSOR_CREATING, fixture_spec("w", 2 * BLOCK, "sgd"), 0},
                       large = {9, TENSOR_CREATING, fixture_spec("w", 8 * BLOCK, "sgd"), 0},
                       renamed = {9, TENSOR_CREATING, fixture_spec("v", 8 * BLOCK, "sgd"), 0};
    worker_define(&worker, &small);
    struct bench_digests before = digests_now();
    for (size_t i = 0; i < 4; i++) {
        struct client *client = &worker.clients[i];
        struct message_statistics statistics = client_statistics(client);
        client_fails(client, ask_define(client, &large), CANYON_MISMATCH, "[2048]");
        client_fails(client, ask_define(client, &renamed), CANYON_MISMATCH, "'w'");
        assert_int_equal(client_statistics(client).state_bytes, statistics.state_bytes);
    }
    nothing_changed_since(&before);
}

static void a_definition_after_the_drop_comes_too_late(void **state) {
    (void)state;
    struct tensor_info info = {9, TENSOR_CREATING, fixture_spec("w", 8 * BLOCK, "sgd"), 0},
                       next = {10, TENSOR_CREATING, info.spec, 0};
    struct client *client = &worker.clients[0];
    struct bench_digests before = digests_now();
    client_succeeds(client, ask_tensor(client, FRAME_UNDEFINE, 9, "w"), FRAME_UNDEFINED);
    client_fails(client, ask_define(client, &info), CANYON_CONFLICT, "dropped");
    nothing_changed_since(&before);
    client_succeeds(client, ask_define(client, &next), FRAME_DEFINED);
}

/* A definition that failed for want of memory may be tried again with the same id. */
static void a_failed_definition_may_be_repeated(void **state) {
    (void)state;
    struct tensor_info info = {9, TENSOR_CREATING, fixture_spec("w", 8 * BLOCK, "sgd"), 0};
    struct client *client = &worker.clients[0];
    bench.environment.state_limit = BLOCK;
    client_fails(client, ask_define(client, &info), CANYON_NO_MEMORY, "at most 1024");
    bench.environment.state_limit = 0;
    client_succeeds(client, ask_define(client, &info), FRAME_DEFINED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static uint64_t ask_set(struct client *client, const char *name, const char *setting, double value) {
    struct message_set message;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    memset(&message, 0, sizeof message);
    snprintf(message.name, sizeof message.name, "%s", name);
    if (setting != NULL) {
        message.count = 1;
        snprintf(message.settings[0].name, sizeof message.settings[0].name, "%s", setting);
        message.settings[0].value = value;
    }
    return client_ask(client, FRAME_SET, bytes, message_pack_set(&message, bytes), NULL, 0);
}

static struct tensor_info take_set(struct client *client, uint64_t request) {
    struct reply *reply = client_take(client, request, FRAME_SET_DONE);
    struct tensor_info info;
    assert_int_equal(message_unpack_opened(reply->message, reply->header.message_bytes, &info, NULL), CANYON_OK);
    reply_free(reply);
    return info;
}

static uint64_t ask_adjust(struct client *client, const struct tensor_info *info) {
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    return client_ask(client, FRAME_ADJUST, bytes, message_pack_define(info, bytes), NULL, 0);
}

static void settings_reach_every_part(void **state) {
    (void)state;
    struct tensor_spec spec = fixture_spec("w", 8 * BLOCK, "sgd:lr=0.5");
    struct client *client = &worker.clients[0];
    client_fails(client, ask_set(client, "w", "lr", 1), CANYON_NOT_FOUND, "'w'");
    struct message_created created = take_created(client, ask_create(client, &spec, 0));
    client_fails(client, ask_set(client, "w", "lr", 1), CANYON_CONFLICT, "being created");
    worker_define(&worker, &created.tensor);
    client_succeeds(client, ask_tensor(client, FRAME_COMPLETE, created.tensor.id, "w"), FRAME_COMPLETED);
    struct bench_digests before = digests_now();
    client_fails(client, ask_set(client, "w", "lr", -1), CANYON_INVALID_ARGUMENT, "lr=-1 is outside");
    client_fails(client, ask_set(client, "w", "beta", 1), CANYON_INVALID_ARGUMENT, "'beta'");
    client_fails(client, ask_set(client, "w", NULL, 0), CANYON_INVALID_ARGUMENT, "no setting");
    client_fails(&worker.clients[1], ask_set(&worker.clients[1], "w", "lr", 1), CANYON_INVALID_ARGUMENT, "server 0");
    nothing_changed_since(&before);
    struct tensor_info same = take_set(client, ask_set(client, "w", "lr", 0.5));
    assert_true(same.epoch == 0);
    nothing_changed_since(&before);
    struct tensor_info second = take_set(client, ask_set(client, "w", "lr", 0.25)),
                       third = take_set(client, ask_set(client, "w", "lr", 2));
    assert_true(second.epoch == 1 && third.epoch == 2);
    assert_true(third.spec.optimizer.settings[0].value == 2 && third.state == TENSOR_COMPLETE);
    for (size_t i = 0; i < 4; i++) {
        client = &worker.clients[i];
        client_fails(client, ask_adjust(client, &created.tensor), CANYON_INVALID_ARGUMENT, "state 1 and epoch 0");
        client_fails(client, ask_adjust(client, &same), CANYON_INVALID_ARGUMENT, "epoch 0");
        client_succeeds(client, ask_adjust(client, &third), FRAME_ADJUSTED);
        client_succeeds(client, ask_adjust(client, &second), FRAME_ADJUSTED); /* overtaken */
    }
    before = digests_now();
    for (size_t i = 0; i < 4; i++) {
        client_succeeds(&worker.clients[i], ask_adjust(&worker.clients[i], &third), FRAME_ADJUSTED);
    }
    nothing_changed_since(&before);
    static float gradient[BLOCK] = {1};
    for (uint32_t block = 0; block < 8; block++) {
        client = worker_client(&worker, "w", block);
        struct reply *reply =
            client_take(client, ask_piece(client, FRAME_PULL, third.id, block, BLOCK, 0, NULL), FRAME_PULLED);
        float first;
        memcpy(&first, reply->payload, sizeof first);
        reply_free(reply);
        reply = client_take(client, ask_piece(client, FRAME_PUSH_PULL, third.id, block, BLOCK, 0, gradient),
                            FRAME_PUSH_PULLED);
        float then;
        memcpy(&then, reply->payload, sizeof then);
        reply_free(reply);
        assert_true(then == first - 2.0f);
    }
    /* Of a tensor that was never here, and of one that was dropped. */
    struct tensor_info none = third;
    none.id = 77;
    client_fails(client, ask_adjust(client, &none), CANYON_STATE_LOST, "'w'");
    client_succeeds(client, ask_tensor(client, FRAME_UNDEFINE, third.id, "w"), FRAME_UNDEFINED);
    client_fails(client, ask_adjust(client, &third), CANYON_NOT_FOUND, "was dropped");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(settings_reach_every_part),
        TEST(defining_is_repeatable_and_undone),
        TEST(the_limit_on_memory_is_kept),
        TEST(a_definition_that_fails_leaves_nothing),
        TEST(an_id_means_one_tensor),
        TEST(a_definition_after_the_drop_comes_too_late),
        TEST(a_failed_definition_may_be_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
