/* canyon workers: who counts clocks, how far each is, and how stale its gradients were. */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/cli.h"
#include "client/cli/staleness.h"
#include "client/tools/number.h"
#include "client/tools/table.h"

static double staleness_mean(const struct canyon_worker *worker) {
    return worker->pushes > 0 ? (double)worker->staleness_sum / (double)worker->pushes : 0.0;
}

static enum outcome print_table(const struct canyon_worker *workers, size_t count) {
    static const char *const columns[] = {"worker", "rank",      "clock", "lag",  "clocks/s",
                                          "pushes", "staleness", "max",   "seen", "lease"};
    struct table *table = table_create();
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        table_column(table, columns[i], i == 0 ? TABLE_LEFT : TABLE_RIGHT);
    }
    for (size_t i = 0; i < count; i++) {
        const struct canyon_worker *worker = &workers[i];
        char text[NUMBER_BYTES];
        table_cell(table, "%s", worker->name);
        table_cell(table, "%" PRIu32, worker->rank);
        table_cell(table, "%" PRIu64, worker->clock);
        if (worker->live) {
            table_cell(table, "%" PRIu64, worker->lag);
            table_cell(table, "%.2f", worker->rate);
        } else { /* nobody waits for it, and it goes nowhere */
            table_cell(table, "-");
            table_cell(table, "-");
        }
        table_cell(table, "%s", number_grouped(worker->pushes, text, sizeof text));
        table_cell(table, "%.2f", staleness_mean(worker));
        table_cell(table, "%" PRIu64, worker->staleness_max);
        table_cell(table, "%s ago", number_duration((double)worker->seen_ms / 1000.0, text, sizeof text));
        if (worker->live) {
            table_cell(table, "%s", number_duration((double)worker->lease_ms / 1000.0, text, sizeof text));
        } else {
            table_cell(table, "gone");
        }
    }
    bool printed = table_print(table, stdout);
    table_destroy(table);
    return printed ? OUTCOME_DONE : cli_fail("no memory for a table of %zu workers", count);
}

static json_t *describe(const struct canyon_worker *worker) {
    return json_pack("{s:s, s:I, s:b, s:I, s:I, s:f, s:I, s:f, s:I, s:I, s:I}", "name", worker->name, "rank",
                     (json_int_t)worker->rank, "live", worker->live, "clock", (json_int_t)worker->clock, "lag",
                     (json_int_t)worker->lag, "rate", worker->rate, "pushes", (json_int_t)worker->pushes,
                     "staleness_mean", staleness_mean(worker), "staleness_max", (json_int_t)worker->staleness_max,
                     "seen_ms", (json_int_t)worker->seen_ms, "lease_ms", (json_int_t)worker->lease_ms);
}

/* With each worker's histogram where that is asked for. */
static enum outcome report(const struct cli *cli, canyon_client *client, const struct canyon_worker *workers,
                           size_t count, bool staleness) {
    json_t *list = cli->json ? json_array() : NULL;
    enum outcome outcome = OUTCOME_DONE;
    if (!cli->json) {
        outcome = print_table(workers, count);
    }
    for (size_t i = 0; i < count && outcome == OUTCOME_DONE && (cli->json || staleness); i++) {
        struct canyon_staleness counts;
        json_t *entry = cli->json ? describe(&workers[i]) : NULL;
        if (staleness) {
            outcome =
                outcome_report("canyon", "ask for staleness",
                               canyon_staleness_of(client, NULL, workers[i].tag, (uint32_t)cli->timeout_ms, &counts));
        }
        if (staleness && outcome == OUTCOME_DONE && cli->json) {
            json_object_set_new(entry, "staleness", staleness_json(&counts));
        } else if (staleness && outcome == OUTCOME_DONE) {
            printf("\n%s (rank %" PRIu32 ")\n", workers[i].name, workers[i].rank);
            outcome = staleness_print(&counts);
        }
        if (cli->json) {
            json_array_append_new(list, entry);
        }
    }
    if (cli->json && outcome == OUTCOME_DONE) {
        return cli_print(json_pack("{s:o}", "workers", list));
    }
    json_decref(list);
    return outcome;
}

