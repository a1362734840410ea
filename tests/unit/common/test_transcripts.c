/* The wire, byte for byte: whole frames of every type against the transcripts that make.py encoded by hand. */
#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/codec.h"
#include "common/endian.h"
#include "common/frame.h"
#include "common/hash.h"
#include "common/job.h"
#include "common/message.h"
#include "common/rows.h"

#define W1 0x1122334455667788u
#define W2 0xffeeddccbbaa9988u

/* ---- transcripts ---- */

struct transcript {
    uint8_t bytes[4096];
    size_t count;
    struct frame_header header;
    const uint8_t *message, *payload;
};

static unsigned digit(int c) {
    return isdigit(c) ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

/* Reads tests/data/transcripts/<name>.hex; lines that begin with # are comments. */
static void transcript_read(const char *name, struct transcript *transcript) {
    char path[512];
    snprintf(path, sizeof path, "%s/tests/data/transcripts/%s.hex", CANYON_SOURCE_DIR, name);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fail_msg("cannot open %s", path);
        return;
    }
    memset(transcript, 0, sizeof *transcript);
    char line[256];
    while (fgets(line, sizeof line, file) != NULL) {
        for (const char *at = line;
             line[0] != '#' && isxdigit((unsigned char)at[0]) && isxdigit((unsigned char)at[1]);) {
            assert_in_range(transcript->count, 0, sizeof transcript->bytes - 1);
            transcript->bytes[transcript->count++] = (uint8_t)(digit(at[0]) << 4 | digit(at[1]));
            at += at[2] == ' ' ? 3 : 2;
        }
    }
    fclose(file);
    assert_in_range(transcript->count, FRAME_HEADER_BYTES, sizeof transcript->bytes);
    struct error error;
    assert_int_equal(frame_header_decode(transcript->bytes, FRAME_PAYLOAD_LIMIT, &transcript->header, &error),
                     CANYON_OK);
    transcript->message = transcript->bytes + FRAME_HEADER_BYTES;
    transcript->payload = transcript->message + transcript->header.message_bytes;
    assert_int_equal(transcript->count,
                     FRAME_HEADER_BYTES + transcript->header.message_bytes + transcript->header.payload_bytes);
}

/* Builds the frame from its parts with the C code and compares it with the transcript as a whole. */
static void same_frame(const char *name, enum frame_type type, uint64_t request, const uint8_t *message, size_t count,
                       const void *payload, size_t payload_bytes) {
    struct transcript golden;
    transcript_read(name, &golden);
    uint8_t made[8192];
    struct frame_header header = {.type = (uint16_t)type,
                                  .message_bytes = (uint32_t)count,
                                  .payload_bytes = (uint32_t)payload_bytes,
                                  .request = request};
    frame_header_encode(&header, made);
    if (count > 0) {
        memcpy(made + FRAME_HEADER_BYTES, message, count);
    }
    if (payload_bytes > 0) {
        memcpy(made + FRAME_HEADER_BYTES + count, payload, payload_bytes);
    }
    if (golden.count != FRAME_HEADER_BYTES + count + payload_bytes || memcmp(made, golden.bytes, golden.count) != 0) {
        fail_msg("%s.hex has other bytes than the code makes: the wire has changed", name);
    }
    assert_int_equal(golden.header.type, type);
    assert_int_equal(golden.header.request, request);
}

/* The transcript's message, unpacked, must equal the struct that made it. */
#define CHECK(name, type, request, kind, value, payload, payload_bytes)                                                \
    do {                                                                                                               \
        uint8_t packed[LIMIT_MESSAGE_BYTES];                                                                           \
        size_t packed_bytes = message_pack_##kind(&(value), packed);                                                   \
        same_frame(name, type, request, packed, packed_bytes, payload, payload_bytes);                                 \
        struct transcript golden;                                                                                      \
        transcript_read(name, &golden);                                                                                \
        __typeof__(value) back;                                                                                        \
        memset(&back, 0, sizeof back);                                                                                 \
        struct error error;                                                                                            \
        assert_int_equal(message_unpack_##kind(golden.message, golden.header.message_bytes, &back, &error),            \
                         CANYON_OK);                                                                                   \
        assert_memory_equal(&back, &(value), sizeof back);                                                             \
    } while (0)

/* ---- the contents, as in make.py ---- */

/* The structs are static so that their padding is zero and they compare as memory. */
static void set_job(struct job *job) {
    static const char servers[] = "10.0.0.1:7077\n[fd00::2]:7077";
    struct error error;
    job_init(job);
    snprintf(job->name, sizeof job->name, "digits");
    job->shards = 256;
    job->block = 65536;
    assert_int_equal(job_set_servers(job, servers, strlen(servers), '\n', &error), CANYON_OK);
}

static void set_setting(struct tensor_spec *spec, const char *name, double value) {
    assert_int_equal(optimizer_spec_set(&spec->optimizer, name, value, NULL), CANYON_OK);
}

