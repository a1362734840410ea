/* The handler as a whole: types, garbage, what can be seen of it, and that it does not matter over how many servers and
 * threads a job is spread. */
#include "tests/unit/server/handler_fixture.h"

#include <math.h>

#define BLOCK 1024

static void types_that_are_no_requests(void **state) {
    (void)state;
    struct bench bench;
    struct client client;
    uint8_t byte = 0;
    bench_init(&bench, 1, 1, 1, BLOCK);
    client_come(&client, bench.handlers[0], 1, "anna");
    for (unsigned type = 0; type <= 60; type++) {
        char number[8];
        snprintf(number, sizeof number, "%u", type);
        if (type == FRAME_HELLO) {
            client_fails(&client, client_ask(&client, type, NULL, 0, NULL, 0), CANYON_PROTOCOL, "second HELLO");
        } else if (type % 2 == 1 && type <= FRAME_LAST) {
            client_fails(&client, client_ask(&client, type, NULL, 0, NULL, 0), CANYON_PROTOCOL, number);
        } else if (type == 0 || type > FRAME_LAST) {
            client_fails(&client, client_ask(&client, type, NULL, 0, NULL, 0), CANYON_UNSUPPORTED, number);
        }
    }
    client_fails(&client, client_ask(&client, 65535, NULL, 0, NULL, 0), CANYON_UNSUPPORTED, "65535");
    client_fails(&client, client_ask(&client, FRAME_STATISTICS, NULL, 0, &byte, 1), CANYON_PROTOCOL,
                 "STATISTICS has no payload");
    client_fails(&client, client_ask(&client, FRAME_DIGEST, &byte, 1, NULL, 0), CANYON_PROTOCOL,
                 "DIGEST has no message");
    client_fails(&client, client_ask(&client, FRAME_CREATE, (const uint8_t *)"\xff\xff\xff", 3, NULL, 0),
                 CANYON_PROTOCOL, "CREATE");
    client_go(&client);
    bench_finish(&bench);
}

static void statistics_add_up(void **state) {
    (void)state;
    struct bench bench;
    struct client a, b;
    bench_init(&bench, 2, 2, 16, BLOCK);
    client_come(&a, bench_handler(&bench, 0, 1), 1, "anna");
    client_come(&b, bench_handler(&bench, 0, 1), 2, "bert");
    bench.now += 1234 * MS;
    handler_count_bytes(a.handler, 10, 20);
    handler_count_bytes(a.handler, 1, 2);
    client_fails(&a, ask_join(&a), CANYON_INVALID_ARGUMENT, "");
    struct message_statistics statistics = client_statistics(&b);
    assert_int_equal(statistics.uptime_ms, 1234);
    assert_int_equal(statistics.connections, 2);
    assert_int_equal(statistics.frames, 2);
    assert_int_equal(statistics.bytes_in, 11);
    assert_int_equal(statistics.bytes_out, 22);
    assert_int_equal(statistics.errors, 1);
    assert_int_equal(statistics.shards, 4);
    client_go(&a);
    assert_int_equal(client_statistics(&b).connections, 1);
    client_go(&b);
    bench_finish(&bench);
}

static void optimizers_are_described(void **state) {
    (void)state;
    struct bench bench;
    struct client client;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    bench_init(&bench, 1, 1, 1, BLOCK);
    client_come(&client, bench.handlers[0], 1, "anna");
    for (uint32_t index = 0; index < optimizer_count(); index++) {
        const struct optimizer *optimizer = optimizer_at(index);
        struct message_optimizer message;
        struct message_optimizer_request request = {.index = index};
        if (index % 2 == 1) { /* by name, whatever the index */
            request.index = index + 7;
            strcpy(request.name, optimizer->name);
        }
        uint64_t id =
            client_ask(&client, FRAME_OPTIMIZER, bytes, message_pack_optimizer_request(&request, bytes), NULL, 0);
        struct reply *reply = client_take(&client, id, FRAME_OPTIMIZER_IS);
        assert_int_equal(message_unpack_optimizer(reply->message, reply->header.message_bytes, &message, NULL),
                         CANYON_OK);
        assert_int_equal(message.index, index);
        assert_int_equal(message.total, optimizer_count());
        assert_string_equal(message.name, optimizer->name);
        assert_string_equal(message.summary, optimizer->summary); /* whole: nothing was cut */
        assert_string_equal(message.source, optimizer->source);
        assert_int_equal(message.slot_count, optimizer->slot_count);
        assert_int_equal(message.scalar_count, optimizer->scalar_count);
        for (size_t i = 0; i < optimizer->scalar_count; i++) {
            assert_string_equal(message.scalars[i], optimizer->scalars[i]);
        }
        assert_int_equal(message.hyperparameter_count, optimizer->hyperparameter_count);
        for (size_t i = 0; i < optimizer->hyperparameter_count; i++) {
            assert_string_equal(message.hyperparameters[i].name, optimizer->hyperparameters[i].name);
            assert_string_equal(message.hyperparameters[i].meaning, optimizer->hyperparameters[i].meaning);
            assert_true(message.hyperparameters[i].fallback == optimizer->hyperparameters[i].fallback);
            assert_true(message.hyperparameters[i].high == optimizer->hyperparameters[i].high);
            assert_int_equal(message.hyperparameters[i].low_open, optimizer->hyperparameters[i].low_open);
        }
        reply_free(reply);
    }
    struct message_optimizer_request beyond = {.index = (uint32_t)optimizer_count()};
    uint64_t id = client_ask(&client, FRAME_OPTIMIZER, bytes, message_pack_optimizer_request(&beyond, bytes), NULL, 0);
    client_fails(&client, id, CANYON_NOT_FOUND, "this server has");
    struct message_optimizer_request unknown = {.name = "adamantium"};
    id = client_ask(&client, FRAME_OPTIMIZER, bytes, message_pack_optimizer_request(&unknown, bytes), NULL, 0);
    client_fails(&client, id, CANYON_NOT_FOUND, "no optimizer 'adamantium'");
    client_go(&client);
    bench_finish(&bench);
}

