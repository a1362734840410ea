/* Tables at the limit on a server's memory; and rows that come doubled or astray in frames that the library would not
 * send. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/codec.h"
#include "common/row_hash.h"
#include "common/rows.h"
#include "tests/integration/harness.h"
#include "tests/integration/raw.h"

#define DIM  64
#define ROWS 512

static canyon_table *table_of(canyon_client *client, const char *name, uint32_t dim, const char *optimizer) {
    struct canyon_table_spec spec;
    canyon_table *table = NULL;
    canyon_table_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "%s", name);
    spec.dim = dim;
    check_ok(canyon_table_spec_optimizer(&spec, optimizer));
    check_ok(canyon_table_create(client, &spec, PATIENCE_MS, &table));
    return table;
}

static uint64_t count_rows(canyon_table *table) {
    struct canyon_table_totals totals;
    check_ok(canyon_table_totals(table, PATIENCE_MS, &totals));
    return totals.rows;
}

static uint64_t state_bytes(canyon_client *client) {
    struct canyon_server_statistics *servers = NULL;
    size_t count = 0;
    check_ok(canyon_statistics(client, PATIENCE_MS, &servers, &count));
    check(count == 1);
    const uint64_t bytes = servers[0].state_bytes;
    canyon_free(servers);
    return bytes;
}

/* ---- The limit on memory ---- */

static float gradients[ROWS * DIM], weights[ROWS * DIM];

/* So many new rows, from this id on, with gradients of -1. */
static enum canyon_status push(canyon_table *table, uint64_t first, size_t count, struct canyon_batch *batch) {
    static uint64_t ids[ROWS];
    for (size_t i = 0; i < count; i++)
        ids[i] = first + i;
    for (size_t i = 0; i < count * DIM; i++) {
        gradients[i] = -1;
        weights[i] = 77;
    }
    canyon_batch_init(batch);
    batch->ids = ids;
    batch->count = count;
    batch->gradients = gradients;
    batch->weights = weights;
    return canyon_table_step(table, batch, PATIENCE_MS);
}

/* Every row is as the pushes left it, or was refused whole: then what the caller had stands there. */
static void check_weights(const struct canyon_batch *batch, float expected) {
    size_t refused = 0;
    for (size_t i = 0; i < batch->count; i++) {
        check(weights[i * DIM] == expected || weights[i * DIM] == 77);
        for (size_t j = 1; j < DIM; j++)
            check(weights[i * DIM + j] == weights[i * DIM]);
        refused += weights[i * DIM] == 77;
    }
    check(refused == batch->refused);
}

/* 4 MiB for each of two threads, filled with rows of 256 bytes. */
static void memory_limit(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.threads = 2, .shards = 8, .memory_limit = "8M"});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *dense = client_vector(client, "dense", 1000, "sgd"), *more = NULL;
    canyon_table *table = table_of(client, "t", DIM, "sgd:lr=1");
    struct canyon_batch batch;
    uint64_t first = 0, made = 0;
    enum canyon_status status = CANYON_OK;
    /* To where the first new rows are refused, and on to where none is taken any more. */
    for (batch.created = 1; batch.created > 0; first += ROWS) {
        check(first < 40000);
        status = push(table, first, ROWS, &batch);
        check(status == CANYON_OK || status == CANYON_NO_MEMORY);
        check((status == CANYON_OK) == (batch.refused == 0) && batch.created + batch.refused == ROWS);
        check_weights(&batch, 1);
        made += batch.created;
        check(count_rows(table) == made && state_bytes(client) <= 8 << 20);
    }
    check(status == CANYON_NO_MEMORY && batch.refused == ROWS);
    check_text("of at most 4194304 are taken already");
    check(state_bytes(client) > 4 << 20 && made > 10000); /* a good part of what there may be */
    /* A batch that is refused whole leaves nothing behind, however often, but that its numbers are used up. */
    uint8_t before[CANYON_DIGEST_BYTES], after[CANYON_DIGEST_BYTES];
    check_ok(canyon_table_digest(table, PATIENCE_MS, before));
    const uint64_t bytes = state_bytes(client);
    for (int i = 0; i < 20; i++)
        check_status(push(table, first, ROWS, &batch), CANYON_NO_MEMORY);
    check_ok(canyon_table_digest(table, PATIENCE_MS, after));
    check(memcmp(before, after, sizeof before) == 0 && state_bytes(client) == bytes);
    /* What is there goes on. */
    check_ok(push(table, 0, ROWS, &batch));
    check(batch.created == 0 && batch.refused == 0);
    check_weights(&batch, 2);
    check_ok(canyon_table_pull(table, batch.ids, ROWS, weights, PATIENCE_MS));
    check(weights[0] == 2);
    check_ok(canyon_push(dense, gradients, PATIENCE_MS));
    /* Nothing else may have what is not there. */
    struct canyon_tensor_spec spec;
    canyon_tensor_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "more");
    spec.rank = 1;
    spec.dims[0] = 4000000;
    check_status(canyon_tensor_create(client, &spec, 2000, &more), CANYON_NO_MEMORY);
    check_text("are taken already");
    /* A table that is gone gives back what it had. */
    canyon_table_close(table);
    check_ok(canyon_tensor_drop(client, "t", PATIENCE_MS));
    check(state_bytes(client) < 1 << 20);
    table = table_of(client, "t", DIM, "sgd:lr=1");
    check_ok(push(table, first, ROWS, &batch));
    check(batch.created == ROWS);
    check_weights(&batch, 1);
    canyon_tensor_close(dense);
    canyon_table_close(table);
    canyon_close(client);
    cluster_stop(cluster);
}

