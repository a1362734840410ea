/* Where rows live: SipHash-1-3 against published vectors, in every instruction set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/codec.h"
#include "common/endian.h"
#include "common/hash.h"
#include "common/job.h"
#include "common/row_hash.h"
#include "seed.h"

/* SipHash-1-3 of the bytes 00, 01, ... with the key 00 to 0f, of 0 to 11 bytes: from the tests of Rust's core::hash. */
static const uint8_t published[][8] = {
    {0xdc, 0xc4, 0x0f, 0x05, 0x58, 0x01, 0xac, 0xab}, {0x93, 0xca, 0x57, 0x7d, 0xf3, 0x9b, 0xf4, 0xc9},
    {0x4d, 0xd4, 0xc7, 0x4d, 0x02, 0x9b, 0xcb, 0x82}, {0xfb, 0xf7, 0xdd, 0xe7, 0xb8, 0x0a, 0xf8, 0x8b},
    {0x28, 0x83, 0xd3, 0x88, 0x60, 0x57, 0x75, 0xcf}, {0x67, 0x3b, 0x53, 0x49, 0x2f, 0xd5, 0xf9, 0xde},
    {0xa7, 0x22, 0x9f, 0xc5, 0x50, 0x2b, 0x0d, 0xc5}, {0x40, 0x11, 0xb1, 0x9b, 0x98, 0x7d, 0x92, 0xd3},
    {0x8e, 0x9a, 0x29, 0x8d, 0x11, 0x95, 0x90, 0x36}, {0xe4, 0x3d, 0x06, 0x6c, 0xb3, 0x8e, 0xa4, 0x25},
    {0x7f, 0x09, 0xff, 0x92, 0xee, 0x85, 0xde, 0x79}, {0x52, 0xc3, 0x4d, 0xf9, 0xc1, 0x18, 0xc1, 0x70},
};
/* The same with a key of zeros, of 8 bytes: from the tests of OCaml's runtime. */
#define PUBLISHED_ZERO_KEY UINT64_C(0xead411e67ebe2eea)

static uint64_t rotated(uint64_t x, int n) {
    return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4]) {
    v[0] += v[1], v[1] = rotated(v[1], 13), v[1] ^= v[0], v[0] = rotated(v[0], 32);
    v[2] += v[3], v[3] = rotated(v[3], 16), v[3] ^= v[2];
    v[0] += v[3], v[3] = rotated(v[3], 21), v[3] ^= v[0];
    v[2] += v[1], v[1] = rotated(v[1], 17), v[1] ^= v[2], v[2] = rotated(v[2], 32);
}

/* As the paper has it, for messages of any length. */
static uint64_t reference(uint64_t k0, uint64_t k1, const uint8_t *bytes, size_t count) {
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                     k1 ^ 0x7465646279746573u};
    for (size_t at = 0; at <= count; at += 8) {
        uint8_t word[8] = {0};
        memcpy(word, bytes + at, count - at < 8 ? count - at : 8);
        word[7] = count - at < 8 ? (uint8_t)count : word[7];
        uint64_t m = load_u64(word);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) {
        sip_round(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void published_vectors(void **state) {
    (void)state;
    uint8_t message[16];
    for (uint8_t i = 0; i < 16; i++) {
        message[i] = i;
    }
    const struct row_hash key = {load_u64(message), load_u64(message + 8)}, zero = {0, 0};
    for (size_t n = 0; n < sizeof published / sizeof published[0]; n++) {
        assert_true(reference(key.k0, key.k1, message, n) == load_u64(published[n]));
    }
    uint64_t id = load_u64(message), hash;
    row_hash_of(&key, &id, 1, &hash);
    assert_true(hash == load_u64(published[8]));
    row_hash_of(&zero, &id, 1, &hash);
    assert_true(hash == PUBLISHED_ZERO_KEY);
}

static void every_set_says_the_same(void **state) {
    (void)state;
    uint64_t random = seed_begin(__func__), ids[100], hashes[101];
    const enum codec_set before = codec_set_chosen();
    for (int round = 0; round < 50; round++) {
        const struct row_hash key = {seed_next(&random), seed_next(&random)};
        size_t count = seed_below(&random, 101);
        for (size_t i = 0; i < count; i++) {
            ids[i] = seed_next(&random) >> seed_below(&random, 64);
        }
        for (enum codec_set set = CODEC_BASELINE; set < CODEC_SETS; set++) {
            if (!codec_set_supported(set)) {
                continue;
            }
            codec_set_choose(set);
            hashes[count] = 77;
            row_hash_of(&key, ids, count, hashes);
            for (size_t i = 0; i < count; i++) {
                uint8_t bytes[8];
                store_u64(bytes, ids[i]);
                assert_true(hashes[i] == reference(key.k0, key.k1, bytes, 8));
            }
            assert_true(hashes[count] == 77);
        }
    }
    row_hash_of(&(struct row_hash){1, 2}, ids, 100, hashes);
    row_hash_of(&(struct row_hash){1, 2}, ids, 100, ids); /* in place */
    assert_memory_equal(ids, hashes, sizeof ids);
    codec_set_choose(before);
}

static void the_key_is_of_the_name(void **state) {
    (void)state;
    struct row_hash hash;
    row_hash_init(&hash, "embedding");
    assert_true(hash.k0 == job_home("embedding") && hash.k1 != hash.k0);
    struct row_hash other;
    row_hash_init(&other, "embedding2");
    assert_true(other.k1 != hash.k1);
}

/* Neighbouring ids, as most tables have, fall everywhere alike. */
static void rows_spread(void **state) {
    (void)state;
    struct job job = {.shards = 64};
    struct row_hash hash;
    uint32_t counts[64] = {0};
    row_hash_init(&hash, "embedding");
    for (uint64_t id = 0; id < 64000; id++) {
        uint64_t hashed;
        row_hash_of(&hash, &id, 1, &hashed);
        counts[job_row_shard(&job, hashed)]++;
    }
    for (size_t i = 0; i < 64; i++) {
        assert_in_range(counts[i], 850, 1150); /* 1000 +- 4.8 deviations */
    }
}

int main(void) {
    codec_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(every_set_says_the_same),
        cmocka_unit_test(the_key_is_of_the_name),
        cmocka_unit_test(rows_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
