/* The catalogue's requests: who creates, who waits, who is told what, and what happens when somebody goes. */
#include "tests/unit/server/handler_fixture.h"

static struct bench bench;
static struct client a, b, c;
static struct tensor_spec w;

static int setup(void **state) {
    (void)state;
    bench_init(&bench, 1, 1, 4, 1024);
    client_come(&a, bench.handlers[0], 1, "anna");
    client_come(&b, bench.handlers[0], 2, "bert");
    client_come(&c, bench.handlers[0], 3, "cleo");
    w = fixture_raw_spec("w", 5000, "adam:lr=0.5");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    bench_finish(&bench);
    return a.waiting + b.waiting + c.waiting > 0;
}

static struct digest digest_of_catalogue(struct client *client) {
    struct bench_digests digests;
    client_digests(client, &digests);
    return digests.digests[0];
}

/* The tensor is complete afterwards. */
static uint64_t create_whole(struct client *client, const struct tensor_spec *spec) {
    struct message_created created = take_created(client, ask_create(client, spec, 0));
    client_succeeds(client, ask_define(client, &created.tensor), FRAME_DEFINED);
    client_succeeds(client, ask_tensor(client, FRAME_COMPLETE, created.tensor.id, ""), FRAME_COMPLETED);
    return created.tensor.id;
}

static void drop_whole(struct client *client, uint64_t id) {
    client_succeeds(client, ask_tensor(client, FRAME_DROP, id, ""), FRAME_DROPPING);
    client_succeeds(client, ask_tensor(client, FRAME_UNDEFINE, id, ""), FRAME_UNDEFINED);
    client_succeeds(client, ask_tensor(client, FRAME_DROPPED, id, ""), FRAME_DROP_DONE);
}

static void the_first_is_the_creator(void **state) {
    (void)state;
    struct message_created created = take_created(&a, ask_create(&a, &w, 1000));
    struct tensor_spec canonical = fixture_spec("w", 5000, "adam:lr=0.5");
    assert_true(created.creator);
    assert_true(created.tensor.id != 0);
    assert_int_equal(created.tensor.state, TENSOR_CREATING);
    assert_memory_equal(&created.tensor.spec, &canonical, sizeof canonical);
    /* Who races waits, and is answered in order of arrival when it is complete. */
    uint64_t first = ask_create(&b, &w, 1000), second = ask_open(&b, "w", 1000), third = ask_create(&c, &w, 1000);
    assert_int_equal(b.waiting + c.waiting, 0);
    client_succeeds(&a, ask_define(&a, &created.tensor), FRAME_DEFINED);
    client_fails(&b, ask_tensor(&b, FRAME_COMPLETE, created.tensor.id, "w"), CANYON_CONFLICT, "another worker");
    client_succeeds(&a, ask_tensor(&a, FRAME_COMPLETE, created.tensor.id, "w"), FRAME_COMPLETED);
    struct message_created other = take_created(&b, first);
    assert_false(other.creator);
    assert_int_equal(other.tensor.state, TENSOR_COMPLETE);
    assert_true(other.tensor.id == created.tensor.id);
    assert_true(take_opened(&b, second).id == created.tensor.id);
    assert_false(take_created(&c, third).creator);
    /* Repeating oneself is fine, and nobody waits any more. */
    client_succeeds(&a, ask_tensor(&a, FRAME_COMPLETE, created.tensor.id, "w"), FRAME_COMPLETED);
    assert_false(take_created(&a, ask_create(&a, &w, 0)).creator);
    assert_int_equal(a.peer.parked + b.peer.parked + c.peer.parked, 0);
}

