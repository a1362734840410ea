/* Requests whose values travel in other forms: what the shard sees and what comes back, several forms in a frame,
 * and everything that is refused. (That none of it takes memory: tests/allocation/test_handler.c.) */
#include "tests/unit/server/handler_fixture.h"

#include <math.h>

#include "common/codec.h"
#include "tests/unit/common/codec_reference.h"

#define BLOCK 1024

static struct bench bench;
static struct worker worker;
static float gradient[BLOCK], there[BLOCK];
static _Alignas(4) uint8_t payload[64 * 1024];

static int setup(void **state) {
    (void)state;
    bench_init(&bench, 1, 1, 8, BLOCK);
    worker_come(&worker, &bench, 1, "anna");
    uint64_t seed = 3;
    fixture_fill(&seed, gradient, BLOCK);
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

static void nothing_changed_since(const struct bench_digests *before) {
    struct bench_digests now = digests_now();
    assert_memory_equal(&now, before, sizeof now);
}

/* A tensor of two blocks, the second of three elements, trained by sgd with lr 1 from zeros. */
static uint64_t make(const char *name) {
    struct tensor_spec spec = fixture_spec(name, BLOCK + 3, "sgd:lr=1");
    spec.initializer = (struct initializer){.kind = INITIALIZER_ZEROS};
    return worker_create(&worker, &spec).id;
}

static uint64_t ask_bytes(unsigned type, const struct message_pieces *pieces, size_t bytes) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    return client_ask(&worker.clients[0], type, message, message_pack_pieces(pieces, message), payload, bytes);
}

static struct message_pieces one_piece(uint64_t id, uint32_t elements, unsigned codec, unsigned reply, uint32_t kept) {
    return (struct message_pieces){
        .count = 1, .pieces = {{.tensor = id, .elements = elements, .codec = codec, .reply = reply, .kept = kept}}};
}

/* Encodes what a piece names to the end of the payload. */
static size_t add(size_t at, enum codec codec, const float *values, size_t elements, size_t kept) {
    codec_encode_feedback(codec, values, NULL, elements, kept, 7, payload + at);
    return at + codec_bytes(codec, elements, kept);
}

static void fails(unsigned type, const struct message_pieces *pieces, size_t bytes, enum canyon_status status,
                  const char *text) {
    struct bench_digests before = digests_now();
    client_fails(&worker.clients[0], ask_bytes(type, pieces, bytes), status, text);
    nothing_changed_since(&before);
}

/* Refused as a piece. */
static void refused(const struct message_pieces *pieces, size_t bytes, enum canyon_status status, const char *text) {
    struct bench_digests before = digests_now();
    struct reply *reply = client_take(&worker.clients[0], ask_bytes(FRAME_PUSH, pieces, bytes), FRAME_PUSHED);
    struct message_piece_results results = results_of(reply);
    if (results.results[0].status != status || strstr(results.text, text) == NULL) {
        fail_msg("'%s' is not in: %s", text, results.text);
    }
    reply_free(reply);
    nothing_changed_since(&before);
}

