#include "client/simulator/plot.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Okabe and Ito's palette, which people with any kind of colour vision can tell apart; its yellow, too pale for a line
 * on white, is a grey here. */
static const char *const colours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                      "#E69F00", "#56B4E9", "#000000", "#8C8C8C"};
#define COLOURS (sizeof colours / sizeof *colours)

static const char *plot_extension(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot == NULL || strchr(dot, '/') != NULL ? "" : dot + 1;
}

bool plot_check(const char *path, char *text, size_t bytes) {
    char folder[PATH_MAX] = ".";
    const char *extension = plot_extension(path), *slash = strrchr(path, '/');
    if (strcmp(extension, "png") != 0 && strcmp(extension, "svg") != 0) {
        snprintf(text, bytes, "'%s' must end in .png or .svg, which says what picture to draw", path);
        return false;
    }
    if (strlen(path) + 32 > sizeof folder || strchr(path, '\n') != NULL) {
        snprintf(text, bytes, "the picture's name is too long or has a newline in it");
        return false;
    }
    if (slash != NULL) {
        snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    }
    if (access(folder, W_OK | X_OK) != 0) {
        snprintf(text, bytes, "cannot write into the folder '%s': %s", folder, strerror(errno));
        return false;
    }
    return true;
}

/* As gnuplot quotes: within single quotes nothing is special but the quote, which is doubled. */
static void plot_quoted(FILE *out, const char *text) {
    fputc('\'', out);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        fputs(c == '\'' ? "'" : "", out);
        fputc(c < 0x20 || c == 0x7f ? '?' : c, out);
    }
    fputc('\'', out);
}

static void plot_settings(FILE *out, const char *path, const char *file, const char *title) {
    if (strcmp(plot_extension(path), "png") == 0) {
        fputs("set terminal pngcairo size 1200,760 font 'sans,13' noenhanced background rgb 'white'\n", out);
    } else {
        fputs("set terminal svg size 1200,760 font 'sans,15' noenhanced background rgb 'white'\n", out);
    }
    fputs("set output ", out);
    plot_quoted(out, file);
    fputs("\nset title ", out);
    plot_quoted(out, title);
    fputs("\nset xlabel 'step (batches applied, all workers together)'\n"
          "set ylabel 'training loss (mean cross-entropy in nats, smoothed)'\n"
          "set logscale y\nset format y '%g'\nset xrange [0:*]\n"
          "set grid xtics ytics lt 1 lw 1 dt 1 lc rgb '#D8D8D8'\n"
          "set border 3\nset tics nomirror\n"
          "set key top right reverse Left samplen 3 width 2\n",
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

static bool plot_script(FILE *out, const char *path, const char *file, const char *title, const struct plot_line *lines,
                        size_t count) {
    plot_settings(out, path, file, title);
    for (size_t i = 0; i < count; i++) {
        if (!plot_data(out, i, lines[i].curve)) {
            return false;
        }
    }
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "%s $line%zu using 1:2 with lines lw 2.2 lc rgb '%s' dt %zu title ", i == 0 ? "plot" : ",", i,
                colours[i % COLOURS], 1 + i / COLOURS);
        plot_quoted(out, lines[i].label);
    }
    fputs("\n", out);
    return ferror(out) == 0;
}

/* Starts gnuplot with the reading end of a pipe as its standard input; *input becomes the writing end. */
static bool gnuplot_start(pid_t *process, FILE **input, char *text, size_t bytes) {
    bool started = false;
    char *arguments[] = {(char[]){"gnuplot"}, NULL};
    int ends[2] = {-1, -1};
    posix_spawn_file_actions_t actions;
    if (pipe(ends) != 0 || fcntl(ends[1], F_SETFD, FD_CLOEXEC) != 0 || posix_spawn_file_actions_init(&actions) != 0) {
        snprintf(text, bytes, "cannot make a pipe to gnuplot: %s", strerror(errno));
        goto out;
    }
    int error = posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
    error = error == 0 ? posix_spawn_file_actions_addclose(&actions, ends[0]) : error;
    error = error == 0 ? posix_spawnp(process, "gnuplot", &actions, NULL, arguments, environ) : error;
    posix_spawn_file_actions_destroy(&actions);
    if (error == ENOENT) {
        snprintf(text, bytes, "gnuplot is not installed: apt-get install gnuplot-nox");
        goto out;
    }
    if (error != 0) {
        snprintf(text, bytes, "cannot start gnuplot: %s", strerror(error));
        goto out;
    }
    started = true;
    *input = fdopen(ends[1], "w");
    ends[1] = *input == NULL ? ends[1] : -1;
out:
    for (size_t i = 0; i < 2; i++) {
        if (ends[i] >= 0) {
            close(ends[i]);
        }
    }
    return started;
}

/* True when it ended by itself with exit code 0. */
static bool gnuplot_wait(pid_t process) {
    int status = 0;
    pid_t got = 0;
    do {
        got = waitpid(process, &status, 0);
    } while (got < 0 && errno == EINTR);
    return got == process && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool plot_draw(const char *path, const char *title, const struct plot_line *lines, size_t count, char *text,
               size_t bytes) {
    char file[PATH_MAX];
    pid_t process = 0;
    FILE *input = NULL;
    assert(count >= 1 && count <= PLOT_LINES);
    if (!plot_check(path, text, bytes) || !gnuplot_start(&process, &input, text, bytes)) {
        return false;
    }
    /* Beside the picture, under a name of its own until it is whole. */
    snprintf(file, sizeof file, "%s.%d.tmp", path, (int)getpid());
    bool written = input != NULL && plot_script(input, path, file, title, lines, count);
    written = input != NULL && fclose(input) == 0 && written;
    bool drawn = gnuplot_wait(process) && written;
    if (!drawn || rename(file, path) != 0) {
        snprintf(text, bytes, "gnuplot could not draw '%s'", path);
        unlink(file);
        return false;
    }
    return true;
}