static void another_shape_or_optimizer_is_named(void **state) {
    (void)state;
    struct tensor_spec shape = fixture_raw_spec("w", 5001, "adam:lr=0.5"),
                       optimizer = fixture_raw_spec("w", 5000, "sgd:lr=0.5"),
                       setting = fixture_raw_spec("w", 5000, "adam:lr=0.25"), seed = w;
    seed.initializer.seed = 99;
    struct message_created created = take_created(&a, ask_create(&a, &w, 0));
    for (int complete = 0; complete < 2; complete++) {
        struct digest before = digest_of_catalogue(&a);
        client_fails(&b, ask_create(&b, &shape, 1000), CANYON_MISMATCH, "'w' exists with shape [5000] and adam(lr=0.5");
        client_fails(&b, ask_create(&b, &shape, 1000), CANYON_MISMATCH, "asked: shape [5001] and adam(lr=0.5");
        client_fails(&b, ask_create(&b, &optimizer, 1000), CANYON_MISMATCH, "and sgd(lr=0.5");
        client_fails(&b, ask_create(&b, &setting, 1000), CANYON_MISMATCH, "and adam(lr=0.25");
        assert_true(fixture_same(digest_of_catalogue(&a), before));
        if (!complete) {
            client_succeeds(&a, ask_tensor(&a, FRAME_COMPLETE, created.tensor.id, "w"), FRAME_COMPLETED);
        }
    }
    /* Another seed is not another tensor: who comes second does not choose the first values. */
    assert_false(take_created(&b, ask_create(&b, &seed, 0)).creator);
}

static void bad_specs_are_refused_at_once(void **state) {
    (void)state;
    struct digest before = digest_of_catalogue(&a);
    struct tensor_spec bad = fixture_raw_spec("w", 5000, "adam:beta1=1.5");
    client_fails(&a, ask_create(&a, &bad, 1000), CANYON_INVALID_ARGUMENT, "adam: beta1=1.5 is outside [0, 1)");
    bad = fixture_raw_spec("w", 5000, "adamz");
    client_fails(&a, ask_create(&a, &bad, 1000), CANYON_INVALID_ARGUMENT, "rmsprop");
    bad = fixture_raw_spec("w", 1ull << 41, "adam");
    client_fails(&a, ask_create(&a, &bad, 1000), CANYON_TOO_LARGE, "");
    assert_true(fixture_same(digest_of_catalogue(&a), before));
}

static void who_does_not_wait_is_told_at_once(void **state) {
    (void)state;
    client_fails(&b, ask_open(&b, "w", 0), CANYON_NOT_FOUND, "no tensor 'w'");
    uint64_t id = take_created(&a, ask_create(&a, &w, 0)).tensor.id;
    client_fails(&b, ask_open(&b, "w", 0), CANYON_CONFLICT, "still being created by worker 'anna'");
    client_fails(&b, ask_create(&b, &w, 0), CANYON_CONFLICT, "still being created by worker 'anna'");
    client_succeeds(&a, ask_tensor(&a, FRAME_COMPLETE, id, "w"), FRAME_COMPLETED);
    assert_true(take_opened(&b, ask_open(&b, "w", 0)).id == id);
    client_succeeds(&a, ask_tensor(&a, FRAME_DROP, id, "w"), FRAME_DROPPING);
    client_fails(&b, ask_open(&b, "w", 0), CANYON_NOT_FOUND, "being dropped");
}

static void waits_end_with_what_was_missing(void **state) {
    (void)state;
    uint64_t absent = ask_open(&b, "v", 5000), soon = ask_open(&b, "v", 20);
    (void)take_created(&a, ask_create(&a, &w, 0));
    uint64_t unfinished = ask_open(&c, "w", 3000), creating = ask_create(&c, &w, 4000);
    assert_true(handler_wakeup(bench.handlers[0]) == bench.now + 20 * MS);
    bench_pass(&bench, 19);
    assert_int_equal(b.waiting + c.waiting, 0);
    bench_pass(&bench, 1);
    client_fails(&b, soon, CANYON_TIMEOUT, "no tensor 'v' within 20 ms");
    assert_true(handler_wakeup(bench.handlers[0]) == bench.now + 2980 * MS);
    bench_pass(&bench, 2980);
    client_fails(&c, unfinished, CANYON_TIMEOUT, "tensor 'w' is still being created by worker 'anna' within 3000 ms");
    bench_pass(&bench, 2000);
    client_fails(&c, creating, CANYON_TIMEOUT, "tensor 'w' is still being created by worker 'anna' within 4000 ms");
    client_fails(&b, absent, CANYON_TIMEOUT, "no tensor 'v' within 5000 ms");
    assert_true(handler_wakeup(bench.handlers[0]) == UINT64_MAX);
}

