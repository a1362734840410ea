/* WordNet's files: what is read of a line, what is refused, and that Debian's own are the published ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>
#include <unistd.h>

#include "client/simulator/corpus.h"
#include "client/simulator/synonyms.h"
#include "client/simulator/wordnet.h"

/* Two lines of WordNet 3.0's licence and data, and a made-up one with every kind of marker. */
static const char sample[] =
    "  1 This software and database is being provided to you, the LICENSEE, by  \n"
    "00002684 03 n 02 object 0 physical_object 0 039 @ 00001930 n 0000 + 00532607 v 0105 | a tangible and visible "
    "entity; \"it was full of rackets, balls and other objects\"  \n"
    "00000001 00 s 0a big 0 large(a) 1 Great(p) f tall(ip) 2 bulky 0 vast 0 huge 0 giant 0 mega 0 b-i-g 0 000 | of "
    "size | and more\n";

static char text[WORDNET_TEXT_BYTES];

static void a_line_gives_lemmas_and_gloss(void **state) {
    static const char lemmas[] =
        "object\0physical_object\0big\0large\0Great\0tall\0bulky\0vast\0huge\0giant\0mega\0b-i-g";
    struct wordnet wordnet = {.count = 0};
    (void)state;
    assert_true(wordnet_parse(&wordnet, "sample", sample, sizeof sample - 1, text, sizeof text));
    assert_int_equal(wordnet.count, 2);
    assert_int_equal(wordnet.lemma_bytes, sizeof lemmas);
    assert_memory_equal(wordnet.lemmas, lemmas, sizeof lemmas);
    assert_int_equal(wordnet.ends[0], strlen("object") + strlen("physical_object") + 2);
    static const char glosses[] = "a tangible and visible entity; \"it was full of rackets, balls and other objects\"  "
                                  "\n\nof size | and more\n\n";
    assert_int_equal(wordnet.gloss_bytes, sizeof glosses - 1);
    assert_memory_equal(wordnet.glosses, glosses, sizeof glosses - 1);
    wordnet_finish(&wordnet);
    wordnet_finish(&wordnet);
}

