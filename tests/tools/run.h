/* Runs a program to its end and keeps what it printed, for tests of programs. Include after cmocka.h. */
#ifndef CANYON_TESTS_TOOLS_RUN_H
#define CANYON_TESTS_TOOLS_RUN_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUN_BYTES 65536

struct run {
    int code; /* exit code, or 128 + signal */
    char out[RUN_BYTES], err[RUN_BYTES];
};

static inline void run_read(FILE *file, char *text) {
    rewind(file);
    text[fread(text, 1, RUN_BYTES - 1, file)] = '\0';
    fclose(file);
}

/* argv is NULL-terminated and begins with the program's path. `input` becomes standard input (-1: empty). */
static inline void run_program(struct run *run, char *const *argv, int input) {
    FILE *out = tmpfile(), *err = tmpfile();
    int outcome = 0;
    assert_non_null(out);
    assert_non_null(err);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int from = input >= 0 ? input : open("/dev/null", O_RDONLY);
        if (dup2(from, 0) == 0 && dup2(fileno(out), 1) == 1 && dup2(fileno(err), 2) == 2) {
            execv(argv[0], argv);
        }
        _exit(126);
    }
    while (waitpid(child, &outcome, 0) < 0) {
        assert_int_equal(errno, EINTR);
    }
    run->code = WIFEXITED(outcome) ? WEXITSTATUS(outcome) : 128 + WTERMSIG(outcome);
    run_read(out, run->out);
    run_read(err, run->err);
}

#endif
