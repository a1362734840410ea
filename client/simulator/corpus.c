#include "client/simulator/corpus.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/room.h"
#include "client/simulator/words.h"

static bool corpus_count(struct corpus *corpus, const char *text, size_t bytes) {
    struct words words;
    char word[WORDS_BYTES];
    size_t length = 0;
    words_init(&words, text, bytes);
    while (words_next(&words, word, &length, NULL)) {
        corpus->read++;
        if (!vocabulary_count(corpus->vocabulary, word, length)) {
            return false;
        }
    }
    return true;
}

/* Ends the passage that began at `begin`; one without neighbours teaches nothing. */
static bool passage_end(struct corpus *corpus, size_t begin) {
    if (corpus->word_count - begin < 2) {
        corpus->word_count = begin;
        return true;
    }
    if (corpus->passage_count >= CORPUS_PASSAGES_HIGH ||
        !room_make(&corpus->ends, &corpus->passage_capacity, corpus->passage_count + 1, sizeof *corpus->ends)) {
        return false;
    }
    corpus->ends[corpus->passage_count++] = corpus->word_count;
    return true;
}

static bool corpus_index(struct corpus *corpus, const char *text, size_t bytes) {
    struct words words;
    char word[WORDS_BYTES];
    size_t length = 0, begin = 0;
    bool good = true, gap = false;
    words_init(&words, text, bytes);
    while (good && words_next(&words, word, &length, &gap)) {
        uint32_t index = vocabulary_find(corpus->vocabulary, word, length);
        if (gap || corpus->word_count - begin >= CORPUS_PASSAGE_HIGH) {
            good = passage_end(corpus, begin);
            begin = corpus->word_count;
            gap = false;
        }
        if (good && index != VOCABULARY_NONE) {
            good = room_make(&corpus->words, &corpus->word_capacity, corpus->word_count + 1, sizeof *corpus->words);
            if (good) {
                corpus->words[corpus->word_count++] = index;
            }
        }
    }
    return good && passage_end(corpus, begin);
}

bool corpus_make(struct corpus *corpus, const char *text, size_t bytes, uint64_t least, char *text_out,
                 size_t text_bytes) {
    memset(corpus, 0, sizeof *corpus);
    corpus->vocabulary = vocabulary_create();
    bool good = corpus->vocabulary != NULL && corpus_count(corpus, text, bytes) &&
                vocabulary_cut(corpus->vocabulary, least) && corpus_index(corpus, text, bytes);
    if (!good) {
        snprintf(text_out, text_bytes, "no memory for the words of the text");
    } else if (vocabulary_size(corpus->vocabulary) < 2 || corpus->passage_count == 0) {
        snprintf(text_out, text_bytes,
                 "of %" PRIu64 " words that were read, %" PRIu32 " different ones were seen at least %" PRIu64
                 " times, and %zu passages have two of them: there is nothing to learn",
                 corpus->read, vocabulary_size(corpus->vocabulary), least, corpus->passage_count);
        good = false;
    }
    if (!good) {
        corpus_finish(corpus);
    }
    return good;
}

const uint32_t *corpus_passage(const struct corpus *corpus, size_t passage, size_t *count) {
    assert(passage < corpus->passage_count);
    size_t begin = passage == 0 ? 0 : corpus->ends[passage - 1];
    *count = corpus->ends[passage] - begin;
    return corpus->words + begin;
}

void corpus_finish(struct corpus *corpus) {
    vocabulary_destroy(corpus->vocabulary);
    free(corpus->words);
    free(corpus->ends);
    memset(corpus, 0, sizeof *corpus);
}
