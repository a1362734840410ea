/* The cipher state: nonces, Rekey() and the end of the counter, against libsodium called by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "common/channel_cipher.h"
#include "common/random.h"

#define MOST 1200

static const enum channel_cipher ciphers[] = {CHANNEL_CHACHA20POLY1305, CHANNEL_AES256GCM};

static _Alignas(16) uint8_t rooms[2][CHANNEL_CIPHER_PREPARED_BYTES];
static uint8_t key[CHANNEL_CIPHER_KEY_BYTES], plain[MOST];

static void with_each(void (*test)(enum channel_cipher cipher)) {
    for (size_t i = 0; i < 2; i++) {
        if (channel_cipher_usable(ciphers[i])) {
            test(ciphers[i]);
        } else {
            printf("SKIPPED: no instructions for %s\n", channel_cipher_name(ciphers[i]));
        }
    }
}

/* Encrypts with a nonce spelled out. */
static void by_hand(enum channel_cipher cipher, const uint8_t nonce[12], const uint8_t *ad, size_t ad_bytes,
                    const uint8_t *bytes, size_t count, uint8_t *out) {
    unsigned long long written;
    if (cipher == CHANNEL_AES256GCM) {
        crypto_aead_aes256gcm_encrypt(out, &written, bytes, count, ad, ad_bytes, NULL, nonce, key);
    } else {
        crypto_aead_chacha20poly1305_ietf_encrypt(out, &written, bytes, count, ad, ad_bytes, NULL, nonce, key);
    }
    assert_int_equal(written, count + CHANNEL_TAG_BYTES);
}

static void names(void **state) {
    (void)state;
    enum channel_cipher cipher = CHANNEL_CHACHA20POLY1305;
    assert_string_equal(channel_cipher_name(CHANNEL_CHACHA20POLY1305), "chacha20poly1305");
    assert_string_equal(channel_cipher_name(CHANNEL_AES256GCM), "aes256gcm");
    assert_string_equal(channel_cipher_name((enum channel_cipher)7), "unknown");
    assert_true(channel_cipher_parse("aes256gcm", &cipher));
    assert_int_equal(cipher, CHANNEL_AES256GCM);
    assert_true(channel_cipher_parse("chacha20poly1305", &cipher));
    assert_int_equal(cipher, CHANNEL_CHACHA20POLY1305);
    static const char *const none[] = {"", "aes", "AES256GCM", "aes256gcm ", "none", "plaintext"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_false(channel_cipher_parse(none[i], &cipher));
    }
    assert_true(channel_cipher_usable(CHANNEL_CHACHA20POLY1305));
    assert_false(channel_cipher_usable((enum channel_cipher)7));
}

