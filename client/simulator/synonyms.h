/* Pairs of words that mean the same, and pairs drawn at random, to see whether vectors tell them apart.
 *
 * A pair of synonyms are two different lemmas of one WordNet synset that both are single words (words.h) of the
 * vocabulary; a pair that several synsets have counts once. A random pair are two different words drawn uniformly from
 * the vocabulary, or from those words of it that some pair of synonyms has; one that is a pair of synonyms is drawn
 * again. */
#ifndef CANYON_SIMULATOR_SYNONYMS_H
#define CANYON_SIMULATOR_SYNONYMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/simulator/auc.h"
#include "client/simulator/vocabulary.h"
#include "client/simulator/wordnet.h"

struct synonym_pair {
    uint32_t low, high; /* indices in the vocabulary */
};

struct synonyms {
    struct synonym_pair *pairs; /* in order, each once */
    size_t count, capacity;
    uint32_t *words; /* that are in some pair, each once, in order */
    size_t word_count;
};

/* False when there is no memory. synonyms_finish in any case. */
bool synonyms_make(struct synonyms *synonyms, const struct wordnet *wordnet, const struct vocabulary *vocabulary);
void synonyms_finish(struct synonyms *synonyms);

bool synonyms_has(const struct synonyms *synonyms, uint32_t a, uint32_t b);

/* The area under the curve of the cosine of two words' vectors (`vectors` has dim floats for each word of the
 * vocabulary): all pairs of synonyms against `draws` pairs drawn with `seed` from `size` words, words 0 to size - 1, or
 * those of synonyms->words when `own`. The draws are the same for the same seed and vocabulary. Needs at least one pair
 * of synonyms, and three words to draw from. False when there is no memory. */
bool synonyms_area(const struct synonyms *synonyms, const float *vectors, uint32_t dim, uint32_t size, bool own,
                   size_t draws, uint64_t seed, struct auc *auc);

#endif
