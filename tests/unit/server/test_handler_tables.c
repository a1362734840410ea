/* Requests about rows of tables that are carried out: run by run, in every form, and what is counted. */
#include "tests/unit/server/rows_fixture.h"

#include "server/handler_state.h"

#define DIM 3

static struct bench bench;
static struct worker worker;
static struct batch batch;

static int setup(void **state) {
    (void)state;
    bench_init(&bench, 1, 2, 8, 1024);
    worker_come(&worker, &bench, 1, "anna");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    worker_go(&worker);
    bench_finish(&bench);
    return 0;
}

/* Shards of one thread, ascending, and ids of table "t" in each. */
static uint32_t shards[3];
static uint64_t ids[3][10];

static struct client *place(void) {
    uint32_t found = 0;
    for (uint32_t shard = 0; found < 3; shard++) {
        if (bench_place(&bench, shard) == bench_place(&bench, 0)) {
            ids_in(&bench.job, "t", shard, 5, 10, ids[found]);
            shards[found++] = shard;
        }
    }
    return shard_client(&worker, shards[0]);
}

static void all_are(const float *weights, size_t count, float expected) {
    for (size_t i = 0; i < count; i++) {
        if (weights[i] != expected) {
            fail_msg("element %zu is %g, not %g", i, (double)weights[i], (double)expected);
        }
    }
}

static void each_run_has_its_result(void **state) {
    (void)state;
    struct client *client = place();
    uint64_t table = worker_create_table(&worker, "t", DIM, "sgd:lr=1", 0).id;
    one_run(&batch, FRAME_TABLE_PUSH, table, DIM, shards[1], ids[1], 4, 1);
    struct batch_reply answer = batch_succeeds(client, &batch);
    assert_true(answer.results[0].rows == 4 && answer.results[0].version == 1 && answer.results[0].staleness == 0);
    free(answer.weights);
    /* Of the second run's ten rows six are new; the runs' weights follow one another. */
    batch_init(&batch, FRAME_TABLE_PUSH_PULL, table, DIM);
    batch_add(&batch, shards[0], ids[0], 2, -1);
    batch_add(&batch, shards[1], ids[1], 10, -3);
    batch_add(&batch, shards[2], ids[2], 5, -7);
    batch.runs[2].version = 99;
    answer = batch_succeeds(client, &batch);
    assert_true(answer.results[0].rows == 2 && answer.results[0].version == 1 && answer.results[0].staleness == 0);
    assert_true(answer.results[1].rows == 6 && answer.results[1].version == 2 && answer.results[1].staleness == 1);
    assert_true(answer.results[2].rows == 5 && answer.results[2].version == 1 && answer.results[2].staleness == 0);
    all_are(answer.weights, 2 * DIM, 1);
    all_are(answer.weights + 2 * DIM, 4 * DIM, 2);
    all_are(answer.weights + 6 * DIM, 6 * DIM, 3);
    all_are(answer.weights + 12 * DIM, 5 * DIM, 7);
    free(answer.weights);
    batch.type = FRAME_TABLE_PULL;
    batch.runs[2].version = 0;
    answer = batch_succeeds(client, &batch);
    assert_true(answer.results[1].rows == 0 && answer.results[1].version == 2 && answer.results[1].staleness == 0);
    all_are(answer.weights, 2 * DIM, 1);
    all_are(answer.weights + 6 * DIM, 6 * DIM, 3);
    free(answer.weights);
    assert_int_equal(shard_totals_of(&worker, table, shards[1], NULL).rows, 10);
    /* Weights of version 2, pushed at 2, 3 and 4. */
    for (uint64_t stale = 0; stale < 3; stale++) {
        one_run(&batch, FRAME_TABLE_PUSH, table, DIM, shards[1], ids[1], 10, 1);
        batch.runs[0].version = 2;
        answer = batch_succeeds(client, &batch);
        assert_true(answer.results[0].version == 3 + stale && answer.results[0].staleness == stale);
        free(answer.weights);
    }
}