/* Of one tensor or table, over all workers. */
static enum outcome report_tensor(const struct cli *cli, canyon_client *client, const char *name) {
    struct canyon_tensor_info info;
    struct canyon_staleness counts;
    enum outcome outcome = cli_find(cli, client, name, &info);
    if (outcome == OUTCOME_DONE) {
        outcome = outcome_report("canyon", "ask for staleness",
                                 canyon_staleness_of(client, name, 0, (uint32_t)cli->timeout_ms, &counts));
    }
    if (outcome != OUTCOME_DONE) {
        return outcome;
    }
    if (cli->json) {
        return cli_print(json_pack("{s:s, s:o}", "tensor", name, "staleness", staleness_json(&counts)));
    }
    return staleness_print(&counts);
}

/* What is asked for. */
struct look {
    const char *tensor; /* or NULL: of the workers */
    bool staleness;
};

static enum outcome list_workers(const struct cli *cli, canyon_client *client, bool staleness) {
    struct canyon_worker *workers = NULL;
    size_t count = 0;
    enum outcome outcome = outcome_report("canyon", "list the workers",
                                          canyon_worker_list(client, (uint32_t)cli->timeout_ms, &workers, &count));
    if (outcome == OUTCOME_DONE && count == 0 && !cli->json) {
        puts("no worker counts clocks: those that do (canyon_clock; canyon-sim train --consistency) are listed");
    } else if (outcome == OUTCOME_DONE) {
        outcome = report(cli, client, workers, count, staleness);
    }
    canyon_free(workers);
    return outcome;
}

static enum outcome show(const struct cli *cli, canyon_client *client, const void *what) {
    const struct look *look = what;
    return look->tensor != NULL ? report_tensor(cli, client, look->tensor) : list_workers(cli, client, look->staleness);
}

static const char details[] = "What the table has, of those that are there and of those that were, which are\n"
                              "gone:\n"
                              "  clock      how many steps it has counted\n"
                              "  lag        clocks behind the furthest one\n"
                              "  clocks/s   of its last few\n"
                              "  pushes     blocks of tensors, and shards' shares of rows, that were taken of it\n"
                              "  staleness, max\n"
                              "             updates by others between the weights that a push was computed from\n"
                              "             and itself: the mean, and the most\n"
                              "  seen       when it was heard of last\n"
                              "  lease      for how long others wait for it if it is not heard of any more\n"
                              "\n"
                              "--json has an object for each: name, rank, live, clock, lag, rate, pushes,\n"
                              "staleness_mean, staleness_max, seen_ms, lease_ms and, with --staleness,\n"
                              "staleness: pushes, mean, max, and counts, a list of from, to and pushes.";

enum outcome cli_workers(struct cli *cli, int argc, char **argv) {
    struct look look = {.tensor = NULL};
    const struct argument options[] = {
        CLI_COMMON_OPTIONS(cli),
        {.name = "staleness",
         .help = "how many of each worker's pushes were how stale, too",
         .kind = ARGUMENT_FLAG,
         .target = &look.staleness},
        {.name = "of",
         .value = "NAME",
         .help = "how stale all pushes to this tensor or table were, instead of the workers",
         .kind = ARGUMENT_TEXT,
         .target = &look.tensor},
    };
    const struct command_line line = {
        .program = "canyon workers",
        .summary = "Lists the workers that count clocks: how far each is and how far behind, how stale its gradients "
                   "were, when it was heard of last and how long it is waited for.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .details = details,
        .examples = "  canyon workers\n  canyon workers --staleness\n  canyon workers --of layer1/weight --json",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    return cli_serve(cli, verdict, CLI_NEEDS_SOME, show, &look);
}
