/* Sessions spoken to in frames, on real servers: what comes again is answered with the weights of now, whatever
 * connection it comes over; what leaves a gap is not taken; and a session is that of its key alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/endian.h"
#include "common/rows.h"
#include "tests/faults/routes.h"
#include "tests/integration/raw.h"

#define ELEMENTS 8u
#define ROWS     4u
#define DIM      2u

static const uint8_t own_session[SESSION_BYTES] = {7, 7, 7, 1};

/* A connection of that session; what the server says first is the caller's to receive. */
static void introduce(struct raw *raw, const char *address) {
    struct message_hello hello = {.protocol = FRAME_VERSION, .name = "raw"};
    uint8_t message[LIMIT_MESSAGE_BYTES], bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    memcpy(hello.session, own_session, sizeof own_session);
    raw_introduce(raw, address, bytes,
                  raw_frame(bytes, FRAME_HELLO, 1, message, message_pack_hello(&hello, message), NULL, 0));
    raw->request = 1;
}

static void come(struct raw *raw, const char *address) {
    struct frame frame;
    introduce(raw, address);
    raw_expect(raw, &frame, FRAME_WELCOME, 1);
}

/* A gradient of `value` for block 0; the numbered piece's result, and a weight that came with it. */
static struct message_piece_result push(struct raw *raw, uint64_t tensor, uint64_t number, float value, float *weight) {
    static struct message_pieces pieces;
    static struct message_piece_results results;
    float gradient[ELEMENTS], weights[ELEMENTS];
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct frame frame;
    pieces = (struct message_pieces){.count = 1};
    pieces.pieces[0] = (struct message_piece){.tensor = tensor, .elements = ELEMENTS, .number = number};
    for (unsigned i = 0; i < ELEMENTS; i++)
        gradient[i] = value;
    uint64_t request =
        raw_send(raw, FRAME_PUSH_PULL, message, message_pack_pieces(&pieces, message), gradient, sizeof gradient);
    raw_expect(raw, &frame, FRAME_PUSH_PULLED, request);
    check(message_unpack_piece_results(frame.message, frame.header.message_bytes, &results, NULL) == CANYON_OK);
    check(results.count == 1 && frame.header.payload_bytes == sizeof weights);
    memcpy(weights, frame.payload, sizeof weights);
    for (unsigned i = 1; i < ELEMENTS; i++)
        check(weights[i] == weights[0]);
    *weight = weights[0];
    return results.results[0];
}

/* The same of rows that are all in one shard: a run. */
static struct rows_result push_rows(struct raw *raw, uint64_t table, uint32_t shard, const uint64_t ids[ROWS],
                                    uint64_t number, float value, float *weight) {
    struct message_rows rows = {.table = table, .dim = DIM, .runs = 1, .rows = ROWS, .clock = 1};
    struct rows_run run = {.shard = shard, .rows = ROWS, .number = number};
    struct rows_layout layout = rows_request_layout(1, ROWS, DIM * sizeof(float));
    uint8_t payload[512] = {0}, message[LIMIT_MESSAGE_BYTES];
    float gradients[ROWS * DIM], weights[ROWS * DIM];
    struct rows_result result;
    struct frame frame;
    check(layout.bytes <= sizeof payload);
    for (unsigned i = 0; i < ROWS * DIM; i++)
        gradients[i] = value;
    memcpy(payload, &run, sizeof run);
    memcpy(payload + layout.ids, ids, ROWS * sizeof *ids);
    memcpy(payload + layout.values, gradients, sizeof gradients);
    uint64_t request =
        raw_send(raw, FRAME_TABLE_PUSH_PULL, message, message_pack_rows(&rows, message), payload, layout.bytes);
    raw_expect(raw, &frame, FRAME_TABLE_PUSH_PULLED, request);
    layout = rows_reply_layout(1, ROWS, DIM * sizeof(float));
    check(frame.header.payload_bytes == layout.bytes);
    memcpy(&result, frame.payload, sizeof result);
    memcpy(weights, frame.payload + layout.values, sizeof weights);
    for (unsigned i = 1; i < ROWS * DIM; i++)
        check(weights[i] == weights[0]);
    *weight = weights[0];
    return result;
}

