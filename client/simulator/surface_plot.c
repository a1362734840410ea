#include "client/simulator/surface_plot.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>

#include "client/simulator/gnuplot.h"

#define GRID    160 /* cells of the landscape in each direction */
#define LABEL_X 0.845

struct picture {
    const struct descent *descents;
    size_t count;
    double low[2], high[2]; /* what the left panel shows */
};

/* gnuplot's filled marks: square, circle, triangle, the same upside down, diamond, pentagon. */
static unsigned mark_of(size_t line) {
    static const unsigned marks[] = {5, 7, 9, 11, 13, 15};
    return marks[line % (sizeof marks / sizeof *marks)];
}

/* The landscape's own part, made larger when the start lies outside. */
static void picture_view(struct picture *picture) {
    const struct landscape *landscape = picture->descents[0].landscape;
    for (size_t i = 0; i < 2; i++) {
        double start = (double)picture->descents[0].at[0][i];
        double margin = 0.08 * (landscape->high[i] - landscape->low[i]);
        picture->low[i] = fmin(landscape->low[i], start - margin);
        picture->high[i] = fmax(landscape->high[i], start + margin);
    }
}

static bool picture_shows(const struct picture *picture, double x, double y) {
    return x >= picture->low[0] && x <= picture->high[0] && y >= picture->low[1] && y <= picture->high[1];
}

/* How much of the way from `from` (shown) to `to` (not) lies inside. */
static double share_inside(const struct picture *picture, const double from[2], const double to[2]) {
    double share = 1.0;
    for (size_t i = 0; i < 2; i++) {
        double change = to[i] - from[i];
        double room = change > 0.0 ? picture->high[i] - from[i] : picture->low[i] - from[i];
        share = change != 0.0 ? fmin(share, room / change) : share;
    }
    return share;
}

/* Where a descent's mark stands. The start is always shown. */
static void mark_place(const struct picture *picture, const struct descent *descent, double place[2]) {
    for (uint64_t t = descent->steps;; t--) {
        const double from[2] = {(double)descent->at[t][0], (double)descent->at[t][1]};
        if (!picture_shows(picture, from[0], from[1])) {
            assert(t > 0);
            continue;
        }
        double share = 0.0;
        const double *to = from;
        double next[2];
        if (t < descent->steps) {
            next[0] = (double)descent->at[t + 1][0];
            next[1] = (double)descent->at[t + 1][1];
            to = next;
            share = share_inside(picture, from, to);
        }
        place[0] = from[0] + share * (to[0] - from[0]);
        place[1] = from[1] + share * (to[1] - from[1]);
        return;
    }
}

/* Heights as the shading has them: its steps even out a valley whose walls are steep. */
static double shade(const struct landscape *landscape, double value) {
    return landscape->positive ? log10(value + 0.05) : value;
}

static void write_grid(FILE *out, const struct picture *picture) {
    const struct landscape *landscape = picture->descents[0].landscape;
    fputs("$grid << END\n", out);
    for (unsigned row = 0; row <= GRID; row++) {
        for (unsigned column = 0; column <= GRID; column++) {
            const double at[2] = {picture->low[0] + (picture->high[0] - picture->low[0]) * column / GRID,
                                  picture->low[1] + (picture->high[1] - picture->low[1]) * row / GRID};
            double value = landscape->value(at);
            fprintf(out, "%.6g %.6g %.6g %.6g\n", at[0], at[1], value, shade(landscape, value));
        }
        fputc('\n', out);
    }
    fputs("END\n", out);
}

/* Columns: x, y, step, loss. Beyond the panels gnuplot clips. */
static void write_path(FILE *out, const struct picture *picture, size_t line) {
    const struct descent *descent = &picture->descents[line];
    double place[2];
    fprintf(out, "$path%zu << END\n", line);
    for (uint64_t t = 0; t <= descent->steps; t++) {
        double loss = descent_loss(descent, t);
        /* Of a logarithmic scale nothing below its beginning can be drawn, and 0 would tear a hole into the line. */
        loss = descent->landscape->positive ? fmax(loss, 1e-30) : loss;
        fprintf(out, "%.7g %.7g %" PRIu64 " %.7g\n", (double)descent->at[t][0], (double)descent->at[t][1], t, loss);
    }
    mark_place(picture, descent, place);
    fprintf(out, "END\n$mark%zu << END\n%.7g %.7g\nEND\n", line, place[0], place[1]);
}

static void write_contours(FILE *out, const struct landscape *landscape) {
    fputs("set contour base\nunset surface\nset cntrparam levels discrete ", out);
    for (size_t i = 0; i < landscape->level_count; i++) {
        fprintf(out, "%s%g", i == 0 ? "" : ",", landscape->levels[i]);
    }
    fputs("\nset table $contours\nsplot $grid using 1:2:3 with lines\nunset table\nunset contour\n", out);
}

