/* Requests about rows of tables that are refused: whole, with nothing changed, or run by run, while the others of the
 * frame are carried out. */
#include "tests/unit/server/rows_fixture.h"

#include <math.h>

#define DIM  4
#define WIDE 2048

static struct bench bench;
static struct worker worker;
static struct batch batch;
static uint64_t table, wide, tensor;
static uint32_t shards[3], elsewhere; /* of client's thread, ascending; one of the other thread */
static uint64_t ids[3][20];
static struct client *client;

static int setup(void **state) {
    (void)state;
    uint32_t found = 0;
    bench_init(&bench, 1, 2, 8, 1024);
    worker_come(&worker, &bench, 1, "anna");
    table = worker_create_table(&worker, "t", DIM, "sgd:lr=1", 0).id;
    wide = worker_create_table(&worker, "wide", WIDE, "sgd:lr=1", 0).id;
    struct tensor_spec spec = fixture_spec("dense", 10, "sgd");
    tensor = worker_create(&worker, &spec).id;
    for (uint32_t shard = 0; shard < 8; shard++) {
        if (bench_place(&bench, shard) != 0) {
            elsewhere = shard;
        } else if (found < 3) {
            ids_in(&bench.job, "t", shard, 0, 20, ids[found]);
            shards[found++] = shard;
        }
    }
    assert_int_equal(found, 3);
    client = &worker.clients[0];
    /* Some rows are there already. */
    one_run(&batch, FRAME_TABLE_PUSH, table, DIM, shards[0], ids[0], 3, 1);
    batch_passes(client, &batch);
    one_run(&batch, FRAME_TABLE_PUSH, table, DIM, shards[1], ids[1], 3, 1);
    batch_passes(client, &batch);
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

/* ---- Whole ---- */

static void send_whole(const uint8_t *payload, size_t bytes, enum canyon_status status, const char *text) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct bench_digests before = digests_now();
    client_fails(client,
                 client_ask(client, batch.type, message, message_pack_rows(&batch.message, message), payload, bytes),
                 status, text);
    struct bench_digests now = digests_now();
    assert_memory_equal(&now, &before, sizeof now);
}

/* The batch as it is, `more` bytes longer than it should be. */
static void refused(int more, enum canyon_status status, const char *text) {
    size_t bytes;
    uint8_t *payload = batch_payload(&batch, &bytes);
    assert_true(more <= BATCH_MORE && (int)bytes + more >= 0);
    send_whole(payload, (size_t)((int)bytes + more), status, text);
    free(payload);
}

/* A good batch of this type, of two runs with five rows. */
static void good(unsigned type) {
    batch_init(&batch, type, table, DIM);
    batch_add(&batch, shards[0], ids[0], 2, 1);
    batch_add(&batch, shards[1], ids[1], 3, 1);
}

static const unsigned types[] = {FRAME_TABLE_PUSH, FRAME_TABLE_PULL, FRAME_TABLE_PUSH_PULL, FRAME_TABLE_ERASE};

static void another_table_or_dim(void **state) {
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        good(types[i]);
        batch.message.table = 12345;
        refused(0, CANYON_NOT_FOUND, "no table with id 0000000000003039");
        good(types[i]);
        batch.message.table = tensor;
        refused(0, CANYON_INVALID_ARGUMENT, "'dense' is a tensor, which has blocks, not rows");
        for (uint32_t dim = 3; dim <= 5; dim += 2) {
            batch_init(&batch, types[i], table, dim);
            batch_add(&batch, shards[0], ids[0], 2, 1);
            refused(0, CANYON_INVALID_ARGUMENT, dim == 3 ? "rows of 4 elements, not 3" : "rows of 4 elements, not 5");
        }
        good(types[i]);
        batch.message.dim = 0;
        refused(0, CANYON_INVALID_ARGUMENT, "at least one element, not 0");
        batch.message.dim = LIMIT_DIM + 1;
        send_whole(NULL, 0, CANYON_PROTOCOL, "dim is 16385");
    }
}

