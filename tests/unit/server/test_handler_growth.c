/* Rows without end: caps, the limit on memory and ids that crowd one place of the index, through the handler. A run
 * that meets one of them is refused before any of its rows has come to be, and what is there goes on. */
#include "tests/unit/server/rows_fixture.h"

#include <math.h>

#include "server/handler_state.h"
#include "server/row_index.h"

#define DIM 4

static struct bench bench;
static struct worker worker;
static struct batch batch;
static struct client *client;

static int setup(void **state) {
    (void)state;
    bench_init(&bench, 1, 1, 4, 1024);
    worker_come(&worker, &bench, 1, "anna");
    client = &worker.clients[0];
    return 0;
}

static int teardown(void **state) {
    (void)state;
    worker_go(&worker);
    bench_finish(&bench);
    return 0;
}

static struct digest digest_of(uint32_t shard) {
    struct bench_digests digests;
    worker_digests(&worker, &digests);
    return digests.digests[shard];
}

/* The batch's run in this place is refused, and its shard's state as before. */
static void run_refused(uint32_t run, enum canyon_status status, const char *text) {
    struct batch_reply answer;
    struct digest before = digest_of(batch.runs[run].shard);
    take_batch(client, ask_batch(client, &batch), &batch, &answer);
    for (uint32_t i = 0; i < answer.done.runs; i++) {
        if (answer.results[i].code != (uint32_t)(i == run ? status : CANYON_OK)) {
            fail_msg("run %u: %s: %s", i, status_name((enum canyon_status)answer.results[i].code), answer.done.text);
        }
    }
    if (strstr(answer.done.text, text) == NULL) {
        fail_msg("no '%s' in: %s", text, answer.done.text);
    }
    assert_true(fixture_same(before, digest_of(batch.runs[run].shard)));
    free(answer.weights);
}

/* A push, a push_pull or a pull that makes rows, of one run. */
static void making(unsigned way, uint64_t table, uint32_t shard, const uint64_t *ids, uint32_t rows) {
    static const unsigned types[] = {FRAME_TABLE_PUSH, FRAME_TABLE_PUSH_PULL, FRAME_TABLE_PULL};
    one_run(&batch, types[way], table, DIM, shard, ids, rows, 1);
    batch.message.create = types[way] == FRAME_TABLE_PULL;
}

/* ---- The cap ---- */

/* 38 rows in four shards are ten in each. */
static void a_cap_is_met_before_anything_is_made(void **state) {
    (void)state;
    uint64_t table = worker_create_table(&worker, "t", DIM, "adam", 38).id, ids[2][20];
    ids_in(&bench.job, "t", 1, 0, 20, ids[0]);
    ids_in(&bench.job, "t", 2, 0, 20, ids[1]);
    making(0, table, 2, ids[1], 7);
    batch_passes(client, &batch);
    for (unsigned way = 0; way < 3; way++) {
        making(way, table, 2, ids[1] + 4, 7); /* three are there, four are too many by one */
        run_refused(0, CANYON_TOO_LARGE, "has 7 rows in shard 2, of at most 10");
    }
    /* Another shard's run in the same frame is none the worse. */
    batch_init(&batch, FRAME_TABLE_PUSH, table, DIM);
    batch_add(&batch, 1, ids[0], 10, 1);
    batch_add(&batch, 2, ids[1], 11, 1);
    run_refused(1, CANYON_TOO_LARGE, "(the row cap is 38)");
    assert_int_equal(shard_totals_of(&worker, table, 1, NULL).rows, 10);
    /* Ten rows there may be, and an id that comes twice is one. */
    uint64_t some[12];
    memcpy(some, ids[1], 10 * sizeof some[0]);
    some[10] = some[11] = ids[1][9];
    making(0, table, 2, some, 12);
    batch_passes(client, &batch);
    making(1, table, 2, ids[1], 10);
    batch_passes(client, &batch);
    making(0, table, 2, ids[1] + 10, 1);
    run_refused(0, CANYON_TOO_LARGE, "has 10 rows");
    /* Reading does not make rows; erasing makes room. */
    one_run(&batch, FRAME_TABLE_PULL, table, DIM, 2, ids[1], 20, 0);
    batch_passes(client, &batch);
    one_run(&batch, FRAME_TABLE_ERASE, table, DIM, 2, ids[1], 1, 0);
    batch_passes(client, &batch);
    making(2, table, 2, ids[1] + 10, 1);
    batch_passes(client, &batch);
    assert_int_equal(shard_totals_of(&worker, table, 2, NULL).rows, 10);
}

