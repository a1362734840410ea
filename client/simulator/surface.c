#include "client/simulator/surface.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/descent.h"
#include "client/simulator/gnuplot.h"
#include "client/simulator/interrupt.h"
#include "client/simulator/place.h"
#include "client/simulator/suite.h"
#include "client/simulator/surface_plot.h"
#include "client/simulator/surface_report.h"
#include "client/simulator/vector.h"

#define PROGRAM       "canyon-sim surface"
#define DETAILS_BYTES 8192
#define TEXT_BYTES    512

struct surface {
    struct place_options where;
    struct argument_texts optimizers;
    const char *function, *start_text, *plot;
    uint64_t steps;
    bool json;
    char details[DETAILS_BYTES];
    const struct landscape *landscape;
    float start[2];
    struct place place;
    struct suite suite;
    canyon_client *client;
    struct descent descents[SUITE_HIGH];
    size_t finished;
};

static void add(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(char *text, const char *format, ...) {
    size_t length = strlen(text);
    va_list values;
    va_start(values, format);
    vsnprintf(text + length, DETAILS_BYTES - length, format, values);
    va_end(values);
}

/* The help's tables are made of the landscapes' own, so that they cannot differ. */
static const char *surface_details(char *text) {
    const char *name = NULL;
    double rates[LANDSCAPES];
    text[0] = '\0';
    add(text, "Functions:\n  %-10s  %-25s  %-14s  %5s  %s\n", "name", "z", "start", "steps", "arrived at a loss of");
    for (size_t i = 0; i < LANDSCAPES; i++) {
        const struct landscape *landscape = landscape_at(i);
        char start[32];
        int wide = 0; /* bytes that are not characters of their own: of the UTF-8 in formulas */
        for (const char *c = landscape->formula; *c != '\0'; c++) {
            wide += ((unsigned char)*c & 0xc0) == 0x80;
        }
        snprintf(start, sizeof start, "%g,%g", landscape->start[0], landscape->start[1]);
        add(text, "  %-10s  %-*s  %-14s  %5" PRIu64 "  %g\n", landscape->name, 25 + wide, landscape->formula, start,
            landscape->steps, landscape->goal);
    }
    add(text, "\nLearning rates, where --optimizer gives none (for those not listed the servers' default):\n  %-16s",
        "optimizer");
    for (size_t i = 0; i < LANDSCAPES; i++) {
        add(text, "  %10s", landscape_at(i)->name);
    }
    for (size_t k = 0; (name = landscape_rates(k, rates)) != NULL; k++) {
        add(text, "\n  %-16s", name);
        for (size_t i = 0; i < LANDSCAPES; i++) {
            add(text, "  %10g", rates[i]);
        }
    }
    add(text,
        "\n\nEach optimizer has a tensor of two weights on the servers, to which the function's gradient is pushed;\n"
        "without --servers and --local one local server is started. A descent ends early when a weight gets beyond\n"
        "%g. The effective step size of a step is |change of the weights| / |gradient|: the learning rate with\n"
        "which plain gradient descent would have gone as far. A picture marks the start, and the end of each way or\n"
        "the place where it leaves the picture.",
        DESCENT_FAR);
    return text;
}

/* What a table of options cannot say. */
static enum arguments_verdict surface_check(struct surface *surface, const struct command_line *line) {
    char text[TEXT_BYTES];
    size_t count = 2;
    surface->landscape = landscape_find(surface->function);
    surface->start[0] = (float)surface->landscape->start[0];
    surface->start[1] = (float)surface->landscape->start[1];
    surface->steps = surface->steps == 0 ? surface->landscape->steps : surface->steps;
    if (surface->start_text != NULL) {
        const char *start = surface->start_text;
        if (!vector_read(start, strlen(start), surface->start, 2, &count, text, sizeof text)) {
            return arguments_wrong(line, "--start: %s", text);
        }
        if (count != 2 || fabsf(surface->start[0]) > 1000.0f || fabsf(surface->start[1]) > 1000.0f) {
            return arguments_wrong(line, "--start is '%s'; it must be two numbers X,Y from -1000 to 1000", start);
        }
    }
    if (surface->plot != NULL && !gnuplot_check(surface->plot, text, sizeof text)) {
        return arguments_wrong(line, "--plot: %s", text);
    }
    if (surface->optimizers.count == 0) {
        surface->optimizers.items[surface->optimizers.count++] = "all";
    }
    enum arguments_verdict verdict = suite_check(line, &surface->optimizers);
    return verdict == ARGUMENTS_RUN ? place_check(line, &surface->where) : verdict;
}

static enum arguments_verdict surface_arguments(struct surface *surface, int argc, char **argv) {
    const char *functions[LANDSCAPES + 1] = {NULL};
    for (size_t i = 0; i < LANDSCAPES; i++) {
        functions[i] = landscape_at(i)->name;
    }
    const struct argument options[] = {
        {.name = "function",
         .letter = 'f',
         .value = "NAME",
         .help = "saddle, ravine or rosenbrock (default saddle)",
         .kind = ARGUMENT_TEXT,
         .target = &surface->function,
         .choices = functions},
        {.name = "optimizer",
         .letter = 'o',
         .value = "NAME[:key=value,...]|all",
         .help =
             "an optimizer and its hyperparameters, or all that the servers have; may be given several times, for a "
             "descent each (default all)",
         .kind = ARGUMENT_TEXTS,
         .target = &surface->optimizers},
        {.name = "start",
         .value = "X,Y",
         .help = "where to begin (default: the function's, below)",
         .kind = ARGUMENT_TEXT,
         .target = &surface->start_text},
        {.name = "steps",
         .letter = 'n',
         .value = "N",
         .help = "steps to take (default: the function's, below)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &surface->steps,
         .low = 1,
         .high = DESCENT_STEPS_HIGH},
        {.name = "json",
         .help = "print one JSON object a line for every optimizer instead of a table",
         .kind = ARGUMENT_FLAG,
         .target = &surface->json},
        {.name = "plot",
         .letter = 'p',
         .value = "FILE.png|.svg",
         .help = "draw the ways over the function's contours, and loss against step, with gnuplot",
         .kind = ARGUMENT_TEXT,
         .target = &surface->plot},
        PLACE_ARGUMENTS(surface->where),
    };
    const struct command_line line = {
        .program = PROGRAM,
        .summary = "Lets optimizers descend a function of two variables through real servers, and shows the way each "
                   "takes, where it ends, and how its step size changes.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .usage = "[--function NAME] [--servers LIST | --local N] [OPTION...]",
        .details = surface_details(surface->details),
        .examples = "  canyon-sim surface --function saddle --optimizer all --plot saddle.png\n"
                    "  canyon-sim surface -f ravine -o sgd:lr=0.039 -o momentum:lr=0.039 --start -3,1 --steps 100",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    return verdict == ARGUMENTS_RUN ? surface_check(surface, &line) : verdict;
}

static enum outcome surface_connect(struct surface *surface) {
    struct canyon_options options;
    char text[TEXT_BYTES];
    canyon_options_init(&options);
    options.servers = surface->place.servers;
    options.name = PROGRAM;
    options.timeout_ms = surface->place.timeout_ms;
    options.connect_ms = surface->place.timeout_ms;
    keys_apply(&surface->place.keys, &options);
    enum canyon_status status = canyon_connect(&options, &surface->client);
    if (status != CANYON_OK) {
        return outcome_report(PROGRAM, "connect", status);
    }
    status = suite_open(&surface->suite, &surface->optimizers, surface->client, text, sizeof text);
    if (status != CANYON_OK) {
        fprintf(stderr, "%s: %s\n", PROGRAM, text);
    }
    return outcome_of(status);
}

static enum outcome surface_each(struct surface *surface) {
    char text[TEXT_BYTES], prefix[PLAN_PREFIX_BYTES];
    enum outcome outcome = OUTCOME_DONE;
    for (size_t i = 0; i < surface->suite.count && outcome == OUTCOME_DONE; i++) {
        struct descent *descent = &surface->descents[i];
        enum canyon_status status =
            descent_run(surface->client, place_prefix(&surface->place, i + 1, prefix), surface->landscape,
                        surface->start, surface->steps, surface->suite.runs[i], descent, text, sizeof text);
        outcome = outcome_of(status);
        if (status != CANYON_OK) {
            fprintf(stderr, "%s: %s: %s\n", PROGRAM, surface->suite.runs[i], text);
            break;
        }
        surface->finished++;
        if (surface->json && !surface_json(stdout, descent)) {
            fprintf(stderr, "%s: cannot write to standard output\n", PROGRAM);
            outcome = OUTCOME_FAILED;
        }
    }
    return outcome;
}

/* The table and the picture of the descents that were finished, also when a later one failed. */
static enum outcome surface_show(const struct surface *surface) {
    enum outcome outcome = OUTCOME_DONE;
    char text[TEXT_BYTES];
    if (surface->finished == 0 || interrupt_signal() != 0) {
        return outcome;
    }
    if (!surface->json && (!surface_table(stdout, surface->descents, surface->finished) || fflush(stdout) != 0)) {
        fprintf(stderr, "%s: cannot write to standard output\n", PROGRAM);
        outcome = OUTCOME_FAILED;
    }
    if (surface->plot == NULL) {
        return outcome;
    }
    if (!surface_plot(surface->plot, surface->descents, surface->finished, text, sizeof text)) {
        fprintf(stderr, "%s: no picture: %s\n", PROGRAM, text);
        return OUTCOME_FAILED;
    }
    fprintf(surface->json ? stderr : stdout, "the ways: %s\n", surface->plot);
    return outcome;
}

static enum outcome surface_run(struct surface *surface) {
    enum outcome outcome = place_open(&surface->place, &surface->where, 1, PROGRAM);
    if (outcome != OUTCOME_DONE) {
        return outcome;
    }
    outcome = surface_connect(surface);
    if (outcome == OUTCOME_DONE) {
        outcome = surface_each(surface);
    }
    canyon_close(surface->client);
    bool closed = place_close(&surface->place, PROGRAM);
    enum outcome shown = surface_show(surface);
    if (outcome == OUTCOME_DONE) {
        outcome = closed ? shown : OUTCOME_FAILED;
    }
    for (size_t i = 0; i < surface->finished; i++) {
        descent_finish(&surface->descents[i]);
    }
    suite_finish(&surface->suite);
    return outcome;
}

int surface_main(int argc, char **argv) {
    int code = OUTCOME_FAILED;
    struct surface *surface = calloc(1, sizeof *surface);
    if (surface == NULL) {
        fprintf(stderr, "%s: no memory\n", PROGRAM);
        return code;
    }
    surface->function = "saddle";
    enum arguments_verdict verdict = surface_arguments(surface, argc, argv);
    if (verdict != ARGUMENTS_RUN) {
        code = verdict == ARGUMENTS_HELP ? OUTCOME_DONE : OUTCOME_USAGE;
    } else {
        code = (int)surface_run(surface);
        code = interrupt_signal() != 0 ? interrupt_exit_code() : code;
    }
    free(surface);
    return code;
}
