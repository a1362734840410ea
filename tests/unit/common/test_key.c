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
#include "tests/unit/common/seed.h"
#include "tests/unit/keys.h"

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

/* The texts of the published pair, which Python's base64 and hashlib made by the description in key.h. */
static void text_is_as_documented(void **state) {
    (void)state;
    static const char public[] = "cnp1quqpacmjgctvi5elpxolipxxlig36oqney4bv5hlusuy5ku3jzvm3z5lgi";
    static const char secret[] = "cns1o4dw2cttdcsx2pawyfzfdmtgixpuyl4h5pajskvro752khnzfqvpm5f2uu";
    char text[KEY_TEXT_BYTES], fingerprint[KEY_FINGERPRINT_BYTES];
    uint8_t key[KEY_BYTES], back[KEY_BYTES];
    bytes_of(ALICE_PUBLIC, key);
    assert_string_equal(key_text(key, text), public);
    assert_int_equal(strlen(text), KEY_TEXT_BYTES - 1);
    assert_string_equal(key_fingerprint(key, fingerprint), "cnp1quqpacmjgctv");
    assert_int_equal(key_parse(public, back, NULL), CANYON_OK);
    assert_memory_equal(back, key, KEY_BYTES);
    bytes_of(ALICE_SECRET, key);
    assert_string_equal(key_encode(KEY_SECRET, key, text), secret);
    assert_int_equal(key_decode(KEY_SECRET, secret, back, NULL), CANYON_OK);
    assert_memory_equal(back, key, KEY_BYTES);
}

/* Each kind is read as itself only. */
static void kinds_are_kept_apart(void **state) {
    (void)state;
    struct test_key key = test_key(7);
    struct error error;
    uint8_t back[KEY_BYTES];
    assert_int_equal(key_decode(KEY_PUBLIC, key.text, back, NULL), CANYON_OK);
    assert_memory_equal(back, key.public, KEY_BYTES);
    assert_int_equal(key_decode(KEY_SECRET, key.secret_text, back, NULL), CANYON_OK);
    assert_memory_equal(back, key.secret, KEY_BYTES);
    assert_int_equal(key_decode(KEY_SECRET, key.text, back, &error), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "public key (cnp1...) stands"));
    assert_int_equal(key_parse(key.secret_text, back, &error), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "secret key (cns1...) stands"));
    test_no_secret(error.text, key.secret_text);
    /* The checksum binds the kind: a changed prefix makes no key of the other kind. */
    char text[KEY_TEXT_BYTES];
    memcpy(text, key.secret_text, sizeof text);
    text[2] = 'p';
    assert_int_equal(key_parse(text, back, &error), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "checksum"));
    test_no_secret(error.text, key.secret_text);
}

static void expect_refused(enum key_kind kind, const char *text, const char *secret) {
    struct error error = {.text = ""};
    uint8_t back[KEY_BYTES];
    static const uint8_t nothing[KEY_BYTES];
    if (key_decode(kind, text, back, &error) != CANYON_INVALID_ARGUMENT) {
        fail_msg("'%s' is accepted", text);
    }
    assert_memory_equal(back, nothing, KEY_BYTES);
    assert_true(strlen(error.text) > 20);
    test_no_secret(error.text, secret);
}

/* One character replaced by each other byte, left out, doubled, or swapped with the next. */
static void every_edit(enum key_kind kind, const char *text, const char *secret) {
    size_t length = strlen(text);
    char edited[KEY_TEXT_BYTES + 1];
    for (size_t i = 0; i < length; i++) {
        for (int c = 0; c < 256; c++) {
            memcpy(edited, text, length + 1);
            edited[i] = (char)c;
            if (edited[i] != text[i]) {
                expect_refused(kind, edited, secret);
            }
        }
        memcpy(edited, text, i);
        memcpy(edited + i, text + i + 1, length - i);
        expect_refused(kind, edited, secret);
        memcpy(edited, text, i + 1);
        memcpy(edited + i + 1, text + i, length - i + 1);
        expect_refused(kind, edited, secret);
        memcpy(edited, text, length + 1);
        edited[i] = text[i + 1];
        edited[i + 1] = text[i];
        if (i + 1 < length && text[i] != text[i + 1]) {
            expect_refused(kind, edited, secret);
        }
    }
}

