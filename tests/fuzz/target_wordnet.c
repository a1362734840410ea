/* WordNet's lines, and any text as a corpus: read or refused with a text; what was read hangs together.
 *
 * Input: a data file; where it is refused, a text. */
#include "tests/fuzz/fuzz.h"

#include "client/simulator/corpus.h"
#include "client/simulator/synonyms.h"
#include "client/simulator/words.h"

static void check_corpus(const struct corpus *corpus) {
    uint64_t words = 0;
    for (size_t p = 0; p < corpus->passage_count; p++) {
        size_t count = 0;
        const uint32_t *passage = corpus_passage(corpus, p, &count);
        REQUIRE(count >= 2 && count <= CORPUS_PASSAGE_HIGH);
        for (size_t i = 0; i < count; i++) {
            REQUIRE(passage[i] < vocabulary_size(corpus->vocabulary));
        }
        words += count;
    }
    REQUIRE(words == corpus->word_count && words <= corpus->read);
    for (uint32_t i = 0; i < vocabulary_size(corpus->vocabulary); i++) {
        const char *word = vocabulary_word(corpus->vocabulary, i);
        REQUIRE(strlen(word) >= 1 && strlen(word) <= WORDS_HIGH);
        REQUIRE(vocabulary_find(corpus->vocabulary, word, strlen(word)) == i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct wordnet wordnet = {.count = 0};
    struct corpus corpus;
    struct synonyms synonyms;
    char text[WORDNET_TEXT_BYTES] = "";
    char *exact = (char *)exact_copy(data, size);
    bool good = wordnet_parse(&wordnet, "input", exact, size, text, sizeof text);
    REQUIRE(good == (text[0] == '\0'));
    REQUIRE(wordnet.lemma_bytes <= size && wordnet.gloss_bytes <= 2 * size);
    const char *content = wordnet.count > 0 ? wordnet.glosses : exact;
    if (corpus_make(&corpus, content, wordnet.count > 0 ? wordnet.gloss_bytes : size, 1, text, sizeof text)) {
        check_corpus(&corpus);
        REQUIRE(synonyms_make(&synonyms, &wordnet, corpus.vocabulary));
        for (size_t i = 0; i < synonyms.count; i++) {
            REQUIRE(synonyms.pairs[i].low < synonyms.pairs[i].high);
            REQUIRE(synonyms.pairs[i].high < vocabulary_size(corpus.vocabulary));
        }
        synonyms_finish(&synonyms);
        corpus_finish(&corpus);
    }
    wordnet_finish(&wordnet);
    free(exact);
    return 0;
}
