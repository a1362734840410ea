#include "client/cli/staleness.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/tools/number.h"
#include "client/tools/table.h"

static uint64_t first_of(size_t bucket) {
    return bucket == 0 ? 0 : 1ull << (bucket - 1);
}

static uint64_t last_of(size_t bucket) {
    return bucket == 0 ? 0 : (1ull << bucket) - 1;
}

static size_t used_buckets(const struct canyon_staleness *counts) {
    size_t used = CANYON_STALENESS_BUCKETS;
    while (used > 0 && counts->counts[used - 1] == 0) {
        used--;
    }
    return used;
}

static double mean_of(const struct canyon_staleness *counts) {
    return counts->pushes > 0 ? (double)counts->sum / (double)counts->pushes : 0.0;
}

enum outcome staleness_print(const struct canyon_staleness *counts) {
    char text[NUMBER_BYTES];
    size_t used = used_buckets(counts);
    printf("%s pushes, staleness %.2f on average, %" PRIu64 " at most\n",
           number_grouped(counts->pushes, text, sizeof text), mean_of(counts), counts->max);
    if (used == 0) {
        return OUTCOME_DONE;
    }
    struct table *table = table_create();
    table_column(table, "staleness", TABLE_RIGHT);
    table_column(table, "pushes", TABLE_RIGHT);
    table_column(table, "share", TABLE_RIGHT);
    for (size_t i = 0; i < used; i++) {
        if (i == CANYON_STALENESS_BUCKETS - 1) {
            table_cell(table, "%" PRIu64 " and more", first_of(i));
        } else if (first_of(i) == last_of(i)) {
            table_cell(table, "%" PRIu64, first_of(i));
        } else {
            table_cell(table, "%" PRIu64 " to %" PRIu64, first_of(i), last_of(i));
        }
        table_cell(table, "%s", number_grouped(counts->counts[i], text, sizeof text));
        table_cell(table, "%.1f %%", 100.0 * (double)counts->counts[i] / (double)counts->pushes);
    }
    bool printed = table_print(table, stdout);
    table_destroy(table);
    return printed ? OUTCOME_DONE : cli_fail("no memory for a table of %zu rows", used);
}

json_t *staleness_json(const struct canyon_staleness *counts) {
    json_t *list = json_array();
    size_t used = used_buckets(counts);
    for (size_t i = 0; i < used; i++) {
        json_t *to = i == CANYON_STALENESS_BUCKETS - 1 ? json_null() : json_integer((json_int_t)last_of(i));
        json_array_append_new(list, json_pack("{s:I, s:o, s:I}", "from", (json_int_t)first_of(i), "to", to, "pushes",
                                              (json_int_t)counts->counts[i]));
    }
    return json_pack("{s:I, s:f, s:I, s:o}", "pushes", (json_int_t)counts->pushes, "mean", mean_of(counts), "max",
                     (json_int_t)counts->max, "counts", list);
}
