/* canyon-sim as tests run it: started, fed, waited for, its output caught, its processes counted. */
#ifndef TESTS_SIMULATOR_PROGRAM_H
#define TESTS_SIMULATOR_PROGRAM_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#define PROGRAM_PATH      CANYON_BINARY_DIR "/bin/canyon-sim"
#define PROGRAM_WORDS     32
#define PROGRAM_PROCESSES 64

extern char **environ;

struct program {
    pid_t process;
    FILE *out, *err;   /* temporary files that it writes to */
    char *said, *told; /* standard output and standard error, after program_wait */
    int code;          /* exit code, or 128 + the signal */
};

static inline void program_pause(void) {
    const struct timespec pause = {.tv_nsec = 10000000};
    nanosleep(&pause, NULL);
}

/* Starts canyon-sim with `words` (NULL-terminated, without the program's name). `input` is its standard input, from its
 * beginning; NULL for none. */
static inline void program_start(struct program *program, FILE *input, const char *const *words) {
    char *argv[PROGRAM_WORDS + 2] = {strdup(PROGRAM_PATH)};
    size_t count = 1;
    posix_spawn_file_actions_t actions;
    for (; words[count - 1] != NULL && count <= PROGRAM_WORDS; count++) {
        argv[count] = strdup(words[count - 1]);
    }
    memset(program, 0, sizeof *program);
    program->out = tmpfile();
    program->err = tmpfile();
    assert_true(program->out != NULL && program->err != NULL);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    if (input != NULL) {
        rewind(input);
        assert_int_equal(posix_spawn_file_actions_adddup2(&actions, fileno(input), 0), 0);
    } else {
        assert_int_equal(posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0), 0);
    }
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, fileno(program->out), 1), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, fileno(program->err), 2), 0);
    assert_int_equal(posix_spawn(&program->process, PROGRAM_PATH, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    for (size_t i = 0; i < count; i++) {
        free(argv[i]);
    }
}

static inline char *program_text(FILE *file) {
    long bytes = 0;
    assert_true(fseek(file, 0, SEEK_END) == 0 && (bytes = ftell(file)) >= 0);
    char *text = calloc((size_t)bytes + 1, 1);
    assert_non_null(text);
    rewind(file);
    assert_int_equal(fread(text, 1, (size_t)bytes, file), bytes);
    return text;
}

/* Waits at most `seconds`, after which it is killed and the test fails. */
static inline void program_wait(struct program *program, unsigned seconds) {
    int status = 0;
    pid_t got = 0;
    for (unsigned turns = 0; got == 0 && turns < seconds * 100; turns++) {
        got = waitpid(program->process, &status, WNOHANG);
        if (got == 0) {
            program_pause();
        }
    }
    if (got == 0) {
        kill(program->process, SIGKILL);
        waitpid(program->process, NULL, 0);
    }
    program->said = program_text(program->out);
    program->told = program_text(program->err);
    if (got != program->process) {
        fail_msg("canyon-sim did not end within %u s; it said:\n%s%s", seconds, program->said, program->told);
    }
    program->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline void program_finish(struct program *program) {
    fclose(program->out);
    fclose(program->err);
    free(program->said);
    free(program->told);
}

/* Start, wait, and the exit code that is expected. program_finish afterwards. */
static inline void program_run(struct program *program, FILE *input, int code, const char *const *words) {
    program_start(program, input, words);
    program_wait(program, 100);
    if (program->code != code) {
        fail_msg("exit code %d where %d is expected; it said:\n%s%s", program->code, code, program->said,
                 program->told);
    }
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Fails the test unless `text` has `part` in it. */
static inline void expect_part(const char *text, const char *part) {
    if (strstr(text, part) == NULL) {
        fail_msg("'%s' is not in:\n%s", part, text);
    }
}

/* Processes whose parent is `parent` and whose name is `name` (NULL: any); zombies do not count. */
static inline size_t program_children(pid_t parent, const char *name, pid_t children[PROGRAM_PROCESSES]) {
    size_t count = 0;
    struct dirent *entry = NULL;
    DIR *folder = opendir("/proc");
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL && count < PROGRAM_PROCESSES) {
        char path[64], comm[64] = "", state = 'Z';
        int process = atoi(entry->d_name), ppid = 0;
        FILE *file = NULL;
        if (process > 0) {
            snprintf(path, sizeof path, "/proc/%d/stat", process);
            file = fopen(path, "r");
        }
        if (file != NULL) {
            bool read = fscanf(file, "%*d (%63[^)]) %c %d", comm, &state, &ppid) == 3;
            fclose(file);
            if (read && ppid == parent && state != 'Z' && (name == NULL || strcmp(comm, name) == 0)) {
                children[count++] = process;
            }
        }
    }
    closedir(folder);
    return count;
}

/* Waits until there are at least `wanted` such children. */
static inline size_t program_wait_children(pid_t parent, const char *name, size_t wanted,
                                           pid_t children[PROGRAM_PROCESSES]) {
    size_t count = 0;
    for (unsigned turns = 0; turns < 3000; turns++) {
        count = program_children(parent, name, children);
        if (count >= wanted) {
            return count;
        }
        program_pause();
    }
    fail_msg("%zu processes where %zu are expected", count, wanted);
    return 0;
}

/* True when the process is not there any more, or only waits to be reaped by someone else. */
static inline bool program_gone(pid_t process) {
    char path[64], state = 'Z';
    snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return true;
    }
    bool read = fscanf(file, "%*d (%*[^)]) %c", &state) == 1;
    fclose(file);
    return !read || state == 'Z';
}

/* Waits at most ten seconds until all of them are gone. */
static inline void program_expect_gone(const pid_t *processes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        for (unsigned turns = 0; !program_gone(processes[i]); turns++) {
            if (turns == 1000) {
                fail_msg("process %d was left behind", (int)processes[i]);
            }
            program_pause();
        }
    }
}

#endif