static void set_weights(struct tensor_spec *spec) {
    snprintf(spec->name, sizeof spec->name, "mlp/w1");
    spec->shape = (struct shape){.rank = 2, .dims = {32, 64}};
    snprintf(spec->optimizer.name, sizeof spec->optimizer.name, "adam");
    set_setting(spec, "lr", 0.001);
    set_setting(spec, "beta1", 0.9);
    set_setting(spec, "beta2", 0.999);
    set_setting(spec, "eps", 1e-8);
    spec->initializer.kind = INITIALIZER_XAVIER;
    spec->initializer.seed = 1ull << 63;
    spec->initializer.a = 1.0;
}

static void set_bias(struct tensor_spec *spec) {
    snprintf(spec->name, sizeof spec->name, "mlp/b1");
    spec->shape = (struct shape){.rank = 1, .dims = {32}};
    snprintf(spec->optimizer.name, sizeof spec->optimizer.name, "sgd");
    set_setting(spec, "lr", 0.05);
    set_setting(spec, "weight_decay", 0.0);
    spec->initializer.kind = INITIALIZER_UNIFORM;
    spec->initializer.seed = 7;
    spec->initializer.a = -0.5;
    spec->initializer.b = 0.5;
}

static void greeting(void **state) {
    (void)state;
    static struct message_hello hello;
    static struct message_welcome welcome;
    struct job job;
    set_job(&job);
    hello.protocol = welcome.protocol = 1;
    hello.thread = welcome.thread = 3;
    for (unsigned i = 0; i < 16; i++) {
        hello.session[i] = (uint8_t)(0x10 + i);
        welcome.boot[i] = (uint8_t)(0xa0 + i);
    }
    hello.has_digest = true;
    /* make.py has its own digest of the same job: this compares the two definitions as well. */
    job_digest(&job, hello.digest);
    job_digest(&job, welcome.digest);
    job_finish(&job);
    snprintf(hello.name, sizeof hello.name, "worker-0");
    CHECK("hello", FRAME_HELLO, 1, hello, hello, NULL, 0);
    welcome.threads = 4;
    snprintf(welcome.job, sizeof welcome.job, "digits");
    welcome.shards = 256;
    welcome.block = 65536;
    welcome.server = 1;
    snprintf(welcome.version, sizeof welcome.version, "0.1.0");
    static const char servers[] = "10.0.0.1:7077\n[fd00::2]:7077";
    CHECK("welcome", FRAME_WELCOME, 1, welcome, welcome, servers, strlen(servers));
    static struct error refusal;
    refusal.status = CANYON_NOT_FOUND;
    snprintf(refusal.text, sizeof refusal.text, "no tensor \"mlp/w9\"");
    CHECK("error", FRAME_ERROR, 0x0102030405060708u, error, refusal, NULL, 0);
}

static void catalogue(void **state) {
    (void)state;
    static struct message_create create;
    static struct message_created created;
    static struct message_open open;
    static struct tensor_info weights, bias;
    set_weights(&create.spec);
    create.wait_ms = 10000;
    CHECK("create", FRAME_CREATE, 2, create, create, NULL, 0);
    weights.id = W1;
    weights.state = TENSOR_CREATING;
    set_weights(&weights.spec);
    memcpy(&created.tensor, &weights, sizeof weights);
    created.creator = true;
    CHECK("created", FRAME_CREATED, 2, created, created, NULL, 0);
    snprintf(open.name, sizeof open.name, "mlp/b1");
    open.wait_ms = LIMIT_WAIT_MS;
    CHECK("open", FRAME_OPEN, 3, open, open, NULL, 0);
    bias.id = W2;
    bias.state = TENSOR_COMPLETE;
    set_bias(&bias.spec);
    CHECK("opened", FRAME_OPENED, 3, opened, bias, NULL, 0);
    CHECK("define", FRAME_DEFINE, 4, define, weights, NULL, 0);
    static struct message_list list;
    static struct message_listed listed;
    snprintf(list.after, sizeof list.after, "mlp/a");
    CHECK("list", FRAME_LIST, 9, list, list, NULL, 0);
    listed.count = 2;
    memcpy(&listed.tensors[0], &bias, sizeof bias);
    memcpy(&listed.tensors[1], &weights, sizeof weights);
    listed.tensors[1].state = TENSOR_DROPPING;
    listed.more = true;
    CHECK("listed", FRAME_LISTED, 9, listed, listed, NULL, 0);
}

static void tensors(void **state) {
    (void)state;
    static struct message_tensor named, tensor;
    snprintf(named.name, sizeof named.name, "mlp/w1");
    CHECK("drop", FRAME_DROP, 6, tensor, named, NULL, 0);
    snprintf(tensor.name, sizeof tensor.name, "mlp/w1");
    tensor.id = W1;
    CHECK("complete", FRAME_COMPLETE, 5, tensor, tensor, NULL, 0);
    CHECK("completed", FRAME_COMPLETED, 5, tensor, tensor, NULL, 0);
    CHECK("dropping", FRAME_DROPPING, 6, tensor, tensor, NULL, 0);
    CHECK("undefine", FRAME_UNDEFINE, 7, tensor, tensor, NULL, 0);
    CHECK("dropped", FRAME_DROPPED, 8, tensor, tensor, NULL, 0);
    CHECK("drop_done", FRAME_DROP_DONE, 8, tensor, tensor, NULL, 0);
    same_frame("defined", FRAME_DEFINED, 4, NULL, 0, NULL, 0);
    same_frame("undefined", FRAME_UNDEFINED, 7, NULL, 0, NULL, 0);
}

