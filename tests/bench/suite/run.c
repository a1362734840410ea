#include "tests/bench/suite/run.h"

#include <stdio.h>

#include "client/tools/progress.h"
#include "tests/bench/measure.h"
#include "tests/bench/suite/dense.h"
#include "tests/bench/suite/iperf.h"
#include "tests/bench/suite/latency.h"
#include "tests/bench/suite/limits.h"
#include "tests/bench/suite/machine.h"
#include "tests/bench/suite/memory.h"
#include "tests/bench/suite/peer.h"
#include "tests/bench/suite/redis.h"
#include "tests/bench/suite/sparse.h"

/* In the order of a repeat: what is compared with one another stands together. */
static const enum part order[PARTS] = {PART_DENSE_1,  PART_IPERF,    PART_PEERS,    PART_DENSE_2,
                                       PART_SECURE_1, PART_SECURE_2, PART_LATENCY,  PART_MEMORY,
                                       PART_SPARSE_1, PART_REDIS,    PART_SPARSE_2, PART_SPARSE_GROWTH};

#define SPARSES 2 /* PART_SPARSE_1 and the next */

/* What is ready to be measured; NULL where it is not. */
struct run {
    const struct plan *plan;
    struct limits *limits;
    struct dense *denses[PARTS_DENSE];
    struct latency *latency;
    struct iperf *iperf;
    struct peer *peer;
    struct sparse *sparses[SPARSES];
    struct growth *growth;
    struct redis *redis;
    struct progress progress;
};

/* Tables are made by all programs at once, before anything is measured. */
static void open_sparses(struct run *run, struct report_skips *skips) {
    const struct plan *plan = run->plan;
    const uint64_t wanted = (uint64_t)plan->parts[PART_SPARSE_1] + plan->parts[PART_SPARSE_2];
    const uint64_t growing = plan->parts[PART_SPARSE_GROWTH] ? growth_bytes(plan) : 0;
    const uint64_t room = machine_available() / 5 * 4;
    const bool fits = room >= wanted * sparse_bytes(plan) + growing;
    progress_update(&run->progress, 0, "making rows of tables");
    for (size_t i = 0; i < SPARSES; i++) {
        const enum part part = PART_SPARSE_1 + (enum part)i;
        if (plan->parts[part] && fits)
            run->sparses[i] = sparse_create(plan, parts_name(part), parts_threads(part));
        else if (plan->parts[part])
            report_skip(skips, parts_name(part), "too little memory for its tables: give fewer --rows");
    }
    for (size_t i = 0; i < SPARSES; i++) {
        if (run->sparses[i] != NULL)
            sparse_wait(run->sparses[i]);
    }
    if (plan->parts[PART_SPARSE_GROWTH] && room >= growing)
        run->growth = growth_create(plan);
    else if (plan->parts[PART_SPARSE_GROWTH])
        report_skip(skips, parts_name(PART_SPARSE_GROWTH), "too little memory for its table: give fewer --rows");
}

static void open_peers(struct run *run, struct report_skips *skips) {
    const struct plan *plan = run->plan;
    const char *why = NULL;
    if (plan->parts[PART_PEERS] && (run->peer = peer_create(plan)) == NULL)
        report_skip(skips, "peer_torch_rpc", "PyTorch is not installed (Debian: python3-torch)");
    if (plan->parts[PART_REDIS] && (run->redis = redis_create(plan, &why)) == NULL)
        report_skip(skips, "peer_redis", why);
}

static void open_parts(struct run *run, struct report_skips *skips) {
    const struct plan *plan = run->plan;
    run->limits = limits_create(plan);
    for (enum part part = 0; part < PARTS_DENSE; part++) {
        progress_update(&run->progress, 0, "trying how the limit programs are fastest here");
        if (plan->parts[part])
            run->denses[part] =
                dense_create(plan, run->limits, parts_name(part), parts_threads(part), parts_encrypted(part));
    }
    run->latency = plan->parts[PART_LATENCY] ? latency_create(plan) : NULL;
    if (plan->parts[PART_IPERF] && (run->iperf = iperf_create(plan)) == NULL)
        report_skip(skips, "iperf3", "not installed (Debian: iperf3), so nothing checks the echo");
    open_sparses(run, skips);
    open_peers(run, skips);
}