/* A thread beyond the shards owns none, and says so. */
static void a_thread_without_shards_works(void **state) {
    (void)state;
    struct bench bench;
    struct client client;
    bench_init(&bench, 2, 2, 2, BLOCK);
    client_come(&client, bench_handler(&bench, 1, 1), 1, "anna");
    assert_int_equal(client_statistics(&client).shards, 0);
    struct reply *reply = client_take(&client, client_ask(&client, FRAME_DIGEST, NULL, 0, NULL, 0), FRAME_DIGESTS);
    assert_int_equal(reply->header.payload_bytes, 0);
    reply_free(reply);
    client_go(&client);
    bench_finish(&bench);
}

/* ---- One worker's commands, whatever the placement ---- */

/* A worker that creates, pushes, assigns, is refused, drops and creates again, all from one seed. */
static void work(struct bench *bench, uint64_t seed, struct bench_digests *digests) {
    enum { TENSORS = 6 };
    static float values[BLOCK];
    struct worker worker;
    struct tensor_info infos[TENSORS];
    uint64_t elements[TENSORS];
    worker_come(&worker, bench, 1, "anna");
    for (size_t i = 0; i < TENSORS; i++) {
        char name[16];
        snprintf(name, sizeof name, "layer%zu/w", i);
        elements[i] = 1 + seed_below(&seed, 20 * BLOCK);
        struct tensor_spec spec = fixture_spec(name, elements[i], optimizer_at(i % optimizer_count())->name);
        infos[i] = worker_create(&worker, &spec);
    }
    for (int round = 0; round < 400; round++) {
        size_t which = seed_below(&seed, TENSORS);
        uint32_t block = (uint32_t)seed_below(&seed, job_block_count(&bench->job, elements[which]));
        uint32_t length = job_block_elements(&bench->job, elements[which], block);
        unsigned type = (const unsigned[]){FRAME_PUSH, FRAME_PUSH_PULL, FRAME_ASSIGN}[seed_below(&seed, 3)];
        struct client *client = worker_client(&worker, infos[which].spec.name, block);
        fixture_fill(&seed, values, BLOCK);
        if (seed_below(&seed, 10) == 0) {
            values[seed_below(&seed, length)] = (float)INFINITY;
        }
        reply_free(client_take(client, ask_piece(client, type, infos[which].id, block, length, 0, values), type + 1));
        if (round == 200) {
            struct client *catalogue = &worker.clients[0];
            client_succeeds(catalogue, ask_tensor(catalogue, FRAME_DROP, infos[2].id, ""), FRAME_DROPPING);
            for (uint32_t i = 0; i < bench->servers * bench->threads; i++) {
                client_succeeds(&worker.clients[i], ask_tensor(&worker.clients[i], FRAME_UNDEFINE, infos[2].id, ""),
                                FRAME_UNDEFINED);
            }
            client_succeeds(catalogue, ask_tensor(catalogue, FRAME_DROPPED, infos[2].id, ""), FRAME_DROP_DONE);
            infos[2] = worker_create(&worker, &infos[2].spec);
        }
    }
    worker_digests(&worker, digests);
    worker_go(&worker);
}

static void placement_changes_no_bit(void **state) {
    (void)state;
    static const uint32_t placements[][2] = {{1, 1}, {3, 2}, {2, 4}, {1, 4}};
    struct bench_digests digests[4];
    uint64_t seed = seed_begin("placement_changes_no_bit");
    for (size_t i = 0; i < 4; i++) {
        struct bench bench;
        bench_init(&bench, placements[i][0], placements[i][1], 16, BLOCK);
        bench.random = i; /* other ids each time */
        work(&bench, seed, &digests[i]);
        bench_finish(&bench);
        assert_memory_equal(&digests[i], &digests[0], sizeof digests[0]);
    }
    /* And the digests do say something: another seed, another state. */
    struct bench bench;
    bench_init(&bench, 1, 1, 16, BLOCK);
    work(&bench, seed + 1, &digests[1]);
    bench_finish(&bench);
    for (size_t shard = 0; shard < 16; shard++) {
        assert_false(fixture_same(digests[1].digests[shard], digests[0].digests[shard]));
    }
}

