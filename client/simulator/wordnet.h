/* WordNet's data files, as in Debian's package wordnet-base: sets of words that mean the same, and what they mean.
 *
 * The format is that of wndb(5WN). A line of data.noun, data.verb, data.adj or data.adv is a synset: its offset, a
 * file number, a type, the number of its lemmas (two hexadecimal digits), each lemma with a number, pointers, and
 * behind " | " its gloss, which is English text. Lines that begin with two blanks are the licence. Pointers are not
 * looked at. */
#ifndef CANYON_SIMULATOR_WORDNET_H
#define CANYON_SIMULATOR_WORDNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORDNET_DIRECTORY  "/usr/share/wordnet" /* Debian's */
#define WORDNET_FILE_HIGH  (256u << 20)         /* most bytes of one of the files */
#define WORDNET_TEXT_BYTES 512                  /* room enough for every error text */

struct wordnet {
    char *glosses; /* each followed by an empty line */
    size_t gloss_bytes, gloss_capacity;
    char *lemmas; /* one after another, each with its NUL, as they stand in the file but for "(a)", "(p)" and "(ip)" */
    size_t lemma_bytes, lemma_capacity;
    size_t *ends; /* of each synset: where in `lemmas` it ends; it begins where the one before ends */
    size_t count, capacity;
};

/* Reads the four files of a directory. False with `text` when one is missing or a line is not as it should be: then it
 * is zeroed. wordnet_finish otherwise. */
bool wordnet_read(struct wordnet *wordnet, const char *directory, char *text, size_t text_bytes);

/* Adds the synsets of one file's bytes, which errors call `name`. Begin with zeros; wordnet_finish in any case. */
bool wordnet_parse(struct wordnet *wordnet, const char *name, const char *data, size_t bytes, char *text,
                   size_t text_bytes);

/* Frees and zeroes. Safe on a zeroed one. */
void wordnet_finish(struct wordnet *wordnet);

#endif