/* Weights are what a decoded gradient makes of them, and come back rounded to the form that was asked for. */
static void forms_are_decoded_and_encoded(void **state) {
    (void)state;
    static const enum codec codecs[] = {CODEC_F32, CODEC_BF16, CODEC_F16, CODEC_INT8, CODEC_TOPK};
    static float weights[BLOCK], expected[BLOCK];
    for (size_t i = 0; i < 5; i++) {
        for (unsigned reply = CODEC_F32; reply <= CODEC_INT8; reply++) {
            char name[16];
            snprintf(name, sizeof name, "w%zu-%u", i, reply);
            uint64_t id = make(name);
            uint32_t kept = codecs[i] == CODEC_TOPK ? 100 : 0;
            struct message_pieces pieces = one_piece(id, BLOCK, codecs[i], reply, kept);
            size_t bytes = add(0, codecs[i], gradient, BLOCK, kept);
            struct reply *fresh =
                client_take(&worker.clients[0], ask_bytes(FRAME_PUSH_PULL, &pieces, bytes), FRAME_PUSH_PULLED);
            assert_int_equal(results_of(fresh).results[0].status, CANYON_OK);
            assert_int_equal(results_of(fresh).results[0].version, 1);
            assert_int_equal(fresh->header.payload_bytes, codec_bytes((enum codec)reply, BLOCK, 0));
            for (size_t k = 0; k < BLOCK; k++) {
                there[k] = codecs[i] == CODEC_BF16  ? half_round_trip(&bf16_form, gradient[k])
                           : codecs[i] == CODEC_F16 ? half_round_trip(&f16_form, gradient[k])
                                                    : gradient[k];
            }
            if (codecs[i] == CODEC_INT8) {
                int8_round_trip(gradient, BLOCK, there);
            } else if (codecs[i] == CODEC_TOPK) {
                top_round_trip(gradient, BLOCK, kept, there);
            }
            for (size_t k = 0; k < BLOCK; k++) {
                there[k] = 0.0f - there[k];
                expected[k] = reply == CODEC_BF16  ? half_round_trip(&bf16_form, there[k])
                              : reply == CODEC_F16 ? half_round_trip(&f16_form, there[k])
                                                   : there[k];
            }
            if (reply == CODEC_INT8) {
                int8_round_trip(there, BLOCK, expected);
            }
            assert_int_equal(codec_decode(reply, fresh->payload, fresh->header.payload_bytes, BLOCK, 0, weights, NULL),
                             CANYON_OK);
            for (size_t k = 0; k < BLOCK; k++) {
                assert_true(weights[k] == expected[k]);
            }
            reply_free(fresh);
        }
    }
}

/* Pieces of odd lengths: one behind another stays aligned, refused ones leave no gap. */
static void several_forms_share_a_frame(void **state) {
    (void)state;
    uint64_t ids[5];
    static const enum codec codecs[] = {CODEC_BF16, CODEC_INT8, CODEC_F32, CODEC_F16, CODEC_TOPK};
    static const enum codec replies[] = {CODEC_INT8, CODEC_BF16, CODEC_F16, CODEC_F32, CODEC_BF16};
    const float values[3] = {1.0f, -2.0f, 0.5f};
    struct message_pieces pieces = {.count = 5};
    size_t bytes = 0, at = 0;
    for (uint32_t i = 0; i < 5; i++) {
        char name[8];
        snprintf(name, sizeof name, "t%u", i);
        struct tensor_spec spec = fixture_spec(name, 3, "sgd:lr=1");
        spec.initializer = (struct initializer){.kind = INITIALIZER_ZEROS};
        ids[i] = worker_create(&worker, &spec).id;
        pieces.pieces[i] = (struct message_piece){
            .tensor = i == 1 ? 99 : ids[i], .elements = 3, .codec = codecs[i], .reply = replies[i]};
        pieces.pieces[i].kept = codecs[i] == CODEC_TOPK ? 2 : 0;
        bytes = add(bytes, codecs[i], values, 3, pieces.pieces[i].kept);
    }
    struct reply *fresh =
        client_take(&worker.clients[0], ask_bytes(FRAME_PUSH_PULL, &pieces, bytes), FRAME_PUSH_PULLED);
    for (uint32_t i = 0; i < 5; i++) {
        float weights[3];
        assert_int_equal(results_of(fresh).results[i].status, i == 1 ? CANYON_NOT_FOUND : CANYON_OK);
        if (i == 1) {
            continue;
        }
        size_t each = codec_bytes(replies[i], 3, 0);
        assert_int_equal(codec_decode(replies[i], fresh->payload + at, each, 3, 0, weights, NULL), CANYON_OK);
        at += each;
        assert_true(fabsf(weights[0] + 1.0f) < 0.02f && fabsf(weights[1] - 2.0f) < 0.02f);
        assert_true(fabsf(weights[2] + (codecs[i] == CODEC_TOPK ? 0.0f : 0.5f)) < 0.02f);
    }
    assert_int_equal(at, fresh->header.payload_bytes);
    reply_free(fresh);
}

