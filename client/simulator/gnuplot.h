/* Pictures by gnuplot: a script goes in through a pipe, a whole picture comes out, or none. */
#ifndef CANYON_SIMULATOR_GNUPLOT_H
#define CANYON_SIMULATOR_GNUPLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Lines are told apart by their colour first, from a palette for any kind of colour vision, then by their dashes. */
#define GNUPLOT_COLOURS 8

/* "#0072B2": of line `line`, counted from 0. */
const char *gnuplot_colour(size_t line);

/* gnuplot's dash type of line `line`: "1" is solid. */
const char *gnuplot_dash(size_t line);

/* Whether a picture can go to `path`: its name ends in .png or .svg and its folder can be written. False with `text`
 * otherwise. Cheap: ask before the work. */
bool gnuplot_check(const char *path, char *text, size_t bytes);

/* Writes `text` as gnuplot quotes: nothing in it is special, and control characters are shown as '?'. */
void gnuplot_quoted(FILE *out, const char *text);

/* Writes the script that draws `context` into `out`; terminal and output are set before it. False when it cannot. */
typedef bool (*gnuplot_script)(FILE *out, const void *context);

/* Draws a picture of width x height pixels. `path` is the old file or the whole new picture. False, with `text`, when
 * gnuplot is not there or fails. */
bool gnuplot_draw(const char *path, unsigned width, unsigned height, gnuplot_script script, const void *context,
                  char *text, size_t bytes);

#endif
