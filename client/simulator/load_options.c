#include "client/simulator/load_options.h"

#include <string.h>

#include "canyon.h"
#include "client/simulator/load_check.h"
#include "client/simulator/load_help.h"

static enum arguments_verdict options_check(struct load_options *options, const struct command_line *line,
                                            const struct load_raw *raw) {
    enum arguments_verdict verdict = place_check(line, &options->where);
    if (options->where.servers == NULL && options->where.block == 0) {
        options->where.block = LOAD_BLOCK;
    }
    return verdict == ARGUMENTS_RUN ? load_check(line, raw, &options->plan) : verdict;
}

static const char *const modes[] = {"push_pull", "push", "pull", "mixed", NULL};

/* The options, in the order of help; `r` is a struct load_raw, `o` a struct load_options *. */
#define WORKERS_ARGUMENTS(r)                                                                                           \
    {.name = "workers",                                                                                                \
     .letter = 'w',                                                                                                    \
     .value = "W",                                                                                                     \
     .help = "logical workers (default 4)",                                                                            \
     .kind = ARGUMENT_UNSIGNED,                                                                                        \
     .target = &(r).workers,                                                                                           \
     .low = 1,                                                                                                         \
     .high = LOAD_WORKERS_HIGH},                                                                                       \
        {.name = "processes",                                                                                          \
         .letter = 'p',                                                                                                \
         .value = "P",                                                                                                 \
         .help = "processes that they are spread over (default: as many as processors, at most a worker each)",        \
         .kind = ARGUMENT_UNSIGNED,                                                                                    \
         .target = &(r).processes,                                                                                     \
         .low = 1,                                                                                                     \
         .high = LOAD_PROCESSES_HIGH},                                                                                 \
    {                                                                                                                  \
        .name = "clients", .value = "N",                                                                               \
        .help = "clients of each process, among which its workers are spread; each has a connection to every server "  \
                "thread (default 1)",                                                                                  \
        .kind = ARGUMENT_UNSIGNED, .target = &(r).clients, .low = 1, .high = LOAD_CLIENTS_HIGH                         \
    }

#define TENSORS_ARGUMENTS(r)                                                                                           \
    {.name = "tensors",                                                                                                \
     .letter = 'k',                                                                                                    \
     .value = "K",                                                                                                     \
     .help = "tensors that a call moves together (default 4)",                                                         \
     .kind = ARGUMENT_UNSIGNED,                                                                                        \
     .target = &(r).tensors,                                                                                           \
     .low = 1,                                                                                                         \
     .high = LOAD_TENSORS_HIGH},                                                                                       \
    {                                                                                                                  \
        .name = "size", .value = "BYTES",                                                                              \
        .help = "of each tensor as float32; K, M and G are powers of 1024 (default " LOAD_SIZE ")",                    \
        .kind = ARGUMENT_TEXT, .target = &(r).size                                                                     \
    }

#define TABLE_ARGUMENTS(r)                                                                                             \
    {.name = "table",                                                                                                  \
     .help = "rows of a table instead of tensors: a call names ids",                                                   \
     .kind = ARGUMENT_FLAG,                                                                                            \
     .target = &(r).table},                                                                                            \
        {.name = "dim",                                                                                                \
         .value = "D",                                                                                                 \
         .help = "of a table: elements of a row (default " LOAD_TEXT(LOAD_DIM) ")",                                    \
         .kind = ARGUMENT_UNSIGNED,                                                                                    \
         .target = &(r).dim,                                                                                           \
         .low = 1,                                                                                                     \
         .high = CANYON_MAX_DIM},                                                                                      \
        {.name = "rows",                                                                                               \
         .value = "N",                                                                                                 \
         .help = "of a table: rows that ids are drawn from (default " LOAD_TEXT(LOAD_ROWS) ")",                        \
         .kind = ARGUMENT_UNSIGNED,                                                                                    \
         .target = &(r).rows,                                                                                          \
         .low = 1,                                                                                                     \
         .high = CANYON_MAX_ROWS},                                                                                     \
        {.name = "batch",                                                                                              \
         .letter = 'b',                                                                                                \
         .value = "B",                                                                                                 \
         .help = "of a table: ids that a call names, as they are drawn, with repetitions (default " LOAD_TEXT(         \
             LOAD_BATCH) ")",                                                                                          \
         .kind = ARGUMENT_UNSIGNED,                                                                                    \
         .target = &(r).batch,                                                                                         \
         .low = 1,                                                                                                     \
         .high = LOAD_BATCH_HIGH},                                                                                     \
    {                                                                                                                  \
        .name = "distribution", .value = "uniform|zipf:S",                                                             \
        .help =                                                                                                        \
            "of a table: how ids are drawn; by Zipf's law the k-th row in proportion to 1/k^S (default " LOAD_DRAWN    \
            ")",                                                                                                       \
        .kind = ARGUMENT_TEXT, .target = &(r).distribution                                                             \
    }

