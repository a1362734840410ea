/* What a study came to: a table, records, and a picture. */
#ifndef CANYON_SIMULATOR_STUDY_REPORT_H
#define CANYON_SIMULATOR_STUDY_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "client/simulator/progression.h"
#include "client/simulator/study_options.h"

/* One mode, with or without the slow worker. */
struct study_row {
    const char *mode;
    bool slow;
    uint64_t runs, reached;            /* seeds, and those with which the goal was reached */
    double goal_seconds, goal_squares; /* sums over those, of seconds and of their squares */
    double goal_steps;                 /* sums over those, and over all: */
    double steps, seconds, accuracy, staleness_mean;
    uint64_t staleness_max;
    struct progression way; /* of the first seed */
};

/* What a run adds to its row. `goal` is NULL when it was never reached. */
struct study_run {
    const struct progression_point *goal;
    uint64_t steps, staleness_max;
    double seconds, accuracy, staleness_mean;
};

void study_row_add(struct study_row *row, const struct study_run *run);

/* Mean and standard error of the seconds to the goal. False when there was a run that did not reach it; the error is
 * negative for a single run, which has none. */
bool study_row_goal(const struct study_row *row, double *seconds, double *error);

/* False when `out` could not be written. */
bool study_table(FILE *out, const struct study_options *options, const struct study_row *rows, size_t count);
bool study_json(FILE *out, const struct study_options *options, const struct study_row *row);

/* Draws options->plot. False with `text` when gnuplot is not there or fails. */
bool study_plot(const struct study_options *options, const struct study_row *rows, size_t count, char *text,
                size_t bytes);

#endif
