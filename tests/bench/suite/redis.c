#include "tests/bench/suite/redis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/measure.h"
#include "tests/bench/suite/runner.h"

#define ROUNDS  1  /* after one that warms up, in the first repeat makes rows too */
#define BATCHES 40 /* it takes many times as long as Canyon */

struct redis {
    struct runner *runner;
    uint64_t rows; /* of a round */
};

struct redis *redis_create(const struct plan *plan, const char **why) {
#ifdef CANYON_BENCH_REDIS
    char rows[24], draws[24], batches[24];
    const char *words[] = {"--rows", rows, "--draws", draws, "--batches", batches, NULL};
    if (system("command -v redis-server >/dev/null 2>&1") != 0) {
        *why = "redis-server is not installed (Debian: redis-server)";
        return NULL;
    }
    struct redis *redis = calloc(1, sizeof *redis);
    bench_must(redis != NULL, "memory");
    snprintf(rows, sizeof rows, "%" PRIu64, plan->rows);
    snprintf(draws, sizeof draws, "%" PRIu64, plan->draws);
    snprintf(batches, sizeof batches, "%" PRIu64, plan->batches < BATCHES ? plan->batches : BATCHES);
    redis->runner = runner_start("canyon-bench-redis", words);
    if (sscanf(runner_ready(redis->runner), "%" SCNu64 " rows", &redis->rows) != 1)
        bench_fail("canyon-bench-redis says '%s'", runner_ready(redis->runner));
    return redis;
#else
    (void)plan;
    *why = "built without hiredis (Debian: libhiredis-dev)";
    return NULL;
#endif
}

void redis_destroy(struct redis *redis) {
    if (redis != NULL)
        runner_stop(redis->runner);
    free(redis);
}

void redis_repeat(struct redis *redis, struct figures *figures) {
    double times[1 + ROUNDS][RUNNER_FIGURES];
    runner_rounds(redis->runner, 1 + ROUNDS, times);
    const double mrows = 1e-6 * (double)redis->rows / runner_median(times + 1, ROUNDS, 0);
    const double canyon = figures_last(figures, "sparse_1.mrows_s");
    figures_add(figures, "peer_redis.mrows_s", mrows);
    if (canyon > 0)
        figures_add(figures, "peer_redis.canyon_is_faster_by", canyon / mrows);
}