static void settings(void **state) {
    (void)state;
    static struct message_set set;
    static struct tensor_info bias;
    snprintf(set.name, sizeof set.name, "mlp/b1");
    set.count = 1;
    set.settings[0] = (struct setting){.name = "lr", .value = 0.05};
    bias.id = W2;
    bias.state = TENSOR_COMPLETE;
    bias.epoch = 300;
    set_bias(&bias.spec);
    CHECK("set", FRAME_SET, 19, set, set, NULL, 0);
    CHECK("set_done", FRAME_SET_DONE, 19, opened, bias, NULL, 0);
    CHECK("adjust", FRAME_ADJUST, 20, define, bias, NULL, 0);
    same_frame("adjusted", FRAME_ADJUSTED, 20, NULL, 0, NULL, 0);
}

static void transfers(void **state) {
    (void)state;
    static struct message_pieces pieces;
    static struct message_piece_results done, pushed, pulled;
    pieces.count = 2;
    pieces.pieces[0] = (struct message_piece){.tensor = W1, .block = 0, .elements = 3, .version = 5};
    pieces.pieces[1] = (struct message_piece){.tensor = W2, .block = 70000, .elements = 2, .version = 300};
    done.count = pushed.count = pulled.count = 2;
    done.results[0].version = 6;
    done.results[1].version = 303;
    done.results[1].staleness = 2;
    pushed.results[0] = (struct message_piece_result){.status = CANYON_NOT_FINITE, .version = 5};
    pushed.results[1] = (struct message_piece_result){.version = 301, .staleness = 1};
    snprintf(pushed.text, sizeof pushed.text, "element 1 of the gradient is not finite");
    pulled.results[0].version = 6;
    pulled.results[1].version = 301;
    static const float assign[] = {1, -2, 0.5f, 3.25f, -0.0f}, push[] = {1, -2, 0.5f, 3.25f, 1e-30f};
    static const float pull[] = {0.25f, 0.5f, 0.75f, 1, -1}, there[] = {1, 2, 3, 4, 5},
                       back_again[] = {-1, -2, -3, -4, -5};
    CHECK("assign", FRAME_ASSIGN, 10, pieces, pieces, assign, sizeof assign);
    CHECK("assigned", FRAME_ASSIGNED, 10, piece_results, done, NULL, 0);
    CHECK("push", FRAME_PUSH, 11, pieces, pieces, push, sizeof push);
    CHECK("pushed", FRAME_PUSHED, 11, piece_results, pushed, NULL, 0);
    CHECK("pull", FRAME_PULL, 12, pieces, pieces, NULL, 0);
    CHECK("pulled", FRAME_PULLED, 12, piece_results, pulled, pull, sizeof pull);
    CHECK("push_pull", FRAME_PUSH_PULL, 13, pieces, pieces, there, sizeof there);
    CHECK("push_pulled", FRAME_PUSH_PULLED, 13, piece_results, done, back_again, sizeof back_again);
}

static void workers(void **state) {
    (void)state;
    static struct message_join join;
    static struct message_joined joined;
    static struct message_barrier barrier;
    snprintf(join.name, sizeof join.name, "worker-0");
    CHECK("join", FRAME_JOIN, 14, join, join, NULL, 0);
    joined.count = 1;
    CHECK("joined", FRAME_JOINED, 14, joined, joined, NULL, 0);
    snprintf(barrier.name, sizeof barrier.name, "epoch-1");
    barrier.count = 4;
    barrier.wait_ms = 10000;
    CHECK("barrier", FRAME_BARRIER, 15, barrier, barrier, NULL, 0);
    same_frame("barrier_passed", FRAME_BARRIER_PASSED, 15, NULL, 0, NULL, 0);
}

static void seeing(void **state) {
    (void)state;
    uint64_t counters[35];
    for (uint64_t i = 1; i <= 35; i++) {
        static const uint64_t powers[] = {1, 1000003, 1000003ull * 1000003};
        counters[i - 1] = i * i * powers[i % 3];
    }
    static struct message_statistics statistics;
    assert_int_equal(sizeof counters, sizeof statistics);
    memcpy(&statistics, counters, sizeof statistics);
    same_frame("statistics", FRAME_STATISTICS, 16, NULL, 0, NULL, 0);
    CHECK("statistics_are", FRAME_STATISTICS_ARE, 16, statistics, statistics, NULL, 0);
    assert_int_equal(statistics.uptime_ms, 1000003);            /* field 1 */
    assert_int_equal(statistics.parked, 289 * 1000006000009u);  /* field 17 */
    assert_int_equal(statistics.clipped, 441);                  /* field 21 */
    assert_int_equal(statistics.turned_away, 484 * 1000003);    /* field 22 */
    assert_int_equal(statistics.aborted, 529 * 1000006000009u); /* field 23 */
    assert_int_equal(statistics.values_in, 576);                /* field 24 */
    assert_int_equal(statistics.values_out_single, 729);        /* field 27 */
    assert_int_equal(statistics.rows_pushed, 900);              /* field 30 */
    assert_int_equal(statistics.duplicates, 1089);              /* field 33 */
}

