/* How far a long operation is: a bar that redraws itself on a terminal, plain lines anywhere else.
 *
 *     struct progress progress;
 *     progress_init(&progress, stderr);
 *     while (...) progress_update(&progress, done / total, "adam: loss 0.31, accuracy 0.93, 12.3 k/s");
 *     progress_finish(&progress, "adam: loss 0.12, accuracy 0.96");
 *
 * On a terminal one line is redrawn, at most ten times a second, never wider than the terminal:
 * "[=======>      ]  52%  TEXT  0:12 left". Where that is too long the bar gets shorter, then goes, then phrases of
 * TEXT. Elsewhere: "52%  TEXT  0:12 left", a first line, a second after half a second, then at most one every two
 * seconds, and the last. Lives on the caller's stack, owns nothing. Not thread-safe. */
#ifndef CANYON_TOOLS_PROGRESS_H
#define CANYON_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdio.h>

struct progress {
    FILE *out;
    bool terminal;
    unsigned width; /* columns of the terminal */
    double started; /* seconds of the monotonic clock, at init */
    double drawn;   /* when the last line was written; negative before the first */
    unsigned lines; /* drawn by updates; it matters where it is no terminal */
    bool on_line;   /* a bar stands on the current line of the terminal */
};

/* Finds out whether `out` is a terminal and how wide. Starts the time. */
void progress_init(struct progress *progress, FILE *out);

/* Shows `fraction` (cut to 0..1; NaN is 0) done and `text`, when it is time to draw again; costs a clock reading
 * otherwise. */
void progress_update(struct progress *progress, double fraction, const char *text);

/* The last line: 100 %, `text` and the time it took, and a newline. Afterwards, begin again with progress_init. */
void progress_finish(struct progress *progress, const char *text);

/* Wipes the bar from the terminal, so that something else can be printed; the next update draws it again. */
void progress_clear(struct progress *progress);

/* The same as update and finish at a given time of the monotonic clock, in seconds. */
void progress_update_at(struct progress *progress, double fraction, const char *text, double now);
void progress_finish_at(struct progress *progress, const char *text, double now);

#endif
