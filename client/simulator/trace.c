#include "client/simulator/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/simulator/interrupt.h"
#include "client/simulator/lines.h"
#include "client/simulator/place.h"
#include "client/simulator/vector.h"

#define PROGRAM "canyon-sim trace"

struct trace {
    struct place_options where;
    const char *optimizer, *init;
    struct canyon_tensor_spec spec;
    size_t count; /* numbers in a vector */
    float *first, *gradient, *weights;
    struct place place;
    canyon_client *client;
    canyon_tensor *tensor;
};

static enum outcome fail(enum outcome outcome, const char *format, ...) __attribute__((format(printf, 2, 3)));

static enum outcome fail(enum outcome outcome, const char *format, ...) {
    va_list values;
    va_start(values, format);
    fprintf(stderr, "%s: ", PROGRAM);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    return outcome;
}

/* Reads --init into `first` and makes room for the other vectors. */
static enum outcome trace_vectors(struct trace *trace) {
    char text[VECTOR_TEXT_BYTES];
    size_t bytes = strlen(trace->init);
    if (!vector_read(trace->init, bytes, NULL, 0, &trace->count, text, sizeof text)) {
        return fail(OUTCOME_USAGE, "--init: %s", text);
    }
    trace->first = calloc(trace->count, sizeof *trace->first);
    trace->gradient = calloc(trace->count, sizeof *trace->gradient);
    trace->weights = calloc(trace->count, sizeof *trace->weights);
    if (trace->first == NULL || trace->gradient == NULL || trace->weights == NULL) {
        return fail(OUTCOME_FAILED, "no memory for vectors of %zu numbers", trace->count);
    }
    vector_read(trace->init, bytes, trace->first, trace->count, &trace->count, text, sizeof text);
    return OUTCOME_DONE;
}

