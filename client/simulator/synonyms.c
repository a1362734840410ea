#include "client/simulator/synonyms.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/counter.h"
#include "client/simulator/neighbours.h"
#include "client/simulator/room.h"
#include "client/simulator/words.h"

#define DRAW_STREAM (3ull << 61)
#define LEMMAS_HIGH 255 /* of a synset: two hexadecimal digits */
#define REDRAWS     64

static int compare(const void *left, const void *right) {
    const struct synonym_pair *a = left, *b = right;
    if (a->low != b->low) {
        return a->low < b->low ? -1 : 1;
    }
    return (a->high > b->high) - (a->high < b->high);
}

/* The words of the vocabulary among the lemmas from `at` to `end`; returns how many. */
static size_t synset_words(const char *at, const char *end, const struct vocabulary *vocabulary,
                           uint32_t found[LEMMAS_HIGH]) {
    char word[WORDS_BYTES];
    size_t count = 0, length = 0;
    for (; at < end && count < LEMMAS_HIGH; at += strlen(at) + 1) {
        uint32_t index = VOCABULARY_NONE;
        if (words_only(at, strlen(at), word, &length)) {
            index = vocabulary_find(vocabulary, word, length);
        }
        if (index != VOCABULARY_NONE) {
            found[count++] = index;
        }
    }
    return count;
}

static bool synset_add(struct synonyms *synonyms, const uint32_t *words, size_t count) {
    for (size_t i = 0; i < count; i++) {
        for (size_t j = i + 1; j < count; j++) {
            uint32_t a = words[i], b = words[j];
            if (a == b) {
                continue; /* "Lead" and "lead" */
            }
            if (!room_make(&synonyms->pairs, &synonyms->capacity, synonyms->count + 1, sizeof *synonyms->pairs)) {
                return false;
            }
            synonyms->pairs[synonyms->count++] = (struct synonym_pair){a < b ? a : b, a < b ? b : a};
        }
    }
    return true;
}

static void remove_doubles(struct synonyms *synonyms) {
    size_t kept = 0;
    if (synonyms->count > 0) {
        qsort(synonyms->pairs, synonyms->count, sizeof *synonyms->pairs, compare);
    }
    for (size_t i = 0; i < synonyms->count; i++) {
        if (kept == 0 || compare(&synonyms->pairs[kept - 1], &synonyms->pairs[i]) != 0) {
            synonyms->pairs[kept++] = synonyms->pairs[i];
        }
    }
    synonyms->count = kept;
}

static bool collect_words(struct synonyms *synonyms, uint32_t size) {
    bool *there = calloc((size_t)size + 1, sizeof *there);
    synonyms->words = malloc(((size_t)size + 1) * sizeof *synonyms->words);
    bool good = there != NULL && synonyms->words != NULL;
    for (size_t i = 0; i < synonyms->count && good; i++) {
        there[synonyms->pairs[i].low] = there[synonyms->pairs[i].high] = true;
    }
    for (uint32_t word = 0; word < size && good; word++) {
        if (there[word]) {
            synonyms->words[synonyms->word_count++] = word;
        }
    }
    free(there);
    return good;
}

bool synonyms_make(struct synonyms *synonyms, const struct wordnet *wordnet, const struct vocabulary *vocabulary) {
    uint32_t words[LEMMAS_HIGH];
    bool good = true;
    size_t begin = 0;
    memset(synonyms, 0, sizeof *synonyms);
    for (size_t i = 0; i < wordnet->count && good; i++) {
        const char *lemmas = wordnet->lemmas + begin, *end = wordnet->lemmas + wordnet->ends[i];
        good = synset_add(synonyms, words, synset_words(lemmas, end, vocabulary, words));
        begin = wordnet->ends[i];
    }
    remove_doubles(synonyms);
    return good && collect_words(synonyms, vocabulary_size(vocabulary));
}

void synonyms_finish(struct synonyms *synonyms) {
    free(synonyms->pairs);
    free(synonyms->words);
    memset(synonyms, 0, sizeof *synonyms);
}

bool synonyms_has(const struct synonyms *synonyms, uint32_t a, uint32_t b) {
    struct synonym_pair pair = {a < b ? a : b, a < b ? b : a};
    return synonyms->count > 0 && bsearch(&pair, synonyms->pairs, synonyms->count, sizeof pair, compare) != NULL;
}

/* Two different words that are no pair of synonyms; in a vocabulary of synonyms alone, whatever the last draw gave. */
static struct synonym_pair draw_pair(const struct synonyms *synonyms, uint32_t size, bool own, uint64_t seed,
                                     uint64_t *drawn) {
    uint32_t count = own ? (uint32_t)synonyms->word_count : size, a = 0, b = 0;
    for (int i = 0; i < REDRAWS; i++) {
        a = counter_below(seed, DRAW_STREAM | own, (*drawn)++, count);
        b = counter_below(seed, DRAW_STREAM | own, (*drawn)++, count - 1);
        b += b >= a; /* not the same word */
        a = own ? synonyms->words[a] : a;
        b = own ? synonyms->words[b] : b;
        if (!synonyms_has(synonyms, a, b)) {
            break;
        }
    }
    return (struct synonym_pair){a, b};
}

bool synonyms_area(const struct synonyms *synonyms, const float *vectors, uint32_t dim, uint32_t size, bool own,
                   size_t draws, uint64_t seed, struct auc *auc) {
    float *near = malloc((synonyms->count + 1) * sizeof *near), *far = malloc((draws + 1) * sizeof *far);
    bool good = near != NULL && far != NULL;
    uint64_t drawn = 0;
    assert(synonyms->count > 0 && draws > 0 && (own ? synonyms->word_count >= 2 : size >= 2));
    for (size_t i = 0; i < synonyms->count && good; i++) {
        struct synonym_pair pair = synonyms->pairs[i];
        near[i] = neighbours_cosine(vectors + (size_t)pair.low * dim, vectors + (size_t)pair.high * dim, dim);
    }
    for (size_t i = 0; i < draws && good; i++) {
        struct synonym_pair pair = draw_pair(synonyms, size, own, seed, &drawn);
        far[i] = neighbours_cosine(vectors + (size_t)pair.low * dim, vectors + (size_t)pair.high * dim, dim);
    }
    if (good) {
        *auc = auc_of(near, synonyms->count, far, draws);
    }
    free(near);
    free(far);
    return good;
}
