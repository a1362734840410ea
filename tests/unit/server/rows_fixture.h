/* Requests about rows of tables, put together byte by byte as PROTOCOL.md describes them, and what came back. */
#ifndef CANYON_TESTS_UNIT_SERVER_ROWS_FIXTURE_H
#define CANYON_TESTS_UNIT_SERVER_ROWS_FIXTURE_H

#include "tests/unit/server/handler_fixture.h"

#include "common/codec.h"
#include "common/row_hash.h"
#include "common/rows.h"

#define BATCH_RUNS   8
#define BATCH_IDS    8192
#define BATCH_FLOATS 65536

/* A request of some runs. Of the message, `runs` and `rows` are counted by batch_add; a test may change anything. */
struct batch {
    unsigned type;
    struct message_rows message;
    struct rows_run runs[BATCH_RUNS];
    uint64_t ids[BATCH_IDS];
    float gradients[BATCH_FLOATS]; /* [rows x dim] */
};

static inline void batch_init(struct batch *batch, unsigned type, uint64_t table, uint32_t dim) {
    memset(batch, 0, offsetof(struct batch, runs));
    batch->type = type;
    batch->message.table = table;
    batch->message.dim = dim;
}

/* One run more; every element of its gradients is `gradient`. Returns where its first row's gradient is. */
static inline float *batch_add(struct batch *batch, uint32_t shard, const uint64_t *ids, uint32_t rows,
                               float gradient) {
    struct message_rows *message = &batch->message;
    float *first = batch->gradients + (size_t)message->rows * message->dim;
    assert_true(message->runs < BATCH_RUNS && message->rows + rows <= BATCH_IDS);
    assert_true((message->rows + rows) * (size_t)message->dim <= BATCH_FLOATS);
    batch->runs[message->runs++] = (struct rows_run){.shard = shard, .rows = rows};
    memcpy(batch->ids + message->rows, ids, rows * sizeof *ids);
    for (size_t i = 0; i < (size_t)rows * message->dim; i++) {
        first[i] = gradient;
    }
    message->rows += rows;
    return first;
}

/* The payload of it, and BATCH_MORE zeros behind. Owned. */
#define BATCH_MORE 64
static inline uint8_t *batch_payload(const struct batch *batch, size_t *bytes) {
    const struct message_rows *message = &batch->message;
    const bool pushes = batch->type == FRAME_TABLE_PUSH || batch->type == FRAME_TABLE_PUSH_PULL;
    const size_t row = message->codec < CODEC_TOPK ? codec_bytes((enum codec)message->codec, message->dim, 0) : 0;
    size_t at = message->runs * 24 + message->rows * 8;
    uint8_t *payload = calloc(1, at + 64 + message->rows * row + BATCH_MORE);
    assert_non_null(payload);
    memcpy(payload, batch->runs, message->runs * 24);
    memcpy(payload + message->runs * 24, batch->ids, message->rows * 8);
    if (pushes && message->rows > 0) {
        at = (at + 63) / 64 * 64;
        for (uint32_t i = 0; i < message->rows && row > 0; i++, at += row) {
            codec_encode((enum codec)message->codec, batch->gradients + (size_t)i * message->dim, message->dim, 7,
                         payload + at);
        }
    }
    *bytes = at;
    return payload;
}

static inline uint64_t ask_batch(struct client *client, const struct batch *batch) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    size_t bytes;
    uint8_t *payload = batch_payload(batch, &bytes);
    uint64_t request =
        client_ask(client, batch->type, message, message_pack_rows(&batch->message, message), payload, bytes);
    free(payload);
    return request;
}

/* What came back of it. */
struct batch_reply {
    struct message_rows_done done;
    struct rows_result results[BATCH_RUNS];
    float *weights; /* [done.rows x dim], decoded; owned */
};