static void counts_that_disagree(void **state) {
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        good(types[i]);
        refused(-4, CANYON_PROTOCOL, "its rows take");
        refused(4, CANYON_PROTOCOL, "its rows take");
        refused(DIM * 4, CANYON_PROTOCOL, "its rows take"); /* a gradient more than ids */
        refused(8, CANYON_PROTOCOL, "its rows take");       /* or an id */
        good(types[i]);
        batch.runs[1].rows = 2;
        refused(0, CANYON_PROTOCOL, "says 5 rows, its runs have 4");
        batch.runs[1].rows = 4;
        refused(0, CANYON_PROTOCOL, "says 5 rows, its runs have 6");
        batch.runs[1].rows = UINT32_MAX - 1; /* which with two adds up to none */
        refused(0, CANYON_PROTOCOL, "its runs have 4294967296");
        batch.runs[1].rows = 0;
        batch.runs[0].rows = 5;
        refused(0, CANYON_PROTOCOL, "0 rows for shard");
        good(types[i]);
        batch.message.rows = 1;
        refused(0, CANYON_PROTOCOL, "1 rows in 2 shards");
        good(types[i]);
        batch.message.runs = 1;
        refused(0, CANYON_PROTOCOL, "its runs have 2");
    }
    good(FRAME_TABLE_PUSH);
    size_t bytes;
    uint8_t *payload = batch_payload(&batch, &bytes);
    payload[2 * 24 + 5 * 8] = 1;
    send_whole(payload, bytes, CANYON_PROTOCOL, "other than zeros between its ids and its values");
    free(payload);
}

static void empty_batches(void **state) {
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        batch_init(&batch, types[i], table, DIM);
        send_whole(NULL, 0, CANYON_PROTOCOL, "0 rows in 0 shards: each has at least one");
        batch.message.rows = 3;
        send_whole(NULL, 0, CANYON_PROTOCOL, "3 rows in 0 shards");
        batch.message.rows = 0;
        batch.message.runs = 1;
        refused(0, CANYON_PROTOCOL, "0 rows in 1 shards");
    }
}

/* A frame here has a mebibyte, which 128 rows of 2,048 elements fill alone. */
static void batches_above_the_limits(void **state) {
    (void)state;
    static uint64_t many[LIMIT_BATCH_ROWS / 8];
    for (size_t i = 0; i < 4; i++) {
        batch_init(&batch, types[i], table, DIM);
        batch.message.runs = 1;
        batch.message.rows = LIMIT_BATCH_ROWS + 1;
        send_whole(NULL, 0, CANYON_PROTOCOL, "rows is 65537");
        batch.message.rows = LIMIT_RUNS + 1;
        batch.message.runs = LIMIT_RUNS + 1;
        send_whole(NULL, 0, CANYON_PROTOCOL, "runs is 4097");
        batch_init(&batch, types[i], wide, WIDE);
        batch.message.runs = 1;
        batch.message.rows = 129;
        if (types[i] != FRAME_TABLE_ERASE) {
            send_whole(NULL, 0, CANYON_TOO_LARGE, "the 129 rows of this");
            batch.message.codec = types[i] == FRAME_TABLE_PULL ? CODEC_F32 : CODEC_INT8;
            batch.message.reply = types[i] == FRAME_TABLE_PUSH ? CODEC_F32 : CODEC_INT8;
            send_whole(NULL, 0, CANYON_TOO_LARGE, "1056768 bytes"); /* as float32, however short they are now */
        }
    }
    /* As many as may be: 8,192 ids. */
    for (uint64_t i = 0; i < BATCH_IDS; i++) {
        many[i] = ids[0][i % 20];
    }
    one_run(&batch, FRAME_TABLE_PUSH_PULL, table, DIM, shards[0], many, BATCH_IDS, 0);
    batch_passes(client, &batch);
}

static void shards_that_are_none(void **state) {
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        good(types[i]);
        batch.runs[1].shard = shards[0];
        refused(0, CANYON_PROTOCOL, "shards ascend");
        batch.runs[0].shard = shards[1];
        batch.runs[1].shard = shards[0];
        refused(0, CANYON_PROTOCOL, "shards ascend");
        good(types[i]);
        batch.runs[1].shard = 8;
        refused(0, CANYON_PROTOCOL, "are below 8");
        batch.runs[1].shard = UINT32_MAX;
        refused(0, CANYON_PROTOCOL, "are below 8");
    }
}