static void a_pull_makes_rows_only_where_asked(void **state) {
    (void)state;
    struct client *client = place();
    uint64_t table = worker_create_table(&worker, "t", DIM, "sgd", 0).id;
    one_run(&batch, FRAME_TABLE_PULL, table, DIM, shards[2], ids[2], 7, 0);
    batch.message.clock = 40;
    struct batch_reply answer = batch_succeeds(client, &batch);
    assert_true(answer.results[0].rows == 0 && answer.results[0].version == 0);
    all_are(answer.weights, 7 * DIM, 0);
    free(answer.weights);
    assert_int_equal(shard_totals_of(&worker, table, shards[2], NULL).rows, 0);
    batch.message.create = true;
    answer = batch_succeeds(client, &batch);
    assert_true(answer.results[0].rows == 7 && answer.results[0].version == 0);
    free(answer.weights);
    answer = batch_succeeds(client, &batch);
    assert_int_equal(answer.results[0].rows, 0);
    free(answer.weights);
    assert_int_equal(shard_totals_of(&worker, table, shards[2], NULL).rows, 7);
}

/* Adagrad with lr 1 moves a row by the sign of its first gradient, whatever its size: one step of 3 + 5 + -2 is -1. Of
 * three steps the first alone would be that, and the next two 5/sqrt(34) and -2/sqrt(38) more. */
static void a_row_twice_in_a_push_is_one_row(void **state) {
    (void)state;
    struct client *client = place();
    uint64_t table = worker_create_table(&worker, "t", DIM, "adagrad:lr=1", 0).id;
    const uint64_t twice[] = {ids[0][0], ids[0][1], ids[0][0], ids[0][2], ids[0][0]};
    static const float gradients[] = {3, 1, 5, 1, -2};
    one_run(&batch, FRAME_TABLE_PUSH_PULL, table, DIM, shards[0], twice, 5, 0);
    for (size_t i = 0; i < 5 * DIM; i++) {
        batch.gradients[i] = gradients[i / DIM];
    }
    struct batch_reply answer = batch_succeeds(client, &batch);
    assert_true(answer.results[0].rows == 3 && answer.results[0].version == 1);
    for (size_t i = 0; i < 5 * DIM; i++) {
        assert_float_equal(answer.weights[i], -1.0f, 1e-6f);
    }
    free(answer.weights);
    assert_int_equal(shard_totals_of(&worker, table, shards[0], NULL).rows, 3);
    /* And the same state as from somebody who added up beforehand. */
    uint64_t sums[2][4];
    shard_totals_of(&worker, table, shards[0], sums[0]);
    one_run(&batch, FRAME_TABLE_ERASE, table, DIM, shards[0], twice, 5, 0);
    answer = batch_succeeds(client, &batch);
    assert_int_equal(answer.results[0].rows, 3);
    free(answer.weights);
    one_run(&batch, FRAME_TABLE_PUSH, table, DIM, shards[0], ids[0], 3, 1);
    batch.gradients[0] = batch.gradients[1] = batch.gradients[2] = 6;
    batch_passes(client, &batch);
    shard_totals_of(&worker, table, shards[0], sums[1]);
    assert_memory_equal(sums[0], sums[1], sizeof sums[0]);
}

static void erased_rows_begin_anew(void **state) {
    (void)state;
    struct client *client = place();
    uint64_t table = worker_create_table(&worker, "t", DIM, "sgd:lr=1", 0).id;
    batch_init(&batch, FRAME_TABLE_PUSH, table, DIM);
    batch_add(&batch, shards[0], ids[0], 8, 1);
    batch_add(&batch, shards[2], ids[2], 8, 1);
    batch_passes(client, &batch);
    uint64_t some[] = {ids[2][0], ids[2][9], ids[2][0], ids[2][3]}; /* one is not there, one is named twice */
    one_run(&batch, FRAME_TABLE_ERASE, table, DIM, shards[2], some, 4, 0);
    struct batch_reply answer = batch_succeeds(client, &batch);
    assert_true(answer.results[0].rows == 2 && answer.results[0].version == 1);
    free(answer.weights);
    answer = batch_succeeds(client, &batch);
    assert_int_equal(answer.results[0].rows, 0);
    free(answer.weights);
    assert_int_equal(shard_totals_of(&worker, table, shards[2], NULL).rows, 6);
    assert_int_equal(shard_totals_of(&worker, table, shards[0], NULL).rows, 8);
    one_run(&batch, FRAME_TABLE_PUSH_PULL, table, DIM, shards[2], ids[2], 2, 1);
    answer = batch_succeeds(client, &batch);
    assert_true(answer.results[0].rows == 1 && answer.results[0].version == 2);
    all_are(answer.weights, DIM, -1);
    all_are(answer.weights + DIM, DIM, -2);
    free(answer.weights);
}

