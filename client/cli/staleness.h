/* Histograms of staleness, for people and programs. */
#ifndef CANYON_CLI_STALENESS_H
#define CANYON_CLI_STALENESS_H

#include "client/cli/cli.h"

/* A line for each range up to the last that has pushes. */
enum outcome staleness_print(const struct canyon_staleness *counts);

/* {"pushes": 3, "mean": 1.0, "max": 2, "counts": [{"from": 0, "to": 0, "pushes": 1}, ...]}; "to" is null in the last.
 */
json_t *staleness_json(const struct canyon_staleness *counts);

#endif
