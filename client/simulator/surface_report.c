#include "client/simulator/surface_report.h"

#include <inttypes.h>
#include <math.h>

#include "client/tools/number.h"
#include "client/tools/record.h"
#include "client/tools/table.h"

/* The steps whose sizes are shown: the first, the middle one, the last. */
static uint64_t shown_step(const struct descent *descent, size_t which) {
    const uint64_t steps[] = {1, (descent->steps + 1) / 2, descent->steps};
    return steps[which];
}

static void surface_row(struct table *table, const struct descent *descent) {
    char number[NUMBER_BYTES];
    double rate = descent_rate(descent);
    uint64_t arrival = descent_arrival(descent, descent->landscape->goal);
    table_cell(table, "%s", descent->label);
    table_cell(table, rate < 0.0 ? "-" : "%g", rate);
    table_cell(table, "%s", number_grouped(descent->steps, number, sizeof number));
    table_cell(table, "%.4g", (double)descent->at[descent->steps][0]);
    table_cell(table, "%.4g", (double)descent->at[descent->steps][1]);
    table_cell(table, "%.4g", descent_loss(descent, descent->steps));
    table_cell(table, "%s", arrival == UINT64_MAX ? "-" : number_grouped(arrival, number, sizeof number));
    for (size_t i = 0; i < 3; i++) {
        double effective = descent_effective(descent, shown_step(descent, i));
        if (effective < 0.0) {
            table_cell(table, "-");
        } else {
            table_cell(table, "%.3g", effective);
        }
    }
}

bool surface_table(FILE *out, const struct descent *descents, size_t count) {
    static const char *const titles[] = {"lr",      "steps",      "end x",   "end y",    "end loss",
                                         "arrived", "first step", "halfway", "last step"};
    const struct descent *first = &descents[0];
    struct table *table = table_create();
    fprintf(out,
            "%s: z = %s from (%.4g, %.4g); arrived: the first step with a loss of %g or less;\n"
            "first step, halfway, last step: effective step sizes, |change of the weights| / |gradient|\n\n",
            first->landscape->name, first->landscape->formula, (double)first->at[0][0], (double)first->at[0][1],
            first->landscape->goal);
    table_column(table, "optimizer", TABLE_LEFT);
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
        table_column(table, titles[i], TABLE_RIGHT);
    }
    for (size_t i = 0; i < count; i++) {
        surface_row(table, &descents[i]);
    }
    bool printed = table_print(table, out);
    table_destroy(table);
    return printed;
}

static json_t *place_json(const float at[2]) {
    return json_pack("[o, o]", record_number((double)at[0]), record_number((double)at[1]));
}

static json_t *effective_json(const struct descent *descent, size_t which) {
    double effective = descent_effective(descent, shown_step(descent, which));
    return effective < 0.0 ? json_null() : record_number(effective);
}

static json_t *length_json(const struct descent *descent) {
    double longest = 0.0;
    for (uint64_t t = 1; t <= descent->steps; t++) {
        longest = fmax(longest, descent_length(descent, t));
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "first", record_number(descent_length(descent, shown_step(descent, 0))),
                     "middle", record_number(descent_length(descent, shown_step(descent, 1))), "last",
                     record_number(descent_length(descent, shown_step(descent, 2))), "longest", record_number(longest));
}

static json_t *settings_json(const struct descent *descent) {
    json_t *settings = json_object();
    for (uint32_t i = 0; i < descent->info.setting_count && settings != NULL; i++) {
        const struct canyon_setting *setting = &descent->info.settings[i];
        if (json_object_set_new(settings, setting->name, record_number(setting->value)) != 0) {
            json_decref(settings);
            settings = NULL;
        }
    }
    return settings;
}

static json_t *path_json(const struct descent *descent) {
    json_t *path = json_array();
    for (uint64_t t = 0; t <= descent->steps && path != NULL; t++) {
        if (json_array_append_new(path, place_json(descent->at[t])) != 0) {
            json_decref(path);
            path = NULL;
        }
    }
    return path;
}

bool surface_json(FILE *out, const struct descent *descent) {
    double rate = descent_rate(descent);
    uint64_t arrival = descent_arrival(descent, descent->landscape->goal);
    json_t *effective = json_pack("{s:o, s:o, s:o}", "first", effective_json(descent, 0), "middle",
                                  effective_json(descent, 1), "last", effective_json(descent, 2));
    json_t *object = json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "function", descent->landscape->name,
        "optimizer", descent->label, "lr", rate < 0.0 ? json_null() : record_number(rate), "settings",
        settings_json(descent), "start", place_json(descent->at[0]), "steps", record_unsigned(descent->steps), "end",
        place_json(descent->at[descent->steps]), "start_loss", record_number(descent_loss(descent, 0)), "loss",
        record_number(descent_loss(descent, descent->steps)), "goal", record_number(descent->landscape->goal),
        "arrived", arrival == UINT64_MAX ? json_null() : record_unsigned(arrival), "effective_step", effective,
        "step_length", length_json(descent), "path", path_json(descent));
    return record_print(out, object);
}
