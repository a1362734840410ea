/* What the benchmarks of whole servers share: time, order statistics, words of the command line, and the end of the
 * program when something is not as it must be. */
#ifndef TESTS_BENCH_MEASURE_H
#define TESTS_BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>

#include "canyon_status.h"

/* Seconds of a monotonic clock. */
double measure_now(void);
void measure_sleep(double seconds);

/* Sorts the values. Of none: 0. */
double measure_median(double *values, size_t count);
/* The value below which `share` (0 to 1) of them lie. Sorts. Of none: 0. */
double measure_quantile(double *values, size_t count, double share);

/* Ends the program with exit code 1, and "bench: " and the text on standard error. What atexit was told is done. */
void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void bench_must(bool good, const char *what);
/* With the library's own text. */
void bench_must_ok(enum canyon_status status, const char *what);

/* --json, --rounds N, --seconds S and words; the rest of the line is refused with `usage`, which --help prints. */
struct bench_words {
    bool json;
    unsigned rounds;
    double seconds;
    const char *words[8];
    size_t count;
};
void bench_words_read(struct bench_words *words, int argc, char **argv, const char *usage);
/* Whether this one was asked for: by its name, or by no name at all. */
bool bench_words_ask(const struct bench_words *words, const char *name);

#endif