static void later_requests_overtake_parked_ones(void **state) {
    (void)state;
    uint64_t parked = ask_open(&b, "w", 1000);
    client_fails(&b, ask_open(&b, "v", 0), CANYON_NOT_FOUND, "'v'");
    (void)client_statistics(&b);
    /* The very connection whose OPEN waits creates what it waits for. */
    struct message_created created = take_created(&b, ask_create(&b, &w, 0));
    client_succeeds(&b, ask_define(&b, &created.tensor), FRAME_DEFINED);
    uint64_t complete = ask_tensor(&b, FRAME_COMPLETE, created.tensor.id, "w");
    client_succeeds(&b, complete, FRAME_COMPLETED);
    assert_true(take_opened(&b, parked).id == created.tensor.id);
}

static void the_creators_end_passes_creation_on(void **state) {
    (void)state;
    struct tensor_spec other = fixture_raw_spec("w", 4999, "adam:lr=0.5"), v = fixture_raw_spec("v", 3, "sgd");
    uint64_t id = take_created(&a, ask_create(&a, &w, 0)).tensor.id;
    (void)take_created(&a, ask_create(&a, &v, 0));
    uint64_t open = ask_open(&c, "w", 1000), first = ask_create(&b, &w, 1000), second = ask_create(&c, &w, 1000);
    client_go(&a);
    struct message_created adopted = take_created(&b, first);
    assert_true(adopted.creator);
    assert_true(adopted.tensor.id == id);
    assert_int_equal(adopted.tensor.state, TENSOR_CREATING);
    assert_int_equal(c.waiting, 0);
    client_fails(&c, ask_open(&c, "w", 0), CANYON_CONFLICT, "by worker 'bert'");
    /* Nobody waited for v: the next to create it takes over, as long as it means the same tensor. */
    client_fails(&c, ask_open(&c, "v", 0), CANYON_CONFLICT, "its creator is gone");
    struct tensor_spec other_v = fixture_raw_spec("v", 4, "sgd");
    client_fails(&c, ask_create(&c, &other_v, 0), CANYON_MISMATCH, "[4]");
    assert_true(take_created(&c, ask_create(&c, &v, 0)).creator);
    /* And on again: bert goes, cleo, who waits already, takes w over; another shape would be refused. */
    client_fails(&c, ask_create(&c, &other, 1000), CANYON_MISMATCH, "[4999]");
    client_go(&b);
    assert_true(take_created(&c, second).creator);
    client_succeeds(&c, ask_tensor(&c, FRAME_COMPLETE, id, "w"), FRAME_COMPLETED);
    assert_true(take_opened(&c, open).id == id);
    client_come(&a, bench.handlers[0], 1, "anna");
    client_fails(&a, ask_tensor(&a, FRAME_COMPLETE, id, "w"), CANYON_CONFLICT, "complete");
}

static void a_session_lives_as_long_as_one_of_its_connections(void **state) {
    (void)state;
    struct client second;
    client_come(&second, bench.handlers[0], 1, "anna");
    uint64_t id = take_created(&a, ask_create(&a, &w, 0)).tensor.id, waiting = ask_create(&b, &w, 1000);
    client_go(&a);
    assert_int_equal(b.waiting, 0);
    client_succeeds(&second, ask_tensor(&second, FRAME_COMPLETE, id, "w"), FRAME_COMPLETED);
    assert_false(take_created(&b, waiting).creator);
    client_go(&second);
    client_come(&a, bench.handlers[0], 1, "anna");
}

static void the_requests_of_the_gone_are_forgotten(void **state) {
    (void)state;
    (void)take_created(&a, ask_create(&a, &w, 0));
    (void)ask_create(&b, &w, 1000);
    (void)ask_open(&b, "v", 10);
    uint64_t waiting = ask_create(&c, &w, 1000);
    client_go(&b);
    assert_true(handler_wakeup(bench.handlers[0]) == bench.now + 1000 * MS);
    client_go(&a);
    assert_true(take_created(&c, waiting).creator);
    assert_int_equal(a.waiting + b.waiting, 0);
    client_come(&a, bench.handlers[0], 1, "anna");
    client_come(&b, bench.handlers[0], 2, "bert");
}