static void every_edit_is_refused(void **state) {
    (void)state;
    uint64_t seed = seed_begin("every_edit_is_refused");
    for (int i = 0; i < 4; i++) {
        struct test_key key = test_key((uint32_t)seed_next(&seed));
        every_edit(KEY_PUBLIC, key.text, key.secret_text);
        every_edit(KEY_SECRET, key.secret_text, key.secret_text);
    }
}

static void other_texts_are_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"",
                                        "cnp1",
                                        "cns1",
                                        "cnp",
                                        "key",
                                        " ",
                                        "cnp1 ",
                                        "#",
                                        "\n",
                                        "cnp1\xff",
                                        "CNP1",
                                        "0x12",
                                        "cnp1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct test_key key = test_key(3);
    char text[2 * KEY_TEXT_BYTES + 8];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        expect_refused(KEY_PUBLIC, texts[i], key.secret_text);
        expect_refused(KEY_SECRET, texts[i], key.secret_text);
    }
    static const char *const formats[] = {" %s", "%s ", "%s\n", "%sa", "%s="};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        const char *at = strstr(formats[i], "%s");
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - formats[i]), formats[i], key.text, at + 2);
        expect_refused(KEY_PUBLIC, text, key.secret_text);
    }
    snprintf(text, sizeof text, "%s%s", key.text, key.text);
    expect_refused(KEY_PUBLIC, text, key.secret_text);
    for (char *c = strcpy(text, key.text); *c != '\0'; c++) {
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
    }
    expect_refused(KEY_PUBLIC, text, key.secret_text);
}

/* Points that make every Diffie-Hellman zero, found by their defining property and not by our list; and two spellings
 * of one number. */
static void bytes_that_are_no_key(void **state) {
    (void)state;
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p - 1 */
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p */
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p + 1 */
    };
    uint8_t public[KEY_BYTES], back[KEY_BYTES], shared[KEY_BYTES];
    char text[KEY_TEXT_BYTES];
    struct test_key key = test_key(4);
    struct error error;
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        bytes_of(points[i], public);
        assert_int_not_equal(crypto_scalarmult_curve25519(shared, key.secret, public), 0);
        assert_int_equal(key_parse(key_text(public, text), back, &error), CANYON_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, "cannot exist"));
    }
    memcpy(public, key.public, KEY_BYTES);
    public[KEY_BYTES - 1] |= 0x80;
    assert_int_equal(key_parse(key_text(public, text), back, NULL), CANYON_INVALID_ARGUMENT);
    /* p - 2 is the largest that is good, p + 2 another spelling of 2. */
    bytes_of(points[4], public);
    public[0] = 0xeb;
    assert_int_equal(key_parse(key_text(public, text), back, NULL), CANYON_OK);
    public[0] = 0xef;
    assert_int_equal(key_parse(key_text(public, text), back, NULL), CANYON_INVALID_ARGUMENT);
}

static void secrets_are_seen_anywhere(void **state) {
    (void)state;
    struct test_key key = test_key(5);
    char text[512];
    static const char *const hiding[] = {"%s",  "worker a %s", "name=%s", "# was ccns1%s", "cns1%s", "cnscnp1%s",
                                         "c%s", "cn%s",        "%s,"};
    for (size_t i = 0; i < sizeof hiding / sizeof hiding[0]; i++) {
        const char *at = strstr(hiding[i], "%s");
        int length = snprintf(text, sizeof text, "%.*s%s%s", (int)(at - hiding[i]), hiding[i], key.secret_text, at + 2);
        assert_true(key_shows_secret(text, (size_t)length));
        /* Half of one is too much too, and so is one in capitals. */
        assert_true(key_shows_secret(text, (size_t)length - 30));
    }
    for (char *c = strcpy(text, key.secret_text); *c != '\0'; c++) {
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
    }
    assert_true(key_shows_secret(text, strlen(text)));
    static const char *const innocent[] = {
        "", "cns1", "cns1...", "a secret key (cns1...) stands here", "cns1-trainer", "cnscnscnscnscnscns"};
    for (size_t i = 0; i < sizeof innocent / sizeof innocent[0]; i++) {
        assert_false(key_shows_secret(innocent[i], strlen(innocent[i])));
    }
    assert_false(key_shows_secret(key.text, strlen(key.text)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_pairs),       cmocka_unit_test(new_pairs),
        cmocka_unit_test(text_is_as_documented), cmocka_unit_test(kinds_are_kept_apart),
        cmocka_unit_test(every_edit_is_refused), cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(bytes_that_are_no_key), cmocka_unit_test(secrets_are_seen_anywhere),
    };
    if (random_start(NULL) != CANYON_OK) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
