/* A text as numbers: its words by their index in the vocabulary, in passages that no window reaches across.
 *
 * A passage ends at an empty line, or after CORPUS_PASSAGE_HIGH words. Words that the vocabulary did not keep are left
 * out, so that their neighbours stand closer together, as in word2vec (Mikolov et al., 2013). */
#ifndef CANYON_SIMULATOR_CORPUS_H
#define CANYON_SIMULATOR_CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/simulator/vocabulary.h"

#define CORPUS_PASSAGE_HIGH  1000u
#define CORPUS_PASSAGES_HIGH UINT32_MAX

struct corpus {
    struct vocabulary *vocabulary;
    uint32_t *words; /* all passages one after another */
    size_t word_count, word_capacity;
    size_t *ends; /* of each passage, in `words`; it begins where the one before ends */
    size_t passage_count, passage_capacity;
    uint64_t read; /* words of the text, those left out too */
};

/* Makes the vocabulary of words seen at least `least` times, and the passages; one of a single word is left out. The
 * text is not needed afterwards. False with `text_out` when there is no memory, or fewer than two words are left:
 * then it is zeroed. corpus_finish otherwise. Takes memory in proportion to `bytes`. */
bool corpus_make(struct corpus *corpus, const char *text, size_t bytes, uint64_t least, char *text_out,
                 size_t text_bytes);

/* The words of a passage, *count of them, at least two. */
const uint32_t *corpus_passage(const struct corpus *corpus, size_t passage, size_t *count);

/* Frees and zeroes. Safe on a zeroed one. */
void corpus_finish(struct corpus *corpus);

#endif
