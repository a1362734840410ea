/* Command line arguments, declared as a table: options, what follows them, and the help made of both.
 *
 *     static bool json; static uint64_t workers = 4;
 *     const struct argument options[] = {
 *         {.name = "workers", .letter = 'w', .value = "W", .help = "worker processes (default 4)",
 *          .kind = ARGUMENT_UNSIGNED, .target = &workers, .low = 1, .high = 256},
 *         {.name = "json", .help = "one JSON object a line", .kind = ARGUMENT_FLAG, .target = &json},
 *     };
 *     const struct command_line line = {.program = "canyon-sim train", .summary = "...", .options = options,
 *                                       .option_count = sizeof options / sizeof *options};
 *     switch (arguments_parse(&line, argc, argv, NULL)) { ... }
 *
 * Options may stand before and after the other arguments. "--name VALUE", "--name=VALUE", "-n VALUE" and "-nVALUE" are
 * the same; "--" ends the options. A value that begins with "--" must be written with "=". Every command line also has
 * "--help" ("-h"). Of an option given twice the last one counts, but ARGUMENT_TEXTS collects all. Nothing here
 * allocates; texts point into argv. */
#ifndef CANYON_TOOLS_ARGUMENTS_H
#define CANYON_TOOLS_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum argument_kind {
    ARGUMENT_FLAG,     /* no value; target is bool *, set to true */
    ARGUMENT_TEXT,     /* target is const char **; `choices` limits it when not NULL */
    ARGUMENT_UNSIGNED, /* decimal digits; target is uint64_t *; within low and high */
    ARGUMENT_DOUBLE,   /* finite; target is double *; within least and most */
    ARGUMENT_TEXTS,    /* may be given many times; target is struct argument_texts * */
};

#define ARGUMENT_TEXTS_HIGH 64

/* The values of an option that may be given many times, in their order. */
struct argument_texts {
    const char *items[ARGUMENT_TEXTS_HIGH];
    size_t count;
};

struct argument {
    const char *name;  /* without dashes: "timeout" */
    char letter;       /* of the short form, 0 for none */
    const char *value; /* what help calls the value: "MS"; NULL for a flag */
    const char *help;  /* one line; may be long: it is wrapped */
    enum argument_kind kind;
    void *target;               /* left alone when the option is not given: put the default there first */
    uint64_t low, high;         /* ARGUMENT_UNSIGNED: bounds, both allowed; high 0 for no upper bound */
    double least, most;         /* ARGUMENT_DOUBLE: bounds, both allowed; both 0 for any finite number */
    const char *const *choices; /* ARGUMENT_TEXT: NULL-terminated allowed values, or NULL for any */
};

/* An argument that is not an option. */
struct positional {
    const char *name;    /* as in help: "NAME" */
    const char *help;    /* one line */
    const char **target; /* set to the argument; left alone when it is optional and not there */
    bool optional;       /* only the last ones may be */
};

struct command_line {
    const char *program; /* "canyon pull": begins every message */
    const char *summary; /* what it does: one sentence */
    const struct argument *options;
    size_t option_count;
    const struct positional *positionals;
    size_t positional_count;
    struct argument_texts *rest; /* takes all arguments after the positionals, at least one; NULL: there are none */
    const char *rest_name, *rest_help;
    bool stop_at_positional; /* the first argument that is not an option ends the parse: a command follows */
    const char *usage;    /* what follows the program's name in help instead of the text made of the tables, or NULL */
    const char *details;  /* lines printed after the options, or NULL */
    const char *examples; /* lines printed under "Examples:", or NULL */
};

enum arguments_verdict {
    ARGUMENTS_RUN,   /* all targets are set: go on */
    ARGUMENTS_HELP,  /* help was asked for and printed to standard output: exit 0 (OUTCOME_DONE) */
    ARGUMENTS_WRONG, /* what was wrong was printed to standard error: exit 2 (OUTCOME_USAGE) */
};

/* Parses argv[1] and on; argv[0] is skipped. *used (may be NULL) gets the number of entries of argv that were read:
 * with stop_at_positional, argv + *used is where the command stands. A message names the option, the value and what is
 * allowed, and for an unknown option the nearest one there is. */
enum arguments_verdict arguments_parse(const struct command_line *line, int argc, char **argv, int *used);

/* The same, with the streams given. */
enum arguments_verdict arguments_parse_to(const struct command_line *line, int argc, char **argv, int *used, FILE *out,
                                          FILE *err);

/* Prints usage, options, details, examples and the exit codes. */
void arguments_help(const struct command_line *line, FILE *out);

/* Prints "PROGRAM: MESSAGE" and where to find help to standard error, for what a table cannot say (two options that
 * exclude each other). Returns ARGUMENTS_WRONG. */
enum arguments_verdict arguments_wrong(const struct command_line *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The member of `names` that `word` was probably meant to be, or NULL when none is near. */
const char *arguments_nearest(const char *word, const char *const *names, size_t count);

/* Whole-text parsers, for values inside other texts. False, and *value unchanged, for anything but one number: blanks,
 * signs (of an unsigned), rests and overflow are refused; a double must be finite. */
bool arguments_unsigned(const char *text, uint64_t *value);
bool arguments_double(const char *text, double *value);

#endif