/* ---- Garbage ---- */

/* A valid message of the type, or none, to be spoilt. */
static size_t some_message(uint64_t *seed, unsigned type, uint64_t tensor, const struct tensor_spec *spec,
                           uint8_t *bytes) {
    struct message_create create = {.spec = *spec, .wait_ms = 5};
    struct tensor_info info = {.id = tensor, .state = TENSOR_CREATING, .spec = *spec};
    struct message_tensor named = {.id = tensor, .name = "w"};
    struct message_open open = {.name = "w", .wait_ms = 5};
    struct message_pieces pieces = {.count = 1 + (uint32_t)seed_below(seed, 3)};
    struct message_join join = {.name = "x"};
    struct message_barrier barrier = {.name = "b", .count = 2, .wait_ms = 5};
    struct message_list list = {.after = "a"};
    for (uint32_t i = 0; i < pieces.count; i++) {
        pieces.pieces[i] = (struct message_piece){.tensor = tensor,
                                                  .block = i,
                                                  .elements = (uint32_t)seed_below(seed, 2 * BLOCK),
                                                  .slot = (uint32_t)seed_below(seed, 3)};
    }
    switch (type) {
    case FRAME_CREATE:
        return message_pack_create(&create, bytes);
    case FRAME_OPEN:
        return message_pack_open(&open, bytes);
    case FRAME_DEFINE:
        return message_pack_define(&info, bytes);
    case FRAME_COMPLETE:
    case FRAME_DROP:
    case FRAME_UNDEFINE:
    case FRAME_DROPPED:
        return message_pack_tensor(&named, bytes);
    case FRAME_LIST:
        return message_pack_list(&list, bytes);
    case FRAME_ASSIGN:
    case FRAME_PUSH:
    case FRAME_PULL:
    case FRAME_PUSH_PULL:
        return message_pack_pieces(&pieces, bytes);
    case FRAME_JOIN:
        return message_pack_join(&join, bytes);
    case FRAME_BARRIER:
        return message_pack_barrier(&barrier, bytes);
    default:
        return 0;
    }
}

/* Every frame gets exactly one reply in the end, whatever it holds; an ERROR changes no bit of the state. */
static void garbage_changes_nothing(void **state) {
    (void)state;
    uint64_t seed = seed_begin("garbage_changes_nothing");
    static uint8_t payload[4 * BLOCK * sizeof(float)];
    struct bench bench;
    struct worker worker;
    struct bench_digests before, after;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    bench_init(&bench, 1, 1, 4, BLOCK);
    bench.environment.state_limit = 1 << 20; /* a spoilt shape may ask for much */
    worker_come(&worker, &bench, 1, "anna");
    struct tensor_spec spec = fixture_spec("w", 3 * BLOCK, "sgd");
    struct tensor_info info = worker_create(&worker, &spec);
    struct client *client = &worker.clients[0];
    worker_digests(&worker, &before);
    for (int round = 0; round < 4000; round++) {
        unsigned type = (unsigned)seed_below(&seed, 42);
        size_t length = some_message(&seed, type, info.id, &spec, bytes), size = 4 * seed_below(&seed, 3 * BLOCK);
        for (uint64_t n = seed_below(&seed, 4); n > 0 && length > 0; n--) {
            bytes[seed_below(&seed, length)] = (uint8_t)seed_next(&seed);
        }
        if (seed_below(&seed, 4) == 0) {
            length = seed_below(&seed, length + 1);
        }
        for (size_t i = 0; i < sizeof payload / 8; i += 64) {
            uint64_t noise = seed_next(&seed);
            memcpy(payload + 8 * i, &noise, 8);
        }
        bool carries = type >= FRAME_ASSIGN && type <= FRAME_PUSH_PULL && type != FRAME_PULL;
        uint64_t id = client_ask(client, type, bytes, length, payload, carries || seed_below(&seed, 8) == 0 ? size : 0);
        bench_pass(&bench, LIMIT_WAIT_MS); /* who was parked has waited long enough */
        assert_int_equal(client->waiting, 1);
        assert_true(client->first->header.request == id);
        unsigned answer = client->first->header.type;
        reply_free(client_take(client, id, answer));
        assert_true(answer == FRAME_ERROR || answer == type + 1);
        worker_digests(&worker, &after);
        if (answer == FRAME_ERROR) {
            assert_memory_equal(&after, &before, sizeof after);
        }
        before = after;
    }
    worker_go(&worker);
    bench_finish(&bench);
}

static void nothing_is_destroyed_safely(void **state) {
    (void)state;
    handler_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_that_are_no_requests),  cmocka_unit_test(statistics_add_up),
        cmocka_unit_test(optimizers_are_described),    cmocka_unit_test(a_thread_without_shards_works),
        cmocka_unit_test(placement_changes_no_bit),    cmocka_unit_test(garbage_changes_nothing),
        cmocka_unit_test(nothing_is_destroyed_safely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