static void nonces_with(enum channel_cipher cipher) {
    static const uint8_t little[12] = {0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1};
    static const uint8_t big[12] = {0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t expected[MOST + CHANNEL_TAG_BYTES], sealed[MOST + CHANNEL_TAG_BYTES], opened[MOST];
    for (int prepared = 0; prepared < 2; prepared++) {
        struct channel_cipher_state sends, receives;
        channel_cipher_start(&sends, cipher, key, prepared ? rooms[0] : NULL);
        channel_cipher_start(&receives, cipher, key, prepared ? rooms[1] : NULL);
        assert_int_equal(sends.counter, 0);
        sends.counter = receives.counter = 0x0102030405060708;
        by_hand(cipher, cipher == CHANNEL_AES256GCM ? big : little, (const uint8_t *)"ad", 2, plain, 100, expected);
        assert_true(channel_cipher_seal(&sends, "ad", 2, plain, 100, sealed));
        assert_memory_equal(sealed, expected, 100 + CHANNEL_TAG_BYTES);
        assert_true(channel_cipher_open(&receives, "ad", 2, sealed, 100 + CHANNEL_TAG_BYTES, opened));
        assert_memory_equal(opened, plain, 100);
        assert_int_equal(sends.counter, 0x0102030405060709);
        assert_int_equal(receives.counter, 0x0102030405060709);
    }
}

static void nonces(void **state) {
    (void)state;
    with_each(nonces_with);
}

/* Sealing and opening where the bytes lie gives what it gives elsewhere, at every size around the ciphers' blocks. */
static void in_place_with(enum channel_cipher cipher) {
    struct channel_cipher_state sends, receives;
    uint8_t sealed[MOST + CHANNEL_TAG_BYTES], other[MOST + CHANNEL_TAG_BYTES];
    channel_cipher_start(&sends, cipher, key, rooms[0]);
    channel_cipher_start(&receives, cipher, key, rooms[1]);
    for (size_t count = 0; count <= MOST; count++) {
        memcpy(sealed, plain, count);
        sends.counter = receives.counter = count;
        assert_true(channel_cipher_seal(&sends, NULL, 0, sealed, count, sealed));
        sends.counter = count;
        assert_true(channel_cipher_seal(&sends, NULL, 0, plain, count, other));
        assert_memory_equal(sealed, other, count + CHANNEL_TAG_BYTES);
        assert_true(channel_cipher_open(&receives, NULL, 0, sealed, count + CHANNEL_TAG_BYTES, sealed));
        assert_memory_equal(sealed, plain, count);
    }
}

static void in_place(void **state) {
    (void)state;
    with_each(in_place_with);
}

static void rekey_with(enum channel_cipher cipher) {
    static const uint8_t most[12] = {0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255};
    static const uint8_t zeros[32];
    uint8_t expected[32 + CHANNEL_TAG_BYTES];
    by_hand(cipher, most, NULL, 0, zeros, sizeof zeros, expected);
    if (cipher == CHANNEL_CHACHA20POLY1305) { /* the AEAD's stream begins with block 1 */
        uint8_t stream[32];
        crypto_stream_chacha20_ietf_xor_ic(stream, zeros, sizeof zeros, most, 1, key);
        assert_memory_equal(stream, expected, sizeof stream);
    }
    for (int prepared = 0; prepared < 2; prepared++) {
        struct channel_cipher_state state, fresh;
        uint8_t one[10 + CHANNEL_TAG_BYTES], two[10 + CHANNEL_TAG_BYTES];
        channel_cipher_start(&state, cipher, key, prepared ? rooms[0] : NULL);
        state.counter = 65536;
        channel_cipher_rekey(&state);
        assert_memory_equal(state.key, expected, sizeof state.key);
        assert_int_equal(state.counter, 65536);
        /* What is sealed next is sealed with the new key. */
        channel_cipher_start(&fresh, cipher, expected, NULL);
        fresh.counter = 65536;
        assert_true(channel_cipher_seal(&state, NULL, 0, plain, 10, one));
        assert_true(channel_cipher_seal(&fresh, NULL, 0, plain, 10, two));
        assert_memory_equal(one, two, sizeof one);
    }
}

static void rekey(void **state) {
    (void)state;
    with_each(rekey_with);
}

static void end_with(enum channel_cipher cipher) {
    struct channel_cipher_state sends, receives;
    uint8_t sealed[10 + CHANNEL_TAG_BYTES], opened[10];
    channel_cipher_start(&sends, cipher, key, NULL);
    channel_cipher_start(&receives, cipher, key, NULL);
    sends.counter = receives.counter = CHANNEL_CIPHER_END - 1;
    assert_true(channel_cipher_seal(&sends, NULL, 0, plain, 10, sealed));
    assert_true(channel_cipher_open(&receives, NULL, 0, sealed, sizeof sealed, opened));
    for (int again = 0; again < 2; again++) {
        assert_false(channel_cipher_seal(&sends, NULL, 0, plain, 10, sealed));
        assert_false(channel_cipher_open(&receives, NULL, 0, sealed, sizeof sealed, opened));
        assert_true(sends.counter == CHANNEL_CIPHER_END && receives.counter == CHANNEL_CIPHER_END);
    }
}

static void end_of_the_counter(void **state) {
    (void)state;
    with_each(end_with);
}

static void wrong_with(enum channel_cipher cipher) {
    struct channel_cipher_state sends, receives;
    uint8_t sealed[40 + CHANNEL_TAG_BYTES], opened[40];
    channel_cipher_start(&sends, cipher, key, NULL);
    channel_cipher_start(&receives, cipher, key, rooms[0]);
    assert_true(channel_cipher_seal(&sends, "ad", 2, plain, 40, sealed));
    for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(channel_cipher_open(&receives, "ad", 2, sealed, sizeof sealed, opened));
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t count = 0; count < sizeof sealed; count++) {
        assert_false(channel_cipher_open(&receives, "ad", 2, sealed, count, opened));
    }
    assert_false(channel_cipher_open(&receives, "ae", 2, sealed, sizeof sealed, opened));
    assert_false(channel_cipher_open(&receives, NULL, 0, sealed, sizeof sealed, opened));
    assert_int_equal(receives.counter, 0);
    receives.counter = 1;
    assert_false(channel_cipher_open(&receives, "ad", 2, sealed, sizeof sealed, opened));
    assert_int_equal(receives.counter, 1);
    receives.counter = 0;
    assert_true(channel_cipher_open(&receives, "ad", 2, sealed, sizeof sealed, opened));
    assert_memory_equal(opened, plain, 40);
    assert_false(channel_cipher_open(&receives, "ad", 2, sealed, sizeof sealed, opened));
}

static void nothing_else_opens(void **state) {
    (void)state;
    with_each(wrong_with);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(nonces),
        cmocka_unit_test(in_place),
        cmocka_unit_test(rekey),
        cmocka_unit_test(end_of_the_counter),
        cmocka_unit_test(nothing_else_opens),
    };
    struct error error;
    if (random_start(&error) != CANYON_OK) {
        return 1;
    }
    for (size_t i = 0; i < sizeof plain; i++) {
        plain[i] = (uint8_t)(i * 7 + 3);
    }
    for (size_t i = 0; i < sizeof key; i++) {
        key[i] = (uint8_t)(i + 1);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
