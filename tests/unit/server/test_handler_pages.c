/* Looking at tables through the handler: totals, pages of rows with and without their state; and what each role may do
 * with rows. */
#include "tests/unit/server/keyed.h"
#include "tests/unit/server/rows_fixture.h"

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

/* ---- Pages ---- */

static uint64_t ask_page(struct client *client, const struct message_row_query *query) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    return client_ask(client, FRAME_TABLE_ROWS, message, message_pack_row_query(query, message), NULL, 0);
}

/* The reply, whose payload is as long as PROTOCOL.md says of what it holds; *values is where values are. */
static struct reply *take_page(const struct message_row_query *query, struct message_row_page *page, size_t *values) {
    struct client *client = shard_client(&worker, query->shard);
    struct reply *reply = client_take(client, ask_page(client, query), FRAME_TABLE_ROWS_ARE);
    assert_int_equal(message_unpack_row_page(reply->message, reply->header.message_bytes, page, NULL), CANYON_OK);
    *values = (size_t)page->rows * (query->state ? 16 + 8 * page->scalars : 8);
    while (page->rows > 0 && *values % 64 != 0) {
        assert_int_equal(reply->payload[(*values)++], 0);
    }
    assert_int_equal(reply->header.payload_bytes, *values + (size_t)page->rows * page->values * 4);
    return reply;
}

/* Nadam has two slots and a number for each row. Row i was pushed to i % 3 + 1 times. */
static void pages_go_through_a_shard(void **state) {
    (void)state;
    enum { ROWS = 100 };
    uint64_t table = worker_create_table(&worker, "t", DIM, "nadam", 0).id, ids[ROWS];
    const uint32_t shard = 5;
    struct client *client = shard_client(&worker, shard);
    ids_in(&bench.job, "t", shard, UINT64_C(1) << 60, ROWS, ids);
    for (uint32_t push = 0; push < 3; push++) {
        uint64_t some[ROWS];
        uint32_t count = 0;
        for (uint32_t i = ROWS; i-- > 0;) { /* from the last to the first */
            some[count] = ids[i];
            count += i % 3 >= push;
        }
        one_run(&batch, FRAME_TABLE_PUSH, table, DIM, shard, some, count, (float)(1 + push));
        batch.message.clock = 70 + push;
        batch_passes(client, &batch);
    }
    one_run(&batch, FRAME_TABLE_PULL, table, DIM, shard, ids, ROWS, 0);
    struct batch_reply weights = batch_succeeds(client, &batch);
    for (int with = 0; with < 2; with++) {
        struct message_row_query query = {.table = table, .shard = shard, .most = 7, .state = with == 1};
        struct message_row_page page = {.more = true};
        size_t seen = 0, values;
        while (page.more) {
            struct reply *reply = take_page(&query, &page, &values);
            assert_int_equal(page.rows, ROWS - seen < 7 ? ROWS - seen : 7);
            assert_true(page.more == (seen + page.rows < ROWS));
            assert_true(page.values == (with == 1 ? 3 * DIM : DIM) && page.scalars == (with == 1 ? 1 : 0));
            for (uint32_t i = 0; i < page.rows; i++, seen++) {
                assert_true(load_u64(reply->payload + 8 * i) == ids[seen]);
                assert_memory_equal(reply->payload + values + (size_t)i * page.values * 4, weights.weights + seen * DIM,
                                    DIM * 4);
                const uint8_t *counts = reply->payload + 8 * page.rows + 8 * i;
                assert_true(with == 0 || load_u32(counts) == seen % 3 + 1);
                assert_true(with == 0 || load_u32(counts + 4) == 70 + seen % 3);
            }
            query.from = ids[seen - 1] + 1;
            reply_free(reply);
        }
        assert_int_equal(seen, ROWS);
    }
    free(weights.weights);
}

