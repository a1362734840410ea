/* What a benchmark measured: figures by their keys, with a value for each repeat; their summaries, and JSON and tables
 * of them. No input and no output; not thread-safe. Missing memory ends the program. */
#ifndef TESTS_BENCH_SUITE_FIGURES_H
#define TESTS_BENCH_SUITE_FIGURES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "client/tools/table.h"

#define FIGURES_REPEATS 100 /* values of one figure, at most */

struct figures;

struct figures_summary {
    double median, min, max; /* of an even number of values the median is the mean of the two in the middle */
    size_t repeats;
};

struct figures *figures_create(void);
void figures_destroy(struct figures *figures);

/* Adds a repeat's value to the figure `key`, such as "dense_1.gbps", which begins to exist with its first one. Keys are
 * of the form GROUP.NAME, both of A-Z a-z 0-9 and _. Values beyond FIGURES_REPEATS are an assertion's failure. */
void figures_add(struct figures *figures, const char *key, double value);

/* False, and *summary unchanged, when there is no figure of that key. */
bool figures_summary(const struct figures *figures, const char *key, struct figures_summary *summary);
/* The figure's latest value; 0 when there is none. */
double figures_last(const struct figures *figures, const char *key);

/* The median of any values; sorts them. Of none: 0. */
double figures_median(double *values, size_t count);

/* Adds an object for each group to `object`, with an object {"median", "min", "max", "repeats"} for each figure. */
void figures_json(const struct figures *figures, json_t *object);

/* What a figure should reach. */
struct figures_goal {
    const char *key;
    double value;
    bool at_least; /* false: at most */
};

/* A table of figures in the order in which they began, with its goal and whether it was reached where it has one.
 * Owned: table_destroy. */
struct table *figures_table(const struct figures *figures, const struct figures_goal *goals, size_t goal_count);

#endif
