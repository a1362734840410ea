#include "client/simulator/vector.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_SHOWN 40 /* bytes of a wrong number that its error shows */

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static const char *skip_blanks(const char *at, const char *end) {
    while (at < end && is_blank(*at)) {
        at++;
    }
    return at;
}

/* Copies a wrong number for an error text: shortened, and without bytes that could disturb a terminal. */
static const char *token_shown(const char *at, const char *end, char shown[TOKEN_SHOWN + 4]) {
    size_t length = 0;
    for (; at < end && length < TOKEN_SHOWN; at++) {
        shown[length++] = *at >= 0x20 && *at < 0x7f ? *at : '?';
    }
    memcpy(shown + length, at < end ? "..." : "", at < end ? 4 : 1);
    return shown;
}

/* A decimal number: strtof alone would also take "nan", "inf" and hexadecimal. */
static bool token_number(const char *at, const char *end, float *value, char *text, size_t text_bytes) {
    char shown[TOKEN_SHOWN + 4], *stop = NULL;
    size_t length = (size_t)(end - at);
    if (strspn(at, "0123456789+-.eE") >= length) {
        *value = strtof(at, &stop);
    }
    if (stop != end) {
        snprintf(text, text_bytes, "'%s' is not a decimal number", token_shown(at, end, shown));
        return false;
    }
    if (!isfinite(*value)) {
        snprintf(text, text_bytes, "'%s' is outside the range of float32", token_shown(at, end, shown));
        return false;
    }
    return true;
}

bool vector_read(const char *line, size_t bytes, float *values, size_t capacity, size_t *count, char *text,
                 size_t text_bytes) {
    const char *end = line + bytes;
    end -= end > line && end[-1] == '\n';
    end -= end > line && end[-1] == '\r';
    const char *at = skip_blanks(line, end);
    bool comma = false; /* one was read and its second number not yet */
    *count = 0;
    while (at < end) {
        const char *stop = at;
        float value = 0.0f;
        while (stop < end && !is_blank(*stop) && *stop != ',') {
            stop++;
        }
        if (stop == at) {
            snprintf(text, text_bytes, "a number is missing before comma %zu", *count + 1);
            return false;
        }
        if (!token_number(at, stop, &value, text, text_bytes)) {
            return false;
        }
        if (*count < capacity) {
            values[*count] = value;
        }
        ++*count;
        at = skip_blanks(stop, end);
        comma = at < end && *at == ',';
        at = comma ? skip_blanks(at + 1, end) : at;
    }
    if (comma || *count == 0) {
        snprintf(text, text_bytes, comma ? "a number is missing after the last comma" : "there are no numbers");
        return false;
    }
    return true;
}
