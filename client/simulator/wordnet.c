#include "client/simulator/wordnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/content.h"
#include "client/simulator/room.h"

#define NO_MEMORY "no memory for WordNet's synsets"

/* A line's fields, separated by single blanks. */
struct fields {
    const char *at, *end;
};

/* The next field; false when there is none. */
static bool fields_next(struct fields *fields, const char **field, size_t *bytes) {
    const char *blank = NULL;
    if (fields->at >= fields->end) {
        return false;
    }
    blank = memchr(fields->at, ' ', (size_t)(fields->end - fields->at));
    blank = blank == NULL ? fields->end : blank;
    *field = fields->at;
    *bytes = (size_t)(blank - fields->at);
    fields->at = blank + (blank < fields->end);
    return *bytes > 0;
}

/* A number of exactly `digits` digits of the given base, 10 or 16. */
static bool field_number(const char *field, size_t bytes, size_t digits, unsigned base, unsigned *value) {
    *value = 0;
    for (size_t i = 0; i < bytes; i++) {
        char c = field[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 99;
        if (digit >= base) {
            return false;
        }
        *value = *value * base + digit;
    }
    return bytes == digits;
}

/* Without the marker of where an adjective stands. */
static size_t lemma_bytes(const char *lemma, size_t bytes) {
    static const char *const markers[] = {"(a)", "(p)", "(ip)"};
    for (size_t i = 0; i < sizeof markers / sizeof *markers; i++) {
        size_t length = strlen(markers[i]);
        if (bytes > length && memcmp(lemma + bytes - length, markers[i], length) == 0) {
            return bytes - length;
        }
    }
    return bytes;
}

static bool lemma_add(struct wordnet *wordnet, const char *lemma, size_t bytes) {
    if (!room_make(&wordnet->lemmas, &wordnet->lemma_capacity, wordnet->lemma_bytes + bytes + 1, 1)) {
        return false;
    }
    memcpy(wordnet->lemmas + wordnet->lemma_bytes, lemma, bytes);
    wordnet->lemmas[wordnet->lemma_bytes + bytes] = '\0';
    wordnet->lemma_bytes += bytes + 1;
    return true;
}

static bool gloss_add(struct wordnet *wordnet, const char *gloss, size_t bytes) {
    if (!room_make(&wordnet->glosses, &wordnet->gloss_capacity, wordnet->gloss_bytes + bytes + 2, 1) ||
        !room_make(&wordnet->ends, &wordnet->capacity, wordnet->count + 1, sizeof *wordnet->ends)) {
        return false;
    }
    memcpy(wordnet->glosses + wordnet->gloss_bytes, gloss, bytes);
    memcpy(wordnet->glosses + wordnet->gloss_bytes + bytes, "\n\n", 2);
    wordnet->gloss_bytes += bytes + 2;
    wordnet->ends[wordnet->count++] = wordnet->lemma_bytes;
    return true;
}

/* NULL, or what is wrong. */
static const char *synset_parse(struct wordnet *wordnet, const char *line, const char *end) {
    const char *field = NULL, *gloss = NULL;
    size_t bytes = 0;
    unsigned number = 0, lemmas = 0;
    for (const char *at = line; at + 2 < end && gloss == NULL; at++) {
        gloss = memcmp(at, " | ", 3) == 0 ? at : NULL;
    }
    if (gloss == NULL) {
        return "there is no ' | ' before a gloss";
    }
    struct fields fields = {.at = line, .end = gloss};
    if (!fields_next(&fields, &field, &bytes) || !field_number(field, bytes, 8, 10, &number)) {
        return "the first field is not an offset of eight digits";
    }
    if (!fields_next(&fields, &field, &bytes) || !field_number(field, bytes, 2, 10, &number)) {
        return "the second field is not a file number of two digits";
    }
    if (!fields_next(&fields, &field, &bytes) || bytes != 1 || strchr("nvasr", *field) == NULL) {
        return "the third field is not a type: n, v, a, s or r";
    }
    if (!fields_next(&fields, &field, &bytes) || !field_number(field, bytes, 2, 16, &lemmas) || lemmas == 0) {
        return "the fourth field is not a count of lemmas, two hexadecimal digits above 00";
    }
    for (unsigned i = 0; i < lemmas; i++) {
        if (!fields_next(&fields, &field, &bytes)) {
            return "there are fewer lemmas than the fourth field says";
        }
        if (!lemma_add(wordnet, field, lemma_bytes(field, bytes))) {
            return NO_MEMORY;
        }
        if (!fields_next(&fields, &field, &bytes) || !field_number(field, bytes, 1, 16, &number)) {
            return "a lemma is not followed by its number, one hexadecimal digit";
        }
    }
    return gloss_add(wordnet, gloss + 3, (size_t)(end - (gloss + 3))) ? NULL : NO_MEMORY;
}

bool wordnet_parse(struct wordnet *wordnet, const char *name, const char *data, size_t bytes, char *text,
                   size_t text_bytes) {
    const char *at = data, *end = data + bytes;
    for (size_t line = 1; at < end; line++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        newline = newline == NULL ? end : newline;
        bool licence = newline - at >= 2 && at[0] == ' ' && at[1] == ' ';
        const char *wrong = licence ? NULL : synset_parse(wordnet, at, newline);
        if (wrong != NULL) {
            snprintf(text, text_bytes, "%s:%zu: not a synset as wndb(5WN) has them: %s", name, line, wrong);
            return false;
        }
        at = newline + (newline < end);
    }
    return true;
}

bool wordnet_read(struct wordnet *wordnet, const char *directory, char *text, size_t text_bytes) {
    static const char *const names[] = {"noun", "verb", "adj", "adv"};
    bool good = true;
    memset(wordnet, 0, sizeof *wordnet);
    for (size_t i = 0; i < sizeof names / sizeof *names && good; i++) {
        char path[WORDNET_TEXT_BYTES / 2], *data = NULL;
        size_t bytes = 0;
        int length = snprintf(path, sizeof path, "%s/data.%s", directory, names[i]);
        if (length < 0 || (size_t)length >= sizeof path) {
            snprintf(text, text_bytes, "the name of WordNet's directory is longer than %zu bytes", sizeof path - 11);
            good = false;
        } else {
            good = content_read(path, WORDNET_FILE_HIGH, &data, &bytes, text, text_bytes) &&
                   wordnet_parse(wordnet, path, data, bytes, text, text_bytes);
        }
        free(data);
    }
    if (!good) {
        wordnet_finish(wordnet);
    }
    return good;
}

void wordnet_finish(struct wordnet *wordnet) {
    free(wordnet->glosses);
    free(wordnet->lemmas);
    free(wordnet->ends);
    memset(wordnet, 0, sizeof *wordnet);
}
