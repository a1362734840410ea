#define _GNU_SOURCE
#include "tests/bench/suite/runner.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/measure.h"
#include "tests/bench/suite/figures.h"

#define MOST_WORDS 40
#define LINE_BYTES 256

struct runner {
    char name[64], ready[LINE_BYTES];
    pid_t pid;
    FILE *orders, *answers;
};

static void beside(const char *name, char *path, size_t bytes) {
    char self[256];
    if (strchr(name, '/') != NULL) {
        snprintf(path, bytes, "%s", name);
        return;
    }
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    bench_must(length > 0, "/proc/self/exe");
    self[length] = '\0';
    *strrchr(self, '/') = '\0';
    snprintf(path, bytes, "%s/%s", self, name);
}

static void become(int orders, int answers, char **arguments) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(orders, STDIN_FILENO);
    dup2(answers, STDOUT_FILENO);
    execv(arguments[0], arguments);
    _exit(127);
}

static void hear(struct runner *runner, char line[LINE_BYTES]) {
    if (fgets(line, LINE_BYTES, runner->answers) == NULL)
        bench_fail("%s ended too early", runner->name);
    line[strcspn(line, "\n")] = '\0';
}

struct runner *runner_launch(const char *name, const char *const *words) {
    int orders[2], answers[2];
    char path[320];
    char *arguments[MOST_WORDS] = {path};
    struct runner *runner = calloc(1, sizeof *runner);
    bench_must(runner != NULL && pipe2(orders, O_CLOEXEC) == 0 && pipe2(answers, O_CLOEXEC) == 0, "a pipe");
    beside(name, path, sizeof path);
    for (size_t i = 0; words[i] != NULL && i + 2 < MOST_WORDS; i++)
        arguments[i + 1] = (char *)(uintptr_t)words[i];
    snprintf(runner->name, sizeof runner->name, "%s", name);
    fflush(stdout);
    runner->pid = fork();
    bench_must(runner->pid >= 0, "fork");
    if (runner->pid == 0)
        become(orders[0], answers[1], arguments);
    close(orders[0]);
    close(answers[1]);
    runner->orders = fdopen(orders[1], "w");
    runner->answers = fdopen(answers[0], "r");
    bench_must(runner->orders != NULL && runner->answers != NULL, "a pipe");
    return runner;
}

void runner_await(struct runner *runner) {
    char line[LINE_BYTES];
    hear(runner, line);
    if (strncmp(line, "ready ", 6) != 0)
        bench_fail("%s says '%s' instead of being ready", runner->name, line);
    snprintf(runner->ready, sizeof runner->ready, "%s", line + 6);
}

struct runner *runner_start(const char *name, const char *const *words) {
    struct runner *runner = runner_launch(name, words);
    runner_await(runner);
    return runner;
}

const char *runner_ready(const struct runner *runner) {
    return runner->ready;
}

void runner_rounds(struct runner *runner, size_t rounds, double figures[][RUNNER_FIGURES]) {
    bench_must(fprintf(runner->orders, "%zu\n", rounds) > 0 && fflush(runner->orders) == 0, runner->name);
    for (size_t r = 0; r < rounds; r++) {
        char line[LINE_BYTES], *at = line;
        hear(runner, line);
        for (size_t i = 0; i < RUNNER_FIGURES; i++) {
            char *end = at;
            figures[r][i] = strtod(at, &end);
            if (end == at)
                bench_fail("%s says '%s' instead of %d figures", runner->name, line, RUNNER_FIGURES);
            at = end;
        }
    }
}

double runner_median(double figures[][RUNNER_FIGURES], size_t rounds, size_t figure) {
    double values[RUNNER_ROUNDS];
    for (size_t r = 0; r < rounds; r++)
        values[r] = figures[r][figure];
    return 1e-9 * figures_median(values, rounds);
}

double runner_mean(double figures[][RUNNER_FIGURES], size_t rounds, size_t figure) {
    double sum = 0;
    for (size_t r = 0; r < rounds; r++)
        sum += figures[r][figure];
    return 1e-9 * sum / (double)rounds;
}

void runner_stop(struct runner *runner) {
    int status = 0;
    if (runner == NULL)
        return;
    fclose(runner->orders);
    bench_must(waitpid(runner->pid, &status, 0) == runner->pid, "waitpid");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        bench_fail("%s did not end as it should (status %d)", runner->name, status);
    fclose(runner->answers);
    free(runner);
}

/* ---- processors ---- */

static const cpu_set_t *at_first(void) {
    static cpu_set_t set;
    static int known;
    if (!known)
        bench_must(sched_getaffinity(0, sizeof set, &set) == 0, "sched_getaffinity");
    known = 1;
    return &set;
}

void runner_place(int first, unsigned count) {
    cpu_set_t set = *at_first();
    if (count > 0)
        CPU_ZERO(&set);
    for (unsigned i = 0; i < count; i++)
        CPU_SET((size_t)first + i, &set);
    bench_must(sched_setaffinity(0, sizeof set, &set) == 0, "sched_setaffinity");
}

int runner_first_processor(void) {
    int processor = 0;
    while (processor < CPU_SETSIZE - 1 && !CPU_ISSET((size_t)processor, at_first()))
        processor++;
    return processor;
}

unsigned runner_processors(void) {
    return (unsigned)CPU_COUNT(at_first());
}
