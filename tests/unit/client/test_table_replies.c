/* Batches of rows against a server that misbehaves. */
#include "tests/unit/client/fake.h"

#define IDS 40

struct rows_user {
    struct user user;
    canyon_table *table;
    uint64_t ids[IDS];
    float gradients[IDS * 2], weights[IDS * 2];
};

static void rows_begin(struct rows_user *rows) {
    memset(rows, 0, sizeof *rows);
    rows->user = begin();
    assert_int_equal(canyon_table_open(rows->user.client, "t", 0, &rows->table), CANYON_OK);
    for (size_t i = 0; i < IDS; i++) {
        rows->ids[i] = i % 30;
        rows->weights[2 * i] = rows->weights[2 * i + 1] = 7;
    }
}

static void rows_end(struct rows_user *rows) {
    canyon_table_close(rows->table);
    end(&rows->user);
}

static enum canyon_status pull(struct rows_user *rows) {
    return canyon_table_pull(rows->table, rows->ids, IDS, rows->weights, 2000);
}

static void check_answers(struct rows_user *rows) {
    atomic_store(&rows->user.fake->behaviour, ANSWER);
    assert_int_equal(pull(rows), CANYON_OK);
    for (size_t i = 0; i < IDS * 2; i++)
        assert_true(rows->weights[i] == 1.0f);
}

static void replies_that_do_not_fit_the_request(void **state) {
    (void)state;
    static const enum behaviour wrong[] = {ANSWER_TOO_FEW, ANSWER_TOO_SHORT, SEND_GARBAGE};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct rows_user rows;
        rows_begin(&rows);
        atomic_store(&rows.user.fake->behaviour, (int)wrong[i]);
        assert_int_equal(pull(&rows), CANYON_PROTOCOL);
        check_address_in_text(&rows.user);
        assert_true(rows.weights[0] == 7.0f);
        check_answers(&rows);
        rows_end(&rows);
    }
}

static void weights_in_another_form_than_asked_for(void **state) {
    (void)state;
    struct rows_user rows;
    rows_begin(&rows);
    assert_int_equal(canyon_table_set_codec(rows.table, NULL, "bf16"), CANYON_OK);
    assert_int_equal(pull(&rows), CANYON_PROTOCOL);
    assert_non_null(strstr(canyon_error_text(), "bytes where"));
    rows_end(&rows);
}

/* Every second run: their rows stay as they were, duplicates too, and are counted and named. */
static void refused_runs(void **state) {
    (void)state;
    struct rows_user rows;
    struct canyon_batch batch;
    size_t kept = 0, different = 0;
    rows_begin(&rows);
    atomic_store(&rows.user.fake->behaviour, REFUSE_RUNS);
    canyon_batch_init(&batch);
    batch.ids = rows.ids;
    batch.count = IDS;
    batch.gradients = rows.gradients;
    batch.weights = rows.weights;
    assert_int_equal(canyon_table_step(rows.table, &batch, 2000), CANYON_INTERNAL); /* a status of a later version */
    check_address_in_text(&rows.user);
    assert_non_null(strstr(canyon_error_text(), "not today"));
    for (size_t i = 0; i < IDS; i++) {
        assert_true(rows.weights[2 * i] == rows.weights[2 * i + 1]);
        assert_true(rows.weights[2 * i] == 7.0f || rows.weights[2 * i] == 1.0f);
        assert_true(rows.weights[2 * i] == rows.weights[2 * (i % 30)]);
        kept += i < 30 && rows.weights[2 * i] == 7.0f;
    }
    assert_int_equal(batch.rows, 30);
    assert_int_equal(batch.refused, kept);
    assert_in_range(kept, 1, 29);
    for (size_t i = 0; i < batch.refused && i < CANYON_BATCH_REFUSED; i++) {
        assert_true(rows.weights[2 * batch.refused_ids[i]] == 7.0f);
        for (size_t j = 0; j < i; j++)
            different += batch.refused_ids[i] != batch.refused_ids[j];
    }
    assert_true(different > 0);
    check_answers(&rows);
    rows_end(&rows);
}

/* Nobody says whether it was dropped or lost. */
static void missing_table_that_nobody_explains(void **state) {
    (void)state;
    struct rows_user rows;
    rows_begin(&rows);
    atomic_store(&rows.user.fake->behaviour, MISS_A_BLOCK);
    assert_int_equal(pull(&rows), CANYON_UNAVAILABLE);
    assert_non_null(strstr(canyon_error_text(), "was not found out"));
    check_answers(&rows);
    rows_end(&rows);
}

static void connection_that_ends(void **state) {
    (void)state;
    struct rows_user rows;
    rows_begin(&rows);
    atomic_store(&rows.user.fake->behaviour, HANG_UP);
    assert_int_equal(pull(&rows), CANYON_UNAVAILABLE);
    check_answers(&rows);
    atomic_store(&rows.user.fake->behaviour, HANG_UP);
    assert_int_equal(canyon_table_push(rows.table, rows.ids, IDS, rows.gradients, 2000), CANYON_OUTCOME_UNKNOWN);
    check_address_in_text(&rows.user);
    check_answers(&rows);
    rows_end(&rows);
}

