#include "client/simulator/train.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/gnuplot.h"
#include "client/simulator/interrupt.h"
#include "client/simulator/place.h"
#include "client/simulator/plot.h"
#include "client/simulator/regress.h"
#include "client/simulator/report.h"
#include "client/simulator/run.h"
#include "client/simulator/suite.h"
#include "client/simulator/train_options.h"

#define PROGRAM TRAIN_PROGRAM

struct train {
    struct train_options options;
    struct suite suite;
    struct digits digits;
    struct split split;
    struct plan plan;
    struct place place;
    struct run_result *results;
    size_t finished;
};

static enum outcome train_each(struct train *train) {
    enum outcome outcome = OUTCOME_DONE;
    char label[96], prefix[PLAN_PREFIX_BYTES];
    for (size_t i = 0; i < train->suite.count && outcome == OUTCOME_DONE; i++) {
        struct run_result *result = &train->results[i];
        train->plan.optimizer = train->suite.runs[i];
        train->plan.prefix = place_prefix(&train->place, i + 1, prefix);
        if (train->suite.count == 1) {
            snprintf(label, sizeof label, "%s", train->suite.runs[i]);
        } else {
            snprintf(label, sizeof label, "%zu/%zu %s", i + 1, train->suite.count, train->suite.runs[i]);
        }
        outcome = run_train(&train->plan, train->place.local, label, result);
        if (outcome == OUTCOME_DONE) {
            train->finished++;
            if (train->options.json && !report_json(stdout, &train->plan, result)) {
                fprintf(stderr, "%s: cannot write to standard output\n", PROGRAM);
                outcome = OUTCOME_FAILED;
            }
        }
    }
    return outcome;
}

static enum outcome train_plot(const struct train *train) {
    struct plot_line lines[PLOT_LINES];
    char text[PLOT_TEXT_BYTES], title[256];
    for (size_t i = 0; i < train->finished; i++) {
        lines[i] = (struct plot_line){.label = train->results[i].optimizer, .curve = &train->results[i].curve};
    }
    snprintf(title, sizeof title,
             "Handwritten digits, %s: %" PRIu32 " worker%s, %s, batch %s, %" PRIu64 " epochs, %" PRIu32 " server%s",
             train->options.model, train->plan.workers, train->plan.workers == 1 ? "" : "s",
             train->plan.pacing.mode == NULL ? "asynchronous" : train->plan.pacing.mode, train->options.batch,
             train->plan.epochs, train->results[0].servers, train->results[0].servers == 1 ? "" : "s");
    if (!plot_draw(train->options.plot, title, lines, train->finished, text, sizeof text)) {
        fprintf(stderr, "%s: no picture: %s\n", PROGRAM, text);
        return OUTCOME_FAILED;
    }
    fprintf(train->options.json ? stderr : stdout, "loss against step: %s\n", train->options.plot);
    return OUTCOME_DONE;
}

/* The table and the picture of the runs that were finished, also when a later one failed. */
static enum outcome train_report(const struct train *train) {
    enum outcome outcome = OUTCOME_DONE;
    if (train->finished == 0) {
        return outcome;
    }
    if (!train->options.json &&
        (!report_table(stdout, &train->plan, train->results, train->finished) || fflush(stdout) != 0)) {
        fprintf(stderr, "%s: cannot write to standard output\n", PROGRAM);
        outcome = OUTCOME_FAILED;
    }
    if (train->options.plot != NULL && interrupt_signal() == 0 && train_plot(train) != OUTCOME_DONE) {
        outcome = OUTCOME_FAILED;
    }
    return outcome;
}

static enum outcome train_prepare(struct train *train) {
    const struct train_options *options = &train->options;
    char text[DIGITS_TEXT_BYTES];
    if (!digits_load(&train->digits, text, sizeof text)) {
        fprintf(stderr, "%s: %s\n", PROGRAM, text);
        return OUTCOME_FAILED;
    }
    split_make(&train->digits, &train->split);
    model_init(&train->plan.model, strcmp(options->model, "mlp") == 0 ? MODEL_MLP : MODEL_SOFTMAX, options->hidden);
    train->plan.program = PROGRAM;
    train->plan.digits = &train->digits;
    train->plan.split = &train->split;
    train->plan.workers = (uint32_t)options->workers;
    train->plan.batch = options->batch_images;
    train->plan.epochs = options->epochs;
    train->plan.seed = options->seed;
    train->plan.clip_norm = options->clip_norm;
    train->plan.coding = options->coding;
    train->plan.pacing = options->pacing;
    return place_open(&train->place, &options->where, 2, PROGRAM);
}

/* Which runs there are to be. */
static enum outcome train_runs(struct train *train) {
    char text[PLOT_TEXT_BYTES];
    enum canyon_status status = suite_ask(&train->suite, &train->options.optimizers, &train->place, text, sizeof text);
    if (status != CANYON_OK) {
        fprintf(stderr, "%s: %s\n", PROGRAM, text);
        return outcome_of(status);
    }
    train->results = calloc(train->suite.count, sizeof *train->results);
    if (train->results == NULL) {
        fprintf(stderr, "%s: no memory for %zu results\n", PROGRAM, train->suite.count);
        return OUTCOME_FAILED;
    }
    return OUTCOME_DONE;
}

static enum outcome train_run(struct train *train) {
    enum outcome outcome = train_prepare(train);
    if (outcome != OUTCOME_DONE) {
        return outcome;
    }
    train->plan.servers = train->place.servers;
    train->plan.keys = train->place.keys;
    train->plan.timeout_ms = train->place.timeout_ms;
    outcome = train_runs(train);
    if (outcome == OUTCOME_DONE) {
        outcome = train_each(train);
    }
    bool closed = place_close(&train->place, PROGRAM);
    enum outcome reported = train_report(train);
    if (outcome == OUTCOME_DONE) {
        outcome = closed ? reported : OUTCOME_FAILED;
    }
    return outcome;
}

int train_main(int argc, char **argv) {
    int code = OUTCOME_FAILED;
    if (regress_is_meant(argc, argv)) {
        return regress_main(argc, argv);
    }
    struct train *train = calloc(1, sizeof *train);
    if (train == NULL) {
        fprintf(stderr, "%s: no memory\n", PROGRAM);
        return code;
    }
    enum arguments_verdict verdict = train_options_parse(&train->options, argc, argv);
    if (verdict != ARGUMENTS_RUN) {
        code = verdict == ARGUMENTS_HELP ? OUTCOME_DONE : OUTCOME_USAGE;
    } else {
        code = (int)train_run(train);
        code = interrupt_signal() != 0 ? interrupt_exit_code() : code;
    }
    digits_finish(&train->digits);
    free(train->results);
    suite_finish(&train->suite);
    free(train);
    return code;
}
