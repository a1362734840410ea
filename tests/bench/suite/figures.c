#include "tests/bench/suite/figures.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/measure.h"

#define KEY_BYTES    64
#define MOST_FIGURES 200

struct figure {
    char key[KEY_BYTES];
    double values[FIGURES_REPEATS];
    size_t count;
};

struct figures {
    struct figure items[MOST_FIGURES];
    size_t count;
};

struct figures *figures_create(void) {
    struct figures *figures = calloc(1, sizeof *figures);
    bench_must(figures != NULL, "memory");
    return figures;
}

void figures_destroy(struct figures *figures) {
    free(figures);
}

static const struct figure *find(const struct figures *figures, const char *key) {
    for (size_t i = 0; i < figures->count; i++) {
        if (strcmp(figures->items[i].key, key) == 0)
            return &figures->items[i];
    }
    return NULL;
}

void figures_add(struct figures *figures, const char *key, double value) {
    const struct figure *found = find(figures, key);
    struct figure *figure = found != NULL ? &figures->items[found - figures->items] : &figures->items[figures->count];
    if (found == NULL) {
        assert(figures->count < MOST_FIGURES && strlen(key) < KEY_BYTES && strchr(key, '.') != NULL);
        memcpy(figure->key, key, strlen(key) + 1);
        figures->count++;
    }
    assert(figure->count < FIGURES_REPEATS);
    figure->values[figure->count++] = value;
}

static int compare(const void *left, const void *right) {
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double figures_median(double *values, size_t count) {
    if (count == 0)
        return 0;
    qsort(values, count, sizeof values[0], compare);
    return count % 2 != 0 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static struct figures_summary summarize(const struct figure *figure) {
    double sorted[FIGURES_REPEATS];
    memcpy(sorted, figure->values, figure->count * sizeof sorted[0]);
    const double median = figures_median(sorted, figure->count);
    return (struct figures_summary){median, sorted[0], sorted[figure->count - 1], figure->count};
}

bool figures_summary(const struct figures *figures, const char *key, struct figures_summary *summary) {
    const struct figure *figure = find(figures, key);
    if (figure == NULL)
        return false;
    *summary = summarize(figure);
    return true;
}

double figures_last(const struct figures *figures, const char *key) {
    const struct figure *figure = find(figures, key);
    return figure != NULL ? figure->values[figure->count - 1] : 0;
}

void figures_json(const struct figures *figures, json_t *object) {
    for (size_t i = 0; i < figures->count; i++) {
        const struct figure *figure = &figures->items[i];
        const struct figures_summary summary = summarize(figure);
        const size_t length = strcspn(figure->key, ".");
        char group[KEY_BYTES];
        memcpy(group, figure->key, length);
        group[length] = '\0';
        if (json_object_get(object, group) == NULL)
            bench_must(json_object_set_new(object, group, json_object()) == 0, "memory");
        bench_must(json_object_set_new(json_object_get(object, group), figure->key + length + 1,
                                       json_pack("{s:f,s:f,s:f,s:I}", "median", summary.median, "min", summary.min,
                                                 "max", summary.max, "repeats", (json_int_t)summary.repeats)) == 0,
                   "memory");
    }
}

/* Three or four digits that matter. */
static void number_cell(struct table *table, double value) {
    const double size = fabs(value);
    table_cell(table, size >= 1000 ? "%.0f" : size >= 100 ? "%.1f" : size >= 10 ? "%.2f" : "%.3f", value);
}

struct table *figures_table(const struct figures *figures, const struct figures_goal *goals, size_t goal_count) {
    static const char *const titles[] = {"median", "min", "max", "repeats", "goal"};
    struct table *table = table_create();
    table_column(table, "figure", TABLE_LEFT);
    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++)
        table_column(table, titles[i], TABLE_RIGHT);
    table_column(table, "", TABLE_LEFT);
    for (size_t i = 0; i < figures->count; i++) {
        const struct figures_summary summary = summarize(&figures->items[i]);
        const struct figures_goal *goal = NULL;
        for (size_t g = 0; g < goal_count; g++)
            goal = strcmp(goals[g].key, figures->items[i].key) == 0 ? &goals[g] : goal;
        table_cell(table, "%s", figures->items[i].key);
        number_cell(table, summary.median);
        number_cell(table, summary.min);
        number_cell(table, summary.max);
        table_cell(table, "%zu", summary.repeats);
        if (goal == NULL) {
            table_cell(table, "%s", "");
            table_cell(table, "%s", "");
            continue;
        }
        const bool reached = goal->at_least ? summary.median >= goal->value : summary.median <= goal->value;
        table_cell(table, "%s %.2f", goal->at_least ? ">=" : "<=", goal->value);
        table_cell(table, "%s", reached ? "reached" : "missed");
    }
    return table;
}
