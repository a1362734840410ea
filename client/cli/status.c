/* canyon status: the job and every server of it. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/tools/number.h"
#include "client/tools/record.h"
#include "client/tools/table.h"

/* What the command shows. */
struct status {
    struct canyon_job job;
    bool counted;   /* `tensors` is known: the server of the catalogue answered */
    size_t tensors; /* of the job */
    struct canyon_server_statistics *servers;
    size_t count;
};

/* Staleness is summed over the blocks pushed. */
static double staleness_mean(const struct canyon_server_statistics *server) {
    return server->pushes > 0 ? (double)server->staleness_sum / (double)server->pushes : 0.0;
}

static void add_row(struct table *table, const struct canyon_server_statistics *server) {
    char text[NUMBER_BYTES];
    table_cell(table, "%s", server->address);
    table_cell(table, "%s", server->reachable ? "up" : "down");
    if (!server->reachable) {
        for (int column = 2; column < 13; column++) {
            table_cell(table, "%s", column < 12 ? "-" : "");
        }
        return;
    }
    table_cell(table, "%u", server->threads);
    table_cell(table, "%" PRIu64, server->connections);
    table_cell(table, "%" PRIu64, server->parts);
    table_cell(table, "%s", number_grouped(server->parameters, text, sizeof text));
    table_cell(table, "%s", number_bytes((double)server->state_bytes, text, sizeof text));
    table_cell(table, "%s", number_grouped(server->pushes, text, sizeof text));
    table_cell(table, "%s", number_grouped(server->pulls, text, sizeof text));
    table_cell(table, "%.2f", staleness_mean(server));
    table_cell(table, "%" PRIu64, server->staleness_max);
    table_cell(table, "%s", number_duration((double)server->uptime_ms / 1000.0, text, sizeof text));
    table_cell(table, "%s", server->version);
}

static void print_job(const struct status *status) {
    const struct canyon_job *job = &status->job;
    char block[NUMBER_BYTES];
    size_t down = 0;
    for (size_t i = 0; i < status->count; i++) {
        down += !status->servers[i].reachable;
    }
    printf("job %s: %u server%s", job->name, job->servers, job->servers == 1 ? "" : "s");
    if (down > 0) {
        printf(" (%zu down)", down);
    }
    printf(", %u thread%s, %u shards, blocks of %s parameters", job->threads, job->threads == 1 ? "" : "s", job->shards,
           number_grouped(job->block_elements, block, sizeof block));
    if (status->counted) {
        printf(", %zu tensor%s", status->tensors, status->tensors == 1 ? "" : "s");
    }
    fputs("\n\n", stdout);
}

/* By which cipher and key each server is spoken to, or that it is in the clear. */
static bool print_encryption(const struct status *status) {
    struct table *table = table_create();
    table_column(table, "server", TABLE_LEFT);
    table_column(table, "encryption", TABLE_LEFT);
    table_column(table, "key", TABLE_LEFT);
    for (size_t i = 0; i < status->count; i++) {
        const struct canyon_server_statistics *server = &status->servers[i];
        table_cell(table, "%s", server->address);
        table_cell(table, "%s", server->encrypted ? server->cipher : "PLAINTEXT");
        table_cell(table, "%s", server->encrypted ? server->key : "none");
    }
    putchar('\n');
    bool printed = table_print(table, stdout);
    table_destroy(table);
    return printed;
}

#define COUNTS_MOST 5

/* Counters by server, one column for each: shown when there are any. */
struct counts {
    const char *title;                /* of the servers' column */
    const char *columns[COUNTS_MOST]; /* NULL behind the last */
    void (*read)(const struct canyon_server_statistics *server, uint64_t counts[COUNTS_MOST]);
};

static void read_hygiene(const struct canyon_server_statistics *server, uint64_t counts[COUNTS_MOST]) {
    counts[0] = server->not_finite;
    counts[1] = server->skipped;
    counts[2] = server->clipped;
    counts[3] = server->kept;
}

/* What came of gradients that were not finite, or led to weights that are not. */
static const struct counts hygiene = {
    "gradients not finite", {"blocks refused", "elements skipped", "elements clipped", "elements kept"}, read_hygiene};

static void read_rows(const struct canyon_server_statistics *server, uint64_t counts[COUNTS_MOST]) {
    counts[0] = server->tables;
    counts[1] = server->rows;
    counts[2] = server->rows_pushed;
    counts[3] = server->rows_pulled;
    counts[4] = server->rows_made;
}

static const struct counts rows = {"rows of tables", {"parts", "rows", "pushed", "pulled", "made"}, read_rows};

static void read_sessions(const struct canyon_server_statistics *server, uint64_t counts[COUNTS_MOST]) {
    counts[0] = server->sessions;
    counts[1] = server->duplicates;
    counts[2] = server->gaps;
}

/* Whose pushes count once, and what came again, or out of order. */
static const struct counts sessions = {
    "clients that push", {"known", "pushes that came again", "connections ended for gaps"}, read_sessions};

