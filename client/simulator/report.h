/* What training runs came to, for people and for scripts. */
#ifndef CANYON_SIMULATOR_REPORT_H
#define CANYON_SIMULATOR_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "client/simulator/run.h"

/* The place of results[which] among all: 1 for the highest test accuracy, of equal ones for the least loss. Runs that
 * are equal in both share a place. */
size_t report_place(const struct run_result *results, size_t count, size_t which);

/* One line for every run; of more than three the best three are marked, where gradients were to be clipped there is how
 * many steps were, where they could be refused for their age or come late, how many were, and where values travelled in
 * another form than float32, how many bytes they took. False when `out` could not be written. */
bool report_table(FILE *out, const struct plan *plan, const struct run_result *results, size_t count);

/* One run as an object on a line: optimizer, batch ("full" or a number), workers, servers, epochs, codec
 * ("int8/bf16"), consistency ("ssp:3", null without), staleness_policy ("refuse:8", null without), steps, pushes,
 * clipped_steps, refused (times that a gradient was too stale), late (batches whose clock was closed without them),
 * final_loss, test_accuracy (0 to 1), staleness_mean, staleness_max, bytes_sent and bytes_received (of gradients and
 * weights), saved (share of what float32 would have taken, 0 to 1), seconds. False when `out` could not be written. */
bool report_json(FILE *out, const struct plan *plan, const struct run_result *result);

#endif
