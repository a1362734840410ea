/* Numbers on their way through the handler: frames with duplicates, gaps and refusals, RESUME, LEAVE, who is fenced,
 * who is forgotten, and a handler that is built again from what the shards of another one told. */
#include "tests/unit/server/handler_fixture.h"

#include <math.h>

#include "common/rows.h"
#include "server/handler_state.h"

#define BLOCK 1024
#define DIM   2
#define HOUR  3600000ull

struct stage {
    struct bench bench; /* one thread, four shards */
    struct client client;
    struct tensor_info dense, table;
    struct allow *allow[3];
    struct bench copy; /* of a handler that is built again */
};

static struct stage stage;

static struct handler *handler(void) {
    return stage.bench.handlers[0];
}

/* "w" has two blocks of 1024 and 4 elements, all zero; "t" rows of two. The learning rate is 1. */
static void make(void) {
    struct tensor_spec spec = fixture_spec("w", BLOCK + 4, "sgd:lr=1");
    struct worker worker = {.bench = &stage.bench};
    spec.initializer = (struct initializer){.kind = INITIALIZER_ZEROS};
    client_come(&worker.clients[0], handler(), 900, "maker");
    stage.dense = worker_create(&worker, &spec);
    spec = fixture_raw_spec("t", DIM, "sgd:lr=1");
    spec.kind = TENSOR_TABLE;
    spec.initializer = (struct initializer){.kind = INITIALIZER_ZEROS};
    assert_int_equal(shard_canonical_spec(&spec, NULL), CANYON_OK);
    stage.table = worker_create(&worker, &spec);
    client_go(&worker.clients[0]);
}

static int setup(void **state) {
    (void)state;
    memset(&stage, 0, sizeof stage);
    bench_init(&stage.bench, 1, 1, 4, BLOCK);
    make();
    client_come(&stage.client, handler(), 1, "anna");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    client_go(&stage.client);
    bench_finish(&stage.bench);
    for (size_t i = 0; i < sizeof stage.allow / sizeof stage.allow[0]; i++) {
        allow_release(stage.allow[i]);
    }
    return 0;
}

/* ---- what is asked ---- */

/* A gradient of `value` for block 1, which has four elements. */
static uint64_t ask_push(struct client *client, unsigned type, uint64_t number, float value) {
    const float values[4] = {value, value, value, value};
    struct message_pieces pieces = {
        .count = 1, .pieces = {{.tensor = stage.dense.id, .block = 1, .elements = 4, .number = number}}};
    return ask_pieces(client, type, &pieces, values, 4);
}

static struct message_piece_result take_result(struct client *client, uint64_t request, unsigned type, float *weights) {
    struct reply *reply = client_take(client, request, type + 1);
    struct message_piece_results results = results_of(reply);
    assert_int_equal(results.count, 1);
    if (weights != NULL) {
        assert_int_equal(reply->header.payload_bytes, 4 * sizeof(float));
        memcpy(weights, reply->payload, sizeof *weights);
    }
    reply_free(reply);
    return results.results[0];
}

static struct message_piece_result push(struct client *client, uint64_t number, float value) {
    return take_result(client, ask_push(client, FRAME_PUSH, number, value), FRAME_PUSH, NULL);
}

static struct message_piece_result push_pull(struct client *client, uint64_t number, float value, float *weights) {
    return take_result(client, ask_push(client, FRAME_PUSH_PULL, number, value), FRAME_PUSH_PULL, weights);
}

static float weight(void) {
    struct shard_block view;
    struct shard *shard = handler_shard_of(handler(), stage.dense.id, 1);
    assert_int_equal(shard_read(shard, stage.dense.id, 1, 0, &view, NULL), CANYON_OK);
    return ((const float *)view.values)[0];
}

/* The first id that lives in a shard. */
static uint64_t id_in(uint32_t shard) {
    struct row_hash hash;
    uint64_t id = 0, number;
    row_hash_init(&hash, "t");
    for (;; id++) {
        row_hash_of(&hash, &id, 1, &number);
        if (job_row_shard(&stage.bench.job, number) == shard) {
            return id;
        }
    }
}

/* One row in each of two shards; `numbers` are theirs. */
static uint64_t ask_rows(struct client *client, unsigned type, uint32_t first, const uint64_t *numbers, uint32_t dim,
                         float value) {
    struct {
        struct rows_run runs[2];
        uint64_t ids[2];
        float values[2 * DIM];
    } payload = {.runs = {{.shard = first, .rows = 1, .number = numbers[0]},
                          {.shard = first + 1, .rows = 1, .number = numbers[1]}},
                 .ids = {id_in(first), id_in(first + 1)},
                 .values = {value, value, value, value}};
    _Static_assert(offsetof(__typeof__(payload), values) == 64, "no zeros are needed");
    struct message_rows rows = {
        .table = stage.table.id, .dim = dim, .runs = 2, .rows = 2, .create = type == FRAME_TABLE_PULL};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    const size_t count = rows_push(type) ? sizeof payload : 64;
    return client_ask(client, type, bytes, message_pack_rows(&rows, bytes), &payload, count);
}

static void take_rows(struct client *client, uint64_t request, unsigned type, struct rows_result results[2],
                      float *weights) {
    struct reply *reply = client_take(client, request, type + 1);
    memcpy(results, reply->payload, 2 * sizeof results[0]);
    if (weights != NULL) {
        assert_int_equal(reply->header.payload_bytes, 128 + 2 * DIM * sizeof(float));
        memcpy(weights, reply->payload + 128, 2 * DIM * sizeof(float));
    }
    reply_free(reply);
}

