#include "client/simulator/study_report.h"

#include <inttypes.h>
#include <math.h>

#include "client/tools/number.h"
#include "client/tools/record.h"
#include "client/tools/table.h"

void study_row_add(struct study_row *row, const struct study_run *run) {
    row->runs++;
    row->steps += (double)run->steps;
    row->seconds += run->seconds;
    row->accuracy += run->accuracy;
    row->staleness_mean += run->staleness_mean;
    row->staleness_max = run->staleness_max > row->staleness_max ? run->staleness_max : row->staleness_max;
    if (run->goal != NULL) {
        row->reached++;
        row->goal_seconds += run->goal->seconds;
        row->goal_squares += run->goal->seconds * run->goal->seconds;
        row->goal_steps += (double)run->goal->steps;
    }
}

bool study_row_goal(const struct study_row *row, double *seconds, double *error) {
    double runs = (double)row->runs;
    if (row->runs == 0 || row->reached < row->runs) {
        return false;
    }
    *seconds = row->goal_seconds / runs;
    *error = -1.0;
    if (row->runs > 1) {
        double spread = fmax(0.0, row->goal_squares - runs * *seconds * *seconds) / (runs - 1.0);
        *error = sqrt(spread / runs);
    }
    return true;
}

static double mean(const struct study_row *row, double sum) {
    return sum / (double)row->runs;
}

static void table_row(struct table *table, const struct study_options *options, const struct study_row *row) {
    char number[NUMBER_BYTES];
    double seconds = 0.0, error = 0.0;
    bool reached = study_row_goal(row, &seconds, &error);
    table_cell(table, "%s", row->mode);
    table_cell(table, row->slow ? "+%" PRIu64 " ms" : "-", options->slow_ms);
    if (!reached) {
        table_cell(table, "-");
    } else if (error < 0.0) {
        table_cell(table, "%.2f s", seconds);
    } else {
        table_cell(table, "%.2f +- %.2f s", seconds, error);
    }
    table_cell(table, "%s",
               reached ? number_grouped((uint64_t)llround(mean(row, row->goal_steps)), number, sizeof number) : "-");
    table_cell(table, "%s", number_grouped((uint64_t)llround(mean(row, row->steps)), number, sizeof number));
    table_cell(table, "%.2f", mean(row, row->seconds));
    table_cell(table, "%.1f %%", mean(row, row->accuracy) * 100.0);
    table_cell(table, "%.2f", mean(row, row->staleness_mean));
    table_cell(table, "%" PRIu64, row->staleness_max);
}

bool study_table(FILE *out, const struct study_options *options, const struct study_row *rows, size_t count) {
    char title[64];
    struct table *table = table_create();
    snprintf(title, sizeof title, "to %.4g %%", options->goal);
    table_column(table, "mode", TABLE_LEFT);
    table_column(table, "slow worker", TABLE_RIGHT);
    table_column(table, title, TABLE_RIGHT);
    table_column(table, "steps", TABLE_RIGHT);
    table_column(table, "all steps", TABLE_RIGHT);
    table_column(table, "seconds", TABLE_RIGHT);
    table_column(table, "test accuracy", TABLE_RIGHT);
    table_column(table, "stale", TABLE_RIGHT);
    table_column(table, "max", TABLE_RIGHT);
    for (size_t i = 0; i < count; i++) {
        table_row(table, options, &rows[i]);
    }
    bool printed = table_print(table, out);
    table_destroy(table);
    return printed;
}

static json_t *way_of(const struct progression *way) {
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < way->count; i++) {
        const struct progression_point *point = &way->points[i];
        json_t *entry = json_pack("[o, o, o]", record_number(point->seconds), record_unsigned(point->steps),
                                  record_number(point->accuracy));
        if (entry == NULL || json_array_append_new(list, entry) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

bool study_json(FILE *out, const struct study_options *options, const struct study_row *row) {
    double seconds = 0.0, error = -1.0;
    bool reached = study_row_goal(row, &seconds, &error);
    const struct record_field fields[] = {
        {"consistency", json_string(row->mode)},
        {"optimizer", json_string(options->optimizer)},
        {"workers", record_unsigned(options->workers)},
        {"batch", record_unsigned(options->batch)},
        {"epochs", record_unsigned(options->epochs)},
        {"seeds", record_unsigned(row->runs)},
        {"work_ms", record_unsigned(options->work_ms)},
        {"slow_ms", record_unsigned(row->slow ? options->slow_ms : 0)},
        {"goal", record_number(options->goal / 100.0)},
        {"seconds_to_goal", reached ? record_number(seconds) : json_null()},
        {"seconds_to_goal_error", reached && error >= 0.0 ? record_number(error) : json_null()},
        {"steps_to_goal", reached ? record_number(mean(row, row->goal_steps)) : json_null()},
        {"steps", record_number(mean(row, row->steps))},
        {"seconds", record_number(mean(row, row->seconds))},
        {"test_accuracy", record_number(mean(row, row->accuracy))},
        {"staleness_mean", record_number(mean(row, row->staleness_mean))},
        {"staleness_max", record_unsigned(row->staleness_max)},
        {"accuracy", way_of(&row->way)},
    };
    return record_print(out, record_object(fields, sizeof fields / sizeof *fields));
}
