/* BLAKE2b-256. RFC 7693 prints a vector of BLAKE2b-512 only; the digests here were computed by Python's hashlib
 * (hashlib.blake2b(data, digest_size=32)), which is an implementation of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "common/hash.h"
#include "seed.h"

static void hex_equal(const uint8_t digest[HASH_BYTES], const char *expected) {
    char text[2 * HASH_BYTES + 1];
    for (size_t i = 0; i < HASH_BYTES; i++) {
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    }
    assert_string_equal(text, expected);
}

static void digest_of(const void *bytes, size_t count, uint8_t digest[HASH_BYTES]) {
    struct hash hash;
    hash_init(&hash);
    hash_update(&hash, bytes, count);
    hash_final(&hash, digest);
}

static void known_digests(void **state) {
    (void)state;
    uint8_t digest[HASH_BYTES], bytes[1280];
    digest_of(NULL, 0, digest);
    hex_equal(digest, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    digest_of("abc", 3, digest);
    hex_equal(digest, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
    memset(bytes, 'a', 128); /* exactly one block */
    digest_of(bytes, 128, digest);
    hex_equal(digest, "ae2aa48507885c4c950fb809b2076f959cde9f8ea6da260d9a3587df33dac450");
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)i;
    }
    digest_of(bytes, sizeof bytes, digest);
    hex_equal(digest, "82628cbfc9689e234b0923a531f4578fe2e7138a03e2f81ed6cde97517336650");
    /* The digest of "mlp/w1" begins f39cf9fde0aed4a6. */
    assert_int_equal(hash_64("mlp/w1", 6), 0xa6d4aee0fdf99cf3u);
}

static void pieces_do_not_matter(void **state) {
    (void)state;
    uint64_t random = seed_begin("pieces_do_not_matter");
    uint8_t bytes[700], whole[HASH_BYTES], cut[HASH_BYTES];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)seed_next(&random);
    }
    digest_of(bytes, sizeof bytes, whole);
    for (int round = 0; round < 200; round++) {
        struct hash hash;
        hash_init(&hash);
        for (size_t at = 0; at < sizeof bytes;) {
            size_t count = seed_below(&random, 300);
            count = count < sizeof bytes - at ? count : sizeof bytes - at;
            hash_update(&hash, bytes + at, count);
            at += count;
        }
        hash_final(&hash, cut);
        assert_memory_equal(whole, cut, HASH_BYTES);
    }
}

/* The typed updates are byte strings that anybody can write down. */
static void typed_updates(void **state) {
    (void)state;
    static const uint8_t written[] = {0x44, 0x33, 0x22, 0x11,                                  /* u32 */
                                      8,    7,    6,    5,    4, 3, 2,    1,                   /* u64 */
                                      0,    0,    0,    0,    0, 0, 0xf8, 0xbf,                /* -1.5 */
                                      3,    0,    0,    0,    0, 0, 0,    0,    'a', 'b', 'c', /* text */
                                      0,    0,    0,    0,    0, 0, 0,    0};                  /* empty text */
    uint8_t one[HASH_BYTES], other[HASH_BYTES];
    struct hash hash;
    hash_init(&hash);
    hash_u32(&hash, 0x11223344);
    hash_u64(&hash, 0x0102030405060708);
    hash_f64(&hash, -1.5);
    hash_text(&hash, "abc");
    hash_text(&hash, "");
    hash_final(&hash, one);
    digest_of(written, sizeof written, other);
    assert_memory_equal(one, other, HASH_BYTES);
}

static void lists_of_texts_do_not_collide(void **state) {
    (void)state;
    uint8_t one[HASH_BYTES], other[HASH_BYTES];
    struct hash hash;
    hash_init(&hash);
    hash_text(&hash, "ab");
    hash_text(&hash, "c");
    hash_final(&hash, one);
    hash_init(&hash);
    hash_text(&hash, "a");
    hash_text(&hash, "bc");
    hash_final(&hash, other);
    assert_memory_not_equal(one, other, HASH_BYTES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_digests),
        cmocka_unit_test(pieces_do_not_matter),
        cmocka_unit_test(typed_updates),
        cmocka_unit_test(lists_of_texts_do_not_collide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
