/* canyon rows NAME [--from ID] [--count N]: rows of a table; and what `canyon show` says of one. */
#include "client/cli/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/cli/describe.h"
#include "client/tools/number.h"
#include "client/tools/record.h"

/* ---- canyon show ---- */

static void print_count(const char *title, uint64_t count, const char *none, const char *rest) {
    char number[NUMBER_BYTES];
    printf("%-16s%s%s\n", title, count == 0 && none != NULL ? none : number_grouped(count, number, sizeof number),
           count == 0 && none != NULL ? "" : rest);
}

static enum outcome print_text(const struct canyon_tensor_info *info, const struct canyon_table_totals *totals) {
    char text[256], number[NUMBER_BYTES];
    printf("%-16s%s\n", "table", info->name);
    printf("%-16s%s\n", "shape", describe_shape(info, text, sizeof text));
    printf("%-16s%s\n", "initializer", describe_initializer(info, text, sizeof text));
    printf("%-16s%s\n", "optimizer", info->optimizer);
    for (uint32_t i = 0; i < info->setting_count; i++) {
        printf("  %-14s%s\n", info->settings[i].name, canyon_setting_text(&info->settings[i], number, sizeof number));
    }
    print_count("row cap", info->row_cap, "none", "");
    print_count("capacity", info->capacity, "not known", "");
    print_count("rows", totals->rows, NULL, "");
    printf("%-16s%s", "memory", number_bytes((double)totals->bytes, number, sizeof number));
    if (totals->rows > 0) {
        printf(", %.1f bytes a row", (double)totals->bytes / (double)totals->rows);
    }
    putchar('\n');
    print_count("version", totals->version, NULL, " (pushes, counted in every shard they came to)");
    print_count("clock", totals->clock, NULL, " (the largest of a push)");
    return OUTCOME_DONE;
}

static enum outcome print_json(const struct canyon_tensor_info *info, const struct canyon_table_totals *totals) {
    json_t *object = describe_json(info);
    if (json_object_set_new(object, "rows", record_unsigned(totals->rows)) != 0 ||
        json_object_set_new(object, "bytes", record_unsigned(totals->bytes)) != 0 ||
        json_object_set_new(object, "version", record_unsigned(totals->version)) != 0 ||
        json_object_set_new(object, "clock", record_unsigned(totals->clock)) != 0) {
        json_decref(object);
        object = NULL;
    }
    return cli_print(object);
}

enum outcome rows_show(const struct cli *cli, canyon_client *client, const char *name) {
    struct canyon_tensor_info info;
    struct canyon_table_totals totals;
    canyon_table *table = NULL;
    char doing[CANYON_NAME_BYTES + 32];
    enum outcome outcome = cli_open_table(cli, client, name, &info, &table);
    if (outcome == OUTCOME_DONE) {
        snprintf(doing, sizeof doing, "count the rows of '%s'", info.name);
        outcome = outcome_report("canyon", doing, canyon_table_totals(table, (uint32_t)cli->timeout_ms, &totals));
    }
    if (outcome == OUTCOME_DONE) {
        outcome = cli->json ? print_json(&info, &totals) : print_text(&info, &totals);
    }
    canyon_table_close(table);
    return outcome;
}

/* ---- canyon rows ---- */

struct look {
    const char *name;
    uint64_t from, count;
};

static void print_rows(const uint64_t *ids, const float *weights, size_t count, size_t dim) {
    for (size_t i = 0; i < count; i++) {
        printf("%-20" PRIu64, ids[i]);
        for (size_t j = 0; j < dim; j++) {
            printf(" %.9g", (double)weights[i * dim + j]);
        }
        putchar('\n');
    }
}

static json_t *row_json(uint64_t id, const float *weights, size_t dim) {
    json_t *values = json_array();
    for (size_t j = 0; j < dim && values != NULL; j++) {
        if (json_array_append_new(values, record_number((double)weights[j])) != 0) {
            json_decref(values);
            values = NULL;
        }
    }
    return json_pack("{s:o, s:o}", "id", record_unsigned(id), "weights", values);
}

static enum outcome print_rows_json(const struct canyon_tensor_info *info, const uint64_t *ids, const float *weights,
                                    size_t count) {
    const size_t dim = (size_t)info->dims[0];
    json_t *list = json_array();
    for (size_t i = 0; i < count && list != NULL; i++) {
        if (json_array_append_new(list, row_json(ids[i], weights + i * dim, dim)) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return cli_print(json_pack("{s:s, s:o}", "name", info->name, "rows", list));
}

static enum outcome look(const struct cli *cli, canyon_client *client, const void *what) {
    const struct look *look = what;
    struct canyon_tensor_info info;
    canyon_table *table = NULL;
    uint64_t *ids = NULL;
    float *weights = NULL;
    size_t count = 0;
    char doing[CANYON_NAME_BYTES + 32];
    enum outcome outcome = cli_open_table(cli, client, look->name, &info, &table);
    if (outcome != OUTCOME_DONE) {
        return outcome;
    }
    ids = calloc(look->count, sizeof *ids);
    weights = calloc(look->count * (size_t)info.dims[0], sizeof *weights);
    if (ids == NULL || weights == NULL) {
        outcome = cli_fail("no memory for %" PRIu64 " rows of table '%s'", look->count, info.name);
        goto out;
    }
    snprintf(doing, sizeof doing, "read rows of '%s'", info.name);
    outcome = outcome_report(
        "canyon", doing,
        canyon_table_rows(table, look->from, (size_t)look->count, (uint32_t)cli->timeout_ms, ids, weights, &count));
    if (outcome == OUTCOME_DONE && cli->json) {
        outcome = print_rows_json(&info, ids, weights, count);
    } else if (outcome == OUTCOME_DONE) {
        print_rows(ids, weights, count, (size_t)info.dims[0]);
    }
out:
    free(ids);
    free(weights);
    canyon_table_close(table);
    return outcome;
}

enum outcome cli_rows(struct cli *cli, int argc, char **argv) {
    struct look what = {.count = 10};
    const struct argument options[] = {
        {.name = "from",
         .value = "ID",
         .help = "the lowest id (default 0)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &what.from},
        {.name = "count",
         .letter = 'n',
         .value = "N",
         .help = "rows, at most (default 10)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &what.count,
         .low = 1,
         .high = 65536},
        CLI_COMMON_OPTIONS(cli),
    };
    const struct positional positionals[] = {{"NAME", "the table's name", &what.name, false}};
    const struct command_line line = {
        .program = "canyon rows",
        .summary = "Shows rows of a table, a line each: the id, then its weights. In order of ids, those of the lowest "
                   "ids from --from on. Go on with --from and the last id plus one.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .positionals = positionals,
        .positional_count = 1,
        .examples = "  canyon rows embedding\n  canyon rows embedding --from 1000 --count 100 --json",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    return cli_serve(cli, verdict, CLI_NEEDS_ALL, look, &what);
}
