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

#define PROGRAM     "canyon-sim train"
#define EPOCHS_HIGH 1000000

static const char details[] = "The data are the 1,797 handwritten digits of UCI's optdigits test set, 1,297 of\n"
                              "them for training. Worker w of W has every W-th training image. --batch full is\n"
                              "gradient descent on a worker's whole share, 1 is stochastic gradient descent,\n"
                              "any other N is mini-batch gradient descent; a worker's last batch of an epoch\n"
                              "may be smaller. All optimizers begin with the same weights, which depend on\n"
                              "--seed alone, and with their default learning rate unless it is given. Without\n"
                              "--servers, two local servers are started. Ended by a signal, it stops what it\n"
                              "started and exits with 128 and the signal's number.\n"
                              "\n"
                              "--model lr is logistic regression on files of examples, and has options of its\n"
                              "own: canyon-sim train --model lr --help lists them.\n"
                              "\n"
                              "What is counted:\n"
                              "  steps           batches whose gradients were applied, of all workers together\n"
                              "  pushes          gradients of one tensor: steps times the model's tensors\n"
                              "                  (softmax 2, mlp 4)\n"
                              "  loss            mean cross-entropy of the 1,297 training images with the last\n"
                              "                  weights, in nats\n"
                              "  test accuracy   share of the 500 test images that are recognised with the last\n"
                              "                  weights\n"
                              "  clipped         share of the steps whose gradients --clip-norm shortened\n"
                              "  sent, received  bytes of gradients, and of weights, as they travelled\n"
                              "  saved           share of the bytes that float32 would have taken, both ways\n"
                              "  stale, max      staleness of a push: updates by others between the weights a\n"
                              "                  gradient was computed from and its arrival, the largest among\n"
                              "                  the tensor's blocks; mean and maximum over all pushes\n"
                              "  seconds         from when all workers may begin until the last one is done\n"
                              "  best            of more than three runs the best three: by test accuracy, of\n"
                              "                  equal ones by loss";

struct train {
    struct place_options where;
    struct argument_texts optimizers;
    const char *model, *batch, *plot, *codec;
    uint64_t workers, hidden;
    bool json;
    struct suite suite;
    struct digits digits;
    struct split split;
    struct plan plan;
    struct place place;
    struct run_result *results;
    size_t finished;
};

/* What a table of options cannot say. */
static enum arguments_verdict train_check(struct train *train, const struct command_line *line) {
    char text[PLOT_TEXT_BYTES], why[256];
    enum arguments_verdict verdict = place_check(line, &train->where);
    if (train->optimizers.count == 0) {
        train->optimizers.items[train->optimizers.count++] = "adam";
    }
    verdict = verdict == ARGUMENTS_RUN ? suite_check(line, &train->optimizers) : verdict;
    if (verdict != ARGUMENTS_RUN) {
        return verdict;
    }
    bool full = strcmp(train->batch, "full") == 0;
    if (!full && (!arguments_unsigned(train->batch, &train->plan.batch) || train->plan.batch < 1 ||
                  train->plan.batch > SPLIT_TRAIN)) {
        return arguments_wrong(line, "--batch is '%s'; it must be full or a whole number from 1 to %d", train->batch,
                               SPLIT_TRAIN);
    }
    if (!coding_read(train->codec, &train->plan.coding, why, sizeof why)) {
        return arguments_wrong(line, "--codec: %s", why);
    }
    if (train->plot != NULL && !gnuplot_check(train->plot, text, sizeof text)) {
        return arguments_wrong(line, "--plot: %s", text);
    }
    return ARGUMENTS_RUN;
}

