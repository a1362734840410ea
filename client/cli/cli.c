#include "client/cli/cli.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/tools/record.h"

enum outcome cli_parsed(enum arguments_verdict verdict) {
    return verdict == ARGUMENTS_WRONG ? OUTCOME_USAGE : OUTCOME_DONE;
}

enum outcome cli_fail(const char *format, ...) {
    va_list values;
    va_start(values, format);
    fputs("canyon: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    return OUTCOME_FAILED;
}

enum outcome cli_print(json_t *value) {
    return record_print(stdout, value) ? OUTCOME_DONE
                                       : cli_fail("cannot print the result: no memory, or output failed");
}

enum outcome cli_connect(const struct cli *cli, enum cli_needs needs, canyon_client **client) {
    struct canyon_options options;
    canyon_options_init(&options);
    options.servers = cli->servers;
    options.name = "canyon";
    options.timeout_ms = (uint32_t)cli->timeout_ms;
    options.partial = needs == CLI_NEEDS_SOME;
    keys_apply(&cli->keys, &options);
    if (options.connect_ms > options.timeout_ms) {
        options.connect_ms = options.timeout_ms;
    }
    enum canyon_status status = canyon_connect(&options, client);
    enum outcome outcome = outcome_report("canyon", "connect", status); /* the text names the address */
    /* What came from the command line is the list, and how to speak to whom it names. */
    return status == CANYON_INVALID_ARGUMENT ? OUTCOME_USAGE : outcome;
}

enum outcome cli_serve(const struct cli *cli, enum arguments_verdict verdict, enum cli_needs needs, cli_work *work,
                       const void *what) {
    canyon_client *client = NULL;
    if (verdict != ARGUMENTS_RUN) {
        return cli_parsed(verdict);
    }
    enum outcome outcome = cli_connect(cli, needs, &client);
    if (outcome == OUTCOME_DONE) {
        outcome = work(cli, client, what);
    }
    canyon_close(client);
    return outcome;
}

static enum outcome say_missing(const char *name, const struct canyon_tensor_info *infos, size_t count) {
    const char *nearest = NULL;
    const char **names = count > 0 ? calloc(count, sizeof *names) : NULL;
    for (size_t i = 0; names != NULL && i < count; i++) {
        names[i] = infos[i].name;
    }
    if (names != NULL) {
        nearest = arguments_nearest(name, names, count);
    }
    enum outcome outcome =
        nearest != NULL
            ? cli_fail("there is no tensor '%s'; did you mean '%s'?", name, nearest)
            : cli_fail("there is no tensor '%s'; `canyon tensors` lists those there are (%zu)", name, count);
    free(names);
    return outcome;
}

enum outcome cli_find(const struct cli *cli, canyon_client *client, const char *name, struct canyon_tensor_info *info) {
    struct canyon_tensor_info *infos = NULL;
    size_t count = 0, at = 0;
    enum canyon_status status = canyon_tensor_list(client, (uint32_t)cli->timeout_ms, &infos, &count);
    enum outcome outcome = outcome_report("canyon", "list the tensors", status);
    if (outcome == OUTCOME_DONE) {
        while (at < count && strcmp(infos[at].name, name) != 0) {
            at++;
        }
        if (at < count) {
            *info = infos[at];
        } else {
            outcome = say_missing(name, infos, count);
        }
    }
    canyon_free(infos);
    return outcome;
}

const char *cli_kind(const struct canyon_tensor_info *info) {
    return info->kind == CANYON_TABLE ? "table" : "tensor";
}

/* Finds what can be opened. */
static enum outcome find_complete(const struct cli *cli, canyon_client *client, const char *name, enum canyon_kind kind,
                                  struct canyon_tensor_info *info) {
    enum outcome outcome = cli_find(cli, client, name, info);
    if (outcome != OUTCOME_DONE) {
        return outcome;
    }
    if (info->kind != kind) {
        return kind == CANYON_TENSOR
                   ? cli_fail("'%s' is a table: `canyon rows %s` shows its rows, `canyon show %s` describes it", name,
                              name, name)
                   : cli_fail("'%s' is a tensor, which has no rows: `canyon show %s` describes it", name, name);
    }
    if (!info->complete) {
        return cli_fail("%s '%s' is being created or dropped; try again, or finish a drop that was interrupted with "
                        "`canyon drop %s`",
                        cli_kind(info), name, name);
    }
    return OUTCOME_DONE;
}

enum outcome cli_open(const struct cli *cli, canyon_client *client, const char *name, struct canyon_tensor_info *info,
                      canyon_tensor **tensor) {
    char doing[CANYON_NAME_BYTES + 32];
    enum outcome outcome = find_complete(cli, client, name, CANYON_TENSOR, info);
    if (outcome != OUTCOME_DONE) {
        return outcome;
    }
    snprintf(doing, sizeof doing, "open tensor '%s'", info->name);
    outcome = outcome_report("canyon", doing, canyon_tensor_open(client, name, (uint32_t)cli->timeout_ms, tensor));
    if (outcome == OUTCOME_DONE) {
        /* It may have been dropped and made anew, of another shape, since it was listed: the handle's shape counts. */
        outcome = outcome_report("canyon", doing, canyon_tensor_describe(*tensor, info));
    }
    return outcome;
}

enum outcome cli_open_table(const struct cli *cli, canyon_client *client, const char *name,
                            struct canyon_tensor_info *info, canyon_table **table) {
    char doing[CANYON_NAME_BYTES + 32];
    enum outcome outcome = find_complete(cli, client, name, CANYON_TABLE, info);
    if (outcome != OUTCOME_DONE) {
        return outcome;
    }
    snprintf(doing, sizeof doing, "open table '%s'", info->name);
    outcome = outcome_report("canyon", doing, canyon_table_open(client, name, (uint32_t)cli->timeout_ms, table));
    if (outcome == OUTCOME_DONE) {
        outcome = outcome_report("canyon", doing, canyon_table_describe(*table, info));
    }
    return outcome;
}

float *cli_weights(const struct canyon_tensor_info *info) {
    float *weights = NULL;
    if (info->elements <= SIZE_MAX / 2 / sizeof *weights) {
        weights = malloc(info->elements > 0 ? (size_t)info->elements * sizeof *weights : 1);
    }
    if (weights == NULL) {
        cli_fail("no memory for the %" PRIu64 " weights of tensor '%s'", info->elements, info->name);
    }
    return weights;
}
