#include "client/tools/npy_header.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WORD_BYTES 32
#define ALIGNMENT  64

/* Where the parse stands; `at` never passes `end`. The first fault is kept. */
struct reader {
    const char *at, *end;
    char *text;
    size_t bytes;
    bool failed;
};

static bool fail(struct reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail(struct reader *reader, const char *format, ...) {
    if (!reader->failed) {
        va_list values;
        va_start(values, format);
        vsnprintf(reader->text, reader->bytes, format, values);
        va_end(values);
        reader->failed = true;
    }
    return false;
}

static void skip_blanks(struct reader *reader) {
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\n' || *reader->at == '\t')) {
        reader->at++;
    }
}

/* Steps over `character`, when it is the next one that is not a blank. */
static bool take(struct reader *reader, char character) {
    skip_blanks(reader);
    if (reader->at < reader->end && *reader->at == character) {
        reader->at++;
        return true;
    }
    return false;
}

static bool expect(struct reader *reader, char character) {
    return take(reader, character) || fail(reader, "its header is damaged: '%c' is missing", character);
}

/* A quoted text, copied; printable ASCII only, so that it can be shown in an error. */
static bool take_quoted(struct reader *reader, char word[WORD_BYTES]) {
    size_t length = 0;
    char quote = take(reader, '"') ? '"' : '\'';
    if (quote == '\'' && !expect(reader, '\'')) {
        return false;
    }
    while (reader->at < reader->end && *reader->at != quote) {
        char c = *reader->at++;
        if (length + 1 >= WORD_BYTES || c < 0x20 || c > 0x7e) {
            return fail(reader, "its header is damaged: a quoted text is too long or not printable");
        }
        word[length++] = c;
    }
    word[length] = '\0';
    return expect(reader, quote);
}

static bool take_type(struct reader *reader, struct npy_header *header) {
    char word[WORD_BYTES];
    skip_blanks(reader);
    if (reader->at < reader->end && *reader->at == '[') {
        return fail(reader, "it holds records; only float32 ('<f4') and float64 ('<f8') can be read");
    }
    if (!take_quoted(reader, word)) {
        return false;
    }
    header->width = strcmp(word, "<f4") == 0 ? 4 : strcmp(word, "<f8") == 0 ? 8 : 0;
    return header->width != 0 ||
           fail(reader,
                "it holds numbers of type '%s'; only float32 ('<f4') and float64 ('<f8') can be read: convert it with "
                "numpy.save(file, array.astype('<f4'))",
                word);
}

static bool take_word(struct reader *reader, const char *word) {
    size_t length = strlen(word);
    skip_blanks(reader);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0) {
        return false;
    }
    reader->at += length;
    return true;
}

static bool take_order(struct reader *reader, bool *fortran) {
    *fortran = take_word(reader, "True");
    return *fortran || take_word(reader, "False") ||
           fail(reader, "its header is damaged: fortran_order is neither True nor False");
}

static bool take_dimension(struct reader *reader, uint64_t *value) {
    uint64_t sum = 0;
    skip_blanks(reader);
    const char *first = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9') {
        unsigned digit = (unsigned)(*reader->at - '0');
        if (sum > (UINT64_MAX - digit) / 10) {
            return fail(reader, "its header is damaged: a dimension is larger than 64 bits");
        }
        sum = sum * 10 + digit;
        reader->at++;
    }
    *value = sum;
    return reader->at > first || fail(reader, "its header is damaged: a dimension is not a number");
}

static bool take_shape(struct reader *reader, struct npy_header *header) {
    bool comma = true;
    header->rank = 0;
    if (!expect(reader, '(')) {
        return false;
    }
    while (!take(reader, ')')) {
        if (!comma) {
            return fail(reader, "its header is damaged: the shape lacks a comma");
        }
        if (header->rank >= NPY_RANK) {
            return fail(reader, "it has more than %d dimensions", NPY_RANK);
        }
        if (!take_dimension(reader, &header->dims[header->rank])) {
            return false;
        }
        header->rank++;
        comma = take(reader, ',');
    }
    /* Python's (3) is a number, not a tuple. */
    return header->rank != 1 || comma || fail(reader, "its header is damaged: the shape lacks a comma");
}