static void plot_ways(FILE *out, const struct picture *picture) {
    const struct descent *first = &picture->descents[0];
    fprintf(out,
            "set lmargin at screen 0.05\nset rmargin at screen 0.43\n"
            "set title '%s: z = %s; marks: where a way ends or leaves'\nset xlabel 'x'\nset ylabel 'y'\n"
            "set xrange [%.9g:%.9g]\nset yrange [%.9g:%.9g]\n"
            "set palette defined (0 '#C9D6E2', 1 '#FFFFFF')\nunset colorbox\n"
            "set label 1 'start' at %.9g,%.9g offset 0.9,-0.9 front\n"
            "plot $grid using 1:2:4 with image notitle, "
            "$contours using 1:2 with lines lw 1 lc rgb '#9AA5B0' notitle",
            first->landscape->name, first->landscape->formula, picture->low[0], picture->high[0], picture->low[1],
            picture->high[1], (double)first->at[0][0], (double)first->at[0][1]);
    for (size_t i = 0; i < picture->count; i++) {
        fprintf(out, ", $path%zu using 1:2 with lines lw 2 lc rgb '%s' dt %s notitle", i, gnuplot_colour(i),
                gnuplot_dash(i));
    }
    for (size_t i = 0; i < picture->count; i++) {
        fprintf(out, ", $mark%zu using 1:2 with points pt %u ps 2.1 lc rgb 'white' notitle", i, mark_of(i));
        fprintf(out, ", $mark%zu using 1:2 with points pt %u ps 1.5 lc rgb '%s' notitle", i, mark_of(i),
                gnuplot_colour(i));
    }
    fputs(", $path0 using 1:2 every ::0::0 with points pt 7 ps 1.9 lc rgb 'black' notitle"
          ", $path0 using 1:2 every ::0::0 with points pt 7 ps 1.1 lc rgb 'white' notitle\nunset label 1\n",
          out);
}

static void plot_losses(FILE *out, const struct picture *picture) {
    const struct landscape *landscape = picture->descents[0].landscape;
    uint64_t steps = 1;
    for (size_t i = 0; i < picture->count; i++) {
        steps = picture->descents[i].steps > steps ? picture->descents[i].steps : steps;
    }
    fputs("set lmargin at screen 0.50\nset rmargin at screen 0.83\n"
          "set title 'loss against step'\nset xlabel 'step'\nset ylabel 'z'\n"
          "set grid xtics ytics lt 1 lw 1 dt 1 lc rgb '#D8D8D8'\nset border 3\nset tics nomirror\n",
          out);
    fprintf(out, "set xrange [0:%" PRIu64 "]\n", steps);
    if (landscape->positive) {
        fprintf(out, "set logscale y\nset format y '%%g'\nset yrange [%g:%.9g]\n", landscape->loss_low,
                10.0 * descent_loss(&picture->descents[0], 0));
    } else {
        fprintf(out, "set yrange [%g:%g]\n", landscape->loss_low, landscape->loss_high);
    }
    fprintf(out, "set key at screen %g,0.92 left top vertical maxrows 40 reverse Left samplen 2.4 width 1\nplot ",
            LABEL_X);
    for (size_t i = 0; i < picture->count; i++) {
        fprintf(out, "%s$path%zu using 3:4 with lines lw 2 lc rgb '%s' dt %s notitle", i == 0 ? "" : ", ", i,
                gnuplot_colour(i), gnuplot_dash(i));
    }
    for (size_t i = 0; i < picture->count; i++) {
        fprintf(out, ", keyentry with linespoints lw 2 pt %u ps 1.3 lc rgb '%s' dt %s title ", mark_of(i),
                gnuplot_colour(i), gnuplot_dash(i));
        gnuplot_quoted(out, picture->descents[i].label);
    }
    fputc('\n', out);
}

static bool write_script(FILE *out, const void *context) {
    const struct picture *picture = context;
    write_grid(out, picture);
    for (size_t i = 0; i < picture->count; i++) {
        write_path(out, picture, i);
    }
    write_contours(out, picture->descents[0].landscape);
    fputs("set multiplot\nset bmargin at screen 0.09\nset tmargin at screen 0.92\n", out);
    plot_ways(out, picture);
    plot_losses(out, picture);
    fputs("unset multiplot\n", out);
    return true;
}

bool surface_plot(const char *path, const struct descent *descents, size_t count, char *text, size_t bytes) {
    struct picture picture = {.descents = descents, .count = count};
    assert(count >= 1);
    picture_view(&picture);
    return gnuplot_draw(path, 1600, 800, write_script, &picture, text, bytes);
}