static void forms_that_are_none(void **state) {
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const bool pushes = i % 2 == 0, pulls = i == 1 || i == 2;
        good(types[i]);
        batch.message.codec = CODEC_TOPK;
        send_whole(NULL, 0, CANYON_INVALID_ARGUMENT, "topk is not for rows");
        batch.message.codec = CODEC_LAST + 1;
        send_whole(NULL, 0, CANYON_UNSUPPORTED, "there is no codec 6");
        batch.message.codec = 0;
        batch.message.reply = CODEC_TOPK;
        send_whole(NULL, 0, CANYON_INVALID_ARGUMENT, "topk is not for rows");
        batch.message.reply = UINT32_MAX;
        send_whole(NULL, 0, CANYON_UNSUPPORTED, "there is no codec 4294967295");
        batch.message.reply = CODEC_BF16;
        if (!pulls) {
            refused(0, CANYON_INVALID_ARGUMENT, "no weights in its reply to encode as bf16");
        }
        batch.message.reply = 0;
        batch.message.codec = CODEC_BF16;
        if (!pushes) {
            refused(0, CANYON_INVALID_ARGUMENT, "no gradients to encode as bf16");
        }
        batch.message.codec = 0;
        batch.message.create = true;
        if (types[i] != FRAME_TABLE_PULL) {
            refused(0, CANYON_INVALID_ARGUMENT, "`create`, which is for TABLE_PULL alone");
        }
    }
}

/* Blocks are of tensors: a table has none, by whichever request. */
static void a_table_has_no_blocks(void **state) {
    (void)state;
    static const unsigned dense[] = {FRAME_ASSIGN, FRAME_PUSH, FRAME_PULL, FRAME_PUSH_PULL};
    static const float values[DIM];
    struct bench_digests before = digests_now();
    for (size_t i = 0; i < 4; i++) {
        struct reply *reply = client_take(client, ask_piece(client, dense[i], table, 0, DIM, 0, values), dense[i] + 1);
        assert_int_equal(results_of(reply).results[0].status, CANYON_INVALID_ARGUMENT);
        assert_non_null(strstr(results_of(reply).text, "'t'"));
        assert_int_equal(reply->header.payload_bytes, 0);
        reply_free(reply);
    }
    struct bench_digests now = digests_now();
    assert_memory_equal(&now, &before, sizeof now);
}

/* ---- Run by run ---- */

/* The middle one of three runs is refused, and what the frame says of it; the others are carried out: their new
 * version is `version`, of a pull and an erase still the old. */
static void middle_refused(unsigned type, enum canyon_status status, const char *text) {
    struct bench_digests before = digests_now();
    struct message_statistics counted = client_statistics(client);
    struct batch_reply answer;
    take_batch(client, ask_batch(client, &batch), &batch, &answer);
    if (answer.results[1].code != (uint32_t)status || strstr(answer.done.text, text) == NULL) {
        fail_msg("%s, run 1: %s: %s", frame_type_name(type), status_name((enum canyon_status)answer.results[1].code),
                 answer.done.text);
    }
    assert_true(answer.results[0].code == CANYON_OK && answer.results[2].code == CANYON_OK);
    assert_true(answer.results[1].rows == 0 && answer.results[1].version == 0 && answer.results[1].staleness == 0);
    struct bench_digests now = digests_now();
    const bool changes = type != FRAME_TABLE_PULL;
    for (uint32_t shard = 0; shard < 8; shard++) {
        const bool same = memcmp(&now.digests[shard], &before.digests[shard], sizeof now.digests[0]) == 0;
        assert_int_equal(!same, changes && (shard == shards[0] || shard == shards[2]));
    }
    for (size_t i = 0; i < answer.done.rows * DIM; i++) { /* of the first and the third run, in a row */
        const float once = type == FRAME_TABLE_PUSH_PULL ? -8 : 0;
        assert_true(answer.weights[i] == (i < 2 * DIM ? once - 1 : once));
    }
    struct message_statistics after = client_statistics(client);
    assert_true(after.refused - counted.refused == 1 && after.errors == counted.errors);
    assert_true(after.not_finite - counted.not_finite == (status == CANYON_NOT_FINITE));
    free(answer.weights);
}

static void three_runs(unsigned type) {
    batch_init(&batch, type, table, DIM);
    batch_add(&batch, shards[0], ids[0], 2, 8);
    batch_add(&batch, shards[1], ids[1], 10, 8);
    batch_add(&batch, shards[2], ids[2], type == FRAME_TABLE_ERASE ? 1 : 5, 8);
}

static void rows_of_other_shards(void **state) {
    char text[64];
    for (size_t i = 0; i < 4; i++) {
        if (i > 0) {
            teardown(state);
            setup(state);
        }
        if (types[i] == FRAME_TABLE_ERASE) { /* something must be there for it to change */
            one_run(&batch, FRAME_TABLE_PUSH, table, DIM, shards[2], ids[2], 1, 8);
            batch_passes(client, &batch);
        }
        three_runs(types[i]);
        batch.ids[2 + 9] = ids[2][7];
        snprintf(text, sizeof text, "belongs to shard %u, not to shard %u", shards[2], shards[1]);
        middle_refused(types[i], CANYON_INVALID_ARGUMENT, text);
    }
}