static bool print_counts(const struct status *status, const struct counts *counts) {
    uint64_t sum = 0;
    bool printed = true;
    struct table *table = table_create();
    table_column(table, counts->title, TABLE_LEFT);
    for (size_t column = 0; column < COUNTS_MOST && counts->columns[column] != NULL; column++) {
        table_column(table, counts->columns[column], TABLE_RIGHT);
    }
    for (size_t i = 0; i < status->count; i++) {
        const struct canyon_server_statistics *server = &status->servers[i];
        uint64_t values[COUNTS_MOST] = {0};
        char text[NUMBER_BYTES];
        if (!server->reachable) {
            continue;
        }
        counts->read(server, values);
        table_cell(table, "%s", server->address);
        for (size_t column = 0; column < COUNTS_MOST && counts->columns[column] != NULL; column++) {
            table_cell(table, "%s", number_grouped(values[column], text, sizeof text));
            sum += values[column];
        }
    }
    if (sum > 0) {
        putchar('\n');
        printed = table_print(table, stdout);
    }
    table_destroy(table);
    return printed;
}

/* The part of `single` bytes that was not needed; below 0 where more was. */
static double saved_percent(uint64_t bytes, uint64_t single) {
    return single > 0 ? 100.0 * ((double)single - (double)bytes) / (double)single : 0.0;
}

/* What codecs saved: shown when any was used. */
static bool print_codecs(const struct status *status) {
    static const char *const titles[] = {"received", "as f32", "saved", "sent", "as f32", "saved"};
    bool printed = true, coded = false;
    struct table *table = table_create();
    table_column(table, "values that travelled", TABLE_LEFT);
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
        table_column(table, titles[i], TABLE_RIGHT);
    }
    for (size_t i = 0; i < status->count; i++) {
        const struct canyon_server_statistics *server = &status->servers[i];
        const uint64_t bytes[] = {server->values_in, server->values_out};
        const uint64_t single[] = {server->values_in_single, server->values_out_single};
        char text[NUMBER_BYTES];
        if (!server->reachable) {
            continue;
        }
        table_cell(table, "%s", server->address);
        for (size_t way = 0; way < 2; way++) {
            table_cell(table, "%s", number_bytes((double)bytes[way], text, sizeof text));
            table_cell(table, "%s", number_bytes((double)single[way], text, sizeof text));
            table_cell(table, "%.1f %%", saved_percent(bytes[way], single[way]));
            coded = coded || bytes[way] != single[way];
        }
    }
    if (coded) {
        putchar('\n');
        printed = table_print(table, stdout);
    }
    table_destroy(table);
    return printed;
}

static enum outcome print_table(const struct status *status) {
    static const struct {
        const char *title;
        enum table_align align;
    } columns[] = {
        {"server", TABLE_LEFT},  {"state", TABLE_LEFT},       {"threads", TABLE_RIGHT}, {"connections", TABLE_RIGHT},
        {"parts", TABLE_RIGHT},  {"parameters", TABLE_RIGHT}, {"memory", TABLE_RIGHT},  {"pushes", TABLE_RIGHT},
        {"pulls", TABLE_RIGHT},  {"staleness", TABLE_RIGHT},  {"max", TABLE_RIGHT},     {"uptime", TABLE_RIGHT},
        {"version", TABLE_LEFT},
    };
    const struct canyon_server_statistics *servers = status->servers;
    struct table *table = table_create();
    print_job(status);
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        table_column(table, columns[i].title, columns[i].align);
    }
    for (size_t i = 0; i < status->count; i++) {
        add_row(table, &servers[i]);
    }
    bool printed = table_print(table, stdout) && print_encryption(status) && print_counts(status, &rows) &&
                   print_counts(status, &sessions) && print_counts(status, &hygiene) && print_codecs(status);
    table_destroy(table);
    for (size_t i = 0; i < status->count; i++) {
        if (!servers[i].reachable) {
            printf("\n%s is down: %s\n", servers[i].address, servers[i].text);
        }
    }
    return printed ? OUTCOME_DONE : cli_fail("cannot print the table: no memory, or output failed");
}

