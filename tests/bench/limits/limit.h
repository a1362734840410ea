/* What the limit programs share. They contain no code of Canyon's: they show what the machine, its kernel and its
 * memory allow for the same work, so that Canyon can be measured beside that. They are compiled without Canyon's
 * include directories and linked without its libraries (tests/bench/limits/check.sh).
 *
 * Each program prepares itself, prints one line that begins with "ready" and says what it chose, and then obeys its
 * standard input: a line with a number N makes it do N rounds and print, for each, one line of figures separated by
 * blanks; the end of the input ends it. With --rounds N it does N rounds by itself, prints their medians and ends. */
#ifndef LIMIT_H
#define LIMIT_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define LIMIT_FIGURES 4    /* at most, of a round */
#define LIMIT_ROUNDS  1000 /* at most, at once */

/* Nanoseconds of the monotonic clock, of this process's processor time, of another one's. */
uint64_t limit_now(void);
uint64_t limit_cpu(void);
uint64_t limit_cpu_of(clockid_t process);

/* Ends the program with exit code 1 and a line on standard error; with errno's text where `good` is 0. */
void limit_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void limit_must(int good, const char *what);

/* An option with a value: given as --name VALUE. */
struct limit_option {
    const char *name, *value, *help; /* value: the default, replaced by what is given */
};
/* Reads the command line; --help prints `about` and the options and exits with 0, an unknown word with 2. */
void limit_options(struct limit_option *options, size_t count, int argc, char **argv, const char *about);
/* A whole number within bounds, or the end of the program with exit code 2. */
uint64_t limit_number(const struct limit_option *option, uint64_t low, uint64_t high);

/* A core's number, or -1 where the option has no value. */
int limit_core(const struct limit_option *option);
/* Pins the calling thread to core `first` + `index`; does nothing when first is negative. */
void limit_pin(int first, size_t index);

/* Memory of this size at a multiple of 2 MiB, on huge pages where the system gives them. Never freed. */
void *limit_memory(size_t bytes);

double limit_median(double *values, size_t count);

/* A TCP connection to a child process that serves it: sockets of both ends have the congestion control (NULL or "" for
 * the host's) and TCP_NODELAY. */
int limit_listen(uint16_t *port, const char *congestion);
int limit_accept(int listening);
int limit_connect(uint16_t port, const char *congestion);
/* "cubic" where the system offers it, else "reno", else "" for the host's own. Static memory. */
const char *limit_congestion_default(void);

/* Does what standard input, or `rounds` above 0, asks for. A round fills in `count` figures. */
typedef void limit_round(void *user, double *figures);
void limit_serve(limit_round *round, void *user, const char *const *names, size_t count, uint64_t rounds);

#endif