static void dropping_and_creating_anew(void **state) {
    (void)state;
    uint64_t id = create_whole(&a, &w);
    uint64_t by_name = ask_tensor(&b, FRAME_DROP, 0, "w");
    struct reply *reply = client_take(&b, by_name, FRAME_DROPPING);
    struct message_tensor tensor;
    assert_int_equal(message_unpack_tensor(reply->message, reply->header.message_bytes, &tensor, NULL), CANYON_OK);
    assert_true(tensor.id == id);
    assert_string_equal(tensor.name, "w");
    reply_free(reply);
    /* Whoever finds it so is told, and finishes the drop. */
    struct message_created found = take_created(&c, ask_create(&c, &w, 1000));
    assert_false(found.creator);
    assert_int_equal(found.tensor.state, TENSOR_DROPPING);
    uint64_t open = ask_open(&a, "w", 1000);
    drop_whole(&c, id);
    client_fails(&b, ask_tensor(&b, FRAME_DROPPED, id, "w"), CANYON_NOT_FOUND, "'w'");
    client_fails(&b, ask_tensor(&b, FRAME_DROP, 0, "w"), CANYON_NOT_FOUND, "no tensor 'w'");
    client_fails(&b, ask_tensor(&b, FRAME_DROP, id, "w"), CANYON_NOT_FOUND, "'w'");
    assert_int_equal(a.waiting, 0);
    uint64_t again = create_whole(&c, &w);
    assert_true(again != id);
    assert_true(take_opened(&a, open).id == again);
}

/* Those who wait while a tensor that is being created is dropped learn it; after the drop one of them creates. */
static void dropping_what_is_being_created(void **state) {
    (void)state;
    uint64_t id = take_created(&a, ask_create(&a, &w, 0)).tensor.id, waiting = ask_create(&b, &w, 1000);
    client_succeeds(&c, ask_tensor(&c, FRAME_DROP, id, "w"), FRAME_DROPPING);
    struct message_created found = take_created(&b, waiting);
    assert_false(found.creator);
    assert_int_equal(found.tensor.state, TENSOR_DROPPING);
    client_fails(&a, ask_tensor(&a, FRAME_COMPLETE, id, "w"), CANYON_CONFLICT, "being dropped");
    drop_whole(&b, id);
    assert_true(take_created(&b, ask_create(&b, &w, 0)).creator);
}

static void listing_goes_by_name_and_page(void **state) {
    (void)state;
    char after[LIMIT_NAME_BYTES] = "", name[LIMIT_NAME_BYTES];
    size_t seen = 0;
    bool more = true;
    for (unsigned i = 0; i < 11; i++) {
        snprintf(name, sizeof name, "t%02u", (i * 7) % 11);
        struct tensor_spec spec = fixture_raw_spec(name, i, "sgd");
        (void)take_created(&a, ask_create(&a, &spec, 0));
    }
    while (more) {
        struct message_list message;
        struct message_listed listed;
        uint8_t bytes[LIMIT_MESSAGE_BYTES];
        memcpy(message.after, after, sizeof after);
        uint64_t id = client_ask(&b, FRAME_LIST, bytes, message_pack_list(&message, bytes), NULL, 0);
        struct reply *reply = client_take(&b, id, FRAME_LISTED);
        assert_int_equal(message_unpack_listed(reply->message, reply->header.message_bytes, &listed, NULL), CANYON_OK);
        reply_free(reply);
        for (uint32_t i = 0; i < listed.count; i++) {
            snprintf(name, sizeof name, "t%02zu", seen++);
            assert_string_equal(listed.tensors[i].spec.name, name);
            assert_int_equal(listed.tensors[i].state, TENSOR_CREATING);
            memcpy(after, name, sizeof after);
        }
        more = listed.more;
        assert_true(listed.count > 0);
    }
    assert_int_equal(seen, 11);
}

static void waiting_has_a_cap(void **state) {
    (void)state;
    uint64_t ids[HANDLER_PARKED_PER_PEER];
    for (int i = 0; i < HANDLER_PARKED_PER_PEER; i++) {
        ids[i] = ask_open(&a, "w", 1000);
    }
    client_fails(&a, ask_open(&a, "w", 1000), CANYON_BUSY, "64");
    assert_int_equal(client_statistics(&b).parked, HANDLER_PARKED_PER_PEER);
    (void)create_whole(&b, &w);
    for (int i = 0; i < HANDLER_PARKED_PER_PEER; i++) {
        (void)take_opened(&a, ids[i]);
    }
    assert_int_equal(client_statistics(&b).parked, 0);
}