static void digests(void **state) {
    (void)state;
    uint8_t entries[2 * MESSAGE_DIGEST_ENTRY_BYTES];
    for (uint32_t i = 0; i < 2; i++) {
        uint8_t *entry = entries + i * MESSAGE_DIGEST_ENTRY_BYTES;
        uint8_t shard = (uint8_t)(2 * i + 1);
        store_u32(entry, shard);
        store_u64(entry + 4, shard * 5000000000u);
        struct hash hash;
        hash_init(&hash);
        hash_update(&hash, &shard, 1);
        hash_final(&hash, entry + 12);
    }
    same_frame("digest", FRAME_DIGEST, 17, NULL, 0, NULL, 0);
    same_frame("digests", FRAME_DIGESTS, 17, NULL, 0, entries, sizeof entries);
}

/* Optimizer state: an array and two numbers of one block. */
static void slots(void **state) {
    (void)state;
    static struct message_pieces pieces;
    static struct message_piece_results results;
    uint8_t payload[28];
    const float array[3] = {1.0f, -2.0f, 0.5f};
    const double scalar = 0.25;
    pieces.count = results.count = 3;
    pieces.pieces[0] = (struct message_piece){.tensor = W1, .elements = 3, .slot = SLOT_ARRAYS + 1};
    pieces.pieces[1] = (struct message_piece){.tensor = W1, .elements = SLOT_NUMBER_WORDS, .slot = SLOT_STEP};
    pieces.pieces[2] = (struct message_piece){.tensor = W1, .elements = SLOT_NUMBER_WORDS, .slot = SLOT_SCALARS};
    for (size_t i = 0; i < 3; i++) {
        results.results[i].version = 6;
    }
    memcpy(payload, array, sizeof array);
    store_u64(payload + 12, 1000);
    memcpy(payload + 20, &scalar, sizeof scalar);
    CHECK("assign_slots", FRAME_ASSIGN, 22, pieces, pieces, payload, sizeof payload);
    CHECK("pull_slots", FRAME_PULL, 23, pieces, pieces, NULL, 0);
    CHECK("pulled_slots", FRAME_PULLED, 23, piece_results, results, payload, sizeof payload);
}

/* make.py encodes the same numbers by itself. */
static uint8_t *add_encoded(uint8_t *at, enum codec codec, const float *values, size_t count) {
    codec_encode(codec, values, count, 0, at);
    return at + codec_bytes(codec, count, 0);
}

static void codecs(void **state) {
    (void)state;
    static struct message_pieces pieces;
    static struct message_piece_results results;
    static const float five[] = {1.0f, -2.00390625f, 3.1415927410125732f, 1e-3f, -65504.0f};
    static const float three[] = {0.1f, -2.0f, 6e-8f}, two[] = {1, -1}, tenths[] = {0.1f, 0.2f, 0.3f};
    static const float whole[] = {64.0f, -127.0f};
    static float ramp[70], sparse[600], sevenths[600];
    uint8_t there[2048], *at = there;
    for (int i = 0; i < 70; i++) {
        ramp[i] = (float)((i - 30) * 0.37);
    }
    sparse[0] = 7.5f;
    sparse[9] = -0.25f;
    sparse[599] = 1e30f;
    for (int i = 0; i < 600; i++) {
        sevenths[i] = (float)(i / 7.0);
    }
    pieces.count = 5;
    pieces.pieces[0] =
        (struct message_piece){.tensor = W1, .elements = 5, .version = 5, .codec = CODEC_BF16, .reply = CODEC_INT8};
    pieces.pieces[1] = (struct message_piece){.tensor = W2,
                                              .block = 70000,
                                              .elements = 600,
                                              .version = 300,
                                              .codec = CODEC_TOPK,
                                              .reply = CODEC_F16,
                                              .kept = 3};
    pieces.pieces[2] = (struct message_piece){
        .tensor = W1, .block = 1, .elements = 70, .version = 6, .codec = CODEC_INT8, .reply = CODEC_BF16};
    pieces.pieces[3] = (struct message_piece){.tensor = W2, .block = 1, .elements = 3, .codec = CODEC_F16};
    pieces.pieces[4] =
        (struct message_piece){.tensor = W1, .block = 2, .elements = 2, .version = 7, .reply = CODEC_INT8_STOCHASTIC};
    at = add_encoded(at, CODEC_BF16, five, 5);
    codec_encode_top(sparse, NULL, 600, 3, at);
    at = add_encoded(at + codec_bytes(CODEC_TOPK, 600, 3), CODEC_INT8, ramp, 70);
    at = add_encoded(at, CODEC_F16, three, 3);
    at = add_encoded(at, CODEC_F32, two, 2);
    CHECK("push_pull_codecs", FRAME_PUSH_PULL, 24, pieces, pieces, there, (size_t)(at - there));
    results.count = 5;
    results.results[0].version = 6;
    results.results[1].version = 301;
    results.results[2].status = CANYON_NOT_FOUND; /* and nothing of it in the payload */
    results.results[3].version = 1;
    results.results[4].version = 8;
    snprintf(results.text, sizeof results.text, "no tensor");
    at = add_encoded(there, CODEC_INT8, five, 5);
    at = add_encoded(at, CODEC_F16, sevenths, 600);
    at = add_encoded(at, CODEC_F32, tenths, 3);
    at = add_encoded(at, CODEC_INT8_STOCHASTIC, whole, 2); /* whole steps: there is nothing to round */
    CHECK("push_pulled_codecs", FRAME_PUSH_PULLED, 24, piece_results, results, there, (size_t)(at - there));
}

