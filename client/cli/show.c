/* canyon show NAME: one tensor, its settings and what its weights are like. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/cli/cli.h"
#include "client/cli/describe.h"
#include "client/cli/rows.h"
#include "client/cli/slot.h"
#include "client/cli/summary.h"
#include "client/tools/number.h"
#include "client/tools/record.h"

static enum outcome print_text(const struct cli *cli, canyon_tensor *tensor, const struct canyon_tensor_info *info,
                               const struct summary *summary, uint64_t version) {
    char text[256], blocks[NUMBER_BYTES], number[NUMBER_BYTES];
    printf("%-16s%s\n", "tensor", info->name);
    printf("%-16s%s\n", "shape", describe_shape(info, text, sizeof text));
    printf("%-16s%s in %s block%s\n", "parameters", number_grouped(info->elements, number, sizeof number),
           number_grouped(info->blocks, blocks, sizeof blocks), info->blocks == 1 ? "" : "s");
    printf("%-16s%s\n", "initializer", describe_initializer(info, text, sizeof text));
    printf("%-16s%s\n", "optimizer", info->optimizer);
    for (uint32_t i = 0; i < info->setting_count; i++) {
        printf("  %-14s%s\n", info->settings[i].name, canyon_setting_text(&info->settings[i], number, sizeof number));
    }
    enum outcome outcome = slot_show(cli, tensor, info, NULL);
    if (outcome != OUTCOME_DONE) {
        return outcome;
    }
    printf("%-16s%s (assigns and pushes; the least among its blocks)\n", "version",
           number_grouped(version, number, sizeof number));
    printf("%-16s%s finite, %" PRIu64 " not\n", "weights", number_grouped(summary->finite, number, sizeof number),
           summary->not_finite);
    if (summary->finite > 0) {
        printf("  %-14s%.7g\n", "minimum", summary->minimum);
        printf("  %-14s%.7g\n", "maximum", summary->maximum);
        printf("  %-14s%.7g\n", "mean", summary->mean);
        printf("  %-14s%.7g\n", "deviation", summary->deviation);
    }
    return OUTCOME_DONE;
}

static enum outcome print_json(const struct cli *cli, canyon_tensor *tensor, const struct canyon_tensor_info *info,
                               const struct summary *summary, uint64_t version) {
    json_t *object = describe_json(info);
    json_t *statistics =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "finite", record_unsigned(summary->finite), "not_finite",
                  record_unsigned(summary->not_finite), "min", record_number(summary->minimum), "max",
                  record_number(summary->maximum), "mean", record_number(summary->mean), "standard_deviation",
                  record_number(summary->deviation));
    if (json_object_set_new(object, "version", record_unsigned(version)) != 0 ||
        json_object_set_new(object, "statistics", statistics) != 0) {
        json_decref(object);
        object = NULL;
    }
    enum outcome outcome = object == NULL ? OUTCOME_DONE : slot_show(cli, tensor, info, object);
    if (outcome != OUTCOME_DONE) {
        json_decref(object);
        return outcome;
    }
    return cli_print(object);
}

static enum outcome show_tensor(const struct cli *cli, canyon_client *client, const void *what) {
    const char *name = what;
    struct canyon_tensor_info info;
    struct summary summary;
    canyon_tensor *tensor = NULL;
    float *weights = NULL;
    char doing[CANYON_NAME_BYTES + 32];
    enum outcome outcome = cli_find(cli, client, name, &info);
    if (outcome == OUTCOME_DONE && info.kind == CANYON_TABLE) {
        return rows_show(cli, client, name);
    }
    if (outcome == OUTCOME_DONE) {
        outcome = cli_open(cli, client, name, &info, &tensor);
    }
    if (outcome == OUTCOME_DONE) {
        weights = cli_weights(&info);
        outcome = weights == NULL ? OUTCOME_FAILED : OUTCOME_DONE;
    }
    struct canyon_item item = {.tensor = tensor, .weights = weights};
    if (outcome == OUTCOME_DONE) {
        snprintf(doing, sizeof doing, "pull '%s'", info.name);
        outcome = outcome_report("canyon", doing, canyon_step(client, &item, 1, (uint32_t)cli->timeout_ms));
    }
    if (outcome == OUTCOME_DONE) {
        summary_of(weights, info.elements, &summary);
        outcome = cli->json ? print_json(cli, tensor, &info, &summary, item.version)
                            : print_text(cli, tensor, &info, &summary, item.version);
    }
    free(weights);
    canyon_tensor_close(tensor);
    return outcome;
}

enum outcome cli_show(struct cli *cli, int argc, char **argv) {
    const char *name = NULL;
    const struct argument options[] = {CLI_COMMON_OPTIONS(cli)};
    const struct positional positionals[] = {{"NAME", "the tensor's or table's name", &name, false}};
    const struct command_line line = {
        .program = "canyon show",
        .summary = "Describes one tensor: its shape, optimizer, settings, slots and steps, and its weights' count, "
                   "range, mean and "
                   "standard deviation, for which it pulls all of them. Of a table: its dim, optimizer and settings, "
                   "its caps, how many rows it has, and their memory.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .positionals = positionals,
        .positional_count = 1,
        .examples = "  canyon show layer1/weight\n  canyon show layer1/weight --json",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    return cli_serve(cli, verdict, CLI_NEEDS_SOME, show_tensor, name);
}
