/* canyon tensors: a list of them. */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/cli.h"
#include "client/cli/describe.h"
#include "client/tools/number.h"
#include "client/tools/table.h"

static enum outcome print_table(const struct canyon_tensor_info *infos, size_t count) {
    struct table *table = table_create();
    table_column(table, "tensor", TABLE_LEFT);
    table_column(table, "shape", TABLE_LEFT);
    table_column(table, "parameters", TABLE_RIGHT);
    table_column(table, "blocks", TABLE_RIGHT);
    table_column(table, "optimizer", TABLE_LEFT);
    table_column(table, "state", TABLE_LEFT);
    for (size_t i = 0; i < count; i++) {
        char shape[256], number[NUMBER_BYTES];
        table_cell(table, "%s", infos[i].name);
        table_cell(table, "%s", describe_shape(&infos[i], shape, sizeof shape));
        const bool rows = infos[i].kind == CANYON_TABLE; /* how many, `canyon show` counts */
        table_cell(table, "%s", rows ? "-" : number_grouped(infos[i].elements, number, sizeof number));
        table_cell(table, "%s", rows ? "-" : number_grouped(infos[i].blocks, number, sizeof number));
        table_cell(table, "%s", infos[i].optimizer);
        table_cell(table, "%s", infos[i].complete ? "complete" : "being created or dropped");
    }
    bool printed = table_print(table, stdout);
    table_destroy(table);
    return printed ? OUTCOME_DONE : cli_fail("cannot print the table: no memory, or output failed");
}

static enum outcome print_json(const struct canyon_tensor_info *infos, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count && list != NULL; i++) {
        if (json_array_append_new(list, describe_json(&infos[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return cli_print(json_pack("{s:o}", "tensors", list));
}

static enum outcome list_tensors(const struct cli *cli, canyon_client *client, const void *what) {
    (void)what;
    struct canyon_tensor_info *infos = NULL;
    size_t count = 0;
    enum outcome outcome = outcome_report("canyon", "list the tensors",
                                          canyon_tensor_list(client, (uint32_t)cli->timeout_ms, &infos, &count));
    if (outcome == OUTCOME_DONE && cli->json) {
        outcome = print_json(infos, count);
    } else if (outcome == OUTCOME_DONE && count == 0) {
        puts("there are no tensors yet");
    } else if (outcome == OUTCOME_DONE) {
        outcome = print_table(infos, count);
    }
    canyon_free(infos);
    return outcome;
}

enum outcome cli_tensors(struct cli *cli, int argc, char **argv) {
    const struct argument options[] = {CLI_COMMON_OPTIONS(cli)};
    const struct command_line line = {
        .program = "canyon tensors",
        .summary = "Lists the job's tensors and tables in the order of their names.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .examples = "  canyon tensors\n  canyon tensors --json",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    return cli_serve(cli, verdict, CLI_NEEDS_SOME, list_tensors, NULL);
}