/* ---- rows of tables ---- */

#define T 0x0badcafe00c0ffeeu

static const struct rows_run runs[2] = {{.shard = 2, .rows = 2}, {.shard = 5, .rows = 1, .version = 300}};
static const uint64_t row_ids[3] = {7, UINT64_MAX, UINT64_C(1) << 40};
static const float nine[9] = {1, -2, 0.5f, 3.25f, 1e-30f, -0.0f, 7, 8, 9};

/* Encoded row by row; the room is zeroed. Returns the bytes of the whole payload. */
static size_t add_rows(uint8_t *payload, struct rows_layout layout, uint32_t codec, const float *values,
                       uint32_t rows) {
    for (uint32_t row = 0; row < rows; row++) {
        codec_encode((enum codec)codec, values + 3 * row, 3, 0,
                     payload + layout.values + row * rows_row_bytes(codec, 3));
    }
    return layout.bytes;
}

static size_t row_request(uint8_t *payload, unsigned type, const struct message_rows *message, const float *values) {
    const size_t row_bytes = values == NULL ? 0 : rows_row_bytes(message->codec, 3);
    struct rows_layout layout = rows_request_layout(2, 3, row_bytes), checked;
    struct error error;
    memset(payload, 0, layout.bytes);
    memcpy(payload, runs, sizeof runs);
    memcpy(payload + layout.ids, row_ids, sizeof row_ids);
    add_rows(payload, layout, message->codec, values, values == NULL ? 0 : 3);
    assert_int_equal(rows_check_request(type, message, payload, layout.bytes, 8, 1 << 20, &checked, &error), CANYON_OK);
    assert_memory_equal(&layout, &checked, sizeof layout);
    return layout.bytes;
}

static size_t row_reply(uint8_t *payload, unsigned type, const struct message_rows *asked,
                        const struct message_rows_done *done, const struct rows_result results[2],
                        const float *values) {
    struct rows_layout layout = rows_reply_layout(2, done->rows, rows_row_bytes(asked->reply, 3)), checked;
    struct error error;
    memset(payload, 0, layout.bytes);
    memcpy(payload, results, 2 * sizeof *results);
    add_rows(payload, layout, asked->reply, values, done->rows);
    assert_int_equal(rows_check_reply(type, asked, runs, done, payload, layout.bytes, &checked, &error), CANYON_OK);
    return layout.bytes;
}

