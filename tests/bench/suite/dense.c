#include "tests/bench/suite/dense.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/measure.h"
#include "tests/bench/suite/subject.h"

struct dense {
    const struct plan *plan;
    const char *name;
    bool encrypted;
    struct runner *echo, *adam, *aead, *aead_one_side; /* the limits' */
    struct subject subject;
};

/* Seconds of a round. */
struct cost {
    double time, processor; /* the second of the server's, or of a limit that stands for it */
};

struct dense *dense_create(const struct plan *plan, struct limits *limits, const char *name, unsigned threads,
                           bool encrypted) {
    struct dense *dense = calloc(1, sizeof *dense);
    bench_must(dense != NULL, "memory");
    *dense = (struct dense){.plan = plan, .name = name, .encrypted = encrypted};
    dense->echo = limits_echo(limits, threads);
    dense->adam = limits_adam(limits, threads);
    dense->aead = encrypted ? limits_aead(limits, threads) : NULL;
    dense->aead_one_side = encrypted ? limits_aead_one_side(limits, threads) : NULL;
    dense->subject = subject_open(plan, encrypted ? plan->cipher : SERVED_PLAINTEXT, threads, plan->bytes, 0, 0);
    return dense;
}

void dense_destroy(struct dense *dense) {
    if (dense == NULL)
        return;
    subject_close(&dense->subject);
    free(dense);
}

/* Encrypted ones take several times as long. */
static size_t rounds_of(const struct dense *dense) {
    return dense->encrypted ? (dense->plan->rounds + 1) / 2 : dense->plan->rounds;
}

/* The first round warms up what the others of the run left cold, and is not counted. */
static struct cost limit_cost(struct runner *runner, size_t rounds) {
    double figures[RUNNER_ROUNDS][RUNNER_FIGURES];
    if (runner == NULL)
        return (struct cost){0, 0};
    runner_rounds(runner, rounds + 1, figures);
    return (struct cost){runner_median(figures + 1, rounds, 0), runner_mean(figures + 1, rounds, 1)};
}

static struct cost canyon_cost(const struct dense *dense) {
    const size_t rounds = rounds_of(dense);
    double figures[RUNNER_ROUNDS][RUNNER_FIGURES];
    runner_rounds(dense->subject.worker, 1, figures);
    const double before = served_cpu(dense->subject.server);
    runner_rounds(dense->subject.worker, rounds, figures);
    const double used = served_cpu(dense->subject.server) - before;
    return (struct cost){runner_median(figures, rounds, 0), used / (double)rounds};
}

static void add(struct figures *figures, const struct dense *dense, const char *name, double value) {
    char key[64];
    snprintf(key, sizeof key, "%s.%s", dense->name, name);
    figures_add(figures, key, value);
}

void dense_repeat(struct dense *dense, struct figures *figures) {
    const size_t rounds = rounds_of(dense);
    const struct cost echo = limit_cost(dense->echo, rounds), adam = limit_cost(dense->adam, rounds);
    const struct cost aead = limit_cost(dense->aead, rounds), one_side = limit_cost(dense->aead_one_side, 1);
    const struct cost canyon = canyon_cost(dense);
    const double gb = 1e-9 * (double)dense->plan->bytes;
    const double server = echo.processor + adam.processor + aead.processor / 2; /* the other half is the client's */
    add(figures, dense, "gbps", gb / canyon.time);
    add(figures, dense, "roofline_ratio", (echo.time + adam.time + aead.time) / canyon.time);
    if (dense->encrypted)
        add(figures, dense, "roofline_ratio_aead_one_side", (echo.time + adam.time + one_side.time) / canyon.time);
    add(figures, dense, "server_cpu_s_per_gb", canyon.processor / gb);
    add(figures, dense, "server_cpu_ratio", canyon.processor / server);
    add(figures, dense, "push_pull_ms", 1e3 * canyon.time);
    add(figures, dense, "echo_ms", 1e3 * echo.time);
    add(figures, dense, "adam_ms", 1e3 * adam.time);
    if (dense->encrypted)
        add(figures, dense, "aead_ms", 1e3 * aead.time);
}

static double roofline(const struct figures *figures, const char *echo, const char *adam) {
    return figures_last(figures, echo) + figures_last(figures, adam);
}

void dense_gain(struct figures *figures) {
    const double one = figures_last(figures, "dense_1.push_pull_ms"),
                 two = figures_last(figures, "dense_2.push_pull_ms");
    const double limit_one = roofline(figures, "dense_1.echo_ms", "dense_1.adam_ms");
    const double limit_two = roofline(figures, "dense_2.echo_ms", "dense_2.adam_ms");
    if (one > 0 && two > 0)
        figures_add(figures, "dense.gain_ratio", one / two / (limit_one / limit_two));
}
