#include "client/simulator/regress_options.h"

#include "client/simulator/team_options.h"

static const char details[] = "A line of a file is an example: its label, 1, or 0 or -1, then its features,\n"
                              "NAME:VALUE, those that are not 0, in any order. NAME is an index, decimal digits\n"
                              "below 2^64 - 1, or with --hash any text, whose hash is the feature's id. What\n"
                              "follows a # is a comment. Files are read from end to end first: a line that\n"
                              "breaks a rule is named, and nothing is trained. They are read again in every\n"
                              "epoch by every worker, which takes every W-th training example, and never held\n"
                              "in memory.\n"
                              "\n"
                              "A table has one weight for each feature and one for what all have in common, all\n"
                              "0 at first. A batch's gradient is the sum over its examples. --ahead further\n"
                              "batches of a worker are under way while it computes one. With one worker two\n"
                              "runs give the same weights. --single trains in one process, without servers; it\n"
                              "knows the optimizers sgd, adagrad, adam and ftrl.\n"
                              "\n"
                              "Keys of --json, beside the options' own names:\n"
                              "  model               \"lr\"\n"
                              "  servers             0 for --single\n"
                              "  examples, features  of the training part; of the whole file of data, as they\n"
                              "                      stand there\n"
                              "  trained_examples    examples gone through, of all epochs and workers\n"
                              "  examples_s, seconds the same per second; from when all workers may begin until\n"
                              "                      the last is done\n"
                              "  rows                rows pulled, and as many pushed\n"
                              "  table_rows          rows that the table has in the end: features, and what all\n"
                              "                      have in common\n"
                              "  bytes_sent, bytes_received\n"
                              "                      of gradients and weights, as they travelled\n"
                              "  loss                mean of the last twentieth or so of the training, in nats,\n"
                              "                      each example by the weights before it was learnt from\n"
                              "  test_examples, test_positives\n"
                              "                      of the test part\n"
                              "  test_loss           mean loss of the test part with the last weights, in nats\n"
                              "  test_auc, test_auc_error\n"
                              "                      probability that a positive example of the test part scores\n"
                              "                      above a negative one (ties count half), its standard error;\n"
                              "                      null when there are none of either";

enum arguments_verdict regress_options_parse(struct regress_options *options, int argc, char **argv) {
    static const char *const models[] = {"lr", NULL};
    const char *model = "lr", *hash = NULL;
    struct team_options team = TEAM_OPTIONS;
    uint64_t bits = 64;
    double held = -1.0;
    *options = (struct regress_options){.optimizer = "ftrl", .batch = 64, .epochs = 5, .seed = 1};
    const struct argument arguments[] = {
        PLACE_ARGUMENTS(options->where),
        TEAM_ARGUMENTS(team),
        {.name = "model",
         .letter = 'm',
         .value = "lr",
         .help = "this one; canyon-sim train --help has the others",
         .kind = ARGUMENT_TEXT,
         .target = &model,
         .choices = models},
        {.name = "data",
         .value = "FILE",
         .help = "examples to learn from, in LIBSVM's text form",
         .kind = ARGUMENT_TEXT,
         .target = &options->data},
        {.name = "test",
         .value = "FILE",
         .help = "examples to test what was learnt with (default: those held out)",
         .kind = ARGUMENT_TEXT,
         .target = &options->test},
        {.name = "holdout",
         .value = "SHARE",
         .help = "without --test, the share of the examples that are held out for it (default 0.1)",
         .kind = ARGUMENT_DOUBLE,
         .target = &held,
         .least = 0.0,
         .most = 0.9},
        {.name = "hash",
         .value = "SEED",
         .help = "names of features are any text, and are hashed with this number",
         .kind = ARGUMENT_TEXT,
         .target = &hash},
        {.name = "bits",
         .value = "B",
         .help = "cut ids to B bits, so that there are at most 2^B features, some of which share a weight (default 64)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &bits,
         .low = 1,
         .high = 64},
        {.name = "optimizer",
         .letter = 'o',
         .value = "NAME[:key=value,...]",
         .help = "the servers' optimizer and its hyperparameters (default ftrl)",
         .kind = ARGUMENT_TEXT,
         .target = &options->optimizer},
        {.name = "batch",
         .letter = 'b',
         .value = "N",
         .help = "examples that a gradient is computed from (default 64)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &options->batch,
         .low = 1,
         .high = REGRESS_BATCH_HIGH},
        {.name = "epochs",
         .letter = 'e',
         .value = "E",
         .help = "times that the training examples are gone through (default 5)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &options->epochs,
         .low = 1,
         .high = 1000000},
        {.name = "seed",
         .value = "S",
         .help = "by which the examples that are held out are drawn (default 1)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &options->seed},
        {.name = "json",
         .help = "print one JSON object instead of text",
         .kind = ARGUMENT_FLAG,
         .target = &options->json},
    };
    const struct command_line line = {
        .program = REGRESS_PROGRAM " --model lr",
        .summary = "Logistic regression on examples with few of very many features, in a table of real servers.",
        .options = arguments,
        .option_count = sizeof arguments / sizeof *arguments,
        .usage = "--data FILE [--test FILE] [--servers LIST | --local N | --single] [OPTION...]",
        .details = details,
        .examples = "  canyon-sim train --model lr --data train.libsvm --test test.libsvm\n"
                    "  canyon-sim train --model lr --data clicks.txt --hash 1 -o ftrl:lr=0.05,lambda1=1 -w 8\n"
                    "  canyon-sim train --model lr --data train.libsvm --single --json",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    if (verdict != ARGUMENTS_RUN) {
        return verdict;
    }
    options->names = (struct libsvm_names){.hash = hash != NULL, .bits = (uint32_t)bits};
    if (hash != NULL && !arguments_unsigned(hash, &options->names.seed)) {
        return arguments_wrong(&line, "--hash is '%s'; it must be a whole number below 2^64", hash);
    }
    if (options->data == NULL) {
        return arguments_wrong(&line, "--data is missing: the file of examples to learn from");
    }
    if (options->test != NULL && held >= 0.0) {
        return arguments_wrong(&line, "--test names a file, so nothing is held out of --data; leave --holdout away");
    }
    options->held = options->test != NULL ? 0.0 : held < 0.0 ? 0.1 : held;
    verdict = team_options_check(&team, &line, &options->where, options->optimizer);
    options->workers = team.workers;
    options->ahead = team.ahead;
    options->single = team.single;
    return verdict;
}