static void a_stopping_server_lets_nobody_wait(void **state) {
    (void)state;
    uint64_t open = ask_open(&a, "w", 1000), barrier = ask_barrier(&b, "b", 2, 1000);
    handler_stop(bench.handlers[0]);
    client_fails(&a, open, CANYON_UNAVAILABLE, "the server is stopping");
    client_fails(&b, barrier, CANYON_UNAVAILABLE, "the server is stopping");
    client_fails(&a, ask_open(&a, "w", 1000), CANYON_UNAVAILABLE, "the server is stopping");
    assert_true(handler_wakeup(bench.handlers[0]) == UINT64_MAX);
    /* What does not wait is answered still. */
    assert_true(take_created(&a, ask_create(&a, &w, 1000)).creator);
}

/* The server's ids are drawn; zero and those in use are drawn again. */
static void bad_random(void *user, void *bytes, size_t count) {
    unsigned *calls = user;
    uint64_t draws[] = {0, 7, 7, 0, 8}, draw = draws[*calls < 5 ? *calls : 4];
    assert_int_equal(count, sizeof draw);
    memcpy(bytes, &draw, sizeof draw);
    (*calls)++;
}

static uint64_t no_time(void *user) {
    (void)user;
    return 0;
}

static void ids_are_neither_zero_nor_in_use(void **state) {
    (void)state;
    unsigned calls = 0;
    struct handler_environment environment = {.now = no_time, .random = bad_random, .user = &calls};
    struct handler *handler = handler_create(&bench.job, 0, 0, 1, &environment);
    struct client client;
    calls = 0; /* the handler has drawn a secret */
    struct tensor_spec v = fixture_raw_spec("v", 3, "sgd");
    client_come(&client, handler, 9, "x");
    assert_int_equal(take_created(&client, ask_create(&client, &w, 0)).tensor.id, 7);
    assert_int_equal(take_created(&client, ask_create(&client, &v, 0)).tensor.id, 8);
    assert_int_equal(calls, 5);
    client_go(&client);
    handler_destroy(handler);
}

static void other_threads_name_the_right_one(void **state) {
    (void)state;
    struct bench wide;
    struct client client;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    struct message_list list = {.after = ""};
    bench_init(&wide, 2, 2, 8, 1024);
    client_come(&client, bench_handler(&wide, 1, 1), 1, "anna");
    static const char where[] = "on server 0 (127.0.0.1:7001), thread 0; this is server 1, thread 1";
    client_fails(&client, ask_create(&client, &w, 0), CANYON_INVALID_ARGUMENT, where);
    client_fails(&client, ask_open(&client, "w", 0), CANYON_INVALID_ARGUMENT, where);
    client_fails(&client, ask_tensor(&client, FRAME_COMPLETE, 5, "w"), CANYON_INVALID_ARGUMENT, where);
    client_fails(&client, ask_tensor(&client, FRAME_DROP, 5, "w"), CANYON_INVALID_ARGUMENT, where);
    client_fails(&client, ask_tensor(&client, FRAME_DROPPED, 5, "w"), CANYON_INVALID_ARGUMENT, where);
    client_fails(&client, ask_join(&client), CANYON_INVALID_ARGUMENT, where);
    client_fails(&client, ask_barrier(&client, "b", 1, 0), CANYON_INVALID_ARGUMENT, where);
    client_fails(&client, client_ask(&client, FRAME_LIST, bytes, message_pack_list(&list, bytes), NULL, 0),
                 CANYON_INVALID_ARGUMENT, where);
    client_go(&client);
    bench_finish(&wide);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_first_is_the_creator),
        TEST(another_shape_or_optimizer_is_named),
        TEST(bad_specs_are_refused_at_once),
        TEST(who_does_not_wait_is_told_at_once),
        TEST(waits_end_with_what_was_missing),
        TEST(later_requests_overtake_parked_ones),
        TEST(the_creators_end_passes_creation_on),
        TEST(a_session_lives_as_long_as_one_of_its_connections),
        TEST(the_requests_of_the_gone_are_forgotten),
        TEST(dropping_and_creating_anew),
        TEST(dropping_what_is_being_created),
        TEST(listing_goes_by_name_and_page),
        TEST(waiting_has_a_cap),
        TEST(a_stopping_server_lets_nobody_wait),
        TEST(ids_are_neither_zero_nor_in_use),
        TEST(other_threads_name_the_right_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
