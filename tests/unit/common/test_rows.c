/* Payloads of rows: what is refused of them, and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/codec.h"
#include "common/rows.h"
#include "seed.h"

#define LIMIT  (1u << 20)
#define SHARDS 256

static void layouts(void **state) {
    (void)state;
    struct rows_layout request = rows_request_layout(3, 5, 0);
    assert_int_equal(request.ids, 72);
    assert_int_equal(request.bytes, 72 + 40);
    request = rows_request_layout(3, 5, 64);
    assert_int_equal(request.values, 128);
    assert_int_equal(request.bytes, 128 + 5 * 64);
    struct rows_layout reply = rows_reply_layout(3, 5, 8);
    assert_int_equal(reply.values, 128);
    assert_int_equal(reply.bytes, 128 + 40);
    assert_int_equal(rows_reply_layout(3, 0, 8).bytes, 120);
    assert_int_equal(rows_reply_layout(3, 5, 0).bytes, 120);
    const struct message_row_page page = {.rows = 3, .values = 48, .scalars = 1};
    struct rows_page_layout pages = rows_page_layout(&page, true);
    assert_int_equal(pages.counts, 24);
    assert_int_equal(pages.scalars, 48);
    assert_int_equal(pages.values, 128);
    assert_int_equal(pages.bytes, 128 + 3 * 48 * 4);
    pages = rows_page_layout(&page, false);
    assert_int_equal(pages.values, 64);
    const struct message_row_page none = {.rows = 0, .values = 48};
    assert_int_equal(rows_page_layout(&none, true).bytes, 0);
}

static void bytes_of_a_row(void **state) {
    (void)state;
    assert_int_equal(rows_row_bytes(CODEC_F32, 5), 20);
    assert_int_equal(rows_row_bytes(CODEC_BF16, 5), 12);
    assert_int_equal(rows_row_bytes(CODEC_F16, 16), 32);
    assert_int_equal(rows_row_bytes(CODEC_INT8, 5), 12);
    assert_int_equal(rows_row_bytes(CODEC_INT8_STOCHASTIC, 128), 136);
    assert_int_equal(rows_row_bytes(CODEC_TOPK, 5), 0);
    assert_int_equal(rows_row_bytes(99, 5), 0);
}

struct batch {
    unsigned type;
    struct message_rows message;
    struct rows_run runs[4];
    uint8_t payload[4096];
    size_t bytes;
};

/* Runs of 2, 1 and 3 rows in shards 0, 9 and 255. */
static void batch_init(struct batch *batch, unsigned type) {
    memset(batch, 0, sizeof *batch);
    batch->type = type;
    batch->message = (struct message_rows){.table = 1, .dim = 4, .runs = 3, .rows = 6};
    const uint32_t shards[] = {0, 9, 255}, rows[] = {2, 1, 3};
    for (size_t i = 0; i < 3; i++) {
        batch->runs[i] = (struct rows_run){.shard = shards[i], .rows = rows[i]};
    }
    batch->bytes = rows_request_layout(3, 6, rows_push(type) ? 16 : 0).bytes;
}

static enum canyon_status judge(struct batch *batch, const char *text) {
    struct rows_layout layout;
    struct error error = {.status = CANYON_OK};
    memcpy(batch->payload, batch->runs, sizeof(struct rows_run) * 3);
    enum canyon_status status =
        rows_check_request(batch->type, &batch->message, batch->payload, batch->bytes, SHARDS, LIMIT, &layout, &error);
    if (status != CANYON_OK && (text == NULL || strstr(error.text, text) == NULL)) {
        fail_msg("\"%s\" does not say %s", error.text, text == NULL ? "nothing" : text);
    }
    return status;
}

static const unsigned types[] = {FRAME_TABLE_PUSH, FRAME_TABLE_PULL, FRAME_TABLE_PUSH_PULL, FRAME_TABLE_ERASE};

static void good_requests(void **state) {
    (void)state;
    struct batch batch;
    for (size_t i = 0; i < 4; i++) {
        batch_init(&batch, types[i]);
        assert_int_equal(judge(&batch, NULL), CANYON_OK);
    }
}