/* 127 makes int8's scale 1, and whole numbers are exact in every form: there and back nothing may be lost. Three
 * numbers leave room that must be filled up, in bf16 and f16. */
static void every_form_there_and_back(void **state) {
    (void)state;
    struct client *client = place();
    uint64_t table = worker_create_table(&worker, "t", DIM, "sgd:lr=1", 0).id;
    for (unsigned there = CODEC_F32; there < CODEC_TOPK; there++) {
        for (unsigned back = CODEC_F32; back < CODEC_TOPK; back++) {
            one_run(&batch, FRAME_TABLE_ERASE, table, DIM, shards[1], ids[1], 10, 0);
            batch_passes(client, &batch);
            batch_init(&batch, FRAME_TABLE_PUSH_PULL, table, DIM);
            batch.message.codec = there;
            batch.message.reply = back;
            batch_add(&batch, shards[0], ids[0], 3, 0);
            batch_add(&batch, shards[1], ids[1], 10, 0);
            for (size_t i = 0; i < 10; i++) {
                const float row[] = {127, (float)i, -(float)(7 * i)};
                memcpy(batch.gradients + (3 + i) * DIM, row, sizeof row);
            }
            struct batch_reply answer = batch_succeeds(client, &batch);
            all_are(answer.weights, 3 * DIM, 0);
            for (size_t i = 0; i < 10 * DIM; i++) {
                assert_true(answer.weights[3 * DIM + i] == -batch.gradients[3 * DIM + i]);
            }
            free(answer.weights);
        }
    }
}

/* Bytes of values as they travelled, and as float32; what is refused does not count, nor do ids and results. */
/* The job has become synchronous, and who pushed counts no clocks: what it pushed before has its answer all the same.
 */
static void what_was_taken_is_answered_as_it_was(void **state) {
    (void)state;
    struct client *client = place();
    struct message_consistency mode = {.set = true, .from = 1};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    uint64_t table = worker_create_table(&worker, "t", DIM, "sgd:lr=1", 0).id;
    one_run(&batch, FRAME_TABLE_PUSH_PULL, table, DIM, shards[0], ids[0], 2, -1);
    batch.runs[0].number = 1;
    batch_passes(client, &batch);
    assert_int_equal(consistency_parse("sync", &mode.mode, NULL), CANYON_OK);
    client_succeeds(client,
                    client_ask(client, FRAME_CONSISTENCY, bytes, message_pack_consistency(&mode, bytes), NULL, 0),
                    FRAME_CONSISTENCY_IS);
    struct batch_reply answer = batch_succeeds(client, &batch);
    all_are(answer.weights, 2 * DIM, 1);
    free(answer.weights);
    batch.runs[0].number = 2;
    take_batch(client, ask_batch(client, &batch), &batch, &answer);
    assert_int_equal(answer.results[0].code, CANYON_CONFLICT);
    free(answer.weights);
}