/* A gradient is judged before rows are made for it, so what a refusal leaves is nothing. */
static void a_refused_gradient_makes_no_row(void **state) {
    (void)state;
    uint64_t table = worker_create_table(&worker, "t", DIM, "adam", 40).id, ids[20];
    ids_in(&bench.job, "t", 3, 0, 20, ids);
    for (unsigned i = 0; i < 50; i++) {
        making(0, table, 3, ids, 10);
        batch.gradients[9 * DIM] = i % 2 == 0 ? NAN : INFINITY;
        run_refused(0, CANYON_NOT_FINITE, "no row here was changed");
        assert_int_equal(shard_totals_of(&worker, table, 3, NULL).rows, 0);
    }
    making(0, table, 3, ids + 10, 10);
    batch_passes(client, &batch);
}

/* ---- Memory ---- */

/* Rows of 1 KiB, until the shards may hold no more. */
static void memory_is_looked_at_before_anything_is_made(void **state) {
    (void)state;
    enum { WIDE = 256, ROWS = 32, PUSHES = 400 };
    static uint64_t ids[PUSHES][ROWS];
    uint64_t table = worker_create_table(&worker, "t", WIDE, "sgd:lr=1", 0).id;
    const uint64_t limit = 2 << 20;
    unsigned done = 0;
    struct batch_reply answer;
    bench.environment.state_limit = limit;
    ids_in(&bench.job, "t", 1, 0, PUSHES * ROWS, ids[0]);
    for (bool full = false; !full; done += !full) {
        assert_true(done < PUSHES);
        struct digest before = digest_of(1);
        struct message_table_totals totals = shard_totals_of(&worker, table, 1, NULL);
        one_run(&batch, FRAME_TABLE_PUSH_PULL, table, WIDE, 1, ids[done], ROWS, 1);
        take_batch(client, ask_batch(client, &batch), &batch, &answer);
        full = answer.results[0].code != CANYON_OK;
        if (full) {
            assert_int_equal(answer.results[0].code, CANYON_NO_MEMORY);
            assert_non_null(strstr(answer.done.text, "of at most 2097152 are taken already"));
            assert_true(fixture_same(before, digest_of(1)));
            assert_int_equal(shard_totals_of(&worker, table, 1, NULL).bytes, totals.bytes);
        }
        free(answer.weights);
        assert_true(client_statistics(client).state_bytes <= limit);
    }
    /* It was refused for want of memory, not of will: most of what there may be is taken. */
    assert_in_range(client_statistics(client).state_bytes, limit / 2, limit);
    assert_int_equal(shard_totals_of(&worker, table, 1, NULL).rows, done * ROWS);
    /* What is there goes on: pushed, read, and in a frame with what is refused. */
    one_run(&batch, FRAME_TABLE_PUSH_PULL, table, WIDE, 1, ids[done - 1], ROWS, 1);
    answer = batch_succeeds(client, &batch);
    for (size_t i = 0; i < ROWS * WIDE; i++) {
        assert_true(answer.weights[i] == -2);
    }
    free(answer.weights);
    one_run(&batch, FRAME_TABLE_PULL, table, WIDE, 1, ids[done], ROWS, 1); /* not made */
    batch_passes(client, &batch);
    /* Old rows among too many new ones are left alone. */
    batch_init(&batch, FRAME_TABLE_PUSH, table, WIDE);
    batch_add(&batch, 1, ids[0], ROWS, 1);
    batch_add(&batch, 1, ids[PUSHES - 5], 4 * ROWS, 1);
    batch.runs[0].rows = 5 * ROWS;
    batch.message.runs = 1;
    run_refused(0, CANYON_NO_MEMORY, "the new rows may take");
    /* Without the limit it is done; and a table that is dropped gives all of it back. */
    bench.environment.state_limit = 0;
    one_run(&batch, FRAME_TABLE_PUSH, table, WIDE, 1, ids[done], ROWS, 1);
    batch_passes(client, &batch);
    client_succeeds(client, ask_tensor(client, FRAME_DROP, table, "t"), FRAME_DROPPING);
    client_succeeds(client, ask_tensor(client, FRAME_UNDEFINE, table, "t"), FRAME_UNDEFINED);
    client_succeeds(client, ask_tensor(client, FRAME_DROPPED, table, "t"), FRAME_DROP_DONE);
    assert_int_equal(client_statistics(client).state_bytes, 0);
}

