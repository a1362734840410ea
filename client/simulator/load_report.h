/* What a load came to, for people and for scripts. */
#ifndef CANYON_SIMULATOR_LOAD_REPORT_H
#define CANYON_SIMULATOR_LOAD_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "client/simulator/load_plan.h"
#include "client/simulator/load_run.h"

/* Lines of a name and what it was. False when `out` could not be written. */
bool load_report_table(FILE *out, const struct load_plan *plan, const struct load_result *result);

/* Two numbers, each with its words. */
bool load_report_brief(FILE *out, const struct load_plan *plan, const struct load_result *result);

/* One object on a line; its keys are those that `canyon-sim load --help` lists. */
bool load_report_json(FILE *out, const struct load_plan *plan, const struct load_result *result);

/* What was wrong, to people in any case: calls that failed, a rate that was not kept up, and what verifying found. */
void load_report_faults(FILE *out, const struct load_plan *plan, const struct load_result *result);

/* An open loop: within the measure as many calls ended as were due, and none had to wait for it to end, but for a
 * hundredth of them and two. */
bool load_report_kept_up(const struct load_plan *plan, const struct load_result *result);

#endif