#define CALL_ARGUMENTS(r)                                                                                              \
    {.name = "mode",                                                                                                   \
     .letter = 'm',                                                                                                    \
     .value = "push_pull|push|pull|mixed",                                                                             \
     .help = "what a call is (default push_pull)",                                                                     \
     .kind = ARGUMENT_TEXT,                                                                                            \
     .target = &(r).mode,                                                                                              \
     .choices = modes},                                                                                                \
        {.name = "mix",                                                                                                \
         .value = "A/B/C",                                                                                             \
         .help = "of mixed: percents of push_pull, push and pull, drawn call by call (default 50/25/25)",              \
         .kind = ARGUMENT_TEXT,                                                                                        \
         .target = &(r).mix},                                                                                          \
        {.name = "codec",                                                                                              \
         .letter = 'c',                                                                                                \
         .value = "GRADIENT[/WEIGHTS]",                                                                                \
         .help = "the form in which gradients travel, and weights: f32, bf16, f16, int8, int8:stochastic, and for "    \
                 "gradients topk:FRACTION and the others with feedback, as bf16:feedback (default f32/f32)",           \
         .kind = ARGUMENT_TEXT,                                                                                        \
         .target = &(r).codec},                                                                                        \
    {                                                                                                                  \
        .name = "optimizer", .letter = 'o', .value = "NAME[:key=value,...]",                                           \
        .help = "the servers' optimizer and its hyperparameters (default adam)", .kind = ARGUMENT_TEXT,                \
        .target = &(r).optimizer                                                                                       \
    }

#define PACE_ARGUMENTS(r)                                                                                              \
    {.name = "rate",                                                                                                   \
     .letter = 'r',                                                                                                    \
     .value = "R|max",                                                                                                 \
     .help = "calls a second of all workers together, or as many as go (default max)",                                 \
     .kind = ARGUMENT_TEXT,                                                                                            \
     .target = &(r).rate},                                                                                             \
        {.name = "in-flight",                                                                                          \
         .letter = 'd',                                                                                                \
         .value = "D",                                                                                                 \
         .help = "calls that a worker has under way at most (default 1)",                                              \
         .kind = ARGUMENT_UNSIGNED,                                                                                    \
         .target = &(r).in_flight,                                                                                     \
         .low = 1,                                                                                                     \
         .high = LOAD_IN_FLIGHT_HIGH},                                                                                 \
        {.name = "think",                                                                                              \
         .value = "MS",                                                                                                \
         .help = "milliseconds between a call's end and the worker's next one (default 0)",                            \
         .kind = ARGUMENT_DOUBLE,                                                                                      \
         .target = &(r).think,                                                                                         \
         .least = 0.0,                                                                                                 \
         .most = 3600000.0},                                                                                           \
        {.name = "straggle",                                                                                           \
         .value = "K:MS",                                                                                              \
         .help = "K of the workers begin every call so many milliseconds later",                                       \
         .kind = ARGUMENT_TEXT,                                                                                        \
         .target = &(r).straggle},                                                                                     \
        {.name = "duration",                                                                                           \
         .letter = 't',                                                                                                \
         .value = "S",                                                                                                 \
         .help = "seconds that are measured (default 8)",                                                              \
         .kind = ARGUMENT_DOUBLE,                                                                                      \
         .target = &(r).duration,                                                                                      \
         .least = 0.01,                                                                                                \
         .most = 86400.0},                                                                                             \
    {                                                                                                                  \
        .name = "warmup", .value = "S",                                                                                \
        .help = "seconds of ramp-up before them (default: a tenth of --duration, at most 1)", .kind = ARGUMENT_DOUBLE, \
        .target = &(r).warmup, .least = 0.0, .most = 3600.0                                                            \
    }