static void close_parts(struct run *run) {
    for (enum part part = 0; part < PARTS_DENSE; part++)
        dense_destroy(run->denses[part]);
    latency_destroy(run->latency);
    iperf_destroy(run->iperf);
    peer_destroy(run->peer);
    for (size_t i = 0; i < SPARSES; i++)
        sparse_destroy(run->sparses[i]);
    growth_destroy(run->growth);
    redis_destroy(run->redis);
    limits_destroy(run->limits);
}

static void measure_part(struct run *run, enum part part, struct figures *figures) {
    if (part < PARTS_DENSE)
        dense_repeat(run->denses[part], figures);
    else if (part == PART_LATENCY)
        latency_repeat(run->latency, figures);
    else if (part == PART_MEMORY)
        memory_repeat(run->plan, figures);
    else if (part == PART_IPERF && run->iperf != NULL)
        iperf_repeat(run->iperf, figures);
    else if (part == PART_PEERS && run->peer != NULL)
        peer_repeat(run->peer, figures);
    else if (part == PART_REDIS && run->redis != NULL)
        redis_repeat(run->redis, figures);
    else if (part == PART_SPARSE_GROWTH && run->growth != NULL)
        growth_repeat(run->growth, figures);
    else if (part >= PART_SPARSE_1 && part < PART_SPARSE_1 + SPARSES && run->sparses[part - PART_SPARSE_1] != NULL)
        sparse_repeat(run->sparses[part - PART_SPARSE_1], figures);
}

static void repeat_all(struct run *run, uint64_t repeat, struct figures *figures) {
    for (size_t i = 0; i < PARTS; i++) {
        const enum part part = order[i];
        char text[96];
        if (!run->plan->parts[part])
            continue;
        snprintf(text, sizeof text, "repeat %llu of %llu: %s", (unsigned long long)repeat + 1,
                 (unsigned long long)run->plan->repeats, parts_name(part));
        progress_update(&run->progress, ((double)repeat + (double)i / PARTS) / (double)run->plan->repeats, text);
        measure_part(run, part, figures);
    }
    if (run->plan->parts[PART_DENSE_1] && run->plan->parts[PART_DENSE_2])
        dense_gain(figures);
}

/* Whether another repeat shall begin: the first one does, others where there is time for one that takes as long as the
 * last. Where time is too short for the least number of them, there are fewer rounds in each from now on: a machine
 * with other work is slow, and more patience would not make its figures better. */
static bool go_on(struct plan *plan, uint64_t done, double so_far, double one) {
    if (done > 0 && done < PLAN_REPEATS_LEAST && plan->rounds > 1 &&
        so_far + one * (double)(PLAN_REPEATS_LEAST - done) > plan->seconds)
        plan->rounds = (plan->rounds + 1) / 2;
    return done == 0 || so_far + one <= plan->seconds;
}

void run_parts(struct plan *plan, struct figures *figures, struct report_skips *skips, json_t **limits) {
    struct run run = {.plan = plan};
    const double begin = measure_now();
    double last = 0;
    progress_init(&run.progress, stderr);
    open_parts(&run, skips);
    for (uint64_t repeat = 0; repeat < plan->repeats; repeat++) {
        const double now = measure_now();
        if (!go_on(plan, repeat, now - begin, last))
            break;
        repeat_all(&run, repeat, figures);
        last = measure_now() - now;
    }
    progress_finish(&run.progress, "measured");
    *limits = json_object();
    bench_must(*limits != NULL, "memory");
    limits_json(run.limits, *limits);
    for (size_t i = 0; i < SPARSES; i++) {
        if (run.sparses[i] != NULL)
            sparse_json(run.sparses[i], *limits);
    }
    close_parts(&run);
}
