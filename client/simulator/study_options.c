#include "client/simulator/study_options.h"

#include <stdio.h>
#include <string.h>

#include "client/simulator/gnuplot.h"
#include "client/simulator/pacing.h"
#include "client/simulator/split.h"
#include "client/simulator/suite.h"

#define TEXT_BYTES 512

static const char details[] = "Each mode is run as it is, and once more with a slow worker; each run has\n"
                              "servers of its own, and all of a seed the same first weights. In every step a\n"
                              "worker sleeps --work milliseconds, as if it computed a larger model's gradient;\n"
                              "the slow one sleeps --slow more. The model, the data and the split are those of\n"
                              "canyon-sim train. An observer keeps the weights every few milliseconds, and\n"
                              "scores them on the test images when the run is over.\n"
                              "\n"
                              "What the table has, means over the seeds:\n"
                              "  to 93 %    seconds from when all workers may begin until the weights first\n"
                              "             recognise as many test images as --goal says, +- the standard\n"
                              "             error; - when with one of the seeds they never did\n"
                              "  steps      batches of all workers that were in these weights\n"
                              "  all steps, seconds, test accuracy\n"
                              "             at the end, when all workers are through their epochs\n"
                              "  stale, max updates by others that a gradient had missed, over all pushes\n"
                              "\n"
                              "--json has an object a line for each: seconds_to_goal, seconds_to_goal_error,\n"
                              "steps_to_goal (null: never), steps, seconds, test_accuracy, staleness_mean,\n"
                              "staleness_max, and the first seed's way as a list, accuracy: [seconds, steps,\n"
                              "test accuracy from 0 to 1].";

static enum arguments_verdict options_check(struct study_options *options, const struct argument_texts *modes,
                                            const struct command_line *line) {
    static const char *const usual[] = {"async", "ssp:3", "sync"};
    char why[TEXT_BYTES];
    size_t count = modes->count > 0 ? modes->count : sizeof usual / sizeof *usual;
    const struct argument_texts optimizer = {.items = {options->optimizer}, .count = 1};
    if (count > STUDY_MODES_HIGH) {
        return arguments_wrong(line, "--consistency was given %zu times, at most %d go into one study", count,
                               STUDY_MODES_HIGH);
    }
    for (size_t i = 0; i < count; i++) {
        struct pacing pacing = {.mode = NULL};
        options->modes[i] = modes->count > 0 ? modes->items[i] : usual[i];
        if (!pacing_mode(&pacing, options->modes[i], why, sizeof why)) {
            return arguments_wrong(line, "--consistency: %s", why);
        }
    }
    options->mode_count = count;
    if (strcmp(options->optimizer, "all") == 0) {
        return arguments_wrong(line, "--optimizer is one optimizer here, not all");
    }
    if (options->plot != NULL && !gnuplot_check(options->plot, why, sizeof why)) {
        return arguments_wrong(line, "--plot: %s", why);
    }
    return suite_check(line, &optimizer);
}

/* The options, in the order of help; `o` is a struct study_options *. */
#define NUMBER_ARGUMENT(n, c, v, h, t, l, m)                                                                           \
    { .name = n, .letter = c, .value = v, .help = h, .kind = ARGUMENT_UNSIGNED, .target = t, .low = l, .high = m }
