#include "tests/bench/suite/sweep.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/simulator/gnuplot.h"
#include "client/tools/progress.h"
#include "tests/bench/measure.h"
#include "tests/bench/suite/dense.h"
#include "tests/bench/suite/machine.h"
#include "tests/bench/suite/runner.h"

#define WIDTH  1200
#define HEIGHT 760

#define SMALL        (8u << 20) /* below it a round takes so little that there are more of them */
#define ROUNDS_SMALL 30

/* From one block to many. */
static const uint64_t sizes[] = {256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20, 256 << 20};
#define SIZES   (sizeof sizes / sizeof sizes[0])
#define THREADS 3
static const unsigned threads_tried[THREADS] = {1, 2, 4};

struct sweep {
    const struct plan *plan;
    size_t threads; /* how many of threads_tried */
    const struct figures *figures;
};

static const char *key_of(char key[64], unsigned threads, uint64_t size, const char *what) {
    snprintf(key, 64, "threads_%u.size_%" PRIu64 "_%s", threads, size, what);
    return key;
}

/* All repeats of one size with one number of threads. Servers of other points would only fill the memory. */
static void point(const struct plan *given, unsigned threads, uint64_t size, struct figures *figures, json_t *limits) {
    char key[64];
    struct plan plan = *given;
    plan.bytes = size;
    plan.rounds = size < SMALL ? ROUNDS_SMALL : given->rounds;
    struct limits *programs = limits_create(&plan);
    struct dense *dense = dense_create(&plan, programs, "point", threads, false);
    struct figures *own = figures_create();
    for (uint64_t repeat = 0; repeat < plan.repeats; repeat++) {
        dense_repeat(dense, own);
        const double limit_ms = figures_last(own, "point.echo_ms") + figures_last(own, "point.adam_ms");
        figures_add(figures, key_of(key, threads, size, "gbps"), figures_last(own, "point.gbps"));
        figures_add(figures, key_of(key, threads, size, "roofline_gbps"), 1e-6 * (double)size / limit_ms);
    }
    if (size == sizes[SIZES - 1])
        limits_json(programs, limits);
    figures_destroy(own);
    dense_destroy(dense);
    limits_destroy(programs);
}

/* ---- the picture ---- */

static void data(FILE *out, const struct sweep *sweep, unsigned threads, const char *what) {
    fprintf(out, "$%s_%u << END\n", what, threads);
    for (size_t s = 0; s < SIZES; s++) {
        char key[64];
        struct figures_summary summary;
        if (figures_summary(sweep->figures, key_of(key, threads, sizes[s], what), &summary))
            fprintf(out, "%g %g %g %g\n", (double)sizes[s] / 0x1p20, summary.median, summary.min, summary.max);
    }
    fputs("END\n", out);
}

static bool script(FILE *out, const void *context) {
    const struct sweep *sweep = context;
    char text[800];
    fputs("set title ", out);
    gnuplot_quoted(
        out,
        "push_pull of one float32 tensor (adam, one worker): medians, least and most; roofline: echo + arithmetic");
    fputs("\nset xlabel 'size of the tensor (MiB)'\nset ylabel 'gradient bytes a second (GB/s)'\n"
          "set logscale x 2\nset format x '%g'\nset yrange [0:*]\nset xrange [0.2:320]\n"
          "set grid xtics ytics lt 1 lw 1 dt 1 lc rgb '#D8D8D8'\nset border 3\nset tics nomirror\n"
          "set key tmargin left vertical maxrows 2 Left reverse samplen 4\nset label 1 ",
          out);
    snprintf(text, sizeof text, "%s; used: %s", machine_text(),
             sweep->plan->congestion[0] != '\0' ? sweep->plan->congestion : "the host's");
    gnuplot_quoted(out, text);
    fputs(" at graph 0, screen 0.015 left font ',9' tc rgb '#606060'\nset bmargin 5\n", out);
    for (size_t t = 0; t < sweep->threads; t++) {
        data(out, sweep, threads_tried[t], "gbps");
        data(out, sweep, threads_tried[t], "roofline_gbps");
    }
    for (size_t t = 0; t < sweep->threads; t++) {
        const unsigned threads = threads_tried[t];
        const char *plural = threads == 1 ? "" : "s";
        fprintf(
            out,
            "%s $gbps_%u using 1:2:3:4 with yerrorlines lw 2.2 pt 7 lc rgb '%s' title 'Canyon, %u server thread%s', "
            "$roofline_gbps_%u using 1:2 with lines lw 1.6 dt (8,5) lc rgb '%s' title 'roofline, %u thread%s'",
            t == 0 ? "plot" : ",", threads, gnuplot_colour(t), threads, plural, threads, gnuplot_colour(t), threads,
            plural);
    }
    fputs("\n", out);
    return true;
}

void sweep_run(const struct plan *plan, const char *plot, struct figures *figures, json_t **limits) {
    struct sweep sweep = {.plan = plan, .figures = figures};
    struct progress progress;
    char text[160];
    *limits = json_object();
    bench_must(*limits != NULL, "memory");
    while (sweep.threads < THREADS && threads_tried[sweep.threads] <= runner_processors())
        sweep.threads++;
    progress_init(&progress, stderr);
    for (size_t t = 0; t < sweep.threads; t++) {
        for (size_t s = 0; s < SIZES; s++) {
            snprintf(text, sizeof text, "%u threads, %.2f MiB", threads_tried[t], (double)sizes[s] / 0x1p20);
            progress_update(&progress, (double)(t * SIZES + s) / (double)(sweep.threads * SIZES), text);
            point(plan, threads_tried[t], sizes[s], figures, *limits);
        }
    }
    progress_finish(&progress, "measured");
    if (plot != NULL && !gnuplot_draw(plot, WIDTH, HEIGHT, script, &sweep, text, sizeof text))
        bench_fail("%s", text);
}