/* The same version of a block is rounded alike for everybody, and another one otherwise. */
static void stochastic_replies_follow_the_version(void **state) {
    (void)state;
    uint64_t id = make("w");
    struct message_pieces pieces = one_piece(id, BLOCK, CODEC_F32, CODEC_INT8_STOCHASTIC, 0);
    uint8_t first[BLOCK + BLOCK / 16];
    client_succeeds(&worker.clients[0], ask_piece(&worker.clients[0], FRAME_PUSH, id, 0, BLOCK, 0, gradient),
                    FRAME_PUSHED);
    for (int i = 0; i < 3; i++) {
        struct reply *reply = client_take(&worker.clients[0], ask_bytes(FRAME_PULL, &pieces, 0), FRAME_PULLED);
        assert_int_equal(reply->header.payload_bytes, sizeof first);
        if (i == 0) {
            memcpy(first, reply->payload, sizeof first);
        }
        assert_int_equal(memcmp(first, reply->payload, sizeof first) == 0, i < 2);
        reply_free(reply);
        if (i == 1) {
            static const float zeros[BLOCK];
            client_succeeds(&worker.clients[0], ask_piece(&worker.clients[0], FRAME_PUSH, id, 0, BLOCK, 0, zeros),
                            FRAME_PUSHED);
        }
    }
}

static void frames_that_make_no_sense(void **state) {
    (void)state;
    uint64_t id = make("w");
    static const unsigned all[] = {FRAME_ASSIGN, FRAME_PUSH, FRAME_PULL, FRAME_PUSH_PULL};
    struct message_pieces pieces;
    memset(payload, 0, sizeof payload);
    for (size_t i = 0; i < 4; i++) {
        pieces = one_piece(id, BLOCK, CODEC_LAST + 1, 0, 0);
        fails(all[i], &pieces, all[i] == FRAME_PULL ? 0 : 4096, CANYON_UNSUPPORTED, "codec 6, which is not known");
        pieces = one_piece(id, BLOCK, 0, UINT32_MAX, 0);
        fails(all[i], &pieces, all[i] == FRAME_PULL ? 0 : 4096, CANYON_UNSUPPORTED,
              "codec 4294967295, which is not known");
    }
    pieces = one_piece(id, BLOCK, CODEC_BF16, 0, 0);
    fails(FRAME_ASSIGN, &pieces, 2048, CANYON_INVALID_ARGUMENT, "ASSIGN names codec bf16");
    fails(FRAME_PULL, &pieces, 0, CANYON_INVALID_ARGUMENT, "PULL names codec bf16");
    fails(FRAME_PUSH, &pieces, 4096, CANYON_PROTOCOL, "a payload of 4096 bytes, its pieces 2048");
    fails(FRAME_PUSH, &pieces, 2044, CANYON_PROTOCOL, "a payload of 2044 bytes, its pieces 2048");
    pieces = one_piece(id, BLOCK, 0, CODEC_INT8, 0);
    fails(FRAME_PUSH, &pieces, 4096, CANYON_INVALID_ARGUMENT, "PUSH asks for a reply as int8");
    fails(FRAME_ASSIGN, &pieces, 4096, CANYON_INVALID_ARGUMENT, "ASSIGN asks for a reply as int8");
    pieces.pieces[0].slot = SLOT_ARRAYS;
    fails(FRAME_PULL, &pieces, 0, CANYON_INVALID_ARGUMENT, "only weights have a codec");
    pieces = one_piece(id, BLOCK, 0, CODEC_TOPK, 0);
    fails(FRAME_PULL, &pieces, 0, CANYON_INVALID_ARGUMENT, "weights as topk");
    pieces = one_piece(id, BLOCK, CODEC_TOPK, 0, BLOCK + 1);
    fails(FRAME_PUSH, &pieces, 8200, CANYON_INVALID_ARGUMENT, "keeps 1025 of 1024");
    pieces = one_piece(id, BLOCK, CODEC_INT8, 0, 1);
    fails(FRAME_PUSH, &pieces, 1088, CANYON_INVALID_ARGUMENT, "keeps 1 of 1024 values as int8");
    /* A short encoding is no way to ask for more work than a frame may. */
    pieces.count = 64;
    for (uint32_t i = 0; i < 64; i++) {
        pieces.pieces[i] =
            (struct message_piece){.tensor = id, .block = i, .elements = 8192, .codec = CODEC_TOPK, .kept = 0};
    }
    fails(FRAME_PUSH, &pieces, 0, CANYON_TOO_LARGE, "2097152 bytes");
}