static void counts_that_disagree(void **state) {
    (void)state;
    struct batch batch;
    for (size_t i = 0; i < 4; i++) {
        batch_init(&batch, types[i]);
        batch.bytes++;
        assert_int_equal(judge(&batch, "payload of"), CANYON_PROTOCOL);
        batch_init(&batch, types[i]);
        batch.runs[1].rows = 2;
        assert_int_equal(judge(&batch, "its runs have 7"), CANYON_PROTOCOL);
        batch_init(&batch, types[i]);
        batch.runs[1].rows = UINT32_MAX;
        batch.runs[2].rows = 5; /* as many together as there should be, in 32 bits */
        assert_int_equal(judge(&batch, "its runs have 4294967302"), CANYON_PROTOCOL);
        batch_init(&batch, types[i]);
        batch.message.runs = 0;
        assert_int_equal(judge(&batch, "in 0 shards"), CANYON_PROTOCOL);
        batch_init(&batch, types[i]);
        batch.message.rows = 2;
        assert_int_equal(judge(&batch, "2 rows in 3 shards"), CANYON_PROTOCOL);
    }
}

static void runs_that_cannot_be(void **state) {
    (void)state;
    struct batch batch;
    batch_init(&batch, FRAME_TABLE_PUSH);
    batch.runs[1].shard = 0;
    assert_int_equal(judge(&batch, "for shard 0 in place 1"), CANYON_PROTOCOL);
    batch_init(&batch, FRAME_TABLE_PUSH);
    batch.runs[2].shard = 256;
    assert_int_equal(judge(&batch, "for shard 256"), CANYON_PROTOCOL);
    batch_init(&batch, FRAME_TABLE_PUSH);
    batch.runs[2].shard = UINT32_MAX;
    assert_int_equal(judge(&batch, "for shard 4294967295"), CANYON_PROTOCOL);
    batch_init(&batch, FRAME_TABLE_PUSH);
    batch.runs[0].rows = 0;
    batch.runs[2].rows = 5;
    assert_int_equal(judge(&batch, "0 rows for shard 0"), CANYON_PROTOCOL);
    batch_init(&batch, FRAME_TABLE_PUSH);
    batch.payload[3 * 24 + 6 * 8] = 1; /* between ids and values */
    assert_int_equal(judge(&batch, "other than zeros"), CANYON_PROTOCOL);
}

static void codecs_and_words(void **state) {
    (void)state;
    struct batch batch;
    batch_init(&batch, FRAME_TABLE_PULL);
    batch.message.codec = CODEC_BF16;
    assert_int_equal(judge(&batch, "no gradients"), CANYON_INVALID_ARGUMENT);
    batch_init(&batch, FRAME_TABLE_PUSH);
    batch.message.reply = CODEC_BF16;
    assert_int_equal(judge(&batch, "no weights"), CANYON_INVALID_ARGUMENT);
    batch_init(&batch, FRAME_TABLE_PUSH_PULL);
    batch.message.codec = CODEC_TOPK;
    assert_int_equal(judge(&batch, "topk"), CANYON_INVALID_ARGUMENT);
    batch.message.codec = CODEC_LAST + 1;
    assert_int_equal(judge(&batch, "no codec 6"), CANYON_UNSUPPORTED);
    batch_init(&batch, FRAME_TABLE_PUSH_PULL);
    batch.message.create = true;
    assert_int_equal(judge(&batch, "create"), CANYON_INVALID_ARGUMENT);
    batch_init(&batch, FRAME_TABLE_PUSH_PULL);
    batch.message.dim = 0;
    assert_int_equal(judge(&batch, "at least one element"), CANYON_INVALID_ARGUMENT);
}

