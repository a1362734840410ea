#include "client/simulator/gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Okabe and Ito's palette, which people with any kind of colour vision can tell apart; its yellow, too pale for a line
 * on white, is a grey here. */
static const char *const colours[GNUPLOT_COLOURS] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                                     "#E69F00", "#56B4E9", "#000000", "#8C8C8C"};

const char *gnuplot_colour(size_t line) {
    return colours[line % GNUPLOT_COLOURS];
}

const char *gnuplot_dash(size_t line) {
    static const char *const dashes[] = {"1",           "(12,4)",         "(3,3)", "(12,3,3,3)",
                                         "(12,3,12,8)", "(20,3,3,3,3,3)", "(6,6)", "(3,8)"};
    return dashes[line / GNUPLOT_COLOURS % (sizeof dashes / sizeof *dashes)];
}

static const char *gnuplot_extension(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot == NULL || strchr(dot, '/') != NULL ? "" : dot + 1;
}

bool gnuplot_check(const char *path, char *text, size_t bytes) {
    char folder[PATH_MAX] = ".";
    const char *extension = gnuplot_extension(path), *slash = strrchr(path, '/');
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

/* Within single quotes nothing is special but the quote, which is doubled. */
void gnuplot_quoted(FILE *out, const char *text) {
    fputc('\'', out);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        fputs(c == '\'' ? "'" : "", out);
        fputc(c < 0x20 || c == 0x7f ? '?' : c, out);
    }
    fputc('\'', out);
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

static void gnuplot_terminal(FILE *out, const char *path, const char *file, unsigned width, unsigned height) {
    bool png = strcmp(gnuplot_extension(path), "png") == 0;
    fprintf(out, "set terminal %s size %u,%u font 'sans,%d' noenhanced background rgb 'white'\nset output ",
            png ? "pngcairo" : "svg", width, height, png ? 13 : 15);
    gnuplot_quoted(out, file);
    fputc('\n', out);
}

bool gnuplot_draw(const char *path, unsigned width, unsigned height, gnuplot_script script, const void *context,
                  char *text, size_t bytes) {
    char file[PATH_MAX];
    pid_t process = 0;
    FILE *input = NULL;
    if (!gnuplot_check(path, text, bytes) || !gnuplot_start(&process, &input, text, bytes)) {
        return false;
    }
    /* Beside the picture, under a name of its own until it is whole. */
    snprintf(file, sizeof file, "%s.%d.tmp", path, (int)getpid());
    bool written = input != NULL;
    if (written) {
        gnuplot_terminal(input, path, file, width, height);
        written = script(input, context) && ferror(input) == 0;
        written = fclose(input) == 0 && written;
    }
    bool drawn = gnuplot_wait(process) && written;
    if (!drawn || rename(file, path) != 0) {
        snprintf(text, bytes, "gnuplot could not draw '%s'", path);
        unlink(file);
        return false;
    }
    return true;
}
