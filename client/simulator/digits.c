#include "client/simulator/digits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Written by embed.cmake from data/digits.csv. */
extern const unsigned char digits_csv[];
extern const size_t digits_csv_bytes;

#define NUMBERS_A_LINE (DIGITS_PIXELS + 1)

/* Where the reader stands; `line` and `number` count from 1, for errors. */
struct reader {
    const char *at, *end;
    size_t line, number;
    char *text;
    size_t text_bytes;
};

static bool reader_fail(const struct reader *reader, const char *what) {
    snprintf(reader->text, reader->text_bytes, "digits: line %zu, number %zu: %s", reader->line, reader->number, what);
    return false;
}

/* One or two decimal digits, at most `high`. */
static bool reader_number(struct reader *reader, unsigned high, unsigned *value) {
    unsigned sum = 0;
    size_t length = 0;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9' && length < 3) {
        sum = sum * 10 + (unsigned)(*reader->at - '0');
        reader->at++;
        length++;
    }
    if (length == 0) {
        return reader_fail(reader, "a decimal number is missing");
    }
    if (length > 2 || sum > high) {
        return reader_fail(reader, high == DIGITS_SHADES ? "a pixel is above 16" : "a label is above 9");
    }
    *value = sum;
    return true;
}

static bool reader_separator(struct reader *reader, bool last) {
    if (last && reader->at == reader->end) {
        return true; /* the file may end without a newline */
    }
    char wanted = last ? '\n' : ',';
    if (reader->at == reader->end || *reader->at != wanted) {
        return reader_fail(reader, last ? "the line should end after 65 numbers" : "a comma should follow");
    }
    reader->at++;
    return true;
}

static bool reader_line(struct reader *reader, float *pixels, uint8_t *label) {
    for (reader->number = 1; reader->number <= NUMBERS_A_LINE; reader->number++) {
        bool last = reader->number == NUMBERS_A_LINE;
        unsigned value = 0;
        if (!reader_number(reader, last ? DIGITS_CLASSES - 1 : DIGITS_SHADES, &value) ||
            !reader_separator(reader, last)) {
            return false;
        }
        if (last) {
            *label = (uint8_t)value;
        } else {
            pixels[reader->number - 1] = (float)value / (float)DIGITS_SHADES;
        }
    }
    return true;
}

bool digits_parse(const char *csv, size_t bytes, struct digits *digits, char *text, size_t text_bytes) {
    bool done = false;
    struct reader reader = {
        .at = csv, .end = csv + bytes, .line = 1, .number = 1, .text = text, .text_bytes = text_bytes};
    /* No line is shorter than its numbers and what stands between them. */
    size_t most = bytes / (2 * NUMBERS_A_LINE - 1) + 1;
    memset(digits, 0, sizeof *digits);
    digits->pixels = calloc(most * DIGITS_PIXELS, sizeof *digits->pixels);
    digits->labels = calloc(most, sizeof *digits->labels);
    if (digits->pixels == NULL || digits->labels == NULL) {
        snprintf(text, text_bytes, "digits: no memory for %zu images", most);
        goto out;
    }
    if (bytes == 0) {
        snprintf(text, text_bytes, "digits: there are no images");
        goto out;
    }
    for (; reader.at < reader.end; reader.line++) {
        size_t row = digits->count;
        if (row == most || !reader_line(&reader, digits->pixels + row * DIGITS_PIXELS, digits->labels + row)) {
            goto out;
        }
        digits->count++;
    }
    done = true;
out:
    if (!done) {
        digits_finish(digits);
    }
    return done;
}

bool digits_load(struct digits *digits, char *text, size_t text_bytes) {
    if (!digits_parse((const char *)digits_csv, digits_csv_bytes, digits, text, text_bytes)) {
        return false;
    }
    if (digits->count != DIGITS_COUNT) {
        snprintf(text, text_bytes, "digits: %zu images where %d are expected", digits->count, DIGITS_COUNT);
        digits_finish(digits);
        return false;
    }
    return true;
}

void digits_finish(struct digits *digits) {
    if (digits != NULL) {
        free(digits->pixels);
        free(digits->labels);
        memset(digits, 0, sizeof *digits);
    }
}