#define STUDY_ARGUMENTS(o, m)                                                                                          \
    {.name = "consistency",                                                                                            \
     .value = "MODE",                                                                                                  \
     .help = "a mode to study, as of canyon-sim train; may be given several times (default async, ssp:3, sync)",       \
     .kind = ARGUMENT_TEXTS,                                                                                           \
     .target = &(m)},                                                                                                  \
        NUMBER_ARGUMENT("work", 0, "MS", "what every worker sleeps in a step (default 5)", &(o)->work_ms, 0, 1000),    \
        NUMBER_ARGUMENT("slow", 0, "MS", "what the slow worker sleeps more in a step (default 20)", &(o)->slow_ms, 1,  \
                        1000),                                                                                         \
        {.name = "goal",                                                                                               \
         .value = "PERCENT",                                                                                           \
         .help = "test accuracy whose time is told (default 93)",                                                      \
         .kind = ARGUMENT_DOUBLE,                                                                                      \
         .target = &(o)->goal,                                                                                         \
         .least = 1,                                                                                                   \
         .most = 100},                                                                                                 \
        NUMBER_ARGUMENT("workers", 'w', "W", "worker processes (default 4)", &(o)->workers, 1, 64),                    \
        {.name = "optimizer",                                                                                          \
         .letter = 'o',                                                                                                \
         .value = "NAME[:key=value,...]",                                                                              \
         .help = "the servers' optimizer and its hyperparameters (default adam)",                                      \
         .kind = ARGUMENT_TEXT,                                                                                        \
         .target = &(o)->optimizer},                                                                                   \
        NUMBER_ARGUMENT("batch", 'b', "N", "images that a gradient is computed from (default 32)", &(o)->batch, 1,     \
                        SPLIT_TRAIN),                                                                                  \
        NUMBER_ARGUMENT("epochs", 'e', "E", "times that every worker goes through its images (default 30)",            \
                        &(o)->epochs, 1, 1000),                                                                        \
        NUMBER_ARGUMENT("seed", 0, "S", "of the first weights and the order of images (default 1)", &(o)->seed, 0, 0), \
        NUMBER_ARGUMENT("seeds", 0, "N", "runs of each, with seeds from --seed on (default 1)", &(o)->seeds, 1,        \
                        STUDY_SEEDS_HIGH),                                                                             \
        NUMBER_ARGUMENT("local", 'l', "N", "servers on this machine, anew for every run (default 2)",                  \
                        &(o)->where.local, 1, LOCAL_SERVERS_HIGH),                                                     \
        NUMBER_ARGUMENT("threads", 0, "N", "threads of each server (default 1)", &(o)->where.threads, 1, 256),         \
        NUMBER_ARGUMENT("timeout", 0, "MS", "deadline of every call to a server (default 10000)",                      \
                        &(o)->where.timeout_ms, 1, 3600000),                                                           \
        {.name = "json",                                                                                               \
         .help = "print one JSON object a line for every row instead of a table",                                      \
         .kind = ARGUMENT_FLAG,                                                                                        \
         .target = &(o)->json},                                                                                        \
    {                                                                                                                  \
        .name = "plot", .letter = 'p', .value = "FILE.png|.svg",                                                       \
        .help = "draw the first seed's test accuracy against time and against steps, with gnuplot",                    \
        .kind = ARGUMENT_TEXT, .target = &(o)->plot                                                                    \
    }

enum arguments_verdict study_options_parse(struct study_options *options, int argc, char **argv) {
    struct argument_texts modes = {.count = 0};
    *options = (struct study_options){.optimizer = "adam",
                                      .workers = 4,
                                      .batch = 32,
                                      .epochs = 30,
                                      .seed = 1,
                                      .seeds = 1,
                                      .work_ms = 5,
                                      .slow_ms = 20,
                                      .goal = 93.0};
    const struct argument arguments[] = {STUDY_ARGUMENTS(options, modes)};
    const struct command_line line = {
        .program = STUDY_PROGRAM,
        .summary = "Shows what the consistency modes are worth: how soon a model learns in each, and what one slow "
                   "worker does to that.",
        .options = arguments,
        .option_count = sizeof arguments / sizeof *arguments,
        .details = details,
        .examples = "  canyon-sim study --plot study.png\n"
                    "  canyon-sim study --seeds 5 --json\n"
                    "  canyon-sim study --consistency sync --consistency sync:minimum=3 --slow 50",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    return verdict == ARGUMENTS_RUN ? options_check(options, &modes, &line) : verdict;
}
