#include "client/simulator/report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "client/tools/number.h"
#include "client/tools/record.h"
#include "client/tools/table.h"

#define BEST 3 /* places that are marked */

/* Better: more accurate, or as accurate with less loss. A loss that is not a number is the worst. */
static bool is_better(const struct run_result *a, const struct run_result *b) {
    if (a->test_accuracy != b->test_accuracy) {
        return a->test_accuracy > b->test_accuracy;
    }
    return a->final_loss < b->final_loss || (isnan(b->final_loss) && !isnan(a->final_loss));
}

size_t report_place(const struct run_result *results, size_t count, size_t which) {
    size_t place = 1;
    for (size_t i = 0; i < count; i++) {
        place += is_better(&results[i], &results[which]);
    }
    return place;
}

/* What a codec saved of the bytes that float32 would have taken: below 0 where it took more. */
static double saved_share(const struct run_result *result) {
    double whole = (double)result->bytes_single, moved = (double)result->bytes_sent + (double)result->bytes_received;
    return whole > 0.0 ? (whole - moved) / whole : 0.0;
}

/* Whether gradients could be refused, and come too late. */
static bool reports_refused(const struct plan *plan) {
    return strncmp(plan->pacing.policy, "refuse", 6) == 0;
}

static bool reports_late(const struct plan *plan) {
    return plan->pacing.sync && strstr(plan->pacing.mode, "minimum=") != NULL;
}

static void report_row(struct table *table, const struct plan *plan, const struct run_result *results, size_t count,
                       size_t which) {
    static const char *const marks[BEST] = {"1st", "2nd", "3rd"};
    const struct run_result *result = &results[which];
    char number[NUMBER_BYTES];
    double rate = result->seconds > 0.0 ? (double)result->pushes / result->seconds : 0.0;
    table_cell(table, "%s", result->optimizer);
    table_cell(table, "%s", result->rate < 0.0 ? "-" : number_shortest(result->rate, number, sizeof number));
    table_cell(table, "%s", number_grouped(result->steps, number, sizeof number));
    table_cell(table, "%s", number_grouped((uint64_t)(rate + 0.5), number, sizeof number));
    table_cell(table, "%.4f", result->final_loss);
    table_cell(table, "%.1f %%", result->test_accuracy * 100.0);
    if (count > BEST) {
        size_t place = report_place(results, count, which);
        table_cell(table, "%s", place <= BEST ? marks[place - 1] : "");
    }
    if (plan->clip_norm > 0.0) {
        double share = result->steps > 0 ? (double)result->clipped / (double)result->steps : 0.0;
        table_cell(table, "%.1f %%", share * 100.0);
    }
    if (!coding_is_plain(&plan->coding)) {
        table_cell(table, "%s", number_bytes((double)result->bytes_sent, number, sizeof number));
        table_cell(table, "%s", number_bytes((double)result->bytes_received, number, sizeof number));
        table_cell(table, "%.1f %%", saved_share(result) * 100.0);
    }
    if (reports_refused(plan)) {
        table_cell(table, "%s", number_grouped(result->refused, number, sizeof number));
    }
    if (reports_late(plan)) {
        table_cell(table, "%s", number_grouped(result->late, number, sizeof number));
    }
    table_cell(table, "%.2f", result->staleness_mean);
    table_cell(table, "%" PRIu64, result->staleness_max);
    table_cell(table, "%.2f", result->seconds);
}

bool report_table(FILE *out, const struct plan *plan, const struct run_result *results, size_t count) {
    struct table *table = table_create();
    table_column(table, "optimizer", TABLE_LEFT);
    table_column(table, "lr", TABLE_RIGHT);
    table_column(table, "steps", TABLE_RIGHT);
    table_column(table, "pushes/s", TABLE_RIGHT);
    table_column(table, "loss", TABLE_RIGHT);
    table_column(table, "test accuracy", TABLE_RIGHT);
    if (count > BEST) {
        table_column(table, "best", TABLE_LEFT);
    }
    if (plan->clip_norm > 0.0) {
        table_column(table, "clipped", TABLE_RIGHT);
    }
    if (!coding_is_plain(&plan->coding)) {
        table_column(table, "sent", TABLE_RIGHT);
        table_column(table, "received", TABLE_RIGHT);
        table_column(table, "saved", TABLE_RIGHT);
    }
    if (reports_refused(plan)) {
        table_column(table, "refused", TABLE_RIGHT);
    }
    if (reports_late(plan)) {
        table_column(table, "late", TABLE_RIGHT);
    }
    table_column(table, "stale", TABLE_RIGHT);
    table_column(table, "max", TABLE_RIGHT);
    table_column(table, "seconds", TABLE_RIGHT);
    for (size_t i = 0; i < count; i++) {
        report_row(table, plan, results, count, i);
    }
    bool printed = table_print(table, out);
    table_destroy(table);
    return printed;
}

bool report_json(FILE *out, const struct plan *plan, const struct run_result *result) {
    json_t *batch = plan->batch == 0 ? json_string("full") : record_unsigned(plan->batch);
    char codec[2 * CODING_BYTES];
    snprintf(codec, sizeof codec, "%s/%s", plan->coding.gradient, plan->coding.weights);
    const struct record_field fields[] = {
        {"optimizer", json_string(result->optimizer)},
        {"batch", batch},
        {"workers", record_unsigned(plan->workers)},
        {"servers", record_unsigned(result->servers)},
        {"epochs", record_unsigned(plan->epochs)},
        {"codec", json_string(codec)},
        {"consistency", plan->pacing.mode == NULL ? json_null() : json_string(plan->pacing.mode)},
        {"staleness_policy", plan->pacing.policy[0] == '\0' ? json_null() : json_string(plan->pacing.policy)},
        {"steps", record_unsigned(result->steps)},
        {"pushes", record_unsigned(result->pushes)},
        {"clipped_steps", record_unsigned(result->clipped)},
        {"refused", record_unsigned(result->refused)},
        {"late", record_unsigned(result->late)},
        {"final_loss", record_number(result->final_loss)},
        {"test_accuracy", record_number(result->test_accuracy)},
        {"staleness_mean", record_number(result->staleness_mean)},
        {"staleness_max", record_unsigned(result->staleness_max)},
        {"bytes_sent", record_unsigned(result->bytes_sent)},
        {"bytes_received", record_unsigned(result->bytes_received)},
        {"saved", record_number(saved_share(result))},
        {"seconds", record_number(result->seconds)},
    };
    return record_print(out, record_object(fields, sizeof fields / sizeof *fields));
}