static inline void take_batch(struct client *client, uint64_t request, const struct batch *batch,
                              struct batch_reply *answer) {
    const uint32_t dim = batch->message.dim, runs = batch->message.runs;
    const enum codec codec = (enum codec)batch->message.reply;
    const bool pulls = batch->type == FRAME_TABLE_PULL || batch->type == FRAME_TABLE_PUSH_PULL;
    struct reply *reply = client_take(client, request, batch->type + 1);
    const size_t row = codec_bytes(codec, dim, 0);
    size_t rows = 0, at = runs * 40;
    assert_int_equal(message_unpack_rows_done(reply->message, reply->header.message_bytes, &answer->done, NULL),
                     CANYON_OK);
    assert_int_equal(answer->done.runs, runs);
    assert_true(reply->header.payload_bytes >= at);
    memcpy(answer->results, reply->payload, at);
    for (uint32_t i = 0; i < runs; i++) {
        rows += pulls && answer->results[i].code == CANYON_OK ? batch->runs[i].rows : 0;
    }
    assert_int_equal(answer->done.rows, rows);
    while (rows > 0 && at % 64 != 0) {
        assert_int_equal(reply->payload[at++], 0);
    }
    assert_int_equal(reply->header.payload_bytes, at + rows * row);
    answer->weights = malloc((rows * dim + 1) * sizeof(float));
    assert_non_null(answer->weights);
    for (size_t i = 0; i < rows; i++) {
        uint8_t *copy = malloc(row); /* at any alignment it may have */
        memcpy(copy, reply->payload + at + i * row, row);
        assert_int_equal(codec_decode(codec, copy, row, dim, 0, answer->weights + i * dim, NULL), CANYON_OK);
        free(copy);
    }
    reply_free(reply);
}

/* Asks and takes; every run is carried out. Weights must be freed. */
static inline struct batch_reply batch_succeeds(struct client *client, const struct batch *batch) {
    struct batch_reply answer;
    take_batch(client, ask_batch(client, batch), batch, &answer);
    for (uint32_t i = 0; i < answer.done.runs; i++) {
        if (answer.results[i].code != CANYON_OK) {
            fail_msg("run %u: %s", i, answer.done.text);
        }
    }
    assert_string_equal(answer.done.text, "");
    return answer;
}

/* Likewise, of one that answers nothing of interest. */
static inline void batch_passes(struct client *client, const struct batch *batch) {
    free(batch_succeeds(client, batch).weights);
}

/* A request of one run, with the same gradient everywhere. */
static inline void one_run(struct batch *batch, unsigned type, uint64_t table, uint32_t dim, uint32_t shard,
                           const uint64_t *ids, uint32_t rows, float gradient) {
    batch_init(batch, type, table, dim);
    batch_add(batch, shard, ids, rows, gradient);
}

/* The lowest ids from `from` on whose rows are in this shard, by the hash of the table's name. */
static inline void ids_in(const struct job *job, const char *name, uint32_t shard, uint64_t from, uint32_t count,
                          uint64_t *ids) {
    struct row_hash hash;
    row_hash_init(&hash, name);
    for (uint32_t i = 0; i < count; from++) {
        uint64_t hashed;
        row_hash_of(&hash, &from, 1, &hashed);
        if (hashed % job->shards == shard) {
            ids[i++] = from;
        }
    }
}

/* A table of zeros. */
static inline struct tensor_info worker_create_table(struct worker *worker, const char *name, uint32_t dim,
                                                     const char *optimizer, uint64_t cap) {
    struct tensor_spec spec = fixture_raw_spec(name, dim, optimizer);
    struct error error;
    spec.kind = TENSOR_TABLE;
    spec.row_cap = cap;
    spec.initializer = (struct initializer){.kind = INITIALIZER_ZEROS};
    if (shard_canonical_spec(&spec, &error) != CANYON_OK) {
        fail_msg("%s: %s", optimizer, error.text);
    }
    return worker_create(worker, &spec);
}

/* The client whose handler owns a shard. */
static inline struct client *shard_client(struct worker *worker, uint32_t shard) {
    return &worker->clients[bench_place(worker->bench, shard)];
}

/* TABLE_INFO of one shard; *sum, which may be NULL, receives the sum over its rows. */
static inline struct message_table_totals shard_totals_of(struct worker *worker, uint64_t table, uint32_t shard,
                                                          uint64_t sum[4]) {
    struct message_table_query query = {.table = table, .sum = true, .shard = shard};
    struct message_table_totals totals;
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct client *client = shard_client(worker, shard);
    struct reply *reply = client_take(
        client, client_ask(client, FRAME_TABLE_INFO, message, message_pack_table_query(&query, message), NULL, 0),
        FRAME_TABLE_INFO_IS);
    assert_int_equal(message_unpack_table_totals(reply->message, reply->header.message_bytes, &totals, NULL),
                     CANYON_OK);
    assert_int_equal(reply->header.payload_bytes, 32);
    if (sum != NULL) {
        memcpy(sum, reply->payload, 32);
    }
    reply_free(reply);
    return totals;
}

#endif