#define OTHER_ARGUMENTS(o, r)                                                                                          \
    {.name = "verify",                                                                                                 \
     .help = "check that every push was applied exactly once",                                                         \
     .kind = ARGUMENT_FLAG,                                                                                            \
     .target = &(r).verify},                                                                                           \
        {.name = "seed",                                                                                               \
         .value = "N",                                                                                                 \
         .help = "of gradients and of the mix (default 1)",                                                            \
         .kind = ARGUMENT_UNSIGNED,                                                                                    \
         .target = &(r).seed},                                                                                         \
    {                                                                                                                  \
        .name = "json", .help = "print one JSON object on a line instead of a table", .kind = ARGUMENT_FLAG,           \
        .target = &(o)->json                                                                                           \
    }

#define EXAMPLES                                                                                                       \
    "  canyon-sim load\n"                                                                                              \
    "  canyon-sim load --local 2 --threads 2 -w 8 -k 8 --size 16M --duration 20\n"                                     \
    "  canyon-sim load -w 1000 -k 1 --size 4K --rate 5000 --optimizer adagrad\n"                                       \
    "  canyon-sim load --local 2 --workers 1000 --size 8K --verify --duration 5\n"                                     \
    "  canyon-sim load --servers 10.0.0.1:7077 --mode mixed --mix 80/10/10 --json\n"                                   \
    "  canyon-sim load --table --dim 16 --rows 10000000 --batch 4096 -d 8\n"                                           \
    "  canyon-sim load --table --rows 100000 --distribution uniform --verify\n"                                        \
    "  canyon-sim load --workers 16 --straggle 2:50 --think 5 --insecure-plaintext"

enum arguments_verdict load_options_parse(struct load_options *options, int argc, char **argv) {
    struct load_raw raw = {.mode = "push_pull",
                           .rate = "max",
                           .codec = "f32",
                           .workers = 4,
                           .clients = 1,
                           .in_flight = 1,
                           .seed = 1,
                           .duration = 8.0,
                           .warmup = -1.0};
    memset(options, 0, sizeof *options);
    options->canonical = argc <= 1;
    const struct argument arguments[] = {
        PLACE_ARGUMENTS_OF(options->where, "65536"),
        WORKERS_ARGUMENTS(raw),
        TENSORS_ARGUMENTS(raw),
        TABLE_ARGUMENTS(raw),
        CALL_ARGUMENTS(raw),
        PACE_ARGUMENTS(raw),
        OTHER_ARGUMENTS(options, raw),
    };
    const struct command_line line = {
        .program = LOAD_PROGRAM,
        .summary = "Puts a load on servers and measures it: many logical workers push gradients and pull weights as "
                   "fast as they can or at a fixed rate. Without any argument it runs one workload of about ten "
                   "seconds on two local servers, encrypted, and prints two numbers.",
        .options = arguments,
        .option_count = sizeof arguments / sizeof *arguments,
        .usage = "[--servers LIST | --local N] [OPTION...]",
        .details = load_details,
        .examples = EXAMPLES,
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    return verdict == ARGUMENTS_RUN ? options_check(options, &line, &raw) : verdict;
}
