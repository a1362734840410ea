#include "client/simulator/train_options.h"

#include <stdio.h>
#include <string.h>

#include "client/simulator/gnuplot.h"
#include "client/simulator/model.h"
#include "client/simulator/split.h"
#include "client/simulator/suite.h"

#define PROGRAM     TRAIN_PROGRAM
#define EPOCHS_HIGH 1000000

#define TEXT_BYTES 512

/* What the table of arguments fills in and cannot hold in its last form. */
struct raw {
    const char *consistency, *policy;
    struct argument_texts straggles;
};

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
                              "--consistency has workers count their steps as clocks; a step is then: clock,\n"
                              "pull, compute, push. Without it the weights come back with the push, and nobody\n"
                              "waits. sync: the workers' batches of a clock are together a batch W times as\n"
                              "large of one worker with all images, and sync:rank repeats itself to the bit. A\n"
                              "gradient that --staleness-policy refuse:N refuses is computed anew from fresh\n"
                              "weights; one that is late for its clock (sync:minimum=N) is lost.\n"
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
                              "  refused         times that a gradient was too stale and was computed anew\n"
                              "  late            batches that were lost, their clock being closed; no steps\n"
                              "  sent, received  bytes of gradients, and of weights, as they travelled\n"
                              "  saved           share of the bytes that float32 would have taken, both ways\n"
                              "  stale, max      staleness of a push: updates by others between the weights a\n"
                              "                  gradient was computed from and its arrival, the largest among\n"
                              "                  the tensor's blocks; mean and maximum over all pushes\n"
                              "  seconds         from when all workers may begin until the last one is done\n"
                              "  best            of more than three runs the best three: by test accuracy, of\n"
                              "                  equal ones by loss";

/* Batch, codec and picture: what a table of options cannot say of them. */
static enum arguments_verdict check_data(struct train_options *options, const struct command_line *line) {
    char text[TEXT_BYTES], why[TEXT_BYTES];
    bool full = strcmp(options->batch, "full") == 0;
    if (!full && (!arguments_unsigned(options->batch, &options->batch_images) || options->batch_images < 1 ||
                  options->batch_images > SPLIT_TRAIN)) {
        return arguments_wrong(line, "--batch is '%s'; it must be full or a whole number from 1 to %d", options->batch,
                               SPLIT_TRAIN);
    }
    if (!coding_read(options->codec, &options->coding, why, sizeof why)) {
        return arguments_wrong(line, "--codec: %s", why);
    }
    if (options->plot != NULL && !gnuplot_check(options->plot, text, sizeof text)) {
        return arguments_wrong(line, "--plot: %s", text);
    }
    return ARGUMENTS_RUN;
}

/* How the workers keep together. */
static enum arguments_verdict check_pacing(struct train_options *options, const struct raw *raw,
                                           const struct command_line *line) {
    struct pacing *pacing = &options->pacing;
    char why[TEXT_BYTES];
    if (raw->consistency != NULL && !pacing_mode(pacing, raw->consistency, why, sizeof why)) {
        return arguments_wrong(line, "--consistency: %s", why);
    }
    if (raw->policy != NULL && !pacing_policy(pacing, raw->policy, why, sizeof why)) {
        return arguments_wrong(line, "--staleness-policy: %s", why);
    }
    for (size_t i = 0; i < raw->straggles.count; i++) {
        if (!pacing_straggle(pacing, raw->straggles.items[i], (uint32_t)options->workers, why, sizeof why)) {
            return arguments_wrong(line, "--straggle: %s", why);
        }
    }
    return ARGUMENTS_RUN;
}

static enum arguments_verdict options_check(struct train_options *options, const struct raw *raw,
                                            const struct command_line *line) {
    enum arguments_verdict verdict = place_check(line, &options->where);
    if (options->optimizers.count == 0) {
        options->optimizers.items[options->optimizers.count++] = "adam";
    }
    verdict = verdict == ARGUMENTS_RUN ? suite_check(line, &options->optimizers) : verdict;
    verdict = verdict == ARGUMENTS_RUN ? check_data(options, line) : verdict;
    return verdict == ARGUMENTS_RUN ? check_pacing(options, raw, line) : verdict;
}

static const char *const models[] = {"softmax", "mlp", "lr", NULL};

/* The options, in the order of help; `o` is a struct train_options *, `r` a struct raw. */
#define LEARNING_ARGUMENTS(o)                                                                                          \
    {.name = "workers",                                                                                                \
     .letter = 'w',                                                                                                    \
     .value = "W",                                                                                                     \
     .help = "worker processes (default 4)",                                                                           \
     .kind = ARGUMENT_UNSIGNED,                                                                                        \
     .target = &(o)->workers,                                                                                          \
     .low = 1,                                                                                                         \
     .high = PACING_WORKERS_HIGH},                                                                                     \
        {.name = "model",                                                                                              \
         .letter = 'm',                                                                                                \
         .value = "softmax|mlp|lr",                                                                                    \
         .help = "softmax regression, or one hidden layer of ReLU (default mlp); lr: see below",                       \
         .kind = ARGUMENT_TEXT,                                                                                        \
         .target = &(o)->model,                                                                                        \
         .choices = models},                                                                                           \
        {.name = "hidden",                                                                                             \
         .value = "N",                                                                                                 \
         .help = "units of the hidden layer of mlp (default 64)",                                                      \
         .kind = ARGUMENT_UNSIGNED,                                                                                    \
         .target = &(o)->hidden,                                                                                       \
         .low = 1,                                                                                                     \
         .high = MODEL_HIDDEN_HIGH},                                                                                   \
        {.name = "optimizer",                                                                                          \
         .letter = 'o',                                                                                                \
         .value = "NAME[:key=value,...]|all",                                                                          \
         .help = "the servers' optimizer and its hyperparameters, or all that the servers have, one after another; "   \
                 "may be given several times, for a run each (default adam)",                                          \
         .kind = ARGUMENT_TEXTS,                                                                                       \
         .target = &(o)->optimizers},                                                                                  \
        {.name = "batch",                                                                                              \
         .letter = 'b',                                                                                                \
         .value = "full|N",                                                                                            \
         .help = "images that a gradient is computed from (default 32)",                                               \
         .kind = ARGUMENT_TEXT,                                                                                        \
         .target = &(o)->batch},                                                                                       \
    {                                                                                                                  \
        .name = "epochs", .letter = 'e', .value = "E",                                                                 \
        .help = "times that every worker goes through its share (default 30)", .kind = ARGUMENT_UNSIGNED,              \
        .target = &(o)->epochs, .low = 1, .high = EPOCHS_HIGH                                                          \
    }

