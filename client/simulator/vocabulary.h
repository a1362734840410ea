/* The words of a text and how often each was seen.
 *
 * First count, then cut: afterwards words have indices from 0, the most frequent first, those seen equally often in
 * alphabetical order, so that an index depends on the text alone. */
#ifndef CANYON_SIMULATOR_VOCABULARY_H
#define CANYON_SIMULATOR_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VOCABULARY_NONE UINT32_MAX
#define VOCABULARY_HIGH 50000000u /* most different words */

struct vocabulary;

/* Empty; NULL when there is no memory. */
struct vocabulary *vocabulary_create(void);
void vocabulary_destroy(struct vocabulary *vocabulary);

/* Counts the word once more. Before the cut. False when there is no memory or are more than VOCABULARY_HIGH words. */
bool vocabulary_count(struct vocabulary *vocabulary, const char *word, size_t length);

/* Keeps the words seen at least `least` times and gives them their indices. Once. False when there is no memory. */
bool vocabulary_cut(struct vocabulary *vocabulary, uint64_t least);

/* ---- after the cut; any number of threads and forked processes may read ---- */

/* Words that were kept, and how often they were seen together. */
uint32_t vocabulary_size(const struct vocabulary *vocabulary);
uint64_t vocabulary_total(const struct vocabulary *vocabulary);

/* The index of a word, or VOCABULARY_NONE. */
uint32_t vocabulary_find(const struct vocabulary *vocabulary, const char *word, size_t length);

/* NUL-terminated; belongs to the vocabulary. */
const char *vocabulary_word(const struct vocabulary *vocabulary, uint32_t index);
uint64_t vocabulary_seen(const struct vocabulary *vocabulary, uint32_t index);

#endif
