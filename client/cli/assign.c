/* canyon assign NAME --input FILE.npy: a tensor's weights, from a NumPy file. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/describe.h"
#include "client/tools/npy.h"
#include "client/tools/number.h"

/* Servers refuse what is not finite block by block: checked here, nothing is half assigned. */
static enum outcome check_finite(const struct npy *npy, const char *input) {
    for (uint64_t i = 0; i < npy->elements; i++) {
        if (!isfinite(npy->values[i])) {
            return cli_fail("%s: element %" PRIu64 " is %g; weights must be finite, so nothing was assigned", input, i,
                            (double)npy->values[i]);
        }
    }
    return OUTCOME_DONE;
}

static enum outcome check_shape(const struct npy *npy, const char *input, const struct canyon_tensor_info *info) {
    char theirs[256], ours[NPY_RANK * 24];
    if (npy->rank == info->rank && memcmp(npy->dims, info->dims, npy->rank * sizeof *npy->dims) == 0) {
        return OUTCOME_DONE;
    }
    return cli_fail("%s has shape %s, but tensor '%s' has shape %s; nothing was assigned", input,
                    npy_shape_text(npy->rank, npy->dims, ours, sizeof ours), info->name,
                    describe_shape(info, theirs, sizeof theirs));
}

static enum outcome report(const struct cli *cli, const struct canyon_tensor_info *info, const char *input) {
    char shape[256], number[NUMBER_BYTES];
    if (cli->json) {
        json_t *object = describe_json(info);
        if (json_object_set_new(object, "input", json_string(input)) != 0) {
            json_decref(object);
            object = NULL;
        }
        return cli_print(object);
    }
    printf("assigned %s to tensor '%s': %s, %s parameters\n", input, info->name,
           describe_shape(info, shape, sizeof shape), number_grouped(info->elements, number, sizeof number));
    return OUTCOME_DONE;
}

static enum outcome assign_tensor(const struct cli *cli, canyon_client *client, const char *name, const char *input,
                                  const struct npy *npy) {
    struct canyon_tensor_info info;
    canyon_tensor *tensor = NULL;
    char doing[CANYON_NAME_BYTES + 32];
    enum outcome outcome = cli_open(cli, client, name, &info, &tensor);
    if (outcome == OUTCOME_DONE) {
        outcome = check_shape(npy, input, &info);
    }
    if (outcome == OUTCOME_DONE) {
        snprintf(doing, sizeof doing, "assign '%s'", info.name);
        outcome = outcome_report("canyon", doing, canyon_assign(tensor, npy->values, (uint32_t)cli->timeout_ms));
    }
    if (outcome == OUTCOME_DONE) {
        outcome = report(cli, &info, input);
    }
    canyon_tensor_close(tensor);
    return outcome;
}

/* The file is read and checked first: a wrong one is an error without a server. */
static enum outcome read_and_assign(const struct cli *cli, const char *name, const char *input) {
    struct npy npy;
    char text[NPY_TEXT_BYTES];
    canyon_client *client = NULL;
    if (npy_read(input, &npy, text, sizeof text) != CANYON_OK) {
        return cli_fail("%s", text);
    }
    enum outcome outcome = check_finite(&npy, input);
    if (outcome == OUTCOME_DONE) {
        outcome = cli_connect(cli, CLI_NEEDS_ALL, &client);
    }
    if (outcome == OUTCOME_DONE) {
        outcome = assign_tensor(cli, client, name, input, &npy);
    }
    canyon_close(client);
    npy_finish(&npy);
    return outcome;
}

enum outcome cli_assign(struct cli *cli, int argc, char **argv) {
    const char *name = NULL, *input = NULL;
    const struct argument options[] = {
        {.name = "input",
         .letter = 'i',
         .value = "FILE",
         .help = "the NumPy file to read: float32 or float64, row-major, of the tensor's shape",
         .kind = ARGUMENT_TEXT,
         .target = &input},
        CLI_COMMON_OPTIONS(cli),
    };
    const struct positional positionals[] = {{"NAME", "the tensor's name", &name, false}};
    const struct command_line line = {
        .program = "canyon assign",
        .summary = "Replaces a tensor's weights by those of a NumPy file (.npy). The optimizer's state stays as it is.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .positionals = positionals,
        .positional_count = 1,
        .usage = "NAME --input FILE [OPTION...]",
        .examples = "  canyon assign layer1/weight --input weight.npy",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    if (verdict == ARGUMENTS_RUN && input == NULL) {
        verdict = arguments_wrong(&line, "say with --input FILE where to read the weights");
    }
    return verdict == ARGUMENTS_RUN ? read_and_assign(cli, name, input) : cli_parsed(verdict);
}
