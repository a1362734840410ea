/* canyon pull NAME [--slot SLOT] --output FILE.npy: a tensor's weights, or its optimizer's state, to a NumPy file. */
#include <stdio.h>
#include <stdlib.h>

#include "client/cli/cli.h"
#include "client/cli/describe.h"
#include "client/cli/slot.h"
#include "client/tools/npy.h"
#include "client/tools/number.h"
#include "client/tools/record.h"

/* What to pull: `slot` NULL for the weights. */
struct pull {
    const char *name, *slot, *output;
};

static enum outcome report(const struct cli *cli, const struct canyon_tensor_info *info, const struct pull *pull) {
    char shape[256], size[NUMBER_BYTES];
    if (cli->json) {
        json_t *object = describe_json(info);
        if (json_object_set_new(object, "output", json_string(pull->output)) != 0 ||
            (pull->slot != NULL && json_object_set_new(object, "slot", json_string(pull->slot)) != 0)) {
            json_decref(object);
            object = NULL;
        }
        return cli_print(object);
    }
    printf("wrote %s: %s%stensor '%s', float32 %s, %s\n", pull->output, pull->slot == NULL ? "" : pull->slot,
           pull->slot == NULL ? "" : " of ", info->name, describe_shape(info, shape, sizeof shape),
           number_bytes((double)info->elements * sizeof(float), size, sizeof size));
    return OUTCOME_DONE;
}

/* Weights or an array of the same shape. */
static enum outcome pull_array(const struct cli *cli, canyon_tensor *tensor, const struct canyon_tensor_info *info,
                               const struct pull *pull) {
    char doing[CANYON_NAME_BYTES + 64], text[NPY_TEXT_BYTES];
    uint32_t timeout_ms = (uint32_t)cli->timeout_ms;
    if (pull->output == NULL) {
        return cli_fail("%s is an array of the tensor's shape: say with --output FILE where to write it", pull->slot);
    }
    float *values = cli_weights(info);
    if (values == NULL) {
        return OUTCOME_FAILED;
    }
    snprintf(doing, sizeof doing, "pull %.31s%s'%s'", pull->slot == NULL ? "" : pull->slot,
             pull->slot == NULL ? "" : " of ", info->name);
    enum outcome outcome =
        outcome_report("canyon", doing,
                       pull->slot == NULL ? canyon_pull(tensor, values, timeout_ms)
                                          : canyon_pull_slot(tensor, pull->slot, values, timeout_ms));
    if (outcome == OUTCOME_DONE &&
        npy_write(pull->output, info->rank, info->dims, values, text, sizeof text) != CANYON_OK) {
        outcome = cli_fail("%s", text);
    }
    if (outcome == OUTCOME_DONE) {
        outcome = report(cli, info, pull);
    }
    free(values);
    return outcome;
}

static enum outcome pull_tensor(const struct cli *cli, canyon_client *client, const void *what) {
    const struct pull *pull = what;
    struct canyon_tensor_info info;
    canyon_tensor *tensor = NULL;
    bool per_block = false;
    enum outcome outcome = cli_open(cli, client, pull->name, &info, &tensor);
    if (outcome == OUTCOME_DONE && pull->slot != NULL) {
        outcome = slot_find(cli, tensor, pull->slot, &per_block);
    }
    if (outcome == OUTCOME_DONE) {
        outcome = per_block ? slot_pull_numbers(cli, tensor, &info, pull->slot, pull->output)
                            : pull_array(cli, tensor, &info, pull);
    }
    canyon_tensor_close(tensor);
    return outcome;
}

enum outcome cli_pull(struct cli *cli, int argc, char **argv) {
    struct pull pull = {.name = NULL};
    const struct argument options[] = {
        {.name = "output",
         .letter = 'o',
         .value = "FILE",
         .help = "the NumPy file to write; it appears, or replaces the one there, only when it is complete",
         .kind = ARGUMENT_TEXT,
         .target = &pull.output},
        SLOT_OPTION(&pull.slot),
        CLI_COMMON_OPTIONS(cli),
    };
    const struct positional positionals[] = {{"NAME", "the tensor's name", &pull.name, false}};
    const struct command_line line = {
        .program = "canyon pull",
        .summary =
            "Writes a tensor's weights to a NumPy file (.npy, float32, the tensor's shape). While workers push, each "
            "block is of one version, but blocks may be of different ones. With --slot a part of the optimizer's state "
            "instead; a number that is kept for each block, such as step, is printed, or written in float64.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .positionals = positionals,
        .positional_count = 1,
        .usage = "NAME [--slot SLOT] --output FILE [OPTION...]",
        .examples = "  canyon pull layer1/weight --output weight.npy\n"
                    "  canyon pull layer1/weight --slot exp_avg --output exp_avg.npy\n"
                    "  canyon pull layer1/weight --slot step\n"
                    "  python3 -c 'import numpy; print(numpy.load(\"weight.npy\").shape)'",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    if (verdict == ARGUMENTS_RUN && pull.output == NULL && pull.slot == NULL) {
        verdict = arguments_wrong(&line, "say with --output FILE where to write the weights");
    }
    return cli_serve(cli, verdict, CLI_NEEDS_SOME, pull_tensor, &pull);
}
