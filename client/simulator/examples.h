/* A file of examples (libsvm.h), read from its beginning as often as needed, never all of it at once.
 *
 * Examples are numbered from 0, empty lines and comments left out. Of a file some may be held out for testing: which
 * ones depends on (seed, number) alone. The others are dealt to the workers in turn. A reader looks only at the lines
 * that are its own; the others cost it no more than finding their ends. */
#ifndef CANYON_SIMULATOR_EXAMPLES_H
#define CANYON_SIMULATOR_EXAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/simulator/libsvm.h"
#include "client/simulator/lines.h"

enum examples_part {
    EXAMPLES_ALL,   /* whether or not they are held out */
    EXAMPLES_TRAIN, /* those that are not, */
    EXAMPLES_HELD   /* and those that are */
};

struct examples_choice {
    enum examples_part part;
    double held;              /* the share that is held out, 0 to 1 */
    uint64_t seed;            /* by which it is drawn */
    uint32_t worker, workers; /* of EXAMPLES_TRAIN: every `workers`-th of them, beginning with number `worker` */
};

struct examples {
    const char *path;
    struct libsvm_names names;
    struct examples_choice choice;
    struct lines lines;
    int descriptor;
    uint64_t line, number, dealt; /* lines, examples and those to train with, so far */
};

enum examples_state {
    EXAMPLES_READ,        /* *example is the next one */
    EXAMPLES_ENDED,       /* there are no more */
    EXAMPLES_WRONG,       /* a line breaks a rule; `text` is "FILE:LINE: RULE". Reading may go on */
    EXAMPLES_INTERRUPTED, /* interrupt_signal() is set */
    EXAMPLES_FAILED       /* the file cannot be read; `text` says why */
};

/* Opens the file; the path must outlive it. False with `text` when that fails. examples_close in any case. */
bool examples_open(struct examples *examples, const char *path, const struct libsvm_names *names,
                   const struct examples_choice *choice, char *text, size_t bytes);

enum examples_state examples_next(struct examples *examples, struct libsvm_example *example, char *text, size_t bytes);

/* Closes. Safe on a zeroed one that was never opened, and twice. */
void examples_close(struct examples *examples);

/* What a file has, found by reading all of it. */
struct examples_count {
    uint64_t examples, positives, features; /* of all examples; features as they stand there */
    uint64_t train, held;
    uint64_t wrong; /* lines */
};

/* Reads a file to its end. At most `tell` wrong lines are printed to standard error, each as "PROGRAM: FILE:LINE:
 * RULE". False with `text` when it cannot be read, or the program was interrupted. */
bool examples_survey(const char *path, const struct libsvm_names *names, const struct examples_choice *choice,
                     const char *program, uint64_t tell, struct examples_count *count, char *text, size_t bytes);

#endif