static void values_are_counted(void **state) {
    (void)state;
    struct client *client = place();
    uint64_t table = worker_create_table(&worker, "t", DIM, "sgd:lr=1", 0).id;
    struct message_statistics before = client_statistics(client);
    batch_init(&batch, FRAME_TABLE_PUSH_PULL, table, DIM);
    batch.message.codec = CODEC_BF16; /* 8 bytes a row, filled up */
    batch.message.reply = CODEC_INT8; /* 4 of scale, 3 and one */
    batch_add(&batch, shards[0], ids[0], 6, 1);
    batch_add(&batch, shards[1], ids[2], 5, 1); /* rows of another shard: refused */
    struct batch_reply answer;
    take_batch(client, ask_batch(client, &batch), &batch, &answer);
    assert_int_equal(answer.results[1].code, CANYON_INVALID_ARGUMENT);
    free(answer.weights);
    struct message_statistics after = client_statistics(client);
    assert_int_equal(after.values_in - before.values_in, 6 * 8);
    assert_int_equal(after.values_in_single - before.values_in_single, 6 * 12);
    assert_int_equal(after.values_out - before.values_out, 6 * 8);
    assert_int_equal(after.values_out_single - before.values_out_single, 6 * 12);
    assert_true(after.rows_pushed - before.rows_pushed == 6 && after.rows_pulled - before.rows_pulled == 6);
    assert_true(after.rows_made - before.rows_made == 6 && after.refused - before.refused == 1);
    /* A pull brings nothing, a push takes nothing, an erase neither. */
    before = after;
    one_run(&batch, FRAME_TABLE_PULL, table, DIM, shards[0], ids[0], 10, 0);
    batch_passes(client, &batch);
    after = client_statistics(client);
    assert_true(after.values_in == before.values_in && after.values_in_single == before.values_in_single);
    assert_int_equal(after.values_out - before.values_out, 10 * 12);
    assert_int_equal(after.values_out_single - before.values_out_single, 10 * 12);
    before = after;
    one_run(&batch, FRAME_TABLE_PUSH, table, DIM, shards[0], ids[0], 10, 1);
    batch_passes(client, &batch);
    one_run(&batch, FRAME_TABLE_ERASE, table, DIM, shards[0], ids[0], 10, 1);
    batch_passes(client, &batch);
    after = client_statistics(client);
    assert_int_equal(after.values_in - before.values_in, 10 * 12);
    assert_int_equal(after.values_in_single - before.values_in_single, 10 * 12);
    assert_true(after.values_out == before.values_out && after.values_out_single == before.values_out_single);
}

/* The index's secret is each server's own, and says nothing about what comes out. */
static void secrets_do_not_show(void **state) {
    (void)state;
    struct bench other;
    struct worker there;
    struct bench_digests digests[2];
    struct tensor_spec spec = fixture_raw_spec("t", DIM, "adam"); /* of random first values */
    spec.kind = TENSOR_TABLE;
    assert_int_equal(shard_canonical_spec(&spec, NULL), CANYON_OK);
    memset(&other, 0, sizeof other);
    other.job = fixture_job(1, 8, 1024);
    other.servers = other.threads = 1; /* and one thread instead of two */
    other.now = 1;
    other.random = 12345;
    other.environment = (struct handler_environment){.now = bench_now, .random = bench_random, .user = &other};
    other.handlers[0] = handler_create(&other.job, 0, 0, 1, &other.environment);
    assert_non_null(other.handlers[0]);
    assert_memory_not_equal(&other.handlers[0]->tables.workspace->rowkey, &bench.handlers[0]->tables.workspace->rowkey,
                            sizeof(struct rowkey));
    worker_come(&there, &other, 1, "anna");
    for (int side = 0; side < 2; side++) {
        struct worker *at = side == 0 ? &worker : &there;
        uint64_t table = worker_create(at, &spec).id, seed = 9;
        for (unsigned step = 0; step < 200; step++) {
            uint64_t some[50];
            const uint32_t shard = step % 8;
            ids_in(&bench.job, "t", shard, seed_below(&seed, 5000), 50, some);
            one_run(&batch, step % 16 == 9 ? FRAME_TABLE_ERASE : FRAME_TABLE_PUSH, table, DIM, shard, some, 50, 0);
            batch.message.clock = step;
            fixture_fill(&seed, batch.gradients, 50 * DIM);
            batch_passes(shard_client(at, shard), &batch);
        }
        worker_digests(at, &digests[side]);
    }
    assert_memory_equal(&digests[0], &digests[1], sizeof digests[0]);
    worker_go(&there);
    bench_finish(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_run_has_its_result, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pull_makes_rows_only_where_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(a_row_twice_in_a_push_is_one_row, setup, teardown),
        cmocka_unit_test_setup_teardown(erased_rows_begin_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(every_form_there_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_taken_is_answered_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(values_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(secrets_do_not_show, setup, teardown),
    };
    optimizer_start();
    codec_start();
    return cmocka_run_group_tests_name("handler tables", tests, NULL, NULL);
}