static void shards_of_other_threads(void **state) {
    (void)state;
    uint64_t there[2];
    struct batch_reply answer;
    for (size_t i = 0; i < 4; i++) {
        struct bench_digests before = digests_now();
        ids_in(&bench.job, "t", elsewhere, 0, 2, there);
        one_run(&batch, types[i], table, DIM, elsewhere, there, 2, 1);
        take_batch(client, ask_batch(client, &batch), &batch, &answer);
        assert_int_equal(answer.results[0].code, CANYON_INVALID_ARGUMENT);
        assert_non_null(strstr(answer.done.text, "thread 1; this is server 0, thread 0"));
        free(answer.weights);
        struct bench_digests now = digests_now();
        assert_memory_equal(&now, &before, sizeof now);
    }
}

/* NaN and infinity in two rows of ten, in every form that can say so. Nothing of their shard changes. */
static void poisoned_rows(void **state) {
    char text[100];
    snprintf(text, sizeof text, "the gradient of row %llu at index 2", (unsigned long long)ids[1][4]);
    static const enum codec forms[] = {CODEC_F32, CODEC_BF16, CODEC_F16, CODEC_INT8, CODEC_INT8_STOCHASTIC};
    for (size_t i = 0; i < 2 * 5; i++) {
        teardown(state);
        setup(state);
        three_runs(types[i / 5 * 2]);
        batch.message.codec = forms[i % 5];
        batch.gradients[(2 + 4) * DIM + 2] = NAN;
        batch.gradients[(2 + 7) * DIM + 1] = INFINITY;
        /* In int8 the scale is what cannot be said: the whole row is. */
        middle_refused(types[i / 5 * 2], CANYON_NOT_FINITE, i % 5 < 3 ? text : "the gradient of row");
    }
    /* The text names rows. */
    teardown(state);
    setup(state);
    three_runs(FRAME_TABLE_PUSH);
    batch.gradients[(2 + 4) * DIM + 2] = NAN;
    batch.gradients[(2 + 7) * DIM + 1] = INFINITY;
    snprintf(text, sizeof text, "so is one of row %llu: no row here was changed", (unsigned long long)ids[1][7]);
    middle_refused(FRAME_TABLE_PUSH, CANYON_NOT_FINITE, text);
}

/* Finite each, infinite together. */
static void sums_that_overflow(void **state) {
    (void)state;
    three_runs(FRAME_TABLE_PUSH_PULL);
    batch.ids[2 + 9] = batch.ids[2 + 3];
    batch.gradients[(2 + 3) * DIM + 1] = batch.gradients[(2 + 9) * DIM + 1] = 3e38f;
    middle_refused(FRAME_TABLE_PUSH_PULL, CANYON_NOT_FINITE, "at index 1 is inf");
}

/* What fills a row up must be zero: bf16 of three numbers has two bytes more. */
static void rows_that_are_no_encoding(void **state) {
    (void)state;
    uint64_t odd = worker_create_table(&worker, "t3", 3, "sgd:lr=1", 0).id, there[3];
    uint8_t message[LIMIT_MESSAGE_BYTES];
    size_t bytes;
    ids_in(&bench.job, "t3", shards[0], 0, 3, there);
    one_run(&batch, FRAME_TABLE_PUSH, odd, 3, shards[0], there, 3, 1);
    batch.message.codec = CODEC_BF16;
    uint8_t *payload = batch_payload(&batch, &bytes);
    payload[bytes - 1] = 9;
    struct bench_digests before = digests_now();
    struct batch_reply answer;
    uint64_t request =
        client_ask(client, batch.type, message, message_pack_rows(&batch.message, message), payload, bytes);
    take_batch(client, request, &batch, &answer);
    assert_int_equal(answer.results[0].code, CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(answer.done.text, "byte 7 fills up"));
    struct bench_digests now = digests_now();
    assert_memory_equal(&now, &before, sizeof now);
    free(answer.weights);
    free(payload);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(another_table_or_dim),    CASE(counts_that_disagree),
        CASE(empty_batches),           CASE(batches_above_the_limits),
        CASE(shards_that_are_none),    CASE(forms_that_are_none),
        CASE(a_table_has_no_blocks),   CASE(rows_of_other_shards),
        CASE(shards_of_other_threads), CASE(poisoned_rows),
        CASE(sums_that_overflow),      CASE(rows_that_are_no_encoding),
    };
    optimizer_start();
    codec_start();
    return cmocka_run_group_tests_name("handler tables refused", tests, NULL, NULL);
}
