/* Reads the golden files: lines of words separated by one blank each. */
#ifndef CANYON_TESTS_GOLDEN_LINES_H
#define CANYON_TESTS_GOLDEN_LINES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LINE_WORDS 40

struct lines {
    FILE *file;
    char *text;
    size_t room;
    char *words[LINE_WORDS]; /* of the line read last */
    size_t count;
};

static inline void lines_open(struct lines *lines, const char *path) {
    *lines = (struct lines){.file = fopen(path, "r")};
    if (lines->file == NULL)
        fail_msg("%s cannot be opened", path);
}

/* False at the end of the file. */
static inline bool lines_next(struct lines *lines) {
    if (getline(&lines->text, &lines->room, lines->file) < 0)
        return false;
    char *rest = NULL;
    lines->count = 0;
    for (char *word = strtok_r(lines->text, " \n", &rest); word != NULL; word = strtok_r(NULL, " \n", &rest)) {
        assert_true(lines->count < LINE_WORDS);
        lines->words[lines->count++] = word;
    }
    assert_true(lines->count > 0);
    return true;
}

static inline bool lines_is(const struct lines *lines, const char *word) {
    return strcmp(lines->words[0], word) == 0;
}

static inline double lines_double(const struct lines *lines, size_t index) {
    char *end = NULL;
    assert_true(index < lines->count);
    const double value = strtod(lines->words[index], &end);
    assert_true(end != lines->words[index] && *end == '\0');
    return value;
}

static inline uint64_t lines_number(const struct lines *lines, size_t index) {
    char *end = NULL;
    assert_true(index < lines->count);
    const uint64_t value = strtoull(lines->words[index], &end, 10);
    assert_true(end != lines->words[index] && *end == '\0');
    return value;
}

static inline void lines_close(struct lines *lines) {
    assert_int_equal(fclose(lines->file), 0);
    free(lines->text);
}

#endif
