/* English text as words.
 *
 * What is looked at is runs of characters that belong together: ASCII letters, digits, bytes above 127 (UTF-8's other
 * letters), and an apostrophe or a hyphen between two of these. A run is a word when, but for its apostrophes and
 * hyphens, it has ASCII letters only and is at most WORDS_HIGH bytes long: "1066", "b2b" and "naive" with its diaeresis
 * are none, and nothing of them is taken. Words are in lower case, and without an ending "'s". */
#ifndef CANYON_SIMULATOR_WORDS_H
#define CANYON_SIMULATOR_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#define WORDS_HIGH  62
#define WORDS_BYTES (WORDS_HIGH + 2) /* room for every word and its NUL */

struct words {
    const char *at, *end; /* what is not read yet */
};

/* The text is borrowed; it may hold any bytes. */
void words_init(struct words *words, const char *text, size_t bytes);

/* The next word and its length, NUL-terminated. False at the end. *gap, unless NULL, is set when an empty line (nothing
 * but blanks) lies before the word, and left alone when none does. */
bool words_next(struct words *words, char word[WORDS_BYTES], size_t *length, bool *gap);

/* Whether the whole text is one word, which is written to `word`. */
bool words_only(const char *text, size_t bytes, char word[WORDS_BYTES], size_t *length);

#endif
