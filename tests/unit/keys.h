/* Keys for tests: the one of any number, always the same. Include after cmocka.h. */
#ifndef CANYON_TESTS_UNIT_KEYS_H
#define CANYON_TESTS_UNIT_KEYS_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/key.h"
#include "common/key_text.h"

struct test_key {
    uint8_t secret[KEY_BYTES], public[KEY_BYTES];
    char text[KEY_TEXT_BYTES], secret_text[KEY_TEXT_BYTES];
};

/* random_start must have been called. */
static inline struct test_key test_key(uint32_t number) {
    struct test_key key;
    memset(key.secret, 0x5a, sizeof key.secret);
    memcpy(key.secret + 4, &number, sizeof number);
    struct key_pair *pair = key_pair_from_secret(key.secret);
    assert_non_null(pair);
    memcpy(key.public, pair->public, KEY_BYTES);
    key_pair_destroy(pair);
    key_text(key.public, key.text);
    key_encode(KEY_SECRET, key.secret, key.secret_text);
    return key;
}

/* Writes `format` with every "@" replaced by the text of test_key(1), every "%" by that of test_key(2), and "!" by a
 * secret key's. Returns its length. */
static inline size_t test_fill(char *text, size_t bytes, const char *format) {
    struct test_key one = test_key(1), two = test_key(2);
    size_t length = 0;
    for (const char *at = format; *at != '\0'; at++) {
        const char single[2] = {*at, '\0'};
        const char *part = *at == '@' ? one.text : *at == '%' ? two.text : *at == '!' ? one.secret_text : single;
        assert_true(length + strlen(part) < bytes);
        memcpy(text + length, part, strlen(part));
        length += strlen(part);
    }
    text[length] = '\0';
    return length;
}

/* No text may repeat a secret, nor much of one: not twelve characters of it in a row. */
static inline void test_no_secret(const char *text, const char *secret) {
    for (size_t i = 0; i + 12 <= strlen(secret); i++) {
        char part[13] = "";
        memcpy(part, secret + i, 12);
        if (strstr(text, part) != NULL) {
            fail_msg("the text repeats a secret key: %s", text);
        }
    }
}

#endif