static void encodings_that_are_none(void **state) {
    (void)state;
    static const uint32_t twice[4] = {7, 7}, outside[4] = {7, BLOCK};
    uint64_t id = make("w");
    struct message_pieces pieces = one_piece(id, BLOCK, CODEC_TOPK, 0, 2);
    memcpy(payload, twice, sizeof twice);
    refused(&pieces, 16, CANYON_INVALID_ARGUMENT, "index 7 at place 1");
    memcpy(payload, outside, sizeof outside);
    refused(&pieces, 16, CANYON_INVALID_ARGUMENT, "index 1024 at place 1");
    /* The other block has three elements: 6 bytes and two that fill up. */
    pieces = one_piece(id, 3, CODEC_BF16, 0, 0);
    pieces.pieces[0].block = 1;
    memset(payload, 0, 8);
    payload[6] = 9;
    refused(&pieces, 8, CANYON_INVALID_ARGUMENT, "byte 6 fills up");
    pieces = one_piece(id, 5, CODEC_F16, 0, 0);
    refused(&pieces, 12, CANYON_INVALID_ARGUMENT, "has 1024 elements, not 5");
}

/* NaN and infinity reach the tensor's own rule in every form. */
static void what_is_not_finite_is_judged_as_ever(void **state) {
    (void)state;
    static const enum codec codecs[] = {CODEC_BF16, CODEC_F16, CODEC_INT8, CODEC_INT8_STOCHASTIC, CODEC_TOPK};
    static float poisoned[BLOCK];
    uint64_t strict = make("strict");
    struct tensor_spec spec = fixture_spec("lenient", BLOCK, "sgd:lr=1,nonfinite=skip");
    spec.initializer = (struct initializer){.kind = INITIALIZER_ZEROS};
    uint64_t lenient = worker_create(&worker, &spec).id;
    memset(poisoned, 0, sizeof poisoned);
    poisoned[100] = NAN;
    poisoned[200] = INFINITY;
    poisoned[300] = 64.0f;
    for (size_t i = 0; i < 5; i++) {
        uint32_t kept = codecs[i] == CODEC_TOPK ? 3 : 0;
        struct message_pieces pieces = one_piece(strict, BLOCK, codecs[i], 0, kept);
        size_t bytes = add(0, codecs[i], poisoned, BLOCK, kept);
        refused(&pieces, bytes, CANYON_NOT_FINITE, "index 100 is nan");
        pieces = one_piece(lenient, BLOCK, codecs[i], CODEC_F32, kept);
        struct reply *reply =
            client_take(&worker.clients[0], ask_bytes(FRAME_PUSH_PULL, &pieces, bytes), FRAME_PUSH_PULLED);
        float weights[BLOCK];
        memcpy(weights, reply->payload, sizeof weights);
        for (size_t k = 0; k < BLOCK; k++) {
            assert_true(fabsf(weights[k] - (k == 300 ? -64.0f * (float)(i + 1) : 0.0f)) < 1e-4f);
        }
        reply_free(reply);
    }
    assert_int_equal(client_statistics(&worker.clients[0]).skipped, 2 * 5);
}

static void bytes_are_counted(void **state) {
    (void)state;
    uint64_t id = make("w");
    struct message_pieces pieces = one_piece(id, BLOCK, CODEC_TOPK, CODEC_BF16, 10);
    size_t bytes = add(0, CODEC_TOPK, gradient, BLOCK, 10);
    struct message_statistics before = client_statistics(&worker.clients[0]);
    client_succeeds(&worker.clients[0], ask_bytes(FRAME_PUSH_PULL, &pieces, bytes), FRAME_PUSH_PULLED);
    pieces = one_piece(id, BLOCK - 1, CODEC_F32, CODEC_F32, 0);
    client_succeeds(&worker.clients[0], ask_bytes(FRAME_PUSH_PULL, &pieces, 4 * BLOCK - 4),
                    FRAME_PUSH_PULLED); /* refused */
    struct message_statistics after = client_statistics(&worker.clients[0]);
    assert_int_equal(after.values_in - before.values_in, 80);
    assert_int_equal(after.values_in_single - before.values_in_single, 4 * BLOCK);
    assert_int_equal(after.values_out - before.values_out, 2 * BLOCK);
    assert_int_equal(after.values_out_single - before.values_out_single, 4 * BLOCK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(forms_are_decoded_and_encoded, setup, teardown),
        cmocka_unit_test_setup_teardown(several_forms_share_a_frame, setup, teardown),
        cmocka_unit_test_setup_teardown(stochastic_replies_follow_the_version, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_that_make_no_sense, setup, teardown),
        cmocka_unit_test_setup_teardown(encodings_that_are_none, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_finite_is_judged_as_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_are_counted, setup, teardown),
    };
    codec_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