static void rows_there_and_back(void **state) {
    (void)state;
    /* Static from the beginning, so that what lies between members is zero and they can be compared whole. */
#define ROWS                                                                                                           \
    { .table = T, .dim = 3, .runs = 2, .rows = 3 }
    static struct message_rows push = ROWS, pull = ROWS, creating = ROWS, both = ROWS;
#undef ROWS
    static struct message_rows_done pushed, pulled, created, done, erased;
    static const float second[] = {1, -2, 0.5f, 3.25f, 1, 0, 7, 8, 9}, one[] = {0.5f, -1.0f, 3.1415927410125732f};
    uint8_t payload[512];
    push.clock = 12;
    CHECK("table_push", FRAME_TABLE_PUSH, 27, rows, push, payload, row_request(payload, FRAME_TABLE_PUSH, &push, nine));
    pushed.runs = pulled.runs = created.runs = done.runs = erased.runs = 2;
    snprintf(pushed.text, sizeof pushed.text, "row 7: element 1 of its gradient is not finite");
    const struct rows_result refused[2] = {{.code = CANYON_NOT_FINITE}, {.rows = 1, .version = 302, .staleness = 1}};
    CHECK("table_pushed", FRAME_TABLE_PUSHED, 27, rows_done, pushed, payload,
          row_reply(payload, FRAME_TABLE_PUSH, &push, &pushed, refused, NULL));
    CHECK("table_pull", FRAME_TABLE_PULL, 28, rows, pull, payload, row_request(payload, FRAME_TABLE_PULL, &pull, NULL));
    pulled.rows = done.rows = 3;
    const struct rows_result read[2] = {{.version = 1}, {.version = 302}};
    CHECK("table_pulled", FRAME_TABLE_PULLED, 28, rows_done, pulled, payload,
          row_reply(payload, FRAME_TABLE_PULL, &pull, &pulled, read, nine));
    creating.clock = UINT64_C(1) << 33;
    creating.create = true;
    creating.reply = CODEC_BF16;
    CHECK("table_pull_creating", FRAME_TABLE_PULL, 29, rows, creating, payload,
          row_request(payload, FRAME_TABLE_PULL, &creating, NULL));
    created.rows = 1;
    snprintf(created.text, sizeof created.text, "the table is full");
    const struct rows_result full[2] = {{.code = CANYON_TOO_LARGE, .version = 1}, {.rows = 1, .version = 302}};
    CHECK("table_pulled_bf16", FRAME_TABLE_PULLED, 29, rows_done, created, payload,
          row_reply(payload, FRAME_TABLE_PULL, &creating, &created, full, one));
    both.clock = 13;
    both.codec = CODEC_INT8;
    both.reply = CODEC_F16;
    CHECK("table_push_pull", FRAME_TABLE_PUSH_PULL, 30, rows, both, payload,
          row_request(payload, FRAME_TABLE_PUSH_PULL, &both, second));
    const struct rows_result after[2] = {{.rows = 2, .version = 1}, {.version = 303, .staleness = 3}};
    CHECK("table_push_pulled", FRAME_TABLE_PUSH_PULLED, 30, rows_done, done, payload,
          row_reply(payload, FRAME_TABLE_PUSH_PULL, &both, &done, after, second));
    CHECK("table_erase", FRAME_TABLE_ERASE, 31, rows, pull, payload,
          row_request(payload, FRAME_TABLE_ERASE, &pull, NULL));
    const struct rows_result gone[2] = {{.rows = 1, .version = 1}, {.version = 303}};
    CHECK("table_erased", FRAME_TABLE_ERASED, 31, rows_done, erased, payload,
          row_reply(payload, FRAME_TABLE_ERASE, &pull, &erased, gone, NULL));
}

/* What is counted: numbers, the marks that come back, and a pull that waits for others. */
static void numbered(void **state) {
    (void)state;
    static struct message_pieces push, pull;
    static struct message_piece_results pushed;
    static struct message_rows rows = {.table = T, .dim = 3, .runs = 2, .rows = 3, .clock = 12}, waiting;
    static struct message_rows_done done = {.runs = 2};
    static const float values[] = {1, -2, 0.5f, 3.25f, 1e-30f};
    uint8_t payload[512], entries[2 * MESSAGE_RESUMED_ENTRY_BYTES] = {0};
    push.count = pushed.count = 2;
    push.clock = 12;
    push.pieces[0] = (struct message_piece){.tensor = W1, .elements = 3, .version = 5, .number = 1};
    push.pieces[1] = (struct message_piece){
        .tensor = W2, .block = 70000, .elements = 2, .version = 300, .number = UINT64_C(1) << 40};
    CHECK("push_numbered", FRAME_PUSH, 34, pieces, push, values, sizeof values);
    pushed.results[0] = (struct message_piece_result){.version = 6, .applied = 1, .stable = 1};
    pushed.results[1] = (struct message_piece_result){.status = CANYON_NOT_FINITE,
                                                      .version = 303,
                                                      .staleness = 2,
                                                      .applied = (UINT64_C(1) << 40) + 2,
                                                      .stable = UINT64_C(1) << 40};
    snprintf(pushed.text, sizeof pushed.text, "not finite");
    CHECK("pushed_numbered", FRAME_PUSHED, 34, piece_results, pushed, NULL, 0);
    pull.count = 1;
    pull.clock = 13;
    pull.wait_ms = 10000;
    pull.pieces[0] = (struct message_piece){.tensor = W1, .elements = 3};
    CHECK("pull_waiting", FRAME_PULL, 35, pieces, pull, NULL, 0);
    size_t bytes = row_request(payload, FRAME_TABLE_PUSH, &rows, nine);
    const struct rows_run counted[2] = {{.shard = 2, .rows = 2, .number = 3},
                                        {.shard = 5, .rows = 1, .version = 300, .number = UINT64_C(1) << 33}};
    memcpy(payload, counted, sizeof counted);
    CHECK("table_push_numbered", FRAME_TABLE_PUSH, 36, rows, rows, payload, bytes);
    const struct rows_result results[2] = {
        {.rows = 1, .version = 1, .applied = 3, .stable = 2},
        {.version = 302, .staleness = 1, .applied = UINT64_C(1) << 33, .stable = UINT64_C(1) << 33}};
    CHECK("table_pushed_numbered", FRAME_TABLE_PUSHED, 36, rows_done, done, payload,
          row_reply(payload, FRAME_TABLE_PUSH, &rows, &done, results, NULL));
    memcpy(&waiting, &rows, sizeof waiting);
    waiting.clock = 13;
    waiting.wait_ms = 10000;
    CHECK("table_pull_waiting", FRAME_TABLE_PULL, 37, rows, waiting, payload,
          row_request(payload, FRAME_TABLE_PULL, &waiting, NULL));
    store_u32(entries, 1);
    store_u64(entries + 8, 7);
    store_u64(entries + 16, 6);
    store_u32(entries + 24, 200);
    store_u64(entries + 32, UINT64_C(1) << 40);
    store_u64(entries + 40, UINT64_C(1) << 40);
    same_frame("resume", FRAME_RESUME, 38, NULL, 0, NULL, 0);
    same_frame("resumed", FRAME_RESUMED, 38, NULL, 0, entries, sizeof entries);
    same_frame("leave", FRAME_LEAVE, 39, NULL, 0, NULL, 0);
    same_frame("left", FRAME_LEFT, 39, NULL, 0, NULL, 0);
}