static enum arguments_verdict trace_arguments(struct trace *trace, int argc, char **argv) {
    const struct argument options[] = {
        {.name = "optimizer",
         .letter = 'o',
         .value = "NAME[:key=value,...]",
         .help = "the optimizer to follow and its hyperparameters; those left out have the servers' defaults",
         .kind = ARGUMENT_TEXT,
         .target = &trace->optimizer},
        {.name = "init",
         .letter = 'i',
         .value = "\"1,2,3\"",
         .help = "the weights to begin with",
         .kind = ARGUMENT_TEXT,
         .target = &trace->init},
        PLACE_ARGUMENTS(trace->where),
    };
    const struct command_line line = {
        .program = PROGRAM,
        .summary = "Reads one gradient vector a line from standard input, pushes it, and prints the fresh weights of "
                   "each step: one line a step, %.9g, separated by blanks.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .usage = "--optimizer NAME[:key=value,...] --init \"1,2,3\" [--servers LIST | --local N] < gradients.txt",
        .details = "Numbers are separated by blanks or commas. A line that is not such a vector\n"
                   "ends the program with exit code 2 and a message with the line's number. Without\n"
                   "--servers and --local one local server is started.",
        .examples = "  echo 0.1 -0.2 | canyon-sim trace --optimizer adam:lr=0.01 --init 1,2",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    if (verdict != ARGUMENTS_RUN) {
        return verdict;
    }
    if (trace->optimizer == NULL || trace->init == NULL) {
        return arguments_wrong(&line, "--%s is missing", trace->optimizer == NULL ? "optimizer" : "init");
    }
    canyon_tensor_spec_init(&trace->spec);
    if (canyon_tensor_spec_optimizer(&trace->spec, trace->optimizer) != CANYON_OK) {
        return arguments_wrong(&line, "--optimizer: %s", canyon_error_text());
    }
    return place_check(&line, &trace->where);
}

static enum outcome trace_open(struct trace *trace) {
    struct canyon_options options;
    struct canyon_tensor_spec *spec = &trace->spec;
    canyon_options_init(&options);
    options.servers = trace->place.servers;
    options.name = PROGRAM;
    options.timeout_ms = trace->place.timeout_ms;
    options.connect_ms = trace->place.timeout_ms;
    keys_apply(&trace->place.keys, &options);
    enum canyon_status status = canyon_connect(&options, &trace->client);
    if (status != CANYON_OK) {
        return outcome_report(PROGRAM, "connect", status);
    }
    snprintf(spec->name, sizeof spec->name, "%strace", trace->place.prefix);
    spec->rank = 1;
    spec->dims[0] = trace->count;
    spec->initializer = CANYON_VALUES;
    spec->values = trace->first;
    status = canyon_tensor_create(trace->client, spec, 0, &trace->tensor);
    return outcome_report(PROGRAM, "create the tensor", status);
}

static enum outcome trace_print(const struct trace *trace) {
    for (size_t i = 0; i < trace->count; i++) {
        printf(i == 0 ? "%.9g" : " %.9g", (double)trace->weights[i]);
    }
    putchar('\n');
    /* Each step at once: whoever feeds gradients may be waiting for the weights. */
    return fflush(stdout) == 0 ? OUTCOME_DONE : fail(OUTCOME_FAILED, "cannot write: %s", strerror(errno));
}

static enum outcome trace_step(struct trace *trace, uint64_t number, const char *line, size_t length) {
    char text[VECTOR_TEXT_BYTES];
    size_t count = 0;
    if (!vector_read(line, length, trace->gradient, trace->count, &count, text, sizeof text)) {
        return fail(OUTCOME_USAGE, "line %" PRIu64 ": %s", number, text);
    }
    if (count != trace->count) {
        return fail(OUTCOME_USAGE, "line %" PRIu64 ": %zu numbers, but --init has %zu", number, count, trace->count);
    }
    enum canyon_status status = canyon_push_pull(trace->tensor, trace->gradient, trace->weights, 0);
    if (status != CANYON_OK) {
        snprintf(text, sizeof text, "push the gradient of line %" PRIu64, number);
        return outcome_report(PROGRAM, text, status);
    }
    return trace_print(trace);
}

static enum outcome trace_follow(struct trace *trace) {
    struct lines lines;
    enum outcome outcome = OUTCOME_DONE;
    const char *line = NULL;
    size_t length = 0;
    lines_init(&lines, STDIN_FILENO);
    for (uint64_t number = 1; outcome == OUTCOME_DONE; number++) {
        enum lines_state state = lines_next(&lines, &line, &length);
        if (state == LINES_ENDED) {
            break;
        }
        if (state == LINES_READ) {
            outcome = trace_step(trace, number, line, length);
        } else if (state == LINES_INTERRUPTED) {
            outcome = fail(OUTCOME_FAILED, "interrupted");
        } else {
            outcome = fail(OUTCOME_FAILED, "cannot read line %" PRIu64 ": %s", number, strerror(errno));
        }
    }
    lines_finish(&lines);
    return outcome;
}

/* Everything between a place to work and leaving it. */
static enum outcome trace_run(struct trace *trace) {
    enum outcome outcome = trace_open(trace);
    if (outcome == OUTCOME_DONE) {
        outcome = trace_follow(trace);
        enum canyon_status status =
            place_leave(PROGRAM, trace->spec.name, canyon_tensor_drop(trace->client, trace->spec.name, 0));
        if (outcome == OUTCOME_DONE) {
            outcome = outcome_report(PROGRAM, "drop the tensor", status);
        }
    }
    canyon_tensor_close(trace->tensor);
    canyon_close(trace->client);
    return outcome;
}

int trace_main(int argc, char **argv) {
    struct trace trace = {.optimizer = NULL};
    enum arguments_verdict verdict = trace_arguments(&trace, argc, argv);
    if (verdict != ARGUMENTS_RUN) {
        return verdict == ARGUMENTS_HELP ? OUTCOME_DONE : OUTCOME_USAGE;
    }
    enum outcome outcome = trace_vectors(&trace);
    if (outcome == OUTCOME_DONE) {
        outcome = place_open(&trace.place, &trace.where, 1, PROGRAM);
    }
    if (outcome == OUTCOME_DONE) {
        outcome = trace_run(&trace);
        if (!place_close(&trace.place, PROGRAM) && outcome == OUTCOME_DONE) {
            outcome = OUTCOME_FAILED;
        }
    }
    free(trace.first);
    free(trace.gradient);
    free(trace.weights);
    return interrupt_signal() != 0 ? interrupt_exit_code() : (int)outcome;
}
