#include "client/simulator/libsvm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/counter.h"
#include "client/simulator/room.h"

#define SHOWN 40 /* bytes of a wrong field that its error shows */

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next field; false when there is none, or a comment begins. */
static bool field_next(const char **at, const char *end, const char **field, const char **field_end) {
    while (*at < end && is_blank(**at)) {
        ++*at;
    }
    *field = *at;
    while (*at < end && !is_blank(**at)) {
        ++*at;
    }
    *field_end = *at;
    return *field < *field_end && **field != '#';
}

/* Says what is wrong, with as much of the field as fits, and without bytes that could disturb a terminal. */
static enum libsvm_verdict wrong(const char *what, const char *field, const char *end, size_t which, char *text,
                                 size_t text_bytes) {
    char shown[SHOWN + 4];
    size_t length = 0;
    for (; field < end && length < SHOWN; field++) {
        shown[length++] = *field >= 0x20 && *field < 0x7f ? *field : '?';
    }
    memcpy(shown + length, field < end ? "..." : "", field < end ? 4 : 1);
    snprintf(text, text_bytes, "field %zu, '%s': %s", which, shown, what);
    return LIBSVM_WRONG;
}

/* A decimal number: strtof alone would also take "nan", "inf" and hexadecimal. */
static bool read_number(const char *at, const char *end, float *value) {
    char *stop = NULL;
    if (at == end || strspn(at, "0123456789+-.eE") < (size_t)(end - at)) {
        return false;
    }
    *value = strtof(at, &stop);
    return stop == end && isfinite(*value);
}

static bool read_index(const char *at, const char *end, uint64_t *id) {
    *id = 0;
    if (at == end) {
        return false;
    }
    for (; at < end; at++) {
        uint64_t digit = (uint64_t)(unsigned char)*at - '0';
        if (digit > 9 || *id > (UINT64_MAX - digit) / 10) {
            return false;
        }
        *id = *id * 10 + digit;
    }
    return *id != LIBSVM_BIAS;
}

/* The name's bytes in eights, each mixed into what the ones before gave; then the length, so that no two names are the
 * same in what is mixed. */
static uint64_t hash_name(const char *name, size_t bytes, uint64_t seed) {
    uint64_t hash = seed;
    for (size_t at = 0; at < bytes; at += 8) {
        uint64_t part = 0;
        for (size_t i = at; i < bytes && i < at + 8; i++) {
            part |= (uint64_t)(unsigned char)name[i] << (8 * (i - at));
        }
        hash = counter_bits(hash, 0, part);
    }
    return counter_bits(hash, 1, bytes);
}

static const char *feature_read(const struct libsvm_names *names, const char *field, const char *end,
                                struct libsvm_feature *feature) {
    const char *colon = end;
    while (colon > field && *colon != ':') {
        colon--;
    }
    if (colon == field) {
        return "not a feature, NAME:VALUE";
    }
    if (!read_number(colon + 1, end, &feature->value)) {
        return "its value is not a decimal number within float32";
    }
    size_t bytes = (size_t)(colon - field);
    if (names->hash) {
        if (bytes > LIBSVM_NAME_HIGH) {
            return "its name is longer than 255 bytes";
        }
        feature->id = hash_name(field, bytes, names->seed);
    } else if (!read_index(field, colon, &feature->id)) {
        return "its index is not decimal digits below 2^64 - 1; names need --hash";
    }
    feature->id &= UINT64_MAX >> (64 - names->bits);
    feature->id -= feature->id == LIBSVM_BIAS;
    return NULL;
}

enum libsvm_verdict libsvm_parse(const struct libsvm_names *names, const char *line, size_t length,
                                 struct libsvm_example *example, char *text, size_t text_bytes) {
    const char *at = line, *end = line + length, *field = NULL, *field_end = NULL;
    float label = 0.0f;
    example->count = 0;
    if (!field_next(&at, end, &field, &field_end)) {
        return LIBSVM_NOTHING;
    }
    if (!read_number(field, field_end, &label) || (label != 1.0f && label != 0.0f && label != -1.0f)) {
        return wrong("the label is not 1, 0 or -1", field, field_end, 1, text, text_bytes);
    }
    example->positive = label > 0.0f;
    for (size_t which = 2; field_next(&at, end, &field, &field_end); which++) {
        if (!room_make(&example->features, &example->capacity, example->count + 1, sizeof *example->features)) {
            return wrong("no memory for more features", field, field_end, which, text, text_bytes);
        }
        const char *what = feature_read(names, field, field_end, &example->features[example->count]);
        if (what != NULL) {
            return wrong(what, field, field_end, which, text, text_bytes);
        }
        example->count++;
    }
    return LIBSVM_EXAMPLE;
}

bool libsvm_is_example(const char *line, size_t length) {
    const char *at = line, *field = NULL, *field_end = NULL;
    return field_next(&at, line + length, &field, &field_end);
}

void libsvm_finish(struct libsvm_example *example) {
    free(example->features);
    memset(example, 0, sizeof *example);
}
