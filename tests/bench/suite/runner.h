/* A child process that does rounds of some work when it is told to, and says what each took: one of the limit programs,
 * or the worker. tests/bench/limits/limit.h has what it prints and obeys. It ends with the benchmark. */
#ifndef TESTS_BENCH_SUITE_RUNNER_H
#define TESTS_BENCH_SUITE_RUNNER_H

#include <stddef.h>

#define RUNNER_FIGURES 2   /* of a round */
#define RUNNER_ROUNDS  100 /* at once, at most */

struct runner;

/* Starts the program `name` (a path, or of the directory the benchmark is in) with words, NULL-terminated, and waits
 * until it is ready. A failure ends the benchmark. */
struct runner *runner_start(const char *name, const char *const *words);
/* The same in two steps, for programs that take long to prepare themselves: launched, and waited for. */
struct runner *runner_launch(const char *name, const char *const *words);
void runner_await(struct runner *runner);
/* What it said when it was ready: what it chose. Borrowed. */
const char *runner_ready(const struct runner *runner);
/* Rounds one after the other; figures in nanoseconds, in their order. */
void runner_rounds(struct runner *runner, size_t rounds, double figures[][RUNNER_FIGURES]);
/* The median of one figure of some rounds, in seconds, and the mean. */
double runner_median(double figures[][RUNNER_FIGURES], size_t rounds, size_t figure);
double runner_mean(double figures[][RUNNER_FIGURES], size_t rounds, size_t figure);
/* Ends it and waits. Safe on NULL. */
void runner_stop(struct runner *runner);

/* From now on this process, and what it starts, runs on `count` processors only, from `first` on, or, with 0 of them,
 * on all that it had at first. */
void runner_place(int first, unsigned count);
/* The first processor that this process may use, and how many there are; counts at the first call of any of these. */
int runner_first_processor(void);
unsigned runner_processors(void);

#endif