/* How far RESUMED says that the session came in a shard; 0 when it says nothing of it. */
static uint64_t resume(struct raw *raw, uint32_t shard) {
    struct frame frame;
    raw_expect(raw, &frame, FRAME_RESUMED, raw_send(raw, FRAME_RESUME, NULL, 0, NULL, 0));
    for (size_t at = 0; at < frame.header.payload_bytes; at += MESSAGE_RESUMED_ENTRY_BYTES)
        if (load_u32(frame.payload + at) == shard)
            return load_u64(frame.payload + at + 8);
    return 0;
}

struct stand {
    struct cluster *cluster;
    canyon_client *client; /* made the tensor and the table */
    struct raw first;
    uint64_t tensor, table, ids[ROWS];
};

/* A job of one shard: its numbers are those of everything. */
static void stand_start(struct stand *stand, const struct cluster_options *options) {
    struct canyon_table_spec spec;
    canyon_table *table = NULL;
    *stand = (struct stand){.cluster = cluster_start(options), .ids = {3, 1, 4, 15}};
    stand->client = client_connect(cluster_servers(stand->cluster));
    canyon_tensor_close(client_vector(stand->client, "t", ELEMENTS, "sgd:lr=1"));
    canyon_table_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "rows");
    spec.dim = DIM;
    check_ok(canyon_table_spec_optimizer(&spec, "sgd:lr=1"));
    check_ok(canyon_table_create(stand->client, &spec, PATIENCE_MS, &table));
    canyon_table_close(table);
    come(&stand->first, cluster_servers(stand->cluster));
    stand->tensor = raw_find(&stand->first, "t");
    stand->table = raw_find(&stand->first, "rows");
}

static void stand_stop(struct stand *stand) {
    raw_close(&stand->first);
    canyon_close(stand->client);
    cluster_stop(stand->cluster);
}

static void duplicates_bring_fresh_weights(bool plaintext) {
    struct stand stand;
    struct raw second;
    struct error error;
    float weight = 0;
    stand_start(&stand, &(struct cluster_options){.shards = 1, .plaintext = plaintext});
    check(push(&stand.first, stand.tensor, 1, 1, &weight).applied == 1 && weight == -1);
    check(push_rows(&stand.first, stand.table, 0, stand.ids, 2, 1, &weight).applied == 2 && weight == -1);
    check(push(&stand.first, stand.tensor, 3, 2, &weight).applied == 3 && weight == -3);
    check(push_rows(&stand.first, stand.table, 0, stand.ids, 4, 4, &weight).applied == 4 && weight == -5);
    for (int again = 0; again < 3; again++) { /* the first two again: what is there is what all four made */
        struct message_piece_result piece = push(&stand.first, stand.tensor, 1, 1, &weight);
        check(piece.status == CANYON_OK && piece.applied == 4 && piece.stable == 4 && piece.version == 2);
        check(weight == -3);
        struct rows_result run = push_rows(&stand.first, stand.table, 0, stand.ids, 2, 1, &weight);
        check(run.code == CANYON_OK && run.applied == 4 && run.stable == 4 && run.version == 2 && run.rows == 0);
        check(weight == -5);
    }

    /* Over a newer connection too; the older one is fenced, and what still comes out of it is not even looked at. */
    come(&second, cluster_servers(stand.cluster));
    check(resume(&second, 0) == 4);
    check(push(&second, stand.tensor, 3, 2, &weight).applied == 4 && weight == -3);
    check(push(&second, stand.tensor, 5, 8, &weight).applied == 5 && weight == -11);
    error.status = CANYON_OK;
    check(raw_ends(&stand.first, &error, PATIENCE_MS) && error.status == CANYON_FENCED);
    check(push_rows(&second, stand.table, 0, stand.ids, 6, 1, &weight).applied == 6 && weight == -6);
    raw_close(&second);
    stand_stop(&stand);
}

static void duplicates_bring_fresh_weights_encrypted(void **state) {
    (void)state;
    duplicates_bring_fresh_weights(false);
}

static void duplicates_bring_fresh_weights_plaintext(void **state) {
    (void)state;
    duplicates_bring_fresh_weights(true);
}

