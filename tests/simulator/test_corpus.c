/* Vocabularies and corpora: counts, the order of words, what is cut, and where passages end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/simulator/corpus.h"

static char text[512];

static void make(struct corpus *corpus, const char *content, uint64_t least) {
    if (!corpus_make(corpus, content, strlen(content), least, text, sizeof text)) {
        fail_msg("%s", text);
    }
}

static void expect_word(const struct vocabulary *vocabulary, uint32_t index, const char *word, uint64_t seen) {
    assert_string_equal(vocabulary_word(vocabulary, index), word);
    assert_int_equal(vocabulary_seen(vocabulary, index), seen);
    assert_int_equal(vocabulary_find(vocabulary, word, strlen(word)), index);
}

static void words_stand_by_how_often_they_were_seen(void **state) {
    struct corpus corpus;
    (void)state;
    make(&corpus, "b a c b a d b e. C", 1);
    const struct vocabulary *vocabulary = corpus.vocabulary;
    assert_int_equal(vocabulary_size(vocabulary), 5);
    assert_int_equal(vocabulary_total(vocabulary), 9);
    expect_word(vocabulary, 0, "b", 3);
    expect_word(vocabulary, 1, "a", 2);
    expect_word(vocabulary, 2, "c", 2);
    expect_word(vocabulary, 3, "d", 1);
    expect_word(vocabulary, 4, "e", 1);
    assert_int_equal(vocabulary_find(vocabulary, "f", 1), VOCABULARY_NONE);
    assert_int_equal(vocabulary_find(vocabulary, "", 0), VOCABULARY_NONE);
    corpus_finish(&corpus);
}

static void expect_passage(const struct corpus *corpus, size_t passage, const char *words) {
    size_t count = 0;
    const uint32_t *indices = corpus_passage(corpus, passage, &count);
    char joined[256] = "";
    for (size_t i = 0; i < count; i++) {
        strcat(joined, i == 0 ? "" : " ");
        strcat(joined, vocabulary_word(corpus->vocabulary, indices[i]));
    }
    assert_string_equal(joined, words);
}

static void rare_words_are_left_out_and_passages_end_at_empty_lines(void **state) {
    struct corpus corpus;
    (void)state;
    make(&corpus, "the cat saw\nthe dog\n\nthe bird\n\n  \ncat cat\n\na dog", 2);
    assert_int_equal(corpus.read, 11);
    assert_int_equal(vocabulary_size(corpus.vocabulary), 3); /* the, cat, dog */
    assert_int_equal(corpus.passage_count, 2);               /* "the bird" and "a dog" have one word each */
    expect_passage(&corpus, 0, "the cat the dog");
    expect_passage(&corpus, 1, "cat cat");
    assert_int_equal(corpus.word_count, 6);
    corpus_finish(&corpus);
    corpus_finish(&corpus);
}

static void long_passages_are_cut(void **state) {
    struct corpus corpus;
    size_t words = 2 * CORPUS_PASSAGE_HIGH + 10, count = 0;
    char *content = calloc(words, 2);
    assert_non_null(content);
    for (size_t i = 0; i < words; i++) {
        memcpy(content + 2 * i, i % 2 == 0 ? "a " : "b ", 2);
    }
    (void)state;
    assert_true(corpus_make(&corpus, content, 2 * words, 1, text, sizeof text));
    assert_int_equal(corpus.passage_count, 3);
    corpus_passage(&corpus, 0, &count);
    assert_int_equal(count, CORPUS_PASSAGE_HIGH);
    corpus_passage(&corpus, 2, &count);
    assert_int_equal(count, 10);
    free(content);
    corpus_finish(&corpus);
}

static void what_cannot_be_learnt_from_is_refused(void **state) {
    static const char *const contents[] = {"", "1 2 3", "word word word", "a\n\nb\n\na\n\nb"};
    struct corpus corpus;
    (void)state;
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        assert_false(corpus_make(&corpus, contents[i], strlen(contents[i]), 1, text, sizeof text));
        assert_non_null(strstr(text, "nothing to learn"));
        assert_null(corpus.vocabulary);
    }
}

/* More words than the first places, each found again. */
static void many_words_are_found_again(void **state) {
    struct vocabulary *vocabulary = vocabulary_create();
    char word[16];
    (void)state;
    assert_non_null(vocabulary);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 20000 - 5000 * round; i++) {
            size_t length = (size_t)sprintf(word, "w%u", i);
            assert_true(vocabulary_count(vocabulary, word, length));
        }
    }
    assert_true(vocabulary_cut(vocabulary, 2));
    assert_int_equal(vocabulary_size(vocabulary), 15000);
    assert_int_equal(vocabulary_total(vocabulary), 3 * 10000 + 2 * 5000);
    for (unsigned i = 0; i < 20000; i++) {
        size_t length = (size_t)sprintf(word, "w%u", i);
        uint32_t index = vocabulary_find(vocabulary, word, length);
        assert_true((index != VOCABULARY_NONE) == (i < 15000));
        if (index != VOCABULARY_NONE) {
            assert_string_equal(vocabulary_word(vocabulary, index), word);
            assert_int_equal(vocabulary_seen(vocabulary, index), i < 10000 ? 3 : 2);
        }
    }
    vocabulary_destroy(vocabulary);
    vocabulary_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_stand_by_how_often_they_were_seen),
        cmocka_unit_test(rare_words_are_left_out_and_passages_end_at_empty_lines),
        cmocka_unit_test(long_passages_are_cut),
        cmocka_unit_test(what_cannot_be_learnt_from_is_refused),
        cmocka_unit_test(many_words_are_found_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