/* A request may be small and its answer, or the work it makes, large. */
static void too_large(void **state) {
    (void)state;
    struct batch batch;
    batch_init(&batch, FRAME_TABLE_PULL);
    batch.message.rows = LIMIT_BATCH_ROWS;
    batch.message.dim = 4;
    assert_int_equal(judge(&batch, "a payload at most 1048576"), CANYON_TOO_LARGE);
    batch.message.dim = LIMIT_DIM;
    batch.message.reply = CODEC_INT8;
    assert_int_equal(judge(&batch, "4294967296 bytes"), CANYON_TOO_LARGE);
    batch.type = FRAME_TABLE_ERASE; /* no values at all: it is only the payload that is short */
    batch.message.reply = CODEC_F32;
    assert_int_equal(judge(&batch, "payload of"), CANYON_PROTOCOL);
}

/* ---- replies ---- */

static void replies(void **state) {
    (void)state;
    const struct rows_run runs[2] = {{.shard = 1, .rows = 2}, {.shard = 3, .rows = 1}};
    const struct message_rows asked = {.table = 1, .dim = 4, .runs = 2, .rows = 3};
    struct rows_layout layout;
    struct error error;
    uint8_t payload[256] = {0};
    struct message_rows_done done = {.runs = 2, .rows = 3};
#define JUDGE(type, bytes) rows_check_reply(type, &asked, runs, &done, payload, bytes, &layout, &error)
    assert_int_equal(JUDGE(FRAME_TABLE_PULL, 128 + 48), CANYON_OK);
    assert_int_equal(layout.values, 128);
    assert_int_equal(JUDGE(FRAME_TABLE_PULL, 128 + 32), CANYON_PROTOCOL);
    assert_int_equal(JUDGE(FRAME_TABLE_PUSH, 80), CANYON_PROTOCOL); /* rows that nobody asked for */
    payload[100] = 1;
    assert_int_equal(JUDGE(FRAME_TABLE_PULL, 128 + 48), CANYON_PROTOCOL);
    payload[100] = 0;
    payload[0] = CANYON_NOT_FINITE; /* the first run is refused, and its two rows are not there */
    assert_int_equal(JUDGE(FRAME_TABLE_PULL, 128 + 48), CANYON_PROTOCOL);
    done.rows = 1;
    assert_int_equal(JUDGE(FRAME_TABLE_PULL, 128 + 16), CANYON_OK);
    done.rows = 0;
    assert_int_equal(JUDGE(FRAME_TABLE_PUSH, 80), CANYON_OK);
    assert_int_equal(JUDGE(FRAME_TABLE_ERASE, 80), CANYON_OK);
    done.runs = 1;
    assert_int_equal(JUDGE(FRAME_TABLE_ERASE, 40), CANYON_PROTOCOL);
#undef JUDGE
}

/* Whatever bytes come: an answer, and never a look behind them (which AddressSanitizer would see). */
static void garbage(void **state) {
    (void)state;
    uint64_t random = seed_begin(__func__);
    struct rows_layout layout;
    struct error error;
    for (int round = 0; round < 20000; round++) {
        struct message_rows message = {.dim = 1 + (uint32_t)seed_below(&random, 4),
                                       .runs = (uint32_t)seed_below(&random, 4),
                                       .rows = (uint32_t)seed_below(&random, 6),
                                       .codec = (uint32_t)seed_below(&random, 3),
                                       .reply = (uint32_t)seed_below(&random, 3)};
        uint8_t payload[160];
        size_t bytes = seed_below(&random, sizeof payload + 1);
        for (size_t i = 0; i < bytes; i++) {
            payload[i] = seed_below(&random, 4) == 0 ? (uint8_t)seed_below(&random, 4) : 0;
        }
        uint8_t *exact = test_malloc(bytes + 1);
        memcpy(exact, payload, bytes);
        unsigned type = types[seed_below(&random, 4)];
        enum canyon_status status = rows_check_request(type, &message, exact, bytes, 3, LIMIT, &layout, &error);
        assert_true(status != CANYON_OK || layout.bytes == bytes);
        test_free(exact);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layouts),
        cmocka_unit_test(bytes_of_a_row),
        cmocka_unit_test(good_requests),
        cmocka_unit_test(counts_that_disagree),
        cmocka_unit_test(runs_that_cannot_be),
        cmocka_unit_test(codecs_and_words),
        cmocka_unit_test(too_large),
        cmocka_unit_test(replies),
        cmocka_unit_test(garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
