/* canyon assign NAME [--slot SLOT] --input FILE.npy: a tensor's weights, or its optimizer's state, from a NumPy file.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/describe.h"
#include "client/cli/slot.h"
#include "client/tools/npy.h"
#include "client/tools/number.h"

/* What to assign: `slot` NULL for the weights; `input` NULL, and `value` not NaN, for one number. */
struct assign {
    const char *name, *slot, *input;
    double value;
};

/* Servers refuse what is not finite block by block: checked here, nothing is half assigned. */
static enum outcome check_finite(const struct npy *npy, const char *input) {
    for (uint64_t i = 0; i < npy->elements; i++) {
        if (!isfinite(npy->values[i])) {
            return cli_fail("%s: element %" PRIu64 " is %g; values must be finite, so nothing was assigned", input, i,
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

static enum outcome report(const struct cli *cli, const struct canyon_tensor_info *info, const struct assign *assign) {
    char shape[256], number[NUMBER_BYTES];
    if (cli->json) {
        json_t *object = describe_json(info);
        if (json_object_set_new(object, "input", json_string(assign->input)) != 0 ||
            (assign->slot != NULL && json_object_set_new(object, "slot", json_string(assign->slot)) != 0)) {
            json_decref(object);
            object = NULL;
        }
        return cli_print(object);
    }
    printf("assigned %s to %s%stensor '%s': %s, %s parameters\n", assign->input,
           assign->slot == NULL ? "" : assign->slot, assign->slot == NULL ? "" : " of ", info->name,
           describe_shape(info, shape, sizeof shape), number_grouped(info->elements, number, sizeof number));
    return OUTCOME_DONE;
}

/* Weights or an array of the same shape. */
static enum outcome assign_array(const struct cli *cli, canyon_tensor *tensor, const struct canyon_tensor_info *info,
                                 const struct assign *assign, const struct npy *npy) {
    char doing[CANYON_NAME_BYTES + 64];
    uint32_t timeout_ms = (uint32_t)cli->timeout_ms;
    enum outcome outcome = check_shape(npy, assign->input, info);
    if (outcome == OUTCOME_DONE) {
        snprintf(doing, sizeof doing, "assign %.31s%s'%s'", assign->slot == NULL ? "" : assign->slot,
                 assign->slot == NULL ? "" : " of ", info->name);
        outcome =
            outcome_report("canyon", doing,
                           assign->slot == NULL ? canyon_assign(tensor, npy->values, timeout_ms)
                                                : canyon_assign_slot(tensor, assign->slot, npy->values, timeout_ms));
    }
    return outcome == OUTCOME_DONE ? report(cli, info, assign) : outcome;
}

static enum outcome read_array(const struct assign *assign, struct npy *npy) {
    char text[NPY_TEXT_BYTES];
    if (npy_read(assign->input, npy, text, sizeof text) != CANYON_OK) {
        return cli_fail("%s", text);
    }
    return check_finite(npy, assign->input);
}

/* Only the servers know what kind of slot it is. */
static enum outcome assign_slot(const struct cli *cli, canyon_tensor *tensor, const struct canyon_tensor_info *info,
                                const struct assign *assign) {
    struct npy npy = {.rank = 0};
    bool per_block = false;
    enum outcome outcome = slot_find(cli, tensor, assign->slot, &per_block);
    if (outcome != OUTCOME_DONE) {
        return outcome;
    }
    if (per_block) {
        return slot_assign_numbers(cli, tensor, info, assign->slot, assign->input, assign->value);
    }
    if (assign->input == NULL) {
        return cli_fail("%s is an array of the tensor's shape: say with --input FILE where to read it", assign->slot);
    }
    outcome = read_array(assign, &npy);
    if (outcome == OUTCOME_DONE) {
        outcome = assign_array(cli, tensor, info, assign, &npy);
    }
    npy_finish(&npy);
    return outcome;
}

/* A file of weights is read and checked first: a wrong one is an error without a server. */
static enum outcome run(const struct cli *cli, const struct assign *assign) {
    struct canyon_tensor_info info;
    struct npy npy = {.rank = 0};
    canyon_client *client = NULL;
    canyon_tensor *tensor = NULL;
    enum outcome outcome = assign->slot == NULL ? read_array(assign, &npy) : OUTCOME_DONE;
    if (outcome == OUTCOME_DONE) {
        outcome = cli_connect(cli, CLI_NEEDS_ALL, &client);
    }
    if (outcome == OUTCOME_DONE) {
        outcome = cli_open(cli, client, assign->name, &info, &tensor);
    }
    if (outcome == OUTCOME_DONE) {
        outcome = assign->slot == NULL ? assign_array(cli, tensor, &info, assign, &npy)
                                       : assign_slot(cli, tensor, &info, assign);
    }
    canyon_tensor_close(tensor);
    canyon_close(client);
    npy_finish(&npy);
    return outcome;
}

enum outcome cli_assign(struct cli *cli, int argc, char **argv) {
    struct assign assign = {.value = (double)NAN}; /* not given */
    const struct argument options[] = {
        {.name = "input",
         .letter = 'i',
         .value = "FILE",
         .help = "the NumPy file to read: float32 or float64, row-major, of the tensor's shape",
         .kind = ARGUMENT_TEXT,
         .target = &assign.input},
        SLOT_OPTION(&assign.slot),
        {.name = "value",
         .value = "NUMBER",
         .help = "instead of a file, for a number that is kept for each block: all of them become this one",
         .kind = ARGUMENT_DOUBLE,
         .target = &assign.value},
        CLI_COMMON_OPTIONS(cli),
    };
    const struct positional positionals[] = {{"NAME", "the tensor's name", &assign.name, false}};
    const struct command_line line = {
        .program = "canyon assign",
        .summary =
            "Replaces a tensor's weights by those of a NumPy file (.npy); the optimizer's state stays as it is. With "
            "--slot it replaces that part of the state, and the weights stay.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .positionals = positionals,
        .positional_count = 1,
        .usage = "NAME [--slot SLOT] --input FILE|--value NUMBER [OPTION...]",
        .examples = "  canyon assign layer1/weight --input weight.npy\n"
                    "  canyon assign layer1/weight --slot exp_avg --input exp_avg.npy\n"
                    "  canyon assign layer1/weight --slot step --value 1000",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    bool has_value = !isnan(assign.value);
    if (verdict == ARGUMENTS_RUN && has_value && (assign.slot == NULL || assign.input != NULL)) {
        verdict = arguments_wrong(&line, "--value is for a --slot that is a number for each block, without --input");
    } else if (verdict == ARGUMENTS_RUN && assign.input == NULL && !has_value) {
        verdict = arguments_wrong(&line, "say with --input FILE where to read the %s",
                                  assign.slot == NULL ? "weights" : "slot, or with --value its number");
    }
    return verdict == ARGUMENTS_RUN ? run(cli, &assign) : cli_parsed(verdict);
}