static void pages_from_anywhere(void **state) {
    (void)state;
    uint64_t table = worker_create_table(&worker, "t", DIM, "sgd", 0).id, ids[10];
    struct message_row_query query = {.table = table, .shard = 2, .most = 65536};
    struct message_row_page page;
    size_t values;
    ids_in(&bench.job, "t", 2, 0, 10, ids);
    reply_free(take_page(&query, &page, &values));
    assert_true(page.rows == 0 && !page.more);
    one_run(&batch, FRAME_TABLE_PUSH, table, DIM, 2, ids, 10, 1);
    batch_passes(shard_client(&worker, 2), &batch);
    reply_free(take_page(&query, &page, &values));
    assert_true(page.rows == 10 && !page.more);
    query.from = ids[4]; /* from that one on, itself among them */
    reply_free(take_page(&query, &page, &values));
    assert_true(page.rows == 6 && !page.more);
    query.from = UINT64_MAX;
    reply_free(take_page(&query, &page, &values));
    assert_true(page.rows == 0 && !page.more);
    query.from = 0;
    query.most = 0; /* only what rows look like */
    reply_free(take_page(&query, &page, &values));
    assert_true(page.rows == 0 && page.values == DIM);
    query.state = true; /* Nadam's slots and scalar, of a table without rows too */
    query.table = worker_create_table(&worker, "none", DIM, "nadam", 0).id;
    for (query.most = 0; query.most < 2; query.most++) {
        reply_free(take_page(&query, &page, &values));
        assert_true(page.rows == 0 && !page.more && page.values == 3 * DIM && page.scalars == 1);
    }
    query.state = false;
    query.table = table;
    one_run(&batch, FRAME_TABLE_ERASE, table, DIM, 2, ids + 3, 2, 0);
    batch_passes(shard_client(&worker, 2), &batch);
    query.most = 4;
    struct reply *reply = take_page(&query, &page, &values);
    assert_true(page.rows == 4 && page.more && load_u64(reply->payload + 24) == ids[5]);
    reply_free(reply);
}

/* A page is as long as a frame may be, however many rows were asked for: of 16,384 elements with two slots five fit a
 * mebibyte, of which ids, counts and what fills up take less than one row's. */
static void pages_are_bounded(void **state) {
    (void)state;
    enum { ROWS = 12 };
    uint64_t table = worker_create_table(&worker, "t", LIMIT_DIM, "adam", 0).id, ids[ROWS];
    struct message_row_query query = {.table = table, .shard = 4, .most = 65536, .state = true};
    struct message_row_page page;
    size_t values, pages = 0, rows = 0;
    ids_in(&bench.job, "t", 4, 0, ROWS, ids);
    for (uint32_t i = 0; i < ROWS; i++) {
        one_run(&batch, FRAME_TABLE_PUSH, table, LIMIT_DIM, 4, &ids[i], 1, 1);
        batch_passes(shard_client(&worker, 4), &batch);
    }
    do {
        struct reply *reply = take_page(&query, &page, &values);
        assert_true(reply->header.payload_bytes <= handler_payload_limit(&bench.job));
        assert_true(page.rows == (pages < 2 ? 5 : 2));
        query.from = load_u64(reply->payload + 8 * (page.rows - 1)) + 1;
        rows += page.rows;
        pages++;
        reply_free(reply);
    } while (page.more);
    assert_true(pages == 3 && rows == ROWS);
}

/* ---- Totals ---- */

static struct message_table_totals thread_totals(struct client *client, uint64_t table) {
    struct message_table_query query = {.table = table};
    struct message_table_totals totals;
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct reply *reply = client_take(
        client, client_ask(client, FRAME_TABLE_INFO, message, message_pack_table_query(&query, message), NULL, 0),
        FRAME_TABLE_INFO_IS);
    assert_int_equal(message_unpack_table_totals(reply->message, reply->header.message_bytes, &totals, NULL),
                     CANYON_OK);
    assert_int_equal(reply->header.payload_bytes, 0);
    reply_free(reply);
    return totals;
}

