/* A picture of training runs: loss against step, one line for each, drawn by gnuplot. */
#ifndef CANYON_SIMULATOR_PLOT_H
#define CANYON_SIMULATOR_PLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "client/simulator/curve.h"

#define PLOT_LINES      64
#define PLOT_TEXT_BYTES 512

struct plot_line {
    const char *label; /* in the legend */
    const struct curve *curve;
};

/* Draws. `path` is the old file or the whole new picture. False, with `text`, when gnuplot is not there or fails. */
bool plot_draw(const char *path, const char *title, const struct plot_line *lines, size_t count, char *text,
               size_t bytes);

#endif