/* Number 3 after number 1: the connection ends, nothing is taken, and after a RESUME number 2 is the next. */
static void a_gap_ends_the_connection(void **state) {
    (void)state;
    struct stand stand;
    struct error error = {.status = CANYON_OK};
    struct message_pieces pieces = {.count = 1};
    const float gradient[ELEMENTS] = {1};
    uint8_t message[LIMIT_MESSAGE_BYTES];
    float weight = 0;
    stand_start(&stand, &(struct cluster_options){.shards = 1});
    check(push(&stand.first, stand.tensor, 1, 1, &weight).applied == 1);
    pieces.pieces[0] = (struct message_piece){.tensor = stand.tensor, .elements = ELEMENTS, .number = 3};
    raw_send(&stand.first, FRAME_PUSH, message, message_pack_pieces(&pieces, message), gradient, sizeof gradient);
    check(raw_ends(&stand.first, &error, PATIENCE_MS) && error.status == CANYON_GAP);
    raw_close(&stand.first);
    come(&stand.first, cluster_servers(stand.cluster));
    check(resume(&stand.first, 0) == 1);
    check(push(&stand.first, stand.tensor, 2, 1, &weight).applied == 2 && weight == -2);
    stand_stop(&stand);
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

static void copy_file(const char *from, const char *to) {
    char text[4096];
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    check(in != NULL && out != NULL);
    size_t got = fread(text, 1, sizeof text, in);
    check(got > 0 && got < sizeof text && fwrite(text, 1, got, out) == got);
    check(fclose(in) == 0 && fclose(out) == 0);
}

/* A home like the harness's, with another client's key; and an allow-list with both as workers. */
static void make_other_home(const char *directory, char allow[256]) {
    char path[256], own[CANYON_KEY_TEXT_BYTES], other[CANYON_KEY_TEXT_BYTES];
    snprintf(path, sizeof path, "%s/server.key", directory);
    copy_file(harness_keyring()->server_key, path);
    check(chmod(path, 0600) == 0);
    snprintf(path, sizeof path, "%s/key", directory);
    check_ok(canyon_key_generate(path, other));
    check_ok(canyon_key_show(harness_keyring()->key, own));
    snprintf(allow, 256, "%s/allow-of-test", directory);
    FILE *file = fopen(allow, "w");
    check(file != NULL && fprintf(file, "format canyon-allow-1\nworker own %s\nadmin other %s\n", own, other) > 0);
    check(fclose(file) == 0 && chmod(allow, 0600) == 0);
}

/* It comes with the key of that home, and with the session's id. */
static void thief_is_denied(const struct stand *stand, const char *directory) {
    char home[512];
    struct raw thief;
    struct error error = {.status = CANYON_OK};
    snprintf(home, sizeof home, "%s", getenv("CANYON_HOME"));
    setenv("CANYON_HOME", directory, 1);
    introduce(&thief, cluster_servers(stand->cluster));
    setenv("CANYON_HOME", home, 1);
    raw_send(&thief, FRAME_RESUME, NULL, 0, NULL, 0); /* on the chance that they are taken */
    raw_send(&thief, FRAME_LEAVE, NULL, 0, NULL, 0);
    check(raw_ends(&thief, &error, PATIENCE_MS) && error.status == CANYON_DENIED);
    raw_close(&thief);
}

/* Whoever has another key, if an admin's, and knows the session's id, is turned away before it takes a number or
 * fences anybody. */
static void another_key_is_denied(void **state) {
    (void)state;
    char directory[] = "/tmp/canyon-other-XXXXXX", allow[256], path[256];
    struct stand stand;
    float weight = 0;
    check(mkdtemp(directory) != NULL);
    make_other_home(directory, allow);
    stand_start(&stand, &(struct cluster_options){.shards = 1, .allow = allow});
    check(push(&stand.first, stand.tensor, 1, 1, &weight).applied == 1);
    for (int try = 0; try < 3; try++) {
        thief_is_denied(&stand, directory);
        const uint64_t number = 2 + (uint64_t)try;
        check(push(&stand.first, stand.tensor, number, 1, &weight).applied == number);
        check(weight == -(float)number);
    }
    /* Nor when the session has no connection for now. */
    raw_close(&stand.first);
    thief_is_denied(&stand, directory);
    come(&stand.first, cluster_servers(stand.cluster));
    check(resume(&stand.first, 0) == 4);
    check(push(&stand.first, stand.tensor, 5, 1, &weight).applied == 5 && weight == -5);
    stand_stop(&stand);
    static const char *const files[] = {"server.key", "key", "allow-of-test"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        unlink(path);
    }
    rmdir(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        routes_test(duplicates_bring_fresh_weights_encrypted),
        routes_test(duplicates_bring_fresh_weights_plaintext),
        routes_test(a_gap_ends_the_connection),
        routes_test(another_key_is_denied),
    };
    return cmocka_run_group_tests_name("sessions", tests, NULL, NULL);
}