#define TRAVELLING_ARGUMENTS(o)                                                                                        \
    {.name = "clip-norm",                                                                                              \
     .value = "N",                                                                                                     \
     .help = "the most that the norm of a step's gradients, all tensors together, may be: longer ones are "            \
             "shortened to it before they are pushed (default: any length)",                                           \
     .kind = ARGUMENT_DOUBLE,                                                                                          \
     .target = &(o)->clip_norm,                                                                                        \
     .least = 1e-30,                                                                                                   \
     .most = 1e30},                                                                                                    \
    {                                                                                                                  \
        .name = "codec", .value = "GRADIENT[/WEIGHTS]",                                                                \
        .help = "the form in which workers' gradients travel, and weights back: f32, bf16, f16, int8, "                \
                "int8:stochastic, and for gradients topk:FRACTION (default f32/f32)",                                  \
        .kind = ARGUMENT_TEXT, .target = &(o)->codec                                                                   \
    }

#define PACING_ARGUMENTS(r)                                                                                            \
    {.name = "consistency",                                                                                            \
     .value = "async|ssp:S|sync[:...]",                                                                                \
     .help = "workers count clocks, and nobody waits; or nobody pulls who is more than S clocks ahead of the "         \
             "slowest; or step by step, with words after a colon: mean or sum, arrival or rank, minimum=N "            \
             "(default: no clocks)",                                                                                   \
     .kind = ARGUMENT_TEXT,                                                                                            \
     .target = &(r).consistency},                                                                                      \
        {.name = "staleness-policy",                                                                                   \
         .value = "accept|scale|refuse:N",                                                                             \
         .help =                                                                                                       \
             "of a gradient that missed updates: apply it, divide its learning rate by 1 + the updates it missed, "    \
             "or refuse it beyond N (default accept)",                                                                 \
         .kind = ARGUMENT_TEXT,                                                                                        \
         .target = &(r).policy},                                                                                       \
    {                                                                                                                  \
        .name = "straggle", .value = "K:MS[,K:MS...]",                                                                 \
        .help = "worker K, counted from 0, sleeps MS milliseconds more in every step; may be given several times",     \
        .kind = ARGUMENT_TEXTS, .target = &(r).straggles                                                               \
    }

#define OTHER_ARGUMENTS(o)                                                                                             \
    {.name = "seed",                                                                                                   \
     .value = "S",                                                                                                     \
     .help = "of the first weights and the order of images (default 1)",                                               \
     .kind = ARGUMENT_UNSIGNED,                                                                                        \
     .target = &(o)->seed},                                                                                            \
        {.name = "json",                                                                                               \
         .help = "print one JSON object a line for every optimizer instead of a table",                                \
         .kind = ARGUMENT_FLAG,                                                                                        \
         .target = &(o)->json},                                                                                        \
    {                                                                                                                  \
        .name = "plot", .letter = 'p', .value = "FILE.png|.svg",                                                       \
        .help = "draw loss against step for every optimizer, with gnuplot", .kind = ARGUMENT_TEXT,                     \
        .target = &(o)->plot                                                                                           \
    }

#define EXAMPLES                                                                                                       \
    "  canyon-sim train --local 2 --optimizer all --plot loss.png\n"                                                   \
    "  canyon-sim train --codec int8/bf16 -w 8\n"                                                                      \
    "  canyon-sim train --consistency ssp:3 --straggle 0:20\n"                                                         \
    "  canyon-sim train --consistency sync:minimum=3 --straggle 0:20,1:5\n"                                            \
    "  canyon-sim train --consistency async --staleness-policy refuse:8 -w 16\n"                                       \
    "  canyon-sim train --model lr --data clicks.libsvm --test more.libsvm\n"                                          \
    "  canyon-sim train --servers 10.0.0.1:7077 -w 8 -o adam:lr=0.002 --json"

enum arguments_verdict train_options_parse(struct train_options *options, int argc, char **argv) {
    struct raw raw = {.consistency = NULL};
    *options = (struct train_options){
        .model = "mlp", .batch = "32", .codec = "f32", .workers = 4, .hidden = 64, .epochs = 30, .seed = 1};
    const struct argument arguments[] = {
        PLACE_ARGUMENTS(options->where), LEARNING_ARGUMENTS(options), TRAVELLING_ARGUMENTS(options),
        PACING_ARGUMENTS(raw),           OTHER_ARGUMENTS(options),
    };
    const struct command_line line = {
        .program = PROGRAM,
        .summary = "Trains a model on real data through real servers: worker processes compute gradients, servers "
                   "apply the optimizer the moment one arrives.",
        .options = arguments,
        .option_count = sizeof arguments / sizeof *arguments,
        .usage = "[--servers LIST | --local N] [OPTION...]",
        .details = details,
        .examples = EXAMPLES,
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    return verdict == ARGUMENTS_RUN ? options_check(options, &raw, &line) : verdict;
}
