#include <assert.h>
#include <inttypes.h>
#include <math.h>

#include "client/simulator/gnuplot.h"
#include "client/simulator/study_report.h"

struct picture {
    const struct study_options *options;
    const struct study_row *rows;
    size_t count;
};

/* A colour for each mode; with the slow worker its line is dashed. */
static const char *colour_of(const struct picture *picture, size_t line) {
    size_t mode = 0;
    while (picture->options->modes[mode] != picture->rows[line].mode) {
        mode++;
        assert(mode < picture->options->mode_count);
    }
    return gnuplot_colour(mode);
}

static const char *dash_of(const struct study_row *row) {
    return row->slow ? "(10,4)" : "1";
}

/* Columns: seconds, steps, accuracy in percent. */
static void write_way(FILE *out, size_t line, const struct progression *way) {
    fprintf(out, "$way%zu << END\n0 0 0\n", line);
    for (size_t i = 0; i < way->count; i++) {
        const struct progression_point *point = &way->points[i];
        fprintf(out, "%.6g %" PRIu64 " %.4g\n", point->seconds, point->steps, point->accuracy * 100.0);
    }
    fputs("END\n", out);
}

/* The end of an axis: a little more than the longest way has. */
static double end_of(const struct picture *picture, bool time) {
    double end = 0.0;
    for (size_t i = 0; i < picture->count; i++) {
        const struct progression *way = &picture->rows[i].way;
        if (way->count > 0) {
            const struct progression_point *last = &way->points[way->count - 1];
            end = fmax(end, time ? last->seconds : (double)last->steps);
        }
    }
    return end > 0.0 ? 1.02 * end : 1.0;
}

static void plot_panel(FILE *out, const struct picture *picture, bool time) {
    double goal = picture->options->goal;
    fprintf(out,
            "set lmargin at screen %g\nset rmargin at screen %g\nset title 'test accuracy against %s'\n"
            "set xlabel '%s'\nset xrange [0:%.6g]\n",
            time ? 0.06 : 0.49, time ? 0.43 : 0.815, time ? "time" : "steps",
            time ? "time (s)" : "steps (batches of all workers that are in the weights)", end_of(picture, time));
    fprintf(out, "plot %g with lines lw 1.2 dt (2,3) lc rgb '#555555' notitle", goal);
    for (size_t i = 0; i < picture->count; i++) {
        fprintf(out, ", $way%zu using %d:3 with lines lw 2.2 lc rgb '%s' dt %s notitle", i, time ? 1 : 2,
                colour_of(picture, i), dash_of(&picture->rows[i]));
    }
    for (size_t i = 0; !time && i < picture->count; i++) {
        const struct study_row *row = &picture->rows[i];
        char label[128];
        snprintf(label, sizeof label, "%s%s", row->mode, row->slow ? ", a slow worker" : "");
        fprintf(out, ", keyentry with lines lw 2.2 lc rgb '%s' dt %s title ", colour_of(picture, i), dash_of(row));
        gnuplot_quoted(out, label);
    }
    if (!time) {
        fprintf(out, ", keyentry with lines lw 1.2 dt (2,3) lc rgb '#555555' title '%.4g %%'", goal);
    }
    fputc('\n', out);
}

static bool write_script(FILE *out, const void *context) {
    const struct picture *picture = context;
    for (size_t i = 0; i < picture->count; i++) {
        write_way(out, i, &picture->rows[i].way);
    }
    fputs("set multiplot\nset bmargin at screen 0.12\nset tmargin at screen 0.91\n"
          "set grid xtics ytics lt 1 lw 1 dt 1 lc rgb '#D8D8D8'\nset border 3\nset tics nomirror\n"
          "set ylabel 'test accuracy (%)' offset 1.5,0\nset yrange [60:100]\n"
          "set key at screen 0.83,0.90 left top vertical reverse Left samplen 3 width 1\n",
          out);
    plot_panel(out, picture, true);
    plot_panel(out, picture, false);
    fputs("unset multiplot\n", out);
    return true;
}

bool study_plot(const struct study_options *options, const struct study_row *rows, size_t count, char *text,
                size_t bytes) {
    const struct picture picture = {.options = options, .rows = rows, .count = count};
    assert(count >= 1);
    return gnuplot_draw(options->plot, 1600, 640, write_script, &picture, text, bytes);
}