static void totals_add_up(void **state) {
    (void)state;
    uint64_t table = worker_create_table(&worker, "t", DIM, "adagrad", 0).id, ids[50], bytes = 0;
    for (uint32_t shard = 0; shard < 8; shard++) {
        ids_in(&bench.job, "t", shard, 0, 50, ids);
        for (uint32_t push = 0; push <= shard; push++) {
            one_run(&batch, FRAME_TABLE_PUSH, table, DIM, shard, ids, 10 + shard, 1);
            batch.message.clock = 100 * shard;
            batch_passes(shard_client(&worker, shard), &batch);
        }
    }
    for (unsigned thread = 0; thread < 2; thread++) {
        struct message_table_totals sum = thread_totals(&worker.clients[thread], table), expected = {.shards = 0};
        for (uint32_t shard = 0; shard < 8; shard++) {
            if (bench_place(&bench, shard) == thread) {
                struct message_table_totals one = shard_totals_of(&worker, table, shard, NULL);
                assert_true(one.shards == 1 && one.rows == 10 + shard && one.version == shard + 1);
                assert_true(one.clock == 100 * shard && one.bytes > one.rows * 2 * DIM * 4);
                expected.shards++;
                expected.rows += one.rows;
                expected.bytes += one.bytes;
                expected.version += one.version;
                expected.clock = one.clock;
            }
        }
        bytes += sum.bytes;
        assert_memory_equal(&sum, &expected, sizeof sum);
        struct message_statistics statistics = client_statistics(&worker.clients[thread]);
        assert_true(statistics.rows == sum.rows && statistics.tables == 1 && statistics.state_bytes == sum.bytes);
        assert_true(statistics.rows_made == sum.rows);
    }
    assert_true(bytes > 0);
}