static struct bench_digests digests(void) {
    struct client look;
    struct bench_digests now;
    memset(&now, 0, sizeof now);
    client_come(&look, handler(), 901, "look");
    client_digests(&look, &now);
    client_go(&look);
    return now;
}

static void unchanged(const struct bench_digests *before) {
    const struct bench_digests now = digests();
    assert_memory_equal(&now, before, sizeof now);
}

static struct message_statistics statistics(void) {
    struct client look;
    client_come(&look, handler(), 901, "look");
    struct message_statistics now = client_statistics(&look);
    client_go(&look);
    return now;
}

/* It was told `status` in answer to no request, and closed; nothing that it sends is looked at any more. */
static void ended(struct client *client, enum canyon_status status, const char *fragment) {
    client_fails(client, 0, status, fragment);
    assert_true(client->closed);
    const struct bench_digests before = digests();
    (void)ask_push(client, FRAME_PUSH, 0, 1);
    (void)client_ask(client, FRAME_STATISTICS, NULL, 0, NULL, 0);
    assert_int_equal(client->waiting, 0);
    unchanged(&before);
}

/* Comes again, as after a lost connection. */
static void again(struct client *client) {
    uint8_t session[SESSION_BYTES];
    memcpy(session, client->peer.session, sizeof session);
    client_go(client);
    client_come(client, handler(), session[0] | (unsigned)session[1] << 8, "again");
}

static struct reply *resume(struct client *client) {
    struct reply *reply = client_take(client, client_ask(client, FRAME_RESUME, NULL, 0, NULL, 0), FRAME_RESUMED);
    assert_int_equal(reply->header.message_bytes, 0);
    assert_int_equal(reply->header.payload_bytes % MESSAGE_RESUMED_ENTRY_BYTES, 0);
    return reply;
}

/* ---- pieces ---- */

static void a_push_counts_once(void **state) {
    (void)state;
    float fresh = 0;
    struct message_piece_result result = push(&stage.client, 1, 3);
    assert_true(result.status == CANYON_OK && result.applied == 1 && result.stable == 1 && result.version == 1);
    result = push(&stage.client, 2, 4);
    assert_true(result.applied == 2 && result.stable == 2);
    const struct bench_digests before = digests();
    result = push_pull(&stage.client, 1, 3, &fresh);
    assert_true(result.status == CANYON_OK && result.version == 2 && result.applied == 2 && result.staleness == 0);
    assert_true(fresh == -7);
    result = push(&stage.client, 2, 4);
    assert_true(result.status == CANYON_OK && result.version == 2);
    unchanged(&before);
    const struct message_statistics now = statistics();
    assert_true(now.duplicates == 2 && now.pushes == 2 && now.refused == 0 && now.gaps == 0 && now.sessions == 1);
    /* Without a number it counts whenever it comes, and says nothing of numbers. */
    result = push(&stage.client, 0, 1);
    assert_true(result.applied == 0 && result.stable == 0 && weight() == -8);
}

static void assigns_have_numbers_too(void **state) {
    (void)state;
    struct message_piece_result result =
        take_result(&stage.client, ask_push(&stage.client, FRAME_ASSIGN, 1, 9), FRAME_ASSIGN, NULL);
    assert_true(result.status == CANYON_OK && result.applied == 1 && weight() == 9);
    (void)push(&stage.client, 2, 2);
    result = take_result(&stage.client, ask_push(&stage.client, FRAME_ASSIGN, 1, 9), FRAME_ASSIGN, NULL);
    assert_true(result.status == CANYON_OK && result.applied == 2 && weight() == 7);
    client_fails(&stage.client, ask_push(&stage.client, FRAME_PULL, 3, 0), CANYON_PROTOCOL, "");
}

static void a_gap_closes_and_nothing_of_its_frame_counts(void **state) {
    (void)state;
    static float values[BLOCK + 4];
    struct shard *first = handler_shard_of(handler(), stage.dense.id, 0);
    assert_ptr_not_equal(first, handler_shard_of(handler(), stage.dense.id, 1));
    (void)push(&stage.client, 1, 3);
    const struct bench_digests before = digests();
    /* The first piece is in order, the second is not. */
    struct message_pieces pieces = {.count = 2,
                                    .pieces = {{.tensor = stage.dense.id, .block = 0, .elements = BLOCK, .number = 1},
                                               {.tensor = stage.dense.id, .block = 1, .elements = 4, .number = 3}}};
    (void)ask_pieces(&stage.client, FRAME_PUSH, &pieces, values, BLOCK + 4);
    ended(&stage.client, CANYON_GAP, "number 3");
    unchanged(&before);
    assert_int_equal(statistics().gaps, 1);
    again(&stage.client);
    assert_int_equal(push(&stage.client, 2, 1).applied, 2);
}

static void a_first_number_is_one(void **state) {
    (void)state;
    const struct bench_digests before = digests();
    (void)ask_push(&stage.client, FRAME_PUSH, 2, 1);
    ended(&stage.client, CANYON_SESSION_UNKNOWN, "number 2");
    unchanged(&before);
    assert_int_equal(statistics().sessions, 0);
}

/* Tensors of one block, all in the shard of block 1 of "w". */
static void made_beside(struct tensor_info *infos, size_t count) {
    struct worker worker = {.bench = &stage.bench};
    const uint32_t wanted = job_shard_of(&stage.bench.job, job_home("w"), 1);
    client_come(&worker.clients[0], handler(), 902, "maker");
    for (unsigned i = 0, name = 0; i < count; name++) {
        char text[16];
        snprintf(text, sizeof text, "n%u", name);
        if (job_shard_of(&stage.bench.job, job_home(text), 0) == wanted) {
            struct tensor_spec spec = fixture_spec(text, 1, "sgd:lr=1");
            infos[i++] = worker_create(&worker, &spec);
        }
    }
    client_go(&worker.clients[0]);
}

