/* canyon optimizers [NAME]: the optimizers the servers have; or all about one. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/tools/number.h"
#include "client/tools/record.h"
#include "client/tools/table.h"

#define RANGE_BYTES (2 * NUMBER_BYTES + 8)

/* Of one parameter: the weight and its slots, float32 each; but slots of rows are one for all the row. */
static unsigned bytes_of(const struct canyon_optimizer_info *info) {
    return (unsigned)sizeof(float) * (info->rows_only ? 1 : 1 + info->slot_count);
}

static const char *bound(double value, char *text, size_t bytes) {
    if (isinf(value)) {
        snprintf(text, bytes, "%sinf", value < 0.0 ? "-" : "");
        return text;
    }
    return number_shortest(value, text, bytes);
}

/* As mathematicians write it: "(0, 1e+06]". A bound that is infinite is open. */
static char *range_of(const struct canyon_hyperparameter *hyper, char *text, size_t bytes) {
    char low[NUMBER_BYTES], high[NUMBER_BYTES];
    snprintf(text, bytes, "%c%s, %s%c", hyper->low_open || isinf(hyper->low) ? '(' : '[',
             bound(hyper->low, low, sizeof low), bound(hyper->high, high, sizeof high),
             hyper->high_open || isinf(hyper->high) ? ')' : ']');
    return text;
}

static enum outcome print_list(const struct canyon_optimizer_info *infos, size_t count) {
    struct table *table = table_create();
    table_column(table, "optimizer", TABLE_LEFT);
    table_column(table, "bytes", TABLE_RIGHT);
    table_column(table, "what it does", TABLE_LEFT);
    for (size_t i = 0; i < count; i++) {
        table_cell(table, "%s", infos[i].name);
        table_cell(table, "%u", bytes_of(&infos[i]));
        table_cell(table, "%s", infos[i].summary);
    }
    bool printed = table_print(table, stdout);
    table_destroy(table);
    puts("\nbytes: memory of a parameter, its weight included; `canyon optimizers NAME` tells more");
    return printed ? OUTCOME_DONE : cli_fail("cannot print the table: no memory, or output failed");
}

static void print_memory(const struct canyon_optimizer_info *info) {
    printf("%-12s%u bytes a parameter: its weight", "memory", bytes_of(info));
    if (info->rows_only) {
        printf("; and %u bytes a row of a table, which alone it is for\n\n", 4 * info->slot_count);
    } else if (info->slot_count > 0) {
        printf(" and %u slot%s of 4 bytes\n\n", info->slot_count, info->slot_count == 1 ? "" : "s");
    } else {
        fputs("\n\n", stdout);
    }
}

static enum outcome print_one(const struct canyon_optimizer_info *info) {
    printf("%-12s%s\n", "optimizer", info->name);
    printf("%-12s%s\n", "summary", info->summary);
    printf("%-12s%s\n", "source", info->source);
    printf("%-12s", "slots");
    for (uint32_t i = 0; i < info->slot_count; i++) {
        printf("%s%s", i == 0 ? "" : ", ", info->slots[i]);
    }
    printf("%s\n", info->slot_count == 0 ? "none" : "");
    printf("%-12sstep", "each block");
    for (uint32_t i = 0; i < info->scalar_count; i++) {
        printf(", %s", info->scalars[i]);
    }
    fputs("\n", stdout);
    print_memory(info);
    struct table *table = table_create();
    table_column(table, "setting", TABLE_LEFT);
    table_column(table, "default", TABLE_RIGHT);
    table_column(table, "range", TABLE_LEFT);
    table_column(table, "meaning", TABLE_LEFT);
    for (uint32_t i = 0; i < info->hyperparameter_count; i++) {
        const struct canyon_hyperparameter *hyper = &info->hyperparameters[i];
        char number[NUMBER_BYTES], range[RANGE_BYTES];
        table_cell(table, "%s", hyper->name);
        table_cell(table, "%s", number_shortest(hyper->fallback, number, sizeof number));
        table_cell(table, "%s", range_of(hyper, range, sizeof range));
        table_cell(table, "%s", hyper->meaning);
    }
    bool printed = table_print(table, stdout);
    table_destroy(table);
    return printed ? OUTCOME_DONE : cli_fail("cannot print the table: no memory, or output failed");
}