static enum arguments_verdict train_arguments(struct train *train, int argc, char **argv) {
    static const char *const models[] = {"softmax", "mlp", "lr", NULL};
    const struct argument options[] = {
        PLACE_ARGUMENTS(train->where),
        {.name = "workers",
         .letter = 'w',
         .value = "W",
         .help = "worker processes (default 4)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &train->workers,
         .low = 1,
         .high = RUN_WORKERS_HIGH},
        {.name = "model",
         .letter = 'm',
         .value = "softmax|mlp|lr",
         .help = "softmax regression, or one hidden layer of ReLU (default mlp); lr: see below",
         .kind = ARGUMENT_TEXT,
         .target = &train->model,
         .choices = models},
        {.name = "hidden",
         .value = "N",
         .help = "units of the hidden layer of mlp (default 64)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &train->hidden,
         .low = 1,
         .high = MODEL_HIDDEN_HIGH},
        {.name = "optimizer",
         .letter = 'o',
         .value = "NAME[:key=value,...]|all",
         .help =
             "the servers' optimizer and its hyperparameters, or all that the servers have, one after another; may be "
             "given several times, for a run each (default adam)",
         .kind = ARGUMENT_TEXTS,
         .target = &train->optimizers},
        {.name = "batch",
         .letter = 'b',
         .value = "full|N",
         .help = "images that a gradient is computed from (default 32)",
         .kind = ARGUMENT_TEXT,
         .target = &train->batch},
        {.name = "epochs",
         .letter = 'e',
         .value = "E",
         .help = "times that every worker goes through its share (default 30)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &train->plan.epochs,
         .low = 1,
         .high = EPOCHS_HIGH},
        {.name = "clip-norm",
         .value = "N",
         .help = "the most that the norm of a step's gradients, all tensors together, may be: longer ones are "
                 "shortened to it before they are pushed (default: any length)",
         .kind = ARGUMENT_DOUBLE,
         .target = &train->plan.clip_norm,
         .least = 1e-30,
         .most = 1e30},
        {.name = "codec",
         .value = "GRADIENT[/WEIGHTS]",
         .help = "the form in which workers' gradients travel, and weights back: f32, bf16, f16, int8, "
                 "int8:stochastic, and for gradients topk:FRACTION (default f32/f32)",
         .kind = ARGUMENT_TEXT,
         .target = &train->codec},
        {.name = "seed",
         .value = "S",
         .help = "of the first weights and the order of images (default 1)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &train->plan.seed},
        {.name = "json",
         .help = "print one JSON object a line for every optimizer instead of a table",
         .kind = ARGUMENT_FLAG,
         .target = &train->json},
        {.name = "plot",
         .letter = 'p',
         .value = "FILE.png|.svg",
         .help = "draw loss against step for every optimizer, with gnuplot",
         .kind = ARGUMENT_TEXT,
         .target = &train->plot},
    };
    const struct command_line line = {
        .program = PROGRAM,
        .summary = "Trains a model on real data through real servers: worker processes compute gradients, servers "
                   "apply the optimizer the moment one arrives.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .usage = "[--servers LIST | --local N] [OPTION...]",
        .details = details,
        .examples = "  canyon-sim train --local 2 --optimizer all --plot loss.png\n"
                    "  canyon-sim train --codec int8/bf16 -w 8\n"
                    "  canyon-sim train --model lr --data clicks.libsvm --test more.libsvm\n"
                    "  canyon-sim train --servers 10.0.0.1:7077 -w 8 -o adam:lr=0.002 --json",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    return verdict == ARGUMENTS_RUN ? train_check(train, &line) : verdict;
}

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
            if (train->json && !report_json(stdout, &train->plan, result)) {
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
             "Handwritten digits, %s: %" PRIu32 " asynchronous worker%s, batch %s, %" PRIu64 " epochs, %" PRIu32
             " server%s",
             train->model, train->plan.workers, train->plan.workers == 1 ? "" : "s", train->batch, train->plan.epochs,
             train->results[0].servers, train->results[0].servers == 1 ? "" : "s");
    if (!plot_draw(train->plot, title, lines, train->finished, text, sizeof text)) {
        fprintf(stderr, "%s: no picture: %s\n", PROGRAM, text);
        return OUTCOME_FAILED;
    }
    fprintf(train->json ? stderr : stdout, "loss against step: %s\n", train->plot);
    return OUTCOME_DONE;
}

/* The table and the picture of the runs that were finished, also when a later one failed. */
static enum outcome train_report(const struct train *train) {
    enum outcome outcome = OUTCOME_DONE;
    if (train->finished == 0) {
        return outcome;
    }
    if (!train->json && (!report_table(stdout, &train->plan, train->results, train->finished) || fflush(stdout) != 0)) {
        fprintf(stderr, "%s: cannot write to standard output\n", PROGRAM);
        outcome = OUTCOME_FAILED;
    }
    if (train->plot != NULL && interrupt_signal() == 0 && train_plot(train) != OUTCOME_DONE) {
        outcome = OUTCOME_FAILED;
    }
    return outcome;
}

static enum outcome train_prepare(struct train *train) {
    char text[DIGITS_TEXT_BYTES];
    if (!digits_load(&train->digits, text, sizeof text)) {
        fprintf(stderr, "%s: %s\n", PROGRAM, text);
        return OUTCOME_FAILED;
    }
    split_make(&train->digits, &train->split);
    model_init(&train->plan.model, strcmp(train->model, "mlp") == 0 ? MODEL_MLP : MODEL_SOFTMAX, train->hidden);
    train->plan.digits = &train->digits;
    train->plan.split = &train->split;
    train->plan.workers = (uint32_t)train->workers;
    return place_open(&train->place, &train->where, 2, PROGRAM);
}

/* Which runs there are to be. */
static enum outcome train_runs(struct train *train) {
    char text[PLOT_TEXT_BYTES];
    enum canyon_status status = suite_ask(&train->suite, &train->optimizers, &train->place, text, sizeof text);
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
    train->model = "mlp";
    train->batch = "32";
    train->codec = "f32";
    train->workers = 4;
    train->hidden = 64;
    train->plan.epochs = 30;
    train->plan.seed = 1;
    enum arguments_verdict verdict = train_arguments(train, argc, argv);
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
