#include "tests/bench/measure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "canyon.h"

double measure_now(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        abort();
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void measure_sleep(double seconds) {
    struct timespec rest = {.tv_sec = (time_t)seconds};
    rest.tv_nsec = (long)((seconds - (double)rest.tv_sec) * 1e9);
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
        continue;
}

static int compare(const void *left, const void *right) {
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double measure_quantile(double *values, size_t count, double share) {
    if (count == 0)
        return 0;
    qsort(values, count, sizeof values[0], compare);
    const size_t at = (size_t)((double)count * share);
    return values[at < count ? at : count - 1];
}

double measure_median(double *values, size_t count) {
    return measure_quantile(values, count, 0.5);
}

void bench_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

void bench_must(bool good, const char *what) {
    if (!good)
        bench_fail("%s: %s", what, strerror(errno));
}

void bench_must_ok(enum canyon_status status, const char *what) {
    if (status != CANYON_OK)
        bench_fail("%s: %s: %s", what, canyon_status_name(status), canyon_error_text());
}

static double number(const char *text, const char *usage) {
    char *end = NULL;
    const double value = text != NULL ? strtod(text, &end) : 0;
    if (text == NULL || end == text || *end != '\0' || !(value > 0 && value <= 100000))
        bench_fail("a number is missing or out of range\n%s", usage);
    return value;
}

void bench_words_read(struct bench_words *words, int argc, char **argv, const char *usage) {
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "--help") == 0) {
            puts(usage);
            exit(0);
        } else if (strcmp(word, "--json") == 0) {
            words->json = true;
        } else if (strcmp(word, "--rounds") == 0) {
            words->rounds = (unsigned)number(argv[++i], usage);
            if (words->rounds == 0)
                bench_fail("no rounds\n%s", usage);
        } else if (strcmp(word, "--seconds") == 0) {
            words->seconds = number(argv[++i], usage);
        } else if (word[0] != '-' && words->count < sizeof words->words / sizeof words->words[0]) {
            words->words[words->count++] = word;
        } else {
            bench_fail("what is %s?\n%s", word, usage);
        }
    }
}

bool bench_words_ask(const struct bench_words *words, const char *name) {
    bool asked = words->count == 0;
    for (size_t i = 0; i < words->count; i++)
        asked = asked || strcmp(words->words[i], name) == 0;
    return asked;
}
