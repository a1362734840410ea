#include "tests/bench/suite/sparse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/measure.h"
#include "tests/bench/suite/subject.h"

#define DIM          16
#define OPTIMIZER    "adam:lr=0.000001"
#define IN_FLIGHT    8                    /* batches of a thread */
#define ARRAYS       3                    /* weights, exp_avg, exp_avg_sq */
#define ROW_BYTES    (ARRAYS * DIM * 4.0) /* of a row's */
#define WARM_ROWS    4096
#define WARM_BATCHES 64
#define SAID         5                 /* numbers that worker and limit are told alike */
#define ROW_BEYOND   (12.8 / 0.88 + 8) /* the formula: an index, 88 of 100 places of it taken; step and clock */

struct sparse {
    const struct plan *plan;
    const char *name;
    unsigned threads;
    struct runner *table, *echo; /* the limits */
    struct served *server;
    struct runner *worker;
    uint64_t before, after; /* KiB of the server's resident memory: without rows, and with all of them */
    bool told;              /* the figures of memory */
    uint64_t rows;          /* of a round */
};

uint64_t sparse_bytes(const struct plan *plan) {
    return 2 * plan->rows * (uint64_t)(ROW_BYTES + ROW_BEYOND + 1) + 2 * plan->rows * 28; /* tables, and drawing */
}

/* What worker and limit have in common: the same rows, and the same batches. Returns how many words that is. */
static size_t say(const struct plan *plan, unsigned threads, const char **words, char texts[SAID][24]) {
    static const char *const names[SAID] = {"--rows", "--dim", "--draws", "--batches", "--threads"};
    const uint64_t numbers[SAID] = {plan->rows, DIM, plan->draws, plan->batches, threads};
    for (size_t i = 0; i < SAID; i++) {
        snprintf(texts[i], 24, "%" PRIu64, numbers[i]);
        words[2 * i] = names[i];
        words[2 * i + 1] = texts[i];
    }
    words[2 * SAID] = "--optimizer";
    words[2 * SAID + 1] = OPTIMIZER;
    return 2 * SAID + 2;
}

static struct runner *launch_worker(const struct plan *plan, const struct served *server, unsigned threads,
                                    const char *name, uint64_t growth) {
    const char *words[32];
    char texts[SAID][24], grown[24], in_flight[24];
    size_t count = say(plan, threads, words, texts);
    snprintf(grown, sizeof grown, "%" PRIu64, growth);
    words[count++] = "--server", words[count++] = served_address(server);
    words[count++] = "--congestion", words[count++] = plan->congestion[0] != '\0' ? plan->congestion : "system";
    snprintf(in_flight, sizeof in_flight, "%d", IN_FLIGHT);
    words[count++] = "--in-flight", words[count++] = in_flight;
    words[count++] = "--growth", words[count++] = grown;
    words[count++] = "--name", words[count++] = name;
    words[count] = NULL;
    return runner_launch("canyon-bench-rows", words);
}

/* The same work on a small table that stays there: then the server has what its threads and connections need whatever
 * the number of rows. */
static void warm_up(const struct plan *plan, const struct served *server, unsigned threads) {
    struct plan few = *plan;
    few.rows = WARM_ROWS;
    few.batches = WARM_BATCHES;
    struct runner *worker = launch_worker(&few, server, threads, "warm", 0);
    runner_await(worker);
    runner_stop(worker);
}

struct sparse *sparse_create(const struct plan *plan, const char *name, unsigned threads) {
    struct sparse *sparse = calloc(1, sizeof *sparse);
    const char *words[20];
    char texts[SAID][24], core[16];
    const int first = subject_first(plan, threads);
    bench_must(sparse != NULL, "memory");
    *sparse = (struct sparse){.plan = plan, .name = name, .threads = threads};
    size_t count = say(plan, threads, words, texts);
    snprintf(core, sizeof core, "%d", first);
    if (first >= 0)
        words[count++] = "--core", words[count++] = core;
    words[count] = NULL;
    sparse->table = runner_launch("limit_table", words);
    sparse->server = subject_server(plan, SERVED_PLAINTEXT, threads, 0, 0);
    warm_up(plan, sparse->server, threads);
    sparse->before = served_memory_kib(sparse->server, "VmRSS");
    if (first >= 0)
        runner_place(first + (int)threads, threads);
    sparse->worker = launch_worker(plan, sparse->server, threads, "rows", 0);
    if (first >= 0)
        runner_place(0, 0);
    return sparse;
}