/* The product, refused where the bytes of the values would overflow. A zero anywhere makes it zero. */
static bool count_elements(struct reader *reader, struct npy_header *header) {
    bool empty = false;
    header->elements = 1;
    for (uint32_t i = 0; i < header->rank; i++) {
        empty = empty || header->dims[i] == 0;
    }
    for (uint32_t i = 0; i < header->rank && !empty; i++) {
        if (header->elements > (uint64_t)INT64_MAX / 8 / header->dims[i]) {
            return fail(reader, "its shape has too many elements to count");
        }
        header->elements *= header->dims[i];
    }
    header->elements = empty ? 0 : header->elements;
    return true;
}

static bool take_entry(struct reader *reader, struct npy_header *header, bool seen[3], bool *fortran) {
    static const char *const names[] = {"descr", "fortran_order", "shape"};
    char key[WORD_BYTES];
    size_t which = 0;
    if (!take_quoted(reader, key) || !expect(reader, ':')) {
        return false;
    }
    while (which < 3 && strcmp(key, names[which]) != 0) {
        which++;
    }
    if (which == 3 || seen[which]) {
        return fail(reader, "its header is damaged: the key '%s' is %s", key, which == 3 ? "unknown" : "there twice");
    }
    seen[which] = true;
    return which == 0   ? take_type(reader, header)
           : which == 1 ? take_order(reader, fortran)
                        : take_shape(reader, header);
}

bool npy_header_parse(const char *dictionary, size_t length, struct npy_header *header, char *text, size_t bytes) {
    struct reader reader = {.at = dictionary, .end = dictionary + length, .text = text, .bytes = bytes};
    bool seen[3] = {false, false, false}, fortran = false, comma = true;
    memset(header, 0, sizeof *header);
    if (!expect(&reader, '{')) {
        return false;
    }
    while (!take(&reader, '}')) {
        if (!comma) {
            return fail(&reader, "its header is damaged: ',' or '}' is missing");
        }
        if (!take_entry(&reader, header, seen, &fortran)) {
            return false;
        }
        comma = take(&reader, ',');
    }
    skip_blanks(&reader);
    if (reader.at < reader.end) {
        return fail(&reader, "its header is damaged: something follows the dictionary");
    }
    if (!seen[0] || !seen[1] || !seen[2]) {
        return fail(&reader, "its header is damaged: descr, fortran_order or shape is missing");
    }
    /* With fewer than two dimensions both orders are the same, and NumPy writes either. */
    if (fortran && header->rank > 1) {
        return fail(&reader, "it is in column-major (Fortran) order; save it with numpy.save(file, "
                             "numpy.ascontiguousarray(array))");
    }
    return count_elements(&reader, header);
}

char *npy_shape_text(uint32_t rank, const uint64_t *dims, char *text, size_t bytes) {
    size_t length = 0;
    if (bytes == 0) {
        return text;
    }
    text[0] = '\0';
    for (uint32_t i = 0; i < rank && length < bytes; i++) {
        int more = snprintf(text + length, bytes - length, "%s%" PRIu64, i == 0 ? "(" : ", ", dims[i]);
        length += more > 0 ? (size_t)more : 0;
    }
    if (length < bytes) {
        snprintf(text + length, bytes - length, "%s", rank == 0 ? "()" : rank == 1 ? ",)" : ")");
    }
    return text;
}

size_t npy_header_make(unsigned width, uint32_t rank, const uint64_t *dims, char *out, size_t bytes) {
    char shape[NPY_RANK * 24], dictionary[NPY_RANK * 24 + 64];
    npy_shape_text(rank, dims, shape, sizeof shape);
    int written = snprintf(dictionary, sizeof dictionary, "{'descr': '<f%u', 'fortran_order': False, 'shape': %s, }",
                           width, shape);
    size_t used = 10 + (size_t)(written > 0 ? written : 0) + 1; /* magic, version, length; the dictionary; a newline */
    size_t total = (used + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (written <= 0 || total > bytes) {
        return 0;
    }
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (char)((total - 10) & 0xff);
    out[9] = (char)((total - 10) >> 8);
    memcpy(out + 10, dictionary, (size_t)written);
    memset(out + 10 + written, ' ', total - 10 - (size_t)written);
    out[total - 1] = '\n';
    return total;
}
