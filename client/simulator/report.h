/* What training runs came to, for people and for scripts. */
#ifndef CANYON_SIMULATOR_REPORT_H
#define CANYON_SIMULATOR_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "client/simulator/run.h"

/* The place of results[which] among all: 1 for the highest test accuracy, of equal ones for the least loss. Runs that
 * are equal in both share a place. */
size_t report_place(const struct run_result *results, size_t count, size_t which);

/* One line for every run; of more than three the best three are marked, and where gradients were to be clipped there is
 * how many steps were. False when `out` could not be written. */
bool report_table(FILE *out, const struct plan *plan, const struct run_result *results, size_t count);

/* One run as an object on a line: optimizer, batch ("full" or a number), workers, servers, epochs, steps, pushes,
 * clipped_steps, final_loss, test_accuracy (0 to 1), staleness_mean, staleness_max, seconds. False when `out` could not
 * be written. */
bool report_json(FILE *out, const struct plan *plan, const struct run_result *result);

#endif