static void what_is_wrong_is_named_with_its_line(void **state) {
    static const struct {
        const char *line, *said;
    } cases[] = {
        {"", "data.x:2: "},
        {"00002684 03 n 01 object 0 000 a gloss without its bar", "there is no ' | '"},
        {"0000268 03 n 01 object 0 000 | x", "eight digits"},
        {"0000268x 03 n 01 object 0 000 | x", "eight digits"},
        {"00002684 3 n 01 object 0 000 | x", "two digits"},
        {"00002684 03 q 01 object 0 000 | x", "not a type"},
        {"00002684 03 nn 01 object 0 000 | x", "not a type"},
        {"00002684 03 n 00 000 | x", "count of lemmas"},
        {"00002684 03 n 1 object 0 000 | x", "count of lemmas"},
        {"00002684 03 n 03 object 0 thing 0 | x", "fewer lemmas"},
        {"00002684 03 n 02 object 0  0 | x", "fewer lemmas"},
        {"00002684 03 n 01 object zero 000 | x", "followed by its number"},
        {"00002684 03 n 01 object | x", "followed by its number"},
        {" | ", "eight digits"},
        {"  | x\n00002684 | x", "data.x:3: "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wordnet wordnet = {.count = 0};
        char data[512];
        int bytes = snprintf(data, sizeof data, "00000001 00 n 01 thing 0 000 | x\n%s\n", cases[i].line);
        assert_false(wordnet_parse(&wordnet, "data.x", data, (size_t)bytes, text, sizeof text));
        if (strstr(text, cases[i].said) == NULL) {
            fail_msg("'%s' is not in: %s", cases[i].said, text);
        }
        wordnet_finish(&wordnet);
    }
}

static uint32_t index_of(const struct vocabulary *vocabulary, const char *word) {
    return vocabulary_find(vocabulary, word, strlen(word));
}

/* Single words of the vocabulary, each pair once, no word with itself. */
static void synonyms_are_pairs_of_words_that_were_seen(void **state) {
    static const char data[] = "00000001 00 n 04 cat 0 Felis_catus 0 tom 0 Cat 0 000 | x\n"
                               "00000002 00 v 03 tom 0 cat 0 unseen 0 000 | x\n"
                               "00000003 00 a 02 big(a) 0 large 0 000 | x\n"
                               "00000004 00 r 01 alone 0 000 | x\n";
    static const char seen[] = "cat tom felis catus big large alone other words";
    struct wordnet wordnet = {.count = 0};
    struct corpus corpus;
    struct synonyms synonyms;
    struct auc auc;
    float vectors[9][2];
    (void)state;
    assert_true(wordnet_parse(&wordnet, "data", data, sizeof data - 1, text, sizeof text));
    assert_true(corpus_make(&corpus, seen, sizeof seen - 1, 1, text, sizeof text));
    assert_true(synonyms_make(&synonyms, &wordnet, corpus.vocabulary));
    assert_int_equal(synonyms.count, 2);
    assert_int_equal(synonyms.word_count, 4);
    uint32_t cat = index_of(corpus.vocabulary, "cat"), tom = index_of(corpus.vocabulary, "tom");
    uint32_t big = index_of(corpus.vocabulary, "big"), large = index_of(corpus.vocabulary, "large");
    assert_true(synonyms_has(&synonyms, tom, cat) && synonyms_has(&synonyms, big, large));
    assert_false(synonyms_has(&synonyms, cat, big) || synonyms_has(&synonyms, cat, cat));
    /* Synonyms point the same way, all others another: no random pair is as near, and ties count half. */
    for (uint32_t i = 0; i < 9; i++) {
        float angle = i == cat || i == tom ? 1.0f : i == big || i == large ? 2.0f : 3.0f;
        vectors[i][0] = cosf(angle);
        vectors[i][1] = sinf(angle);
    }
    assert_true(synonyms_area(&synonyms, vectors[0], 2, 9, true, 1000, 1, &auc) && auc.area == 1.0);
    /* Of all pairs but the two of synonyms, 36 - 2, the five other words make 10, which are ties. */
    assert_true(synonyms_area(&synonyms, vectors[0], 2, 9, false, 100000, 1, &auc));
    assert_true(fabs(auc.area - (1.0 - 0.5 * 10.0 / 34.0)) < 0.005);
    synonyms_finish(&synonyms);
    corpus_finish(&corpus);
    wordnet_finish(&wordnet);
}

/* Every beginning of the sample, exactly as long as it is. */
static void no_cut_can_hurt(void **state) {
    (void)state;
    for (size_t bytes = 0; bytes < sizeof sample; bytes++) {
        struct wordnet wordnet = {.count = 0};
        char *exact = malloc(bytes > 0 ? bytes : 1);
        assert_non_null(exact);
        memcpy(exact, sample, bytes);
        (void)wordnet_parse(&wordnet, "sample", exact, bytes, text, sizeof text);
        wordnet_finish(&wordnet);
        free(exact);
    }
}

static void a_directory_without_files_is_told(void **state) {
    struct wordnet wordnet;
    (void)state;
    assert_false(wordnet_read(&wordnet, "/nowhere", text, sizeof text));
    assert_non_null(strstr(text, "/nowhere/data.noun"));
    assert_null(wordnet.glosses);
}

/* wnstats(7WN) of WordNet 3.0 says how many synsets there are: 82,115 nouns, 13,767 verbs, 18,156 adjectives and 3,621
 * adverbs. */
static void debians_files_are_the_published_ones(void **state) {
    struct wordnet wordnet;
    struct corpus corpus;
    struct synonyms synonyms;
    (void)state;
    if (access(WORDNET_DIRECTORY "/data.noun", R_OK) != 0) {
        print_message("SKIPPED: wordnet-base is not installed; its files were not read\n");
        skip();
    }
    if (!wordnet_read(&wordnet, WORDNET_DIRECTORY, text, sizeof text)) {
        fail_msg("%s", text);
    }
    assert_int_equal(wordnet.count, 82115 + 13767 + 18156 + 3621);
    assert_true(corpus_make(&corpus, wordnet.glosses, wordnet.gloss_bytes, 5, text, sizeof text));
    assert_true(synonyms_make(&synonyms, &wordnet, corpus.vocabulary));
    uint32_t car = vocabulary_find(corpus.vocabulary, "car", 3), dog = vocabulary_find(corpus.vocabulary, "dog", 3);
    uint32_t automobile = vocabulary_find(corpus.vocabulary, "automobile", 10);
    assert_true(synonyms_has(&synonyms, car, automobile) && synonyms_has(&synonyms, automobile, car));
    assert_false(synonyms_has(&synonyms, car, dog));
    synonyms_finish(&synonyms);
    corpus_finish(&corpus);
    wordnet_finish(&wordnet);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_gives_lemmas_and_gloss),
        cmocka_unit_test(what_is_wrong_is_named_with_its_line),
        cmocka_unit_test(synonyms_are_pairs_of_words_that_were_seen),
        cmocka_unit_test(no_cut_can_hurt),
        cmocka_unit_test(a_directory_without_files_is_told),
        cmocka_unit_test(debians_files_are_the_published_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
