/* Examples of two classes with few of very many features, in the text form of LIBSVM and SVMlight.
 *
 *     +1 3:1 17:0.25 104:-2        # a line is an example: its label, then its features that are not 0
 *     -1 country=nz:1 word=sea:2
 *
 * A label is 1, or one of 0 and -1, which are the same. A feature is a name, a colon and a decimal number within
 * float32; the name is what stands before the last colon. As an index it is decimal digits below 2^64 - 1 and is the
 * row's id; where names are hashed, it is any text without blanks, of at most LIBSVM_NAME_HIGH bytes, and its id is a
 * hash of the text and a seed. Features may stand in any order; those that come twice add up. Fields are separated by
 * blanks; what follows a '#' that begins a field is a comment; empty lines mean nothing. */
#ifndef CANYON_SIMULATOR_LIBSVM_H
#define CANYON_SIMULATOR_LIBSVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIBSVM_NAME_HIGH  255
#define LIBSVM_TEXT_BYTES 512
#define LIBSVM_BIAS       UINT64_MAX /* never the id of a feature: the row of what every example has */

struct libsvm_names {
    bool hash; /* false: names are indices */
    uint64_t seed;
    uint32_t bits; /* ids are cut to so many, 1 to 64: the hashing trick, with collisions when it is few */
};

struct libsvm_feature {
    uint64_t id;
    float value;
};

/* Begin with zeros; its memory is used again and again. */
struct libsvm_example {
    bool positive;
    struct libsvm_feature *features;
    size_t count, capacity;
};

enum libsvm_verdict {
    LIBSVM_EXAMPLE, /* *example is filled in */
    LIBSVM_NOTHING, /* the line is empty, or a comment */
    LIBSVM_WRONG    /* `text` names the field and the rule it breaks */
};

/* Reads one line, which has a NUL behind its `length` bytes and may have others within. */
enum libsvm_verdict libsvm_parse(const struct libsvm_names *names, const char *line, size_t length,
                                 struct libsvm_example *example, char *text, size_t text_bytes);

/* Whether the line is an example at all, good or not: neither empty nor a comment. */
bool libsvm_is_example(const char *line, size_t length);

void libsvm_finish(struct libsvm_example *example);

#endif