/* Clocks, modes, and the looking at them. */
static void consistency(void **state) {
    (void)state;
    static struct message_enter enter = {.rank = 4, .clock = 17};
    static struct message_entered entered = {.rank = 3, .clock = UINT64_C(1) << 33, .lease_ms = 10000, .workers = 5};
    static struct message_clock clock = {.clock = 300, .rank = 4, .leave = true};
    static struct message_clocked clocked = {.clock = 300, .lowest = 298, .rank = 3};
    static struct message_consistency set = {.set = true, .from = 1000};
    static struct message_consistency_is is = {
        .set = true, .from = 1000, .highest = 998, .open = 997, .workers = 5, .lease_ms = 10000};
    static struct message_members members = {.after = 129};
    static struct message_members_are page = {.count = 2, .more = true};
    static struct message_staleness asked = {.tensor = W1, .tag = T};
    static struct staleness counts = {.pushes = 303, .sum = 5, .max = 3, .counts = {300, 1, 2}};
    static struct message_piece_results late = {.count = 2, .clock = 14};
    set.mode = (struct consistency){
        .mode = CONSISTENCY_SYNC, .combine = CONSISTENCY_SUM, .order = CONSISTENCY_RANK, .minimum = 3};
    is.now = (struct consistency){.mode = CONSISTENCY_SSP, .staleness = 7};
    is.next = set.mode;
    page.members[0] = (struct message_member){.serial = 130,
                                              .tag = T,
                                              .name = "gpu-7",
                                              .rank = 3,
                                              .live = true,
                                              .clock = 300,
                                              .seen_ms = 15,
                                              .lease_ms = 9985,
                                              .pushes = 70000,
                                              .staleness_sum = 140000,
                                              .staleness_max = 9,
                                              .interval_us = 2500};
    page.members[1] =
        (struct message_member){.serial = 131, .tag = W1, .name = "gpu-8", .clock = 12, .seen_ms = UINT64_C(1) << 33};
    CHECK("enter", FRAME_ENTER, 40, enter, enter, NULL, 0);
    CHECK("entered", FRAME_ENTERED, 40, entered, entered, NULL, 0);
    CHECK("clock", FRAME_CLOCK, 41, clock, clock, NULL, 0);
    CHECK("clocked", FRAME_CLOCKED, 41, clocked, clocked, NULL, 0);
    CHECK("consistency", FRAME_CONSISTENCY, 42, consistency, set, NULL, 0);
    CHECK("consistency_is", FRAME_CONSISTENCY_IS, 42, consistency_is, is, NULL, 0);
    CHECK("members", FRAME_MEMBERS, 43, members, members, NULL, 0);
    CHECK("members_are", FRAME_MEMBERS_ARE, 43, members_are, page, NULL, 0);
    CHECK("staleness", FRAME_STALENESS, 44, staleness, asked, NULL, 0);
    CHECK("staleness_is", FRAME_STALENESS_IS, 44, staleness_is, counts, NULL, 0);
    late.results[0] = (struct message_piece_result){.status = CANYON_LATE};
    late.results[1] = (struct message_piece_result){.version = 303};
    snprintf(late.text, sizeof late.text, "clock 12 is closed");
    CHECK("pushed_late", FRAME_PUSHED, 45, piece_results, late, NULL, 0);
}