void sparse_wait(struct sparse *sparse) {
    const struct plan *plan = sparse->plan;
    const int first = subject_first(plan, sparse->threads);
    uint64_t out = 0, in = 0;
    char threads[16], bytes[24], span[24], core[16], behind[16];
    const char *words[16] = {"--threads", threads,        "--bytes",        bytes,    "--span",
                             span,        "--congestion", plan->congestion, "--mode", plan->echo_mode};
    runner_await(sparse->worker);
    sparse->after = served_memory_kib(sparse->server, "VmRSS");
    if (sscanf(runner_ready(sparse->worker), "%" SCNu64 " rows, %" SCNu64 " bytes to servers, %" SCNu64 " bytes from",
               &sparse->rows, &out, &in) != 3)
        bench_fail("the worker says '%s'", runner_ready(sparse->worker));
    runner_await(sparse->table);
    /* The echo has as many bytes each way: the same number altogether. The worker has memory for the batches in flight,
     * which it uses over and over, and so has the echo. */
    snprintf(threads, sizeof threads, "%u", sparse->threads);
    snprintf(bytes, sizeof bytes, "%" PRIu64, (out + in) / 2);
    snprintf(span, sizeof span, "%" PRIu64, (out + in) / 2 / plan->batches * IN_FLIGHT);
    snprintf(core, sizeof core, "%d", first);
    snprintf(behind, sizeof behind, "%d", first + (int)sparse->threads);
    if (first >= 0)
        words[10] = "--server-core", words[11] = core, words[12] = "--client-core", words[13] = behind;
    sparse->echo = runner_start("limit_echo", words);
}

void sparse_destroy(struct sparse *sparse) {
    if (sparse == NULL)
        return;
    runner_stop(sparse->echo);
    runner_stop(sparse->table);
    runner_stop(sparse->worker);
    served_stop(sparse->server);
    free(sparse);
}

/* The first round warms up what the others of the run left cold, and is not counted. */
static double time_of(struct runner *runner, size_t rounds) {
    double figures[RUNNER_ROUNDS][RUNNER_FIGURES];
    runner_rounds(runner, rounds + 1, figures);
    return runner_median(figures + 1, rounds, 0);
}

static void add(struct figures *figures, const struct sparse *sparse, const char *name, double value) {
    char key[64];
    snprintf(key, sizeof key, "%s.%s", sparse->name, name);
    figures_add(figures, key, value);
}

static void tell_memory(struct sparse *sparse, struct figures *figures) {
    const double growth = 1024 * ((double)sparse->after - (double)sparse->before);
    const double row = growth / (double)sparse->plan->rows;
    figures_add(figures, "sparse.bytes_per_row", row - ROW_BYTES);
    figures_add(figures, "sparse.bytes_ratio", row / (ROW_BYTES + ROW_BEYOND));
    sparse->told = true;
}

/* Rounds take several times as long as a tensor's. */
void sparse_repeat(struct sparse *sparse, struct figures *figures) {
    const size_t rounds = (sparse->plan->rounds + 1) / 2;
    double times[RUNNER_ROUNDS][RUNNER_FIGURES];
    const double echo = time_of(sparse->echo, rounds), table = time_of(sparse->table, rounds);
    runner_rounds(sparse->worker, 1, times);
    const double before = served_cpu(sparse->server);
    runner_rounds(sparse->worker, rounds, times);
    const double used = served_cpu(sparse->server) - before, time = runner_median(times, rounds, 0);
    add(figures, sparse, "mrows_s", 1e-6 * (double)sparse->rows / time);
    add(figures, sparse, "roofline_ratio", (echo + table) / time);
    add(figures, sparse, "server_cpu_us_per_row", 1e6 * used / (double)(rounds * sparse->rows));
    add(figures, sparse, "push_pull_ms", 1e3 * time);
    add(figures, sparse, "echo_ms", 1e3 * echo);
    add(figures, sparse, "table_ms", 1e3 * table);
    if (!sparse->told)
        tell_memory(sparse, figures);
}

void sparse_json(const struct sparse *sparse, json_t *object) {
    const char *const names[] = {"echo_rows", "table", "rows"};
    const struct runner *const runners[] = {sparse->echo, sparse->table, sparse->worker};
    for (size_t i = 0; i < 3; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s_%u", names[i], sparse->threads);
        bench_must(json_object_set_new(object, key, json_string(runner_ready(runners[i]))) == 0, "memory");
    }
}

/* ---- growth ---- */

uint64_t growth_bytes(const struct plan *plan) {
    return 2 * plan->growth_rows * (uint64_t)(ROW_BYTES + ROW_BEYOND + 1);
}

struct growth {
    struct served *server;
    struct runner *worker;
};

struct growth *growth_create(const struct plan *plan) {
    struct growth *growth = calloc(1, sizeof *growth);
    struct plan few = *plan;
    bench_must(growth != NULL, "memory");
    few.rows = plan->growth_rows;
    /* In one shard, whose index then is large: what it costs to grow shows in a push. */
    growth->server = subject_server(plan, SERVED_PLAINTEXT, 1, 1, 0);
    growth->worker = launch_worker(&few, growth->server, 1, "rows", plan->growth_rows);
    runner_await(growth->worker);
    return growth;
}

void growth_destroy(struct growth *growth) {
    if (growth == NULL)
        return;
    runner_stop(growth->worker);
    served_stop(growth->server);
    free(growth);
}

void growth_repeat(struct growth *growth, struct figures *figures) {
    double times[1][RUNNER_FIGURES];
    runner_rounds(growth->worker, 1, times);
    figures_add(figures, "sparse.growth_p999_ratio", times[0][1] / times[0][0]);
    figures_add(figures, "sparse.steady_p999_us", 1e-3 * times[0][0]);
    figures_add(figures, "sparse.growing_p999_us", 1e-3 * times[0][1]);
}
