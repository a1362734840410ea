/* A picture of descents: their ways over the landscape's contours, and beside it loss against step. */
#ifndef CANYON_SIMULATOR_SURFACE_PLOT_H
#define CANYON_SIMULATOR_SURFACE_PLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "client/simulator/descent.h"

/* Draws `count` (at least 1) descents of one landscape from one start. Each has a colour, dashes and a mark of its own;
 * the mark stands where the descent ended, or where it left the picture for the last time. `path` is the old file or
 * the whole new picture. False, with `text`, when gnuplot is not there or fails. */
bool surface_plot(const char *path, const struct descent *descents, size_t count, char *text, size_t bytes);

#endif
