/* English text as words: the rules, one line each; and that no bytes can hurt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/simulator/counter.h"
#include "client/simulator/words.h"

/* All words of a text, joined by '|', an empty line before one as '/'. */
static char *joined(const char *text, size_t bytes) {
    static char all[4096];
    char word[WORDS_BYTES];
    size_t length = 0, at = 0;
    struct words words;
    char *exact = malloc(bytes + 1); /* so that a sanitizer sees a step beyond */
    assert_non_null(exact);
    memcpy(exact, text, bytes);
    char *tight = realloc(exact, bytes > 0 ? bytes : 1);
    assert_non_null(tight);
    words_init(&words, tight, bytes);
    all[0] = '\0';
    bool gap = false;
    while (words_next(&words, word, &length, &gap)) {
        assert_int_equal(strlen(word), length);
        assert_true(at + length + 3 < sizeof all);
        at += (size_t)sprintf(all + at, "%s%s%s", at > 0 ? "|" : "", gap ? "/" : "", word);
        gap = false;
    }
    free(tight);
    return all;
}

static void the_rules(void **state) {
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", ""},
        {"word", "word"},
        {"The cat SAT.", "the|cat|sat"},
        {"a;b,c(d)\"e\"", "a|b|c|d|e"},
        {"well-known o'clock", "well-known|o'clock"},
        {"-a- 'b' c'", "a|b|c"},
        {"--a--b--", "a|b"},
        {"the dog's tail, the dogs' tails", "the|dog|tail|the|dogs|tails"},
        {"DOG'S", "dog"},
        {"'s s's", "s|s"},
        {"in 1066 b2b mp3 3rd x-1 end", "in|end"},
        {"caf\xc3\xa9 na\xc3\xafve plain", "plain"},
        {"don't e-mail", "don't|e-mail"},
        {"one\ntwo\n\nthree\n \t\r\nfour", "one|two|/three|/four"},
        {"\n\none", "/one"},
        {"one\n.\ntwo", "one|two"},
        {"one\n\n1066\ntwo", "one|/two"},
        {"under_score a_b", "under|score|a|b"},
        {"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgg short",
         "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgg|short"},
        {"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg short", "short"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(joined(cases[i].text, strlen(cases[i].text)), cases[i].words);
    }
    assert_string_equal(joined("a\0b", 3), "a|b");
}

static void one_word_or_not(void **state) {
    static const struct {
        const char *text, *word; /* NULL: it is none */
    } cases[] = {{"dog", "dog"},
                 {"Einstein", "einstein"},
                 {"well-off", "well-off"},
                 {"physical_entity", NULL},
                 {"", NULL},
                 {"-dog", NULL},
                 {"dog-", NULL},
                 {"dog ", NULL},
                 {" dog", NULL},
                 {"24/7", NULL},
                 {"B-52", NULL},
                 {"'s", NULL},
                 {"hell's", "hell"},
                 {"a", "a"},
                 {"caf\xc3\xa9", NULL}};
    char word[WORDS_BYTES];
    size_t length = 0;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool is = words_only(cases[i].text, strlen(cases[i].text), word, &length);
        assert_true(is == (cases[i].word != NULL));
        if (is) {
            assert_string_equal(word, cases[i].word);
        }
    }
}

/* Random bytes, many of them from what the rules look at. */
static void no_bytes_can_hurt(void **state) {
    static const char likely[] = "aZ'-\n 1\xc3.s";
    (void)state;
    for (uint64_t round = 0; round < 20000; round++) {
        char text[64];
        size_t bytes = counter_below(1, round, 1000, sizeof text);
        for (size_t i = 0; i < bytes; i++) {
            uint32_t draw = counter_below(1, round, i, 64);
            text[i] = draw < 60 ? likely[draw % (sizeof likely - 1)] : (char)counter_bits(1, round, i);
        }
        for (const char *at = joined(text, bytes); *at != '\0'; at++) {
            assert_non_null(strchr("abcdefghijklmnopqrstuvwxyz'-|/", *at));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rules),
        cmocka_unit_test(one_word_or_not),
        cmocka_unit_test(no_bytes_can_hurt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