/* Appends, and gives up, `value`; NULL, and no list any more, when that cannot be. */
static json_t *appended(json_t *list, json_t *value) {
    if (list != NULL && json_array_append_new(list, value) != 0) {
        json_decref(list);
        return NULL;
    }
    if (list == NULL) {
        json_decref(value);
    }
    return list;
}

/* A bound that is infinite is null. */
static json_t *setting_json(const struct canyon_hyperparameter *hyper) {
    return json_pack("{s:s, s:o, s:o, s:o, s:b, s:b, s:s}", "name", hyper->name, "default",
                     record_number(hyper->fallback), "low", record_number(hyper->low), "high",
                     record_number(hyper->high), "low_open", hyper->low_open || isinf(hyper->low), "high_open",
                     hyper->high_open || isinf(hyper->high), "meaning", hyper->meaning);
}

static json_t *optimizer_json(const struct canyon_optimizer_info *info) {
    json_t *slots = json_array(), *settings = json_array(), *scalars = json_array();
    for (uint32_t i = 0; i < info->scalar_count; i++) {
        scalars = appended(scalars, json_string(info->scalars[i]));
    }
    for (uint32_t i = 0; i < info->slot_count; i++) {
        slots = appended(slots, json_string(info->slots[i]));
    }
    for (uint32_t i = 0; i < info->hyperparameter_count; i++) {
        settings = appended(settings, setting_json(&info->hyperparameters[i]));
    }
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:b, s:o, s:o}", "name", info->name, "summary", info->summary, "source",
                     info->source, "slots", slots, "scalars", scalars, "rows_only", info->rows_only,
                     "bytes_per_parameter", record_unsigned(bytes_of(info)), "settings", settings);
}

static enum outcome print_json(const struct canyon_optimizer_info *infos, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        list = appended(list, optimizer_json(&infos[i]));
    }
    return cli_print(json_pack("{s:o}", "optimizers", list));
}

static const struct canyon_optimizer_info *find(const struct canyon_optimizer_info *infos, size_t count,
                                                const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(infos[i].name, name) == 0) {
            return &infos[i];
        }
    }
    return NULL;
}

static enum outcome say_missing(const struct canyon_optimizer_info *infos, size_t count, const char *name) {
    const char **names = calloc(count + 1, sizeof *names);
    for (size_t i = 0; names != NULL && i < count; i++) {
        names[i] = infos[i].name;
    }
    const char *nearest = names == NULL ? NULL : arguments_nearest(name, names, count);
    enum outcome outcome =
        nearest != NULL
            ? cli_fail("there is no optimizer '%s'; did you mean '%s'?", name, nearest)
            : cli_fail("there is no optimizer '%s'; `canyon optimizers` lists the %zu there are", name, count);
    free(names);
    return outcome;
}

static enum outcome show_optimizers(const struct cli *cli, canyon_client *client, const void *what) {
    const char *name = what;
    struct canyon_optimizer_info *infos = NULL;
    size_t count = 0;
    enum outcome outcome = outcome_report("canyon", "list the optimizers",
                                          canyon_optimizers(client, (uint32_t)cli->timeout_ms, &infos, &count));
    const struct canyon_optimizer_info *one = outcome == OUTCOME_DONE && name != NULL ? find(infos, count, name) : NULL;
    if (outcome != OUTCOME_DONE) {
        /* said already */
    } else if (name != NULL && one == NULL) {
        outcome = say_missing(infos, count, name);
    } else if (cli->json) {
        outcome = one != NULL ? cli_print(optimizer_json(one)) : print_json(infos, count);
    } else {
        outcome = one != NULL ? print_one(one) : print_list(infos, count);
    }
    canyon_free(infos);
    return outcome;
}

enum outcome cli_optimizers(struct cli *cli, int argc, char **argv) {
    const char *name = NULL;
    const struct argument options[] = {CLI_COMMON_OPTIONS(cli)};
    const struct positional positionals[] = {{"NAME", "tell all about this one", &name, true}};
    const struct command_line line = {
        .program = "canyon optimizers",
        .summary = "Lists the optimizers that the servers have; or tells of one its source, its slots and memory, and "
                   "its settings with their defaults and ranges.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .positionals = positionals,
        .positional_count = 1,
        .examples = "  canyon optimizers\n  canyon optimizers adam",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    return cli_serve(cli, verdict, CLI_NEEDS_SOME, show_optimizers, name);
}
