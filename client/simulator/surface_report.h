/* Where descents of one landscape ended and how far their steps went, for people and for scripts. */
#ifndef CANYON_SIMULATOR_SURFACE_REPORT_H
#define CANYON_SIMULATOR_SURFACE_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "client/simulator/descent.h"

/* A headline and one line for every descent; all are of one landscape and one start. False when `out` could not be
 * written. */
bool surface_table(FILE *out, const struct descent *descents, size_t count);

/* One descent as an object on a line: function, optimizer, lr, settings {...}, start [x, y], steps, end [x, y],
 * start_loss, loss, goal, arrived (a step, or null), effective_step {first, middle, last}, step_length {first, middle,
 * last, longest}, path [[x, y], ...]. Numbers that JSON cannot say and effective steps after a gradient of 0 are null.
 * False when `out` could not be written. */
bool surface_json(FILE *out, const struct descent *descent);

#endif
