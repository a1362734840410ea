/* Keys: pairs against published values, their text and what is refused as one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "common/key.h"
#include "common/key_text.h"
#include "common/random.h"

static void bytes_of(const char *hex, uint8_t bytes[KEY_BYTES]) {
    size_t count = 0;
    assert_int_equal(sodium_hex2bin(bytes, KEY_BYTES, hex, strlen(hex), NULL, &count, NULL), 0);
    assert_int_equal(count, KEY_BYTES);
}

/* RFC 7748, section 6.1. */
#define ALICE_SECRET "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
#define ALICE_PUBLIC "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
#define BOB_SECRET   "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
#define BOB_PUBLIC   "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"

static void published_pairs(void **state) {
    (void)state;
    static const char *const pairs[][2] = {{ALICE_SECRET, ALICE_PUBLIC}, {BOB_SECRET, BOB_PUBLIC}};
    for (size_t i = 0; i < 2; i++) {
        uint8_t secret[KEY_BYTES], public[KEY_BYTES];
        bytes_of(pairs[i][0], secret);
        bytes_of(pairs[i][1], public);
        struct key_pair *pair = key_pair_from_secret(secret);
        assert_non_null(pair);
        assert_memory_equal(pair->secret, secret, KEY_BYTES);
        assert_memory_equal(pair->public, public, KEY_BYTES);
        key_pair_destroy(pair);
    }
}

static void new_pairs(void **state) {
    (void)state;
    struct key_pair *one = key_pair_generate(), *two = key_pair_generate();
    assert_non_null(one);
    assert_non_null(two);
    assert_memory_not_equal(one->secret, two->secret, KEY_BYTES);
    assert_memory_not_equal(one->public, two->public, KEY_BYTES);
    struct key_pair *again = key_pair_from_secret(one->secret);
    assert_memory_equal(again->public, one->public, KEY_BYTES);
    /* A pair is in nobody's list of pairs that cannot be: its text is read back. */
    char text[KEY_TEXT_BYTES];
    uint8_t back[KEY_BYTES];
    assert_int_equal(key_parse(key_text(one->public, text), back, NULL), CANYON_OK);
    assert_memory_equal(back, one->public, KEY_BYTES);
    key_pair_destroy(one);
    key_pair_destroy(two);
    key_pair_destroy(again);
    key_pair_destroy(NULL);
}

/* The documented form, put together by hand: prefix, base 32 of the key and 4 bytes of BLAKE2b-256. */
static void text_is_as_documented(void **state) {
    (void)state;
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t coded[KEY_BYTES + 4], hashed[4 + KEY_BYTES], digest[32];
    char expected[KEY_TEXT_BYTES] = "cnp1", text[KEY_TEXT_BYTES], fingerprint[KEY_FINGERPRINT_BYTES];
    bytes_of(ALICE_PUBLIC, coded);
    memcpy(hashed, "cnp1", 4);
    memcpy(hashed + 4, coded, KEY_BYTES);
    assert_int_equal(crypto_generichash(digest, sizeof digest, hashed, sizeof hashed, NULL, 0), 0);
    memcpy(coded + KEY_BYTES, digest, 4);
    for (size_t i = 0; i < 58; i++) {
        unsigned value = 0;
        for (size_t bit = 5 * i; bit < 5 * i + 5; bit++) {
            value = value << 1 | (bit < 8 * sizeof coded ? (unsigned)coded[bit / 8] >> (7 - bit % 8) & 1 : 0);
        }
        expected[4 + i] = alphabet[value];
    }
    expected[62] = '\0';
    assert_string_equal(key_text(coded, text), expected);
    assert_int_equal(strlen(text), KEY_TEXT_BYTES - 1);
    assert_string_equal(key_fingerprint(coded, fingerprint), "cnp1quqpacmjgctv");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_pairs),
        cmocka_unit_test(new_pairs),
        cmocka_unit_test(text_is_as_documented),
    };
    if (random_start(NULL) != CANYON_OK) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
