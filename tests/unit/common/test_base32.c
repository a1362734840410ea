/* Base 32: the vectors of RFC 4648, every length, and every text that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base32.h"

/* RFC 4648, section 10, in lower case and without its padding. */
static void published_vectors(void **state) {
    (void)state;
    static const char *const vectors[][2] = {
        {"", ""},
        {"f", "my"},
        {"fo", "mzxq"},
        {"foo", "mzxw6"},
        {"foob", "mzxw6yq"},
        {"fooba", "mzxw6ytb"},
        {"foobar", "mzxw6ytboi"},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        char text[32], back[8] = "";
        size_t count = strlen(vectors[i][0]);
        base32_encode(vectors[i][0], count, text);
        assert_string_equal(text, vectors[i][1]);
        assert_int_equal(BASE32_CHARACTERS(count), strlen(text));
        assert_true(base32_decode(text, back, count));
        assert_string_equal(back, vectors[i][0]);
    }
}

/* The alphabet, in its order: five bits a character. */
static void whole_alphabet(void **state) {
    (void)state;
    uint8_t bytes[20] = {0}, back[20];
    for (unsigned i = 0; i < 32; i++) {
        for (unsigned bit = 0; bit < 5; bit++) {
            if ((i >> (4 - bit) & 1) != 0) {
                bytes[(5 * i + bit) / 8] |= (uint8_t)(0x80 >> (5 * i + bit) % 8);
            }
        }
    }
    char text[33];
    base32_encode(bytes, sizeof bytes, text);
    assert_string_equal(text, "abcdefghijklmnopqrstuvwxyz234567");
    assert_true(base32_decode(text, back, sizeof back));
    assert_memory_equal(back, bytes, sizeof bytes);
}

static void foreign_characters(void **state) {
    (void)state;
    for (int c = 0; c < 256; c++) {
        uint8_t bytes[5];
        char text[] = "mzxw6ytb";
        int belongs = (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7');
        text[3] = (char)c;
        if (base32_decode(text, bytes, sizeof bytes) != belongs) {
            fail_msg("character 0x%02x is %s", (unsigned)c, belongs ? "refused" : "accepted");
        }
    }
}

/* Of all last characters only those whose unused bits are zero are somebody's text. */
static void one_text_for_one_value(void **state) {
    (void)state;
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    static const struct {
        size_t count;
        unsigned unused; /* bits of the last character */
    } lengths[] = {{1, 2}, {2, 4}, {3, 1}, {4, 3}, {5, 0}};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t accepted = 0;
        for (unsigned value = 0; value < 32; value++) {
            uint8_t bytes[5];
            char text[9], again[9];
            memset(text, 'b', sizeof text);
            text[BASE32_CHARACTERS(lengths[i].count) - 1] = alphabet[value];
            text[BASE32_CHARACTERS(lengths[i].count)] = '\0';
            if (base32_decode(text, bytes, lengths[i].count)) {
                base32_encode(bytes, lengths[i].count, again);
                assert_string_equal(again, text);
                accepted++;
            }
        }
        assert_int_equal(accepted, 32 >> lengths[i].unused);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(whole_alphabet),
        cmocka_unit_test(foreign_characters),
        cmocka_unit_test(one_text_for_one_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
