/* What the fuzz targets share. A target is one file here that defines LLVMFuzzerTestOneInput: it takes any bytes,
 * feeds them to one part of Canyon and aborts when a promise is broken. libFuzzer drives it, or replay.c.
 *
 * A target keeps nothing from one input to the next (but what fuzz_replayed asks), and takes time and memory in
 * proportion to its input. */
#ifndef CANYON_TESTS_FUZZ_H
#define CANYON_TESTS_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A target may define this: replay.c calls it after a folder of inputs, to see that all of them together still reach
 * what they were kept for. */
void fuzz_replayed(void) __attribute__((weak));

/* A promise of the code under test. Unlike cmocka's, a failure is a crash, which both drivers see. */
#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* The input, taken from the front. What is missing reads as zero. */
struct input {
    const uint8_t *at;
    size_t left;
};

static inline uint8_t input_u8(struct input *input) {
    if (input->left == 0) {
        return 0;
    }
    input->left--;
    return *input->at++;
}

static inline uint16_t input_u16(struct input *input) {
    unsigned low = input_u8(input);
    return (uint16_t)(low | (unsigned)input_u8(input) << 8);
}

/* At most `count` bytes, borrowed; *got says how many. */
static inline const uint8_t *input_bytes(struct input *input, size_t count, size_t *got) {
    const uint8_t *bytes = input->at;
    *got = count < input->left ? count : input->left;
    input->at += *got;
    input->left -= *got;
    return bytes;
}

/* An exact copy on the heap, so that a read beyond the end is seen. Owned: free. */
static inline uint8_t *exact_copy(const uint8_t *bytes, size_t count) {
    uint8_t *copy = malloc(count > 0 ? count : 1);
    REQUIRE(copy != NULL);
    if (count > 0) {
        memcpy(copy, bytes, count);
    }
    return copy;
}

/* The same with a NUL behind it. Owned: free. */
static inline char *text_copy(const uint8_t *bytes, size_t count) {
    char *copy = malloc(count + 1);
    REQUIRE(copy != NULL);
    if (count > 0) {
        memcpy(copy, bytes, count);
    }
    copy[count] = '\0';
    return copy;
}

/* How many of `left` bytes to hand over next: all, one, or 1 to 32 as a sequence of numbers decides. */
enum cut { CUT_NOWHERE, CUT_EVERYWHERE, CUT_SOMEWHERE };

static inline size_t next_cut(enum cut cut, uint32_t *sequence, size_t left) {
    *sequence = *sequence * 1664525u + 1013904223u;
    size_t step = cut == CUT_NOWHERE ? left : cut == CUT_EVERYWHERE ? 1 : 1 + (*sequence >> 27);
    return step < left ? step : left;
}

/* Puts the bytes into a file without a name and returns a path to it, for readers that take a path. Static memory. */
static inline const char *input_path(const uint8_t *bytes, size_t count) {
    static FILE *file;
    static char path[64];
    if (file == NULL) {
        file = tmpfile();
        REQUIRE(file != NULL);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fileno(file));
    }
    REQUIRE(ftruncate(fileno(file), 0) == 0);
    REQUIRE(count == 0 || pwrite(fileno(file), bytes, count, 0) == (ssize_t)count);
    return path;
}

#endif