static void pieces_of_a_shard_follow_one_another(void **state) {
    (void)state;
    struct tensor_info infos[3];
    const float values[3] = {1, NAN, 1};
    made_beside(infos, 3);
    struct message_pieces pieces = {.count = 3,
                                    .pieces = {{.tensor = infos[0].id, .elements = 1, .number = 1},
                                               {.tensor = infos[1].id, .elements = 1, .number = 2},
                                               {.tensor = infos[2].id, .elements = 1, .number = 3}}};
    for (int time = 0; time < 2; time++) { /* sent again, it is answered alike */
        struct reply *reply =
            client_take(&stage.client, ask_pieces(&stage.client, FRAME_PUSH, &pieces, values, 3), FRAME_PUSHED);
        struct message_piece_results results = results_of(reply);
        assert_int_equal(results.results[0].status, CANYON_OK);
        assert_int_equal(results.results[1].status, CANYON_NOT_FINITE);
        assert_int_equal(results.results[2].status, CANYON_OK);
        assert_true(results.results[0].version == 1 && results.results[2].version == 1);
        assert_true(results.results[1].applied == (time == 0 ? 2 : 3) && results.results[2].applied == 3);
        assert_true(results.text[0] != '\0');
        reply_free(reply);
    }
    assert_int_equal(statistics().duplicates, 3);
    assert_int_equal(statistics().refused, 1);
    /* One left out within the frame. */
    pieces.pieces[0].number = 4;
    pieces.pieces[1].number = 6;
    pieces.pieces[2].number = 7;
    const struct bench_digests before = digests();
    (void)ask_pieces(&stage.client, FRAME_PUSH, &pieces, values, 3);
    ended(&stage.client, CANYON_GAP, "");
    unchanged(&before);
}

/* Of ten numbers every second one is refused: more runs than a shard remembers. Whatever is sent again is never
 * answered with what it did not come to. */
static void what_is_forgotten_is_not_called_applied(void **state) {
    (void)state;
    static const enum canyon_status first[] = {CANYON_NOT_FINITE, CANYON_OK};
    struct tensor_info info;
    made_beside(&info, 1);
    for (int time = 0; time < 2; time++) {
        for (unsigned number = 1; number <= 10; number++) {
            const float value = number % 2 == 1 ? NAN : 1;
            const struct message_pieces pieces = {.count = 1,
                                                  .pieces = {{.tensor = info.id, .elements = 1, .number = number}}};
            struct reply *reply =
                client_take(&stage.client, ask_pieces(&stage.client, FRAME_PUSH, &pieces, &value, 1), FRAME_PUSHED);
            const struct message_piece_results results = results_of(reply);
            /* The last four runs are 3, 5, 7 and 9. */
            const bool forgotten = time == 1 && number < 3;
            assert_int_equal(results.results[0].status, forgotten ? CANYON_OUTCOME_UNKNOWN : first[1 - number % 2]);
            assert_int_equal(results.results[0].applied, time == 0 ? number : 10);
            assert_true(!forgotten || strstr(results.text, "number ") != NULL);
            reply_free(reply);
        }
    }
    assert_int_equal(statistics().duplicates, 10);
    assert_int_equal(statistics().refused, 5);
    assert_int_equal(statistics().pushes, 5);
}

