/* Loss curves in bounded memory, and pictures of them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/simulator/curve.h"
#include "client/simulator/gnuplot.h"
#include "client/simulator/plot.h"

static struct curve curve;

static void short_curves_keep_every_step(void **state) {
    (void)state;
    curve_init(&curve);
    assert_int_equal(curve.count, 0);
    curve_add(&curve, 3.0);
    curve_add(&curve, 2.0);
    assert_int_equal(curve.count, 2);
    assert_true(curve_step(&curve, 0) == 1.0);
    assert_true(curve_step(&curve, 1) == 2.0);
    assert_true(curve_loss(&curve, 1) == 2.0);
}

/* The loss of step s is s, so a point's mean loss is the step in its middle. */
static void long_curves_keep_means(void **state) {
    (void)state;
    for (uint64_t steps = CURVE_POINTS; steps < 20 * CURVE_POINTS; steps += 977) {
        curve_init(&curve);
        for (uint64_t s = 1; s <= steps; s++) {
            curve_add(&curve, (double)s);
        }
        assert_in_range(curve.count, CURVE_POINTS / 2, CURVE_POINTS);
        assert_int_equal((curve.count - 1) * curve.width + curve.last, steps);
        for (size_t i = 0; i < curve.count; i++) {
            assert_true(curve_loss(&curve, i) == curve_step(&curve, i));
        }
    }
}

static void smoothing_keeps_lines_straight_and_calms_noise(void **state) {
    double values[CURVE_POINTS];
    (void)state;
    curve_init(&curve);
    for (int i = 0; i < 400; i++) {
        curve_add(&curve, 2.0 * i);
    }
    curve_smooth(&curve, values);
    for (int i = 0; i < 390; i++) { /* the last points look back more than ahead */
        assert_true(fabs(values[i] - 2.0 * i) < 1e-9);
    }
    for (int i = 390; i < 400; i++) {
        assert_true(values[i] > 2.0 * i - 10.0 && values[i] <= 2.0 * i);
    }
    curve_init(&curve);
    for (int i = 0; i < 400; i++) {
        curve_add(&curve, i % 2 == 0 ? 1.0 : 3.0);
    }
    curve_smooth(&curve, values);
    for (int i = 20; i < 380; i++) {
        assert_true(fabs(values[i] - 2.0) < 0.1);
    }
    curve_init(&curve);
    curve_smooth(&curve, values);
}

static void names_of_pictures_are_checked(void **state) {
    char text[PLOT_TEXT_BYTES];
    (void)state;
    assert_true(gnuplot_check("/tmp/a.png", text, sizeof text));
    assert_true(gnuplot_check("/tmp/a.b.svg", text, sizeof text));
    assert_false(gnuplot_check("/tmp/a.jpg", text, sizeof text));
    assert_non_null(strstr(text, ".png or .svg"));
    assert_false(gnuplot_check("/tmp/a.png/b", text, sizeof text));
    assert_false(gnuplot_check("png", text, sizeof text));
    assert_false(gnuplot_check("/tmp/no such folder/a.png", text, sizeof text));
    assert_non_null(strstr(text, "no such folder"));
    assert_false(gnuplot_check("/tmp/a\nb.png", text, sizeof text));
}

static void draw_one(const char *extension, const char *magic) {
    char path[] = "/tmp/canyon's plot XXXXXX", file[64], text[PLOT_TEXT_BYTES] = "", head[16] = "";
    const struct plot_line lines[] = {{.label = "it's \"one\" {x}_y", .curve = &curve},
                                      {.label = "two", .curve = &curve}};
    assert_non_null(mkdtemp(path)); /* a name with a quote and a blank in it */
    snprintf(file, sizeof file, "%s/a.%s", path, extension);
    curve_init(&curve);
    for (int i = 1; i < 100; i++) {
        curve_add(&curve, 1.0 / i);
    }
    if (!plot_draw(file, "a 'title'", lines, 2, text, sizeof text)) {
        fail_msg("%s", text);
    }
    FILE *picture = fopen(file, "rb");
    assert_non_null(picture);
    assert_int_equal(fread(head, 1, 8, picture), 8);
    assert_memory_equal(head, magic, strlen(magic));
    fclose(picture);
    unlink(file);
    assert_int_equal(rmdir(path), 0); /* nothing else was left there */
}

static void pictures_are_drawn(void **state) {
    (void)state;
    if (system("command -v gnuplot > /dev/null") != 0) {
        print_message("SKIPPED: gnuplot is not installed: no picture was drawn\n");
        skip();
    }
    draw_one("png", "\x89PNG\r\n");
    draw_one("svg", "<?xml");
}

static void without_gnuplot_the_text_says_so(void **state) {
    char text[PLOT_TEXT_BYTES], *path = strdup(getenv("PATH"));
    const struct plot_line line = {.label = "one", .curve = &curve};
    (void)state;
    assert_int_equal(setenv("PATH", "/nonexistent", 1), 0);
    curve_init(&curve);
    curve_add(&curve, 1.0);
    assert_false(plot_draw("/tmp/canyon-no-gnuplot.png", "title", &line, 1, text, sizeof text));
    assert_non_null(strstr(text, "apt-get install gnuplot-nox"));
    assert_int_equal(access("/tmp/canyon-no-gnuplot.png", F_OK), -1);
    setenv("PATH", path, 1);
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_curves_keep_every_step),
        cmocka_unit_test(long_curves_keep_means),
        cmocka_unit_test(smoothing_keeps_lines_straight_and_calms_noise),
        cmocka_unit_test(names_of_pictures_are_checked),
        cmocka_unit_test(pictures_are_drawn),
        cmocka_unit_test(without_gnuplot_the_text_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
