#include "client/simulator/plot.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/simulator/gnuplot.h"

struct picture {
    const char *title;
    const struct plot_line *lines;
    size_t count;
};

static void plot_settings(FILE *out, const char *title) {
    fputs("set title ", out);
    gnuplot_quoted(out, title);
    fputs("\nset xlabel 'step (batches applied, all workers together)'\n"
          "set ylabel 'training loss (mean cross-entropy in nats, smoothed)'\n"
          "set logscale y\nset format y '%g'\nset xrange [0:*]\n"
          "set grid xtics ytics lt 1 lw 1 dt 1 lc rgb '#D8D8D8'\n"
          "set border 3\nset tics nomirror\n"
          "set key outside right top reverse Left samplen 3 width 2\n",
          out);
}

static bool plot_data(FILE *out, size_t line, const struct curve *curve) {
    double *values = calloc(curve->count + 1, sizeof *values);
    if (values == NULL) {
        return false;
    }
    curve_smooth(curve, values);
    fprintf(out, "$line%zu << END\n", line);
    for (size_t i = 0; i < curve->count; i++) {
        fprintf(out, "%.9g %.9g\n", curve_step(curve, i), values[i]);
    }
    fputs("END\n", out);
    free(values);
    return true;
}

static bool plot_script(FILE *out, const void *context) {
    const struct picture *picture = context;
    plot_settings(out, picture->title);
    for (size_t i = 0; i < picture->count; i++) {
        if (!plot_data(out, i, picture->lines[i].curve)) {
            return false;
        }
    }
    for (size_t i = 0; i < picture->count; i++) {
        fprintf(out, "%s $line%zu using 1:2 with lines lw 2.2 lc rgb '%s' dt %s title ", i == 0 ? "plot" : ",", i,
                gnuplot_colour(i), gnuplot_dash(i));
        gnuplot_quoted(out, picture->lines[i].label);
    }
    fputs("\n", out);
    return true;
}

bool plot_draw(const char *path, const char *title, const struct plot_line *lines, size_t count, char *text,
               size_t bytes) {
    const struct picture picture = {.title = title, .lines = lines, .count = count};
    assert(count >= 1 && count <= PLOT_LINES);
    return gnuplot_draw(path, 1200, 760, plot_script, &picture, text, bytes);
}