/* What never came to its shard: a wrong length, a wrong place, a role, a dropped tensor, a frame that is refused. */
static void every_refusal_uses_up_its_number(void **state) {
    (void)state;
    const float values[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    struct client *client = &stage.client;
    struct message_pieces pieces = {.count = 1,
                                    .pieces = {{.tensor = stage.dense.id, .block = 1, .elements = 3, .number = 1}}};
    struct message_piece_result result =
        take_result(client, ask_pieces(client, FRAME_PUSH, &pieces, values, 3), FRAME_PUSH, NULL);
    assert_true(result.status == CANYON_INVALID_ARGUMENT && result.applied == 1);
    result = take_result(client, ask_pieces(client, FRAME_PUSH, &pieces, values, 3), FRAME_PUSH, NULL);
    assert_true(result.status == CANYON_INVALID_ARGUMENT && result.applied == 1);
    /* The whole frame: the same block twice. */
    pieces = (struct message_pieces){.count = 2,
                                     .pieces = {{.tensor = stage.dense.id, .block = 1, .elements = 4, .number = 2},
                                                {.tensor = stage.dense.id, .block = 1, .elements = 4, .number = 3}}};
    client_fails(client, ask_pieces(client, FRAME_PUSH, &pieces, values, 8), CANYON_PROTOCOL, "twice");
    /* A payload that is too short; a role that is not enough. */
    pieces.count = 1;
    pieces.pieces[0].number = 4;
    client_fails(client, ask_pieces(client, FRAME_PUSH, &pieces, values, 3), CANYON_PROTOCOL, "payload");
    client->peer.role = ROLE_READER;
    client_fails(client, ask_push(client, FRAME_PUSH, 5, 1), CANYON_DENIED, "role");
    client->peer.role = ROLE_WORKER;
    result = take_result(client, ask_push(client, FRAME_ASSIGN, 6, 1), FRAME_ASSIGN, NULL);
    assert_true(result.status == CANYON_DENIED && result.applied == 6);
    client->peer.role = ROLE_ADMIN;
    assert_true(weight() == 0);
    result = push(client, 7, 1);
    assert_true(result.status == CANYON_OK && result.applied == 7 && weight() == -1);
    /* The last four runs are remembered, however they came about. */
    assert_int_equal(push(client, 6, 1).status, CANYON_DENIED);
    assert_int_equal(push(client, 5, 1).status, CANYON_DENIED);
    assert_int_equal(push(client, 4, 1).status, CANYON_PROTOCOL);
    assert_int_equal(push(client, 3, 1).status, CANYON_PROTOCOL);
    assert_true(weight() == -1);
    /* A frame that is refused is not to leave out a number either. */
    client->peer.role = ROLE_READER;
    (void)ask_push(client, FRAME_PUSH, 9, 1);
    client->peer.role = ROLE_ADMIN;
    ended(client, CANYON_GAP, "number 9");
}

/* It was pushed to, then dropped: its blocks still have a shard. */
static void a_dropped_tensor_leaves_no_gap(void **state) {
    (void)state;
    struct client *client = &stage.client;
    (void)push(client, 1, 1);
    client_succeeds(client, ask_tensor(client, FRAME_DROP, stage.dense.id, "w"), FRAME_DROPPING);
    client_succeeds(client, ask_tensor(client, FRAME_UNDEFINE, stage.dense.id, "w"), FRAME_UNDEFINED);
    struct message_piece_result result = push(client, 2, 1);
    assert_true(result.status == CANYON_NOT_FOUND && result.applied == 2);
    result = push(client, 1, 1); /* it had been applied */
    assert_true(result.status == CANYON_OK && result.applied == 2);
    struct reply *reply = client_take(client, ask_push(client, FRAME_PUSH_PULL, 1, 1), FRAME_PUSH_PULLED);
    assert_int_equal(results_of(reply).results[0].status, CANYON_NOT_FOUND); /* there are no weights to answer with */
    assert_int_equal(reply->header.payload_bytes, 0);
    reply_free(reply);
    assert_int_equal(push(client, 3, 1).applied, 3);
    /* What nobody has heard of has no shard, and its number is not judged. */
    stage.dense.id = 12345;
    result = push(client, 9, 1);
    assert_true(result.status == CANYON_NOT_FOUND && result.applied == 0);
}

/* ---- rows ---- */

static void rows_count_once(void **state) {
    (void)state;
    struct client *client = &stage.client;
    const uint64_t numbers[2] = {1, 1};
    struct rows_result results[2];
    float first[2 * DIM], fresh[2 * DIM];
    take_rows(client, ask_rows(client, FRAME_TABLE_PUSH_PULL, 1, numbers, DIM, 3), FRAME_TABLE_PUSH_PULL, results,
              first);
    for (int i = 0; i < 2; i++) {
        assert_true(results[i].code == CANYON_OK && results[i].rows == 1 && results[i].version == 1);
        assert_true(results[i].applied == 1 && results[i].stable == 1 && first[i * DIM] == -3);
    }
    take_rows(client, ask_rows(client, FRAME_TABLE_PUSH, 1, (uint64_t[2]){2, 2}, DIM, 4), FRAME_TABLE_PUSH, results,
              NULL);
    const struct bench_digests before = digests();
    take_rows(client, ask_rows(client, FRAME_TABLE_PUSH_PULL, 1, numbers, DIM, 3), FRAME_TABLE_PUSH_PULL, results,
              fresh);
    for (int i = 0; i < 2; i++) {
        assert_true(results[i].code == CANYON_OK && results[i].rows == 0 && results[i].version == 2);
        assert_true(results[i].applied == 2 && fresh[i * DIM] == -7);
    }
    unchanged(&before);
    const struct message_statistics now = statistics();
    assert_true(now.duplicates == 2 && now.rows_pushed == 4 && now.rows_made == 2);
}

static void rows_are_touched_and_erased_once(void **state) {
    (void)state;
    struct client *client = &stage.client;
    const uint64_t ones[2] = {1, 1}, twos[2] = {2, 2};
    struct rows_result results[2];
    float weights[2 * DIM];
    take_rows(client, ask_rows(client, FRAME_TABLE_PULL, 1, ones, DIM, 0), FRAME_TABLE_PULL, results, weights);
    assert_true(results[0].rows == 1 && results[0].applied == 1);
    take_rows(client, ask_rows(client, FRAME_TABLE_ERASE, 1, twos, DIM, 0), FRAME_TABLE_ERASE, results, NULL);
    assert_true(results[0].rows == 1 && results[1].rows == 1 && results[1].applied == 2);
    const struct bench_digests before = digests();
    take_rows(client, ask_rows(client, FRAME_TABLE_PULL, 1, ones, DIM, 0), FRAME_TABLE_PULL, results, weights);
    assert_true(results[0].code == CANYON_OK && results[0].rows == 0 && weights[0] == 0);
    take_rows(client, ask_rows(client, FRAME_TABLE_ERASE, 1, twos, DIM, 0), FRAME_TABLE_ERASE, results, NULL);
    assert_true(results[0].code == CANYON_OK && results[0].rows == 0);
    unchanged(&before);
}

static void rows_with_a_gap_close(void **state) {
    (void)state;
    struct client *client = &stage.client;
    const struct bench_digests before = digests();
    (void)ask_rows(client, FRAME_TABLE_PUSH, 1, (uint64_t[2]){1, 2}, DIM, 3);
    ended(client, CANYON_SESSION_UNKNOWN, "shard 2");
    unchanged(&before);
}

static void refused_rows_use_up_their_numbers(void **state) {
    (void)state;
    struct client *client = &stage.client;
    struct rows_result results[2];
    take_rows(client, ask_rows(client, FRAME_TABLE_PUSH, 1, (uint64_t[2]){1, 1}, DIM, NAN), FRAME_TABLE_PUSH, results,
              NULL);
    assert_true(results[0].code == CANYON_NOT_FINITE && results[0].applied == 1);
    /* The whole frame: a table of another width; then no table at all. */
    client_fails(client, ask_rows(client, FRAME_TABLE_PULL, 1, (uint64_t[2]){2, 2}, DIM + 1, 1),
                 CANYON_INVALID_ARGUMENT, "elements");
    const uint64_t id = stage.table.id;
    stage.table.id = 12345;
    client_fails(client, ask_rows(client, FRAME_TABLE_PUSH, 1, (uint64_t[2]){3, 3}, DIM, 1), CANYON_NOT_FOUND, "");
    stage.table.id = id;
    take_rows(client, ask_rows(client, FRAME_TABLE_PUSH, 1, (uint64_t[2]){3, 1}, DIM, 1), FRAME_TABLE_PUSH, results,
              NULL);
    assert_true(results[0].code == CANYON_NOT_FOUND && results[1].code == CANYON_NOT_FINITE);
    /* Memory for new rows is limited outside of the shard, where it is decided and noted. */
    stage.bench.environment.state_limit = 1;
    take_rows(client, ask_rows(client, FRAME_TABLE_PUSH, 1, (uint64_t[2]){4, 4}, DIM, 1), FRAME_TABLE_PUSH, results,
              NULL);
    assert_true(results[0].code == CANYON_NO_MEMORY && results[0].applied == 4);
    stage.bench.environment.state_limit = 0;
    take_rows(client, ask_rows(client, FRAME_TABLE_PUSH, 1, (uint64_t[2]){4, 4}, DIM, 1), FRAME_TABLE_PUSH, results,
              NULL);
    assert_true(results[0].code == CANYON_NO_MEMORY && results[0].applied == 4);
    take_rows(client, ask_rows(client, FRAME_TABLE_PUSH, 1, (uint64_t[2]){5, 5}, DIM, 1), FRAME_TABLE_PUSH, results,
              NULL);
    assert_true(results[0].code == CANYON_OK && results[0].version == 1 && results[0].applied == 5);
    assert_int_equal(statistics().duplicates, 4);
}

/* ---- RESUME ---- */

static void resume_says_how_far_the_session_came(void **state) {
    (void)state;
    struct client *client = &stage.client;
    struct rows_result results[2];
    struct reply *reply = resume(client);
    assert_int_equal(reply->header.payload_bytes, 0);
    reply_free(reply);
    const uint32_t dense = job_shard_of(&stage.bench.job, job_home("w"), 1), other = (dense + 2) % 4;
    (void)push(client, 1, 1);
    (void)push(client, 2, NAN);
    for (uint32_t i = 0, first = other < 3 ? other : 2; i < 1; i++) {
        take_rows(client,
                  ask_rows(client, FRAME_TABLE_PUSH, first,
                           (uint64_t[2]){first == dense ? 3 : 1, first + 1 == dense ? 3 : 1}, DIM, 1),
                  FRAME_TABLE_PUSH, results, NULL);
    }
    again(client);
    reply = resume(client);
    uint32_t least = 0;
    size_t entries = reply->header.payload_bytes / MESSAGE_RESUMED_ENTRY_BYTES;
    assert_true(entries == 2 || entries == 3);
    for (size_t i = 0; i < entries; i++) {
        const uint8_t *entry = reply->payload + i * MESSAGE_RESUMED_ENTRY_BYTES;
        struct shard *shard = handler()->shards[load_u32(entry)];
        assert_true(load_u32(entry) >= least && load_u32(entry + 4) == 0);
        least = load_u32(entry) + 1;
        assert_true(load_u64(entry + 8) == shard_applied(shard, client->peer.session));
        assert_true(load_u64(entry + 16) == load_u64(entry + 8));
        assert_true(load_u32(entry) != dense || load_u64(entry + 8) >= 2);
    }
    reply_free(reply);
    client_fails(client, client_ask(client, FRAME_RESUME, (const uint8_t *)"\x08\x01", 2, NULL, 0), CANYON_PROTOCOL,
                 "no message");
}

static void resume_fences_older_connections(void **state) {
    (void)state;
    struct client newer, newest, other;
    client_come(&other, handler(), 2, "berta");
    (void)push(&stage.client, 1, 1);
    client_come(&newer, handler(), 1, "anna");
    client_come(&newest, handler(), 1, "anna");
    /* Until somebody resumes all are the session's. */
    assert_int_equal(push(&stage.client, 2, 1).status, CANYON_OK);
    reply_free(resume(&newer));
    ended(&stage.client, CANYON_FENCED, "newer connection");
    assert_false(newer.closed || newest.closed || other.closed);
    assert_int_equal(push(&newer, 3, 1).applied, 3);
    reply_free(resume(&newest));
    ended(&newer, CANYON_FENCED, "");
    reply_free(resume(&newest)); /* again: nothing else */
    assert_false(newest.closed || other.closed);
    assert_int_equal(push(&newest, 4, 1).applied, 4);
    assert_int_equal(push(&other, 1, 1).applied, 1);
    client_go(&newer);
    client_go(&newest);
    client_go(&other);
}

/* What a fenced connection waited for is not answered any more, and it is not counted where others wait. */
static void who_is_fenced_waits_for_nothing(void **state) {
    (void)state;
    struct client newer, other;
    client_come(&other, handler(), 2, "berta");
    take_joined(&other, ask_join(&other));
    (void)ask_barrier(&stage.client, "b", 2, 1000);
    (void)ask_open(&stage.client, "nothing", 1000);
    assert_int_equal(statistics().parked, 2);
    client_come(&newer, handler(), 1, "anna");
    reply_free(resume(&newer));
    ended(&stage.client, CANYON_FENCED, "");
    assert_int_equal(statistics().parked, 0);
    const uint64_t waits = ask_barrier(&other, "b", 2, 1000);
    assert_int_equal(other.waiting, 0);
    client_succeeds(&newer, ask_barrier(&newer, "b", 2, 1000), FRAME_BARRIER_PASSED);
    client_succeeds(&other, waits, FRAME_BARRIER_PASSED);
    bench_pass(&stage.bench, 2000);
    assert_int_equal(stage.client.waiting, 0);
    client_go(&newer);
    client_go(&other);
}

/* A RESUME that is played again out of an old connection, or with another session, ends nobody who is alive. */
static void a_replayed_resume_ends_nobody(void **state) {
    (void)state;
    struct client newer, other;
    (void)push(&stage.client, 1, 1);
    client_come(&newer, handler(), 1, "anna");
    reply_free(resume(&newer));
    client_fails(&stage.client, 0, CANYON_FENCED, "");
    (void)client_ask(&stage.client, FRAME_RESUME, NULL, 0, NULL, 0); /* out of the fenced one */
    assert_int_equal(stage.client.waiting, 0);
    client_come(&other, handler(), 2, "eve");
    reply_free(resume(&other));
    assert_false(newer.closed);
    assert_int_equal(push(&newer, 2, 1).applied, 2);
    client_go(&newer);
    client_go(&other);
    /* An older connection that resumes late does not end a newer one. */
    again(&stage.client);
    client_come(&newer, handler(), 1, "anna");
    reply_free(resume(&stage.client));
    assert_false(newer.closed);
    assert_int_equal(push(&newer, 3, 1).applied, 3);
    client_go(&newer);
}

/* ---- LEAVE, and those who do not ---- */

static void leave_forgets_the_numbers(void **state) {
    (void)state;
    struct client *client = &stage.client;
    struct client other;
    client_come(&other, handler(), 2, "berta");
    (void)push(&other, 1, 1);
    (void)push(client, 1, 1);
    (void)push(client, 2, 1);
    const struct bench_digests before = digests();
    client_succeeds(client, client_ask(client, FRAME_LEAVE, NULL, 0, NULL, 0), FRAME_LEFT);
    const struct bench_digests after = digests();
    const uint32_t shard = job_shard_of(&stage.bench.job, job_home("w"), 1);
    assert_true(after.sequences[shard] == before.sequences[shard] + 1);
    assert_int_equal(statistics().sessions, 1);
    client_succeeds(client, client_ask(client, FRAME_LEAVE, NULL, 0, NULL, 0), FRAME_LEFT);
    unchanged(&after); /* nothing is left to forget */
    struct reply *reply = resume(client);
    assert_int_equal(reply->header.payload_bytes, 0);
    reply_free(reply);
    assert_int_equal(push(client, 1, 1).applied, 1);
    assert_int_equal(statistics().sessions, 2);
    assert_int_equal(push(&other, 2, 1).applied, 2);
    assert_true(weight() == -5);
    client_go(&other);
}

/* Sessions 1000 and up come, push once and go, until there is no room; ten minutes after they went there is. */
static void numbers_are_forgotten_when_room_is_needed(void **state) {
    (void)state;
    struct client late;
    (void)push(&stage.client, 1, 1); /* stays */
    for (unsigned i = 0; i + 1 < SESSIONS_NUMBERED; i++) {
        struct client client;
        client_come(&client, handler(), 1000 + i, "worker");
        assert_int_equal(push(&client, 1, 0).status, CANYON_OK);
        client_go(&client);
        stage.bench.now += i == 0 ? 1000 * MS : 0;
    }
    assert_int_equal(statistics().sessions, SESSIONS_NUMBERED);
    const struct bench_digests before = digests();
    client_come(&late, handler(), 60000, "late");
    assert_int_equal(push(&late, 0, 0).status, CANYON_OK); /* without a number there is room for all */
    const struct bench_digests pushed = digests();
    (void)ask_push(&late, FRAME_PUSH, 1, 1);
    ended(&late, CANYON_BUSY, "16384");
    unchanged(&pushed);
    again(&late);
    stage.bench.now += 599 * 1000 * MS; /* the first one is gone for ten minutes now, the others are not */
    assert_int_equal(push(&late, 1, 0).applied, 1);
    const struct bench_digests after = digests();
    const uint32_t shard = job_shard_of(&stage.bench.job, job_home("w"), 1);
    assert_true(after.sequences[shard] == before.sequences[shard] + 3); /* push, eviction, push */
    assert_int_equal(statistics().sessions, SESSIONS_NUMBERED);
    uint8_t session[SESSION_BYTES];
    fixture_session(session, 1000);
    assert_true(shard_applied(handler()->shards[shard], session) == 0);
    fixture_session(session, 1001);
    assert_true(shard_applied(handler()->shards[shard], session) == 1);
    struct client more;
    client_come(&more, handler(), 60001, "more");
    (void)ask_push(&more, FRAME_PUSH, 1, 1);
    ended(&more, CANYON_BUSY, "");
    client_go(&more);
    client_come(&more, handler(), 1000, "forgotten");
    (void)ask_push(&more, FRAME_PUSH, 2, 1);
    ended(&more, CANYON_SESSION_UNKNOWN, "");
    client_go(&more);
    client_go(&late);
}

/* ---- keys ---- */

static void come_with_key(struct client *client, unsigned session, unsigned key) {
    char line[512], text[KEY_TEXT_BYTES];
    uint8_t bytes[KEY_BYTES];
    memset(bytes, (int)key + 1, sizeof bytes);
    if (stage.allow[key] == NULL) {
        int count = snprintf(line, sizeof line, "format canyon-allow-1\nworker k%u %s\n", key, key_text(bytes, text));
        assert_int_equal(allow_parse(line, (size_t)count, &stage.allow[key], NULL), CANYON_OK);
    }
    memset(client, 0, sizeof *client);
    client->handler = handler();
    client->end = &client->first;
    client->peer.send = client_send;
    client->peer.close = client_close;
    client->peer.role = ROLE_WORKER;
    client->peer.entry = allow_find(stage.allow[key], bytes);
    fixture_session(client->peer.session, session);
}

/* Neither while it is used nor after: no number of it is taken, and nobody of it is fenced. */
static void a_session_with_another_key_is_denied(void **state) {
    (void)state;
    struct client owner, thief;
    struct error error;
    come_with_key(&owner, 7, 0);
    assert_int_equal(handler_peer_came(handler(), &owner.peer, &error), CANYON_OK);
    assert_int_equal(push(&owner, 1, 1).applied, 1);
    const struct bench_digests before = digests();
    come_with_key(&thief, 7, 1);
    assert_int_equal(handler_peer_came(handler(), &thief.peer, &error), CANYON_DENIED);
    assert_non_null(strstr(error.text, "another key"));
    unchanged(&before);
    assert_false(owner.closed);
    assert_int_equal(push(&owner, 2, 1).applied, 2);
    client_go(&owner);
    stage.bench.now += HOUR * MS;
    assert_int_equal(handler_peer_came(handler(), &thief.peer, &error), CANYON_DENIED);
    assert_int_equal(handler_peer_came(handler(), &owner.peer, &error), CANYON_OK);
    assert_int_equal(push(&owner, 3, 1).applied, 3);
    client_go(&owner);
}

static void a_key_has_a_share_of_the_room(void **state) {
    (void)state;
    struct client client;
    struct error error;
    for (unsigned i = 0; i < SESSIONS_OF_KEY; i++) {
        come_with_key(&client, 1000 + i, 0);
        assert_int_equal(handler_peer_came(handler(), &client.peer, &error), CANYON_OK);
        assert_int_equal(push(&client, 1, 0).status, CANYON_OK);
        client_go(&client);
    }
    come_with_key(&client, 60000, 0);
    assert_int_equal(handler_peer_came(handler(), &client.peer, &error), CANYON_OK);
    (void)ask_push(&client, FRAME_PUSH, 1, 1);
    ended(&client, CANYON_BUSY, "of this key");
    client_go(&client);
    come_with_key(&client, 60001, 1); /* another key has its own */
    assert_int_equal(handler_peer_came(handler(), &client.peer, &error), CANYON_OK);
    assert_int_equal(push(&client, 1, 0).status, CANYON_OK);
    client_go(&client);
}

/* What a shard remembers of sessions is memory like any other: four entries of 64 bytes have room for three of them. */
static void memory_for_sessions_is_limited(void **state) {
    (void)state;
    struct client others[2], late;
    const uint64_t before = handler()->state_bytes;
    assert_int_equal(push(&stage.client, 1, 1).status, CANYON_OK);
    assert_int_equal(handler()->state_bytes, before + 256);
    stage.bench.environment.state_limit = before + 256;
    for (unsigned i = 0; i < 2; i++) {
        client_come(&others[i], handler(), 10 + i, "other");
        assert_int_equal(push(&others[i], 1, 1).status, CANYON_OK);
    }
    const struct bench_digests then = digests();
    client_come(&late, handler(), 12, "late");
    for (int i = 0; i < 2; i++) {
        (void)ask_push(&late, FRAME_PUSH, 1, 1);
        ended(&late, CANYON_NO_MEMORY, "one more session takes 256 bytes");
        unchanged(&then);
        assert_int_equal(statistics().sessions, 3);
        assert_int_equal(handler()->state_bytes, before + 256);
        again(&late);
    }
    assert_int_equal(push(&stage.client, 2, 1).status, CANYON_OK); /* who is known goes on, */
    assert_int_equal(push(&late, 0, 1).status, CANYON_OK);         /* and what has no number */
    stage.bench.environment.state_limit = before + 512;
    assert_int_equal(push(&late, 1, 1).applied, 1);
    assert_int_equal(handler()->state_bytes, before + 512);
    /* What a session leaves behind is room for others. */
    client_succeeds(&late, client_ask(&late, FRAME_LEAVE, NULL, 0, NULL, 0), FRAME_LEFT);
    assert_int_equal(push(&late, 1, 1).applied, 1);
    assert_int_equal(handler()->state_bytes, before + 512);
    client_go(&late);
    client_go(&others[0]);
    client_go(&others[1]);
}

/* ---- built again ---- */

static void repeat(void *user, const struct command *command) {
    struct handler *copy = stage.copy.handlers[0];
    struct error error = {.text = ""};
    const uint32_t shard = (uint32_t)(uintptr_t)user;
    if (handler_replay(copy, shard, command, &error) != CANYON_OK) {
        fail_msg("kind %d of shard %u: %s", (int)command->kind, shard, error.text);
    }
}

/* Everything that can happen to a shard, told to another handler as it happens: the same digests, and it goes on. */
static void a_handler_is_built_again(void **state) {
    (void)state;
    struct client client, look;
    struct rows_result results[2];
    uint64_t seed = seed_begin("a_handler_is_built_again");
    bench_finish(&stage.bench);
    bench_init(&stage.bench, 1, 1, 4, BLOCK);
    bench_init(&stage.copy, 1, 1, 4, BLOCK);
    for (uint32_t shard = 0; shard < 4; shard++) {
        assert_true(handler_watch(handler(), shard, repeat, (void *)(uintptr_t)shard));
    }
    assert_false(handler_watch(handler(), 4, repeat, NULL));
    make();
    client_come(&stage.client, handler(), 1, "anna");
    client_come(&client, handler(), 2, "berta");
    const uint32_t dense = job_shard_of(&stage.bench.job, job_home("w"), 1);
    uint64_t numbers[4] = {1, 1, 1, 1};
    for (int round = 0; round < 400; round++) {
        const uint32_t shard = (uint32_t)seed_below(&seed, 3);
        const float value = seed_below(&seed, 5) == 0 ? NAN : fixture_float(&seed);
        const unsigned type = seed_below(&seed, 6) == 0   ? FRAME_TABLE_ERASE
                              : seed_below(&seed, 4) == 0 ? FRAME_TABLE_PULL
                                                          : FRAME_TABLE_PUSH;
        take_rows(&client, ask_rows(&client, type, shard, numbers + shard, DIM, value), type, results, NULL);
        numbers[shard]++;
        numbers[shard + 1]++;
        (void)push(&client, numbers[dense]++, seed_below(&seed, 5) == 0 ? NAN : 1);
        (void)push(&stage.client, 0, 2);
    }
    client_succeeds(&stage.client, ask_tensor(&stage.client, FRAME_DROP, stage.dense.id, "w"), FRAME_DROPPING);
    client_succeeds(&stage.client, ask_tensor(&stage.client, FRAME_UNDEFINE, stage.dense.id, "w"), FRAME_UNDEFINED);
    assert_int_equal(push(&client, numbers[dense]++, 1).status, CANYON_NOT_FOUND);
    client_succeeds(&stage.client, ask_tensor(&stage.client, FRAME_DROPPED, stage.dense.id, "w"), FRAME_DROP_DONE);
    struct bench_digests one = digests(), other;
    memset(&other, 0, sizeof other);
    client_come(&look, stage.copy.handlers[0], 901, "look");
    client_digests(&look, &other);
    assert_memory_equal(&one, &other, sizeof one);
    assert_true(stage.copy.handlers[0]->state_bytes == handler()->state_bytes && handler()->state_bytes > 0);
    assert_int_equal(client_statistics(&look).sessions, statistics().sessions);
    assert_int_equal(client_statistics(&look).tensors, statistics().tensors);
    client_go(&look);
    /* The copy knows whose numbers these are, and where its rows are. */
    client_come(&look, stage.copy.handlers[0], 2, "berta");
    uint64_t again_numbers[2] = {numbers[0] - 1, numbers[1] - 1};
    take_rows(&look, ask_rows(&look, FRAME_TABLE_PUSH, 0, again_numbers, DIM, 1), FRAME_TABLE_PUSH, results, NULL);
    assert_true(results[0].applied == numbers[0] - 1 && results[1].applied == numbers[1] - 1);
    take_rows(&look, ask_rows(&look, FRAME_TABLE_PUSH, 0, numbers, DIM, 1), FRAME_TABLE_PUSH, results, NULL);
    assert_true(results[0].code == CANYON_OK && results[0].applied == numbers[0]);
    client_go(&look);
    client_go(&client);
    for (uint32_t shard = 0; shard < 4; shard++) {
        assert_true(handler_watch(handler(), shard, NULL, NULL));
    }
    bench_finish(&stage.copy);
}

static void a_log_that_is_not_this_shards_is_seen(void **state) {
    (void)state;
    struct error error;
    struct command command = {.kind = COMMAND_PUSH, .tensor = 5};
    assert_int_equal(handler_replay(handler(), 4, &command, &error), CANYON_INVALID_ARGUMENT);
    assert_int_equal(handler_replay(handler(), 0, &command, &error), CANYON_INTERNAL);
    assert_non_null(strstr(error.text, "refused now"));
    command = (struct command){.kind = COMMAND_EVICT};
    assert_int_equal(handler_replay(handler(), 0, &command, &error), CANYON_INTERNAL);
    assert_non_null(strstr(error.text, "changes nothing now"));
    command = (struct command){.kind = COMMAND_REFUSE, .number = 2, .verdict = CANYON_DENIED};
    assert_int_equal(handler_replay(handler(), 0, &command, &error), CANYON_INTERNAL);
    command.number = 1;
    assert_int_equal(handler_replay(handler(), 0, &command, &error), CANYON_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_push_counts_once),
        TEST(assigns_have_numbers_too),
        TEST(a_gap_closes_and_nothing_of_its_frame_counts),
        TEST(a_first_number_is_one),
        TEST(pieces_of_a_shard_follow_one_another),
        TEST(what_is_forgotten_is_not_called_applied),
        TEST(every_refusal_uses_up_its_number),
        TEST(a_dropped_tensor_leaves_no_gap),
        TEST(rows_count_once),
        TEST(rows_are_touched_and_erased_once),
        TEST(rows_with_a_gap_close),
        TEST(refused_rows_use_up_their_numbers),
        TEST(resume_says_how_far_the_session_came),
        TEST(resume_fences_older_connections),
        TEST(who_is_fenced_waits_for_nothing),
        TEST(a_replayed_resume_ends_nobody),
        TEST(leave_forgets_the_numbers),
        TEST(numbers_are_forgotten_when_room_is_needed),
        TEST(a_session_with_another_key_is_denied),
        TEST(a_key_has_a_share_of_the_room),
        TEST(memory_for_sessions_is_limited),
        TEST(a_handler_is_built_again),
        TEST(a_log_that_is_not_this_shards_is_seen),
    };
    optimizer_start();
    assert_int_equal(random_start(NULL), CANYON_OK);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
