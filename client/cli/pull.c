/* canyon pull NAME --output FILE.npy: a tensor's weights, to a NumPy file. */
#include <stdio.h>
#include <stdlib.h>

#include "client/cli/cli.h"
#include "client/cli/describe.h"
#include "client/tools/npy.h"
#include "client/tools/number.h"
#include "client/tools/record.h"

static enum outcome report(const struct cli *cli, const struct canyon_tensor_info *info, const char *output) {
    char shape[256], size[NUMBER_BYTES];
    if (cli->json) {
        json_t *object = describe_json(info);
        if (json_object_set_new(object, "output", json_string(output)) != 0) {
            json_decref(object);
            object = NULL;
        }
        return cli_print(object);
    }
    printf("wrote %s: tensor '%s', float32 %s, %s\n", output, info->name, describe_shape(info, shape, sizeof shape),
           number_bytes((double)info->elements * sizeof(float), size, sizeof size));
    return OUTCOME_DONE;
}

static enum outcome pull_tensor(const struct cli *cli, canyon_client *client, const char *name, const char *output) {
    struct canyon_tensor_info info;
    canyon_tensor *tensor = NULL;
    float *weights = NULL;
    char doing[CANYON_NAME_BYTES + 32], text[NPY_TEXT_BYTES];
    enum outcome outcome = cli_open(cli, client, name, &info, &tensor);
    if (outcome == OUTCOME_DONE) {
        weights = cli_weights(&info);
        outcome = weights == NULL ? OUTCOME_FAILED : OUTCOME_DONE;
    }
    if (outcome == OUTCOME_DONE) {
        snprintf(doing, sizeof doing, "pull '%s'", info.name);
        outcome = outcome_report("canyon", doing, canyon_pull(tensor, weights, (uint32_t)cli->timeout_ms));
    }
    if (outcome == OUTCOME_DONE && npy_write(output, info.rank, info.dims, weights, text, sizeof text) != CANYON_OK) {
        outcome = cli_fail("%s", text);
    }
    if (outcome == OUTCOME_DONE) {
        outcome = report(cli, &info, output);
    }
    free(weights);
    canyon_tensor_close(tensor);
    return outcome;
}

enum outcome cli_pull(struct cli *cli, int argc, char **argv) {
    const char *name = NULL, *output = NULL;
    const struct argument options[] = {
        {.name = "output",
         .letter = 'o',
         .value = "FILE",
         .help = "the NumPy file to write; it appears, or replaces the one there, only when it is complete",
         .kind = ARGUMENT_TEXT,
         .target = &output},
        CLI_COMMON_OPTIONS(cli),
    };
    const struct positional positionals[] = {{"NAME", "the tensor's name", &name, false}};
    const struct command_line line = {
        .program = "canyon pull",
        .summary =
            "Writes a tensor's weights to a NumPy file (.npy, float32, the tensor's shape). While workers push, each "
            "block is of one version, but blocks may be of different ones.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .positionals = positionals,
        .positional_count = 1,
        .usage = "NAME --output FILE [OPTION...]",
        .examples = "  canyon pull layer1/weight --output weight.npy\n"
                    "  python3 -c 'import numpy; print(numpy.load(\"weight.npy\").shape)'",
    };
    canyon_client *client = NULL;
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    if (verdict == ARGUMENTS_RUN && output == NULL) {
        verdict = arguments_wrong(&line, "say with --output FILE where to write the weights");
    }
    if (verdict != ARGUMENTS_RUN) {
        return cli_parsed(verdict);
    }
    enum outcome outcome = cli_connect(cli, CLI_NEEDS_SOME, &client);
    if (outcome == OUTCOME_DONE) {
        outcome = pull_tensor(cli, client, name, output);
    }
    canyon_close(client);
    return outcome;
}