/* Closed with batches under way: their futures end, their memory is given back. */
static void closed_under_way(void **state) {
    (void)state;
    struct rows_user rows;
    canyon_future *futures[4];
    struct canyon_batch batches[4];
    rows_begin(&rows);
    atomic_store(&rows.user.fake->behaviour, STOP_READING);
    for (size_t i = 0; i < 4; i++) {
        canyon_batch_init(&batches[i]);
        batches[i].ids = rows.ids;
        batches[i].count = IDS;
        batches[i].gradients = rows.gradients;
        assert_int_equal(canyon_table_step_async(rows.table, &batches[i], 5000, &futures[i]), CANYON_OK);
    }
    canyon_close(rows.user.client);
    rows.user.client = NULL;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(canyon_future_wait(futures[i], 0), CANYON_CLOSED);
        canyon_future_release(futures[i]);
    }
    atomic_store(&rows.user.fake->told, 1);
    rows_end(&rows);
}

/* Pages that are not what they say, or not what was asked for. */
static void wrong_pages(void **state) {
    (void)state;
    static const struct {
        struct message_row_page page;
        uint64_t ids[3];
        size_t cut;
        enum canyon_status expected;
    } pages[] = {
        {{.rows = 3, .values = 2}, {1, 5, 9}, 0, CANYON_OK},
        {{.rows = 3, .values = 2}, {1, 5, UINT64_MAX}, 0, CANYON_OK},
        {{.rows = 3, .values = 2}, {1, 5, 9}, 4, CANYON_PROTOCOL},                        /* short */
        {{.rows = 3, .values = 2}, {1, 9, 5}, 0, CANYON_PROTOCOL},                        /* not in order */
        {{.rows = 3, .values = 2}, {1, 5, 5}, 0, CANYON_PROTOCOL},                        /* twice */
        {{.rows = 3, .values = 2}, {1, UINT64_MAX, 0}, 0, CANYON_PROTOCOL},               /* round the end */
        {{.rows = 3, .values = 1}, {1, 5, 9}, 0, CANYON_PROTOCOL},                        /* rows too short */
        {{.rows = 0, .values = 2, .more = true}, {0}, 0, CANYON_PROTOCOL},                /* for ever */
        {{.rows = 3, .values = 2, .more = true}, {1, 5, UINT64_MAX}, 0, CANYON_PROTOCOL}, /* likewise */
    };
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        struct rows_user rows;
        canyon_cursor *cursor = NULL;
        struct canyon_page page;
        rows_begin(&rows);
        rows.user.fake->page = pages[i].page;
        rows.user.fake->page_cut = pages[i].cut;
        memcpy(rows.user.fake->page_ids, pages[i].ids, sizeof pages[i].ids);
        assert_int_equal(canyon_table_cursor(rows.table, 0, &cursor), CANYON_OK);
        enum canyon_status status = canyon_cursor_next(cursor, 2000, &page);
        if (status != pages[i].expected)
            fail_msg("page %zu: %s", i, canyon_status_name(status));
        assert_int_equal(page.count, status == CANYON_OK ? 3 : 0);
        canyon_cursor_close(cursor);
        rows_end(&rows);
    }
}

/* More rows than were asked for; and of all shards the lowest. */
static void lowest_rows(void **state) {
    (void)state;
    struct rows_user rows;
    uint64_t ids[8];
    size_t count = 0;
    rows_begin(&rows);
    rows.user.fake->page = (struct message_row_page){.rows = 3, .values = 2};
    memcpy(rows.user.fake->page_ids, (uint64_t[3]){4, 5, 9}, sizeof rows.user.fake->page_ids);
    assert_int_equal(canyon_table_rows(rows.table, 0, 2, 2000, ids, NULL, &count), CANYON_PROTOCOL);
    assert_int_equal(canyon_table_rows(rows.table, 5, 8, 2000, ids, NULL, &count), CANYON_PROTOCOL); /* below `from` */
    assert_int_equal(canyon_table_rows(rows.table, 4, 8, 2000, ids, rows.weights, &count), CANYON_OK);
    assert_int_equal(count, 8); /* all four shards say that they have them */
    assert_int_equal(ids[0], 4);
    assert_int_equal(ids[7], 5);
    rows_end(&rows);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_that_do_not_fit_the_request),
        cmocka_unit_test(weights_in_another_form_than_asked_for),
        cmocka_unit_test(refused_runs),
        cmocka_unit_test(missing_table_that_nobody_explains),
        cmocka_unit_test(connection_that_ends),
        cmocka_unit_test(closed_under_way),
        cmocka_unit_test(wrong_pages),
        cmocka_unit_test(lowest_rows),
    };
    int failed = 0;
    FAKE_RUN_BOTH_WAYS(tests, failed);
    return failed;
}