static void tables(void **state) {
    (void)state;
    static struct message_create create;
    static struct tensor_info opened;
    static struct message_table_query query = {.table = T, .sum = true, .shard = 5};
    static struct message_table_totals totals = {
        .shards = 1, .rows = 70000, .bytes = 14000000, .version = 303, .clock = 13};
    static struct message_row_query next = {
        .table = T, .from = UINT64_C(1) << 40, .shard = 5, .most = 1000, .state = true};
    static struct message_row_page page = {.rows = 2, .values = 4, .scalars = 1, .more = true};
    struct tensor_spec *spec = &create.spec;
    snprintf(spec->name, sizeof spec->name, "embedding");
    spec->shape = (struct shape){.rank = 1, .dims = {3}};
    snprintf(spec->optimizer.name, sizeof spec->optimizer.name, "rowwise_adagrad");
    spec->optimizer.count = 1;
    spec->optimizer.settings[0] = (struct setting){.name = "lr", .value = 0.1};
    spec->initializer = (struct initializer){.kind = INITIALIZER_UNIFORM, .seed = 9, .a = -0.25, .b = 0.25};
    spec->kind = TENSOR_TABLE;
    spec->row_cap = 1000000;
    spec->capacity = 5000;
    create.wait_ms = 10000;
    CHECK("create_table", FRAME_CREATE, 25, create, create, NULL, 0);
    opened.id = T;
    opened.state = TENSOR_COMPLETE;
    opened.spec = *spec;
    CHECK("opened_table", FRAME_OPENED, 26, opened, opened, NULL, 0);
    CHECK("table_info", FRAME_TABLE_INFO, 32, table_query, query, NULL, 0);
    const uint64_t sum[4] = {1, UINT64_C(1) << 63, 3, UINT64_MAX};
    CHECK("table_info_is", FRAME_TABLE_INFO_IS, 32, table_totals, totals, sum, sizeof sum);
    CHECK("table_rows", FRAME_TABLE_ROWS, 33, row_query, next, NULL, 0);
    const struct rows_page_layout layout = rows_page_layout(&page, true);
    const uint64_t ids[2] = {UINT64_C(1) << 40, (UINT64_C(1) << 40) + 3};
    const struct rows_count counts[2] = {{.step = 4, .clock = 13}, {.step = UINT32_MAX, .clock = 2}};
    const double scalars[2] = {0.25, -1.0};
    uint8_t payload[256] = {0};
    memcpy(payload, ids, sizeof ids);
    memcpy(payload + layout.counts, counts, sizeof counts);
    memcpy(payload + layout.scalars, scalars, sizeof scalars);
    memcpy(payload + layout.values, nine, 8 * sizeof nine[0]);
    CHECK("table_rows_are", FRAME_TABLE_ROWS_ARE, 33, row_page, page, payload, layout.bytes);
}

static void optimizer_requests(void **state) {
    (void)state;
    static struct message_optimizer_request request;
    request.index = 6;
    CHECK("optimizer", FRAME_OPTIMIZER, 18, optimizer_request, request, NULL, 0);
    static struct message_optimizer_request named;
    snprintf(named.name, sizeof named.name, "nadam");
    CHECK("optimizer_named", FRAME_OPTIMIZER, 21, optimizer_request, named, NULL, 0);
}

static void optimizers(void **state) {
    (void)state;
    static struct message_optimizer optimizer;
    optimizer.index = 6;
    optimizer.total = 8;
    snprintf(optimizer.name, sizeof optimizer.name, "adam");
    snprintf(optimizer.summary, sizeof optimizer.summary, "first and second moments");
    snprintf(optimizer.source, sizeof optimizer.source, "Kingma & Ba 2015, Algorithm 1");
    optimizer.slot_count = 2;
    snprintf(optimizer.slots[0], sizeof optimizer.slots[0], "m");
    snprintf(optimizer.slots[1], sizeof optimizer.slots[1], "v");
    optimizer.scalar_count = 1;
    snprintf(optimizer.scalars[0], sizeof optimizer.scalars[0], "mu_product");
    optimizer.hyperparameter_count = 2;
    struct message_hyperparameter *lr = &optimizer.hyperparameters[0], *beta = &optimizer.hyperparameters[1];
    snprintf(lr->name, sizeof lr->name, "lr");
    lr->fallback = 0.001;
    lr->high = HUGE_VAL;
    lr->low_open = true;
    snprintf(lr->meaning, sizeof lr->meaning, "step size");
    snprintf(beta->name, sizeof beta->name, "beta1");
    beta->fallback = 0.9;
    beta->high = 1.0;
    beta->high_open = true;
    snprintf(beta->meaning, sizeof beta->meaning, "decay of the first moment");
    CHECK("optimizer_is", FRAME_OPTIMIZER_IS, 18, optimizer, optimizer, NULL, 0);
}

/* Every type has a transcript: one added without it is noticed here. */
static void every_type_has_one(void **state) {
    (void)state;
    unsigned types = 0;
    for (unsigned type = 1; type < 1000; type++) {
        const char *name = frame_type_name(type);
        if (strcmp(name, "UNKNOWN_TYPE") == 0) {
            continue;
        }
        char lower[64];
        size_t i = 0;
        for (; name[i] != '\0' && i + 1 < sizeof lower; i++) {
            lower[i] = (char)tolower((unsigned char)name[i]);
        }
        lower[i] = '\0';
        struct transcript golden;
        transcript_read(lower, &golden);
        assert_int_equal(golden.header.type, type);
        types++;
    }
    assert_int_equal(types, FRAME_LAST);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greeting),
        cmocka_unit_test(catalogue),
        cmocka_unit_test(tensors),
        cmocka_unit_test(transfers),
        cmocka_unit_test(workers),
        cmocka_unit_test(seeing),
        cmocka_unit_test(digests),
        cmocka_unit_test(slots),
        cmocka_unit_test(optimizer_requests),
        cmocka_unit_test(optimizers),
        cmocka_unit_test(consistency),
        cmocka_unit_test(settings),
        cmocka_unit_test(codecs),
        cmocka_unit_test(rows_there_and_back),
        cmocka_unit_test(tables),
        cmocka_unit_test(numbered),
        cmocka_unit_test(every_type_has_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