static void looking_in_the_wrong_place(void **state) {
    (void)state;
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct client *client = &worker.clients[0];
    uint64_t table = worker_create_table(&worker, "t", DIM, "sgd", 0).id;
    struct tensor_spec spec = fixture_spec("dense", 10, "sgd");
    uint64_t tensor = worker_create(&worker, &spec).id;
    uint32_t elsewhere = 0;
    while (bench_place(&bench, elsewhere) == 0) {
        elsewhere++;
    }
    const struct {
        uint64_t table;
        uint32_t shard;
        enum canyon_status status;
        const char *text;
    } cases[] = {{77, 0, CANYON_NOT_FOUND, "no table with id 000000000000004d"},
                 {tensor, 0, CANYON_INVALID_ARGUMENT, "'dense' is a tensor"},
                 {table, elsewhere, CANYON_INVALID_ARGUMENT, "this is server 0, thread 0"},
                 {table, 8, CANYON_INVALID_ARGUMENT, "the job has 8 shards, none of number 8"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct message_row_query rows = {.table = cases[i].table, .shard = cases[i].shard, .most = 1};
        struct message_table_query query = {.table = cases[i].table, .shard = cases[i].shard, .sum = true};
        client_fails(client, ask_page(client, &rows), cases[i].status, cases[i].text);
        client_fails(client,
                     client_ask(client, FRAME_TABLE_INFO, message, message_pack_table_query(&query, message), NULL, 0),
                     cases[i].status, cases[i].text);
    }
    struct message_row_query rows = {.table = table, .most = LIMIT_BATCH_ROWS + 1};
    client_fails(client, ask_page(client, &rows), CANYON_PROTOCOL, "most is 65537");
}

/* ---- Roles and patterns ---- */

static void each_role_with_rows(void **state) {
    (void)state;
    struct keyed reader, laborer, admin;
    uint64_t table = worker_create_table(&worker, "t", DIM, "sgd:lr=1", 0).id, ids[10];
    struct message_row_query query = {.table = table, .shard = 0, .most = 10};
    struct client *mine = shard_client(&worker, 0);
    come_to(&reader, mine->handler, 11, "reader", 1, "");
    come_to(&laborer, mine->handler, 12, "worker", 2, "");
    come_to(&admin, mine->handler, 13, "admin", 3, "");
    ids_in(&bench.job, "t", 0, 0, 10, ids);
    /* A reader reads what is not there, and does not make it. */
    one_run(&batch, FRAME_TABLE_PULL, table, DIM, 0, ids, 10, 0);
    batch_passes(&reader.client, &batch);
    batch.message.create = true;
    client_fails(&reader.client, ask_batch(&reader.client, &batch), CANYON_DENIED,
                 "TABLE_PULL of tensor 't' needs the role worker; this client's key (reader) has the role reader");
    assert_int_equal(shard_totals_of(&worker, table, 0, NULL).rows, 0);
    for (unsigned push = 0; push < 2; push++) {
        one_run(&batch, push == 0 ? FRAME_TABLE_PUSH : FRAME_TABLE_PUSH_PULL, table, DIM, 0, ids, 10, 1);
        client_fails(&reader.client, ask_batch(&reader.client, &batch), CANYON_DENIED, "needs the role worker");
        assert_int_equal(shard_totals_of(&worker, table, 0, NULL).rows, 0);
    }
    batch_passes(&laborer.client, &batch);
    one_run(&batch, FRAME_TABLE_PULL, table, DIM, 0, ids, 10, 0);
    batch.message.create = true;
    batch_passes(&laborer.client, &batch);
    client_succeeds(&reader.client, ask_page(&reader.client, &query), FRAME_TABLE_ROWS_ARE);
    assert_int_equal(thread_totals(&reader.client, table).rows, 10);
    one_run(&batch, FRAME_TABLE_ERASE, table, DIM, 0, ids, 10, 0);
    client_fails(&reader.client, ask_batch(&reader.client, &batch), CANYON_DENIED, "needs the role admin");
    client_fails(&laborer.client, ask_batch(&laborer.client, &batch), CANYON_DENIED, "needs the role admin");
    assert_int_equal(shard_totals_of(&worker, table, 0, NULL).rows, 10);
    batch_passes(&admin.client, &batch);
    assert_int_equal(shard_totals_of(&worker, table, 0, NULL).rows, 0);
    go(&admin);
    go(&laborer);
    go(&reader);
}

/* The line's patterns hold for every request about rows. */
static void a_table_that_is_not_ones_own(void **state) {
    (void)state;
    static const unsigned types[] = {FRAME_TABLE_PUSH, FRAME_TABLE_PULL, FRAME_TABLE_PUSH_PULL, FRAME_TABLE_ERASE};
    static const char expected[] = "key (admin) may not touch tensor 't': its line in the allow-list names others";
    struct keyed keyed;
    uint8_t message[LIMIT_MESSAGE_BYTES];
    uint64_t table = worker_create_table(&worker, "t", DIM, "sgd", 0).id, ids[10];
    struct message_row_query rows = {.table = table, .shard = 0, .most = 10};
    struct message_table_query query = {.table = table};
    ids_in(&bench.job, "t", 0, 0, 10, ids);
    come_to(&keyed, shard_client(&worker, 0)->handler, 11, "admin", 1, "tensors=mine,users/*");
    struct client *client = &keyed.client;
    for (size_t i = 0; i < 4; i++) {
        one_run(&batch, types[i], table, DIM, 0, ids, 10, 1);
        client_fails(client, ask_batch(client, &batch), CANYON_DENIED, expected);
    }
    client_fails(client, ask_page(client, &rows), CANYON_DENIED, expected);
    client_fails(client,
                 client_ask(client, FRAME_TABLE_INFO, message, message_pack_table_query(&query, message), NULL, 0),
                 CANYON_DENIED, expected);
    assert_int_equal(shard_totals_of(&worker, table, 0, NULL).rows, 0);
    uint64_t mine = worker_create_table(&worker, "users/names", DIM, "sgd", 0).id;
    ids_in(&bench.job, "users/names", 0, 0, 10, ids);
    one_run(&batch, FRAME_TABLE_PUSH, mine, DIM, 0, ids, 10, 1);
    batch_passes(client, &batch);
    go(&keyed);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(pages_go_through_a_shard),
        CASE(pages_from_anywhere),
        CASE(pages_are_bounded),
        CASE(totals_add_up),
        CASE(looking_in_the_wrong_place),
        CASE(each_role_with_rows),
        CASE(a_table_that_is_not_ones_own),
    };
    optimizer_start();
    codec_start();
    return cmocka_run_group_tests_name("handler pages", tests, NULL, NULL);
}