/* What is printed by the name it has in the statistics. */
#define COUNTER(name)                                                                                                  \
    { #name, offsetof(struct canyon_server_statistics, name) }
static const struct {
    const char *key;
    size_t offset; /* of a uint64_t */
} counters[] = {COUNTER(connections), COUNTER(frames),
                COUNTER(bytes_in),    COUNTER(bytes_out),
                COUNTER(shards),      COUNTER(parts),
                COUNTER(parameters),  COUNTER(state_bytes),
                COUNTER(pushes),      COUNTER(pulls),
                COUNTER(assigns),     COUNTER(refused),
                COUNTER(errors),      COUNTER(staleness_max),
                COUNTER(not_finite),  COUNTER(kept),
                COUNTER(skipped),     COUNTER(clipped),
                COUNTER(turned_away), COUNTER(aborted),
                COUNTER(values_in),   COUNTER(values_in_single),
                COUNTER(values_out),  COUNTER(values_out_single),
                COUNTER(tables),      COUNTER(rows),
                COUNTER(rows_pushed), COUNTER(rows_pulled),
                COUNTER(rows_made),   COUNTER(sessions),
                COUNTER(duplicates),  COUNTER(gaps)};

static json_t *server_json(const struct canyon_server_statistics *server) {
    if (!server->reachable) {
        return json_pack("{s:s, s:b, s:s, s:b}", "address", server->address, "up", 0, "reason", server->text,
                         "encrypted", server->encrypted);
    }
    json_t *object =
        json_pack("{s:s, s:b, s:b, s:s?, s:s?, s:s, s:o, s:o, s:o}", "address", server->address, "up", 1, "encrypted",
                  server->encrypted, "cipher", server->encrypted ? server->cipher : NULL, "key",
                  server->encrypted ? server->key : NULL, "version", server->version, "threads",
                  record_unsigned(server->threads), "uptime_seconds", record_number((double)server->uptime_ms / 1000.0),
                  "staleness_mean", record_number(staleness_mean(server)));
    for (size_t i = 0; i < sizeof counters / sizeof *counters && object != NULL; i++) {
        uint64_t value = 0;
        memcpy(&value, (const char *)server + counters[i].offset, sizeof value);
        if (json_object_set_new(object, counters[i].key, record_unsigned(value)) != 0) {
            json_decref(object);
            object = NULL;
        }
    }
    return object;
}

static enum outcome print_json(const struct status *status) {
    const struct canyon_job *job = &status->job;
    json_t *list = json_array();
    for (size_t i = 0; i < status->count && list != NULL; i++) {
        if (json_array_append_new(list, server_json(&status->servers[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    json_t *tensors = status->counted ? record_unsigned(status->tensors) : json_null();
    return cli_print(json_pack("{s:{s:s, s:o, s:o, s:o, s:o, s:o}, s:o}", "job", "name", job->name, "servers",
                               record_unsigned(job->servers), "threads", record_unsigned(job->threads), "shards",
                               record_unsigned(job->shards), "block_elements", record_unsigned(job->block_elements),
                               "tensors", tensors, "servers", list));
}

/* The catalogue's server may be the one that is down: then the number of tensors is not known, which is no failure. */
static void count_tensors(const struct cli *cli, canyon_client *client, struct status *status) {
    struct canyon_tensor_info *infos = NULL;
    status->counted = canyon_tensor_list(client, (uint32_t)cli->timeout_ms, &infos, &status->tensors) == CANYON_OK;
    canyon_free(infos);
}

static enum outcome show_status(const struct cli *cli, canyon_client *client, const void *what) {
    (void)what;
    struct status status = {.servers = NULL};
    enum outcome outcome = outcome_report("canyon", "describe the job", canyon_job(client, &status.job));
    if (outcome == OUTCOME_DONE) {
        outcome = outcome_report("canyon", "read the statistics",
                                 canyon_statistics(client, (uint32_t)cli->timeout_ms, &status.servers, &status.count));
    }
    if (outcome == OUTCOME_DONE) {
        count_tensors(cli, client, &status);
        outcome = cli->json ? print_json(&status) : print_table(&status);
    }
    for (size_t i = 0; i < status.count && outcome == OUTCOME_DONE; i++) {
        outcome = status.servers[i].reachable ? OUTCOME_DONE : OUTCOME_UNREACHABLE;
    }
    canyon_free(status.servers);
    return outcome;
}

enum outcome cli_status(struct cli *cli, int argc, char **argv) {
    const struct argument options[] = {CLI_COMMON_OPTIONS(cli)};
    const struct command_line line = {
        .program = "canyon status",
        .summary =
            "Shows the job and every server of it: what it holds, what it has done, how stale the gradients were "
            "that it received. A tensor has a part in every thread that holds blocks of it; pushes and pulls are "
            "counted in blocks. A second table tells how each server is spoken to: by which cipher, and the "
            "beginning of the key that it proved to have; PLAINTEXT means that anybody on the way can read and "
            "change everything. Where there are tables, another one tells how many rows there are, and how many "
            "were pushed, pulled and made since the server started. While any has pushed and may come back, "
            "another one tells of how many clients the server keeps what it has taken, connected or not; how many "
            "blocks, and shards' shares of rows, came again after a lost connection and were not applied twice; "
            "and how many connections were ended because something before what came was missing. When gradients "
            "held NaN or infinity, another table tells what became of them: blocks refused; elements skipped and "
            "clipped, as the tensors' nonfinite says; elements that kept their old weights because the new ones "
            "would not be finite. When gradients or weights travelled in another form than float32, a last table "
            "tells how many bytes that saved. One server that answers is enough; exits with 3 when any is down.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .examples = "  canyon status\n  canyon status --servers 10.0.0.1:7077 --json",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    return cli_serve(cli, verdict, CLI_NEEDS_SOME, show_status, NULL);
}