/* A creating pull and a push are the same to the limit; one more row than fits is too many, and erasing helps. */
static void erasing_makes_room(void **state) {
    (void)state;
    struct tensor_spec spec = fixture_raw_spec("t", DIM, "adam");
    spec.kind = TENSOR_TABLE;
    spec.capacity = 4 * 1000; /* so that its index need not grow */
    assert_int_equal(shard_canonical_spec(&spec, NULL), CANYON_OK);
    uint64_t table = worker_create(&worker, &spec).id, ids[2][1000];
    ids_in(&bench.job, "t", 0, 0, 1000, ids[0]);
    ids_in(&bench.job, "t", 0, ids[0][999] + 1, 1000, ids[1]);
    making(0, table, 0, ids[0], 1000);
    batch_passes(client, &batch);
    bench.environment.state_limit = client_statistics(client).state_bytes;
    for (unsigned way = 0; way < 3; way++) {
        making(way, table, 0, ids[1], 1000);
        run_refused(0, CANYON_NO_MEMORY, "are taken already");
        making(way, table, 0, ids[0], 1000); /* all there: however full it is */
        batch_passes(client, &batch);
    }
    one_run(&batch, FRAME_TABLE_ERASE, table, DIM, 0, ids[0], 1000, 0);
    batch_passes(client, &batch);
    making(0, table, 0, ids[1], 900); /* in the places of the others */
    batch_passes(client, &batch);
    assert_int_equal(shard_totals_of(&worker, table, 0, NULL).rows, 900);
    assert_true(client_statistics(client).state_bytes <= bench.environment.state_limit);
}

/* ---- Ids that are chosen ---- */

/* Ids that somebody who knows the index's secret would choose: their keys stand side by side. Those of other shards are
 * passed over. */
static void crowd(const struct rowkey *rowkey, uint32_t shard, uint32_t count, uint64_t *next, uint64_t *ids) {
    struct row_hash hash;
    row_hash_init(&hash, "t");
    for (uint32_t i = 0; i < count;) {
        uint64_t id = rowkey_id(rowkey, UINT64_C(0x4000000000000000) + (*next)++), hashed;
        row_hash_of(&hash, &id, 1, &hashed);
        if (hashed % bench.job.shards == shard) {
            ids[i++] = id;
        }
    }
}

static void ids_that_crowd_are_busy(void **state) {
    (void)state;
    enum { BATCH = 100 };
    uint64_t table = worker_create_table(&worker, "t", DIM, "sgd:lr=1", 0).id, ids[BATCH], others[1000], next = 0;
    struct rowkey rowkey = bench.handlers[0]->tables.workspace->rowkey; /* as nobody outside can */
    unsigned refused = 0, taken = 0;
    ids_in(&bench.job, "t", 2, 0, 1000, others);
    making(0, table, 2, others, 1000);
    batch_passes(client, &batch);
    while (refused < 10) {
        const uint64_t rows = shard_totals_of(&worker, table, 2, NULL).rows;
        struct digest before = digest_of(2);
        struct batch_reply answer;
        crowd(&rowkey, 2, BATCH, &next, ids);
        making(refused % 3, table, 2, ids, BATCH);
        take_batch(client, ask_batch(client, &batch), &batch, &answer);
        if (answer.results[0].code == CANYON_OK) {
            taken++;
            assert_int_equal(refused, 0);
        } else {
            assert_int_equal(answer.results[0].code, CANYON_BUSY);
            assert_non_null(strstr(answer.done.text, "restart the server, which draws another"));
            assert_int_equal(shard_totals_of(&worker, table, 2, NULL).rows, rows);
            assert_true(fixture_same(before, digest_of(2)));
            refused++;
        }
        free(answer.weights);
    }
    /* A search goes over 64 lines of five, no more; those were taken whole batches at a time. */
    assert_in_range(taken, 1, ROW_INDEX_PROBE * ROW_LINE_ENTRIES / BATCH);
    /* Other rows come, whole and in the same frame, and those that are there are updated. */
    uint64_t elsewhere[20];
    ids_in(&bench.job, "t", 3, 0, 20, elsewhere);
    batch_init(&batch, FRAME_TABLE_PUSH, table, DIM);
    batch_add(&batch, 2, ids, BATCH, 1);
    batch_add(&batch, 3, elsewhere, 20, 1);
    run_refused(0, CANYON_BUSY, "as many rows side by side as it searches");
    ids_in(&bench.job, "t", 2, others[999] + 1, 500, others + 500);
    making(1, table, 2, others, 1000);
    struct batch_reply answer = batch_succeeds(client, &batch);
    assert_int_equal(answer.results[0].rows, 500);
    assert_true(answer.weights[0] == -2 && answer.weights[500 * DIM] == -1);
    free(answer.weights);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_cap_is_met_before_anything_is_made),
        CASE(a_refused_gradient_makes_no_row),
        CASE(memory_is_looked_at_before_anything_is_made),
        CASE(erasing_makes_room),
        CASE(ids_that_crowd_are_busy),
    };
    optimizer_start();
    codec_start();
    return cmocka_run_group_tests_name("handler growth", tests, NULL, NULL);
}