/* ---- Frames by hand ---- */

struct rows_frame {
    struct rows_run run;
    uint64_t ids[5];
    float gradients[5];
} __attribute__((packed, aligned(64)));
_Static_assert(sizeof(struct rows_frame) >= 24 + 40 + 20, "24 bytes of a run and five ids are 64: no zeros follow");

/* The lowest ids of a shard of 16. */
static void ids_of(const char *name, uint32_t shard, size_t count, uint64_t *ids) {
    struct row_hash hash;
    row_hash_init(&hash, name);
    for (uint64_t id = 0, found = 0; found < count; id++) {
        uint64_t hashed;
        row_hash_of(&hash, &id, 1, &hashed);
        if (hashed % 16 == shard)
            ids[found++] = id;
    }
}

static void send_rows(struct raw *raw, uint64_t table, const struct rows_frame *rows, struct frame *reply) {
    struct message_rows message = {.table = table, .dim = 1, .runs = 1, .rows = 5, .clock = 1};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    uint64_t request =
        raw_send(raw, FRAME_TABLE_PUSH_PULL, bytes, message_pack_rows(&message, bytes), rows, 24 + 40 + 20);
    raw_expect(raw, reply, FRAME_TABLE_PUSH_PULLED, request);
}

/* What a frame has three times is added up by the server, in its order, as the library does before it sends: one step
 * of adagrad, whose first is lr * sign, and the same rows on two servers to the last bit. */
static void doubled_rows(void **state) {
    (void)state;
    struct rows_frame rows = {.run = {.shard = 9, .rows = 5}, .gradients = {0.1f, 0.7f, 2, -1e-3f, 1e8f}};
    uint8_t sums[2][CANYON_DIGEST_BYTES];
    ids_of("t", 9, 3, rows.ids);
    rows.ids[4] = rows.ids[3] = rows.ids[1];
    for (int side = 0; side < 2; side++) {
        struct cluster *cluster = cluster_start(NULL);
        canyon_client *client = client_connect(cluster_servers(cluster));
        canyon_table *table = table_of(client, "t", 1, "adagrad:lr=1");
        uint64_t ids[5];
        float out[5];
        memcpy(ids, rows.ids, sizeof ids);
        memcpy(out, rows.gradients, sizeof out);
        if (side == 0) {
            struct raw raw;
            struct frame reply;
            struct rows_result result;
            raw_open(&raw, cluster_address(cluster, 0), 0, NULL);
            send_rows(&raw, raw_find(&raw, "t"), &rows, &reply);
            check(reply.header.payload_bytes == 64 + 20);
            memcpy(&result, reply.payload, sizeof result);
            check(result.code == CANYON_OK && result.rows == 3 && result.version == 1);
            memcpy(out, reply.payload + 64, sizeof out);
            raw_close(&raw);
        } else {
            check_ok(canyon_table_push_pull(table, ids, 5, out, out, PATIENCE_MS));
        }
        for (int i = 0; i < 5; i++)
            check(out[i] > -1.000001f && out[i] < -0.999999f);
        check(count_rows(table) == 3);
        check_ok(canyon_table_digest(table, PATIENCE_MS, sums[side]));
        canyon_table_close(table);
        canyon_close(client);
        cluster_stop(cluster);
    }
    check(memcmp(sums[0], sums[1], sizeof sums[0]) == 0);
}

/* Any number is an id; which shard it has is not the sender's to say. */
static void rows_astray(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(NULL);
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_table *table = table_of(client, "t", 1, "sgd:lr=1");
    struct rows_frame rows = {.run = {.shard = 3, .rows = 5}, .gradients = {1, 1, 1, 1, 1}};
    struct raw raw;
    struct frame reply;
    struct rows_result result;
    ids_of("t", 3, 5, rows.ids);
    raw_open(&raw, cluster_address(cluster, 0), 0, NULL);
    const uint64_t id = raw_find(&raw, "t"), good = rows.ids[4];
    ids_of("t", 4, 1, &rows.ids[4]);
    send_rows(&raw, id, &rows, &reply);
    memcpy(&result, reply.payload, sizeof result);
    check(result.code == CANYON_INVALID_ARGUMENT && reply.header.payload_bytes == sizeof result);
    check(count_rows(table) == 0);
    rows.ids[4] = good;
    send_rows(&raw, id, &rows, &reply);
    memcpy(&result, reply.payload, sizeof result);
    check(result.code == CANYON_OK && count_rows(table) == 5);
    raw_close(&raw);
    canyon_table_close(table);
    canyon_close(client);
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        integration_test(memory_limit),
        integration_test(doubled_rows),
        integration_test(rows_astray),
    };
    codec_start();
    return cmocka_run_group_tests_name("table limits", tests, NULL, NULL);
}
