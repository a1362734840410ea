#include "tests/bench/suite/latency.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/measure.h"
#include "tests/bench/suite/subject.h"

#define ELEMENTS 16

enum way { UNPINNED, ONE_CORE, SPIN, WAYS };

static const struct {
    const char *ratio, *p50, *p99, *limit;
} keys[WAYS] = {
    {"latency.ratio_unpinned", "latency.p50_us", "latency.p99_us", "latency.pingpong_us"},
    {"latency.ratio_one_core", "latency.one_core_p50_us", "latency.one_core_p99_us", "latency.one_core_pingpong_us"},
    {"latency.ratio_spin", "latency.spin_p50_us", "latency.spin_p99_us", "latency.spin_pingpong_us"},
};

struct latency {
    struct subject subjects[WAYS];
    struct runner *pingpongs[WAYS];
};

static struct runner *start_pingpong(const struct plan *plan, const char *frames, unsigned spin_us) {
    char request[24], reply[24], batch[24], spin[16];
    const char *words[] = {"--request", request,        "--reply",        reply, "--batch", batch, "--spin",
                           spin,        "--congestion", plan->congestion, NULL};
    uint64_t request_bytes = 0, reply_bytes = 0;
    if (sscanf(frames, "%" SCNu64 " %" SCNu64, &request_bytes, &reply_bytes) != 2)
        bench_fail("the worker says '%s' instead of the sizes of its frames", frames);
    snprintf(request, sizeof request, "%" PRIu64, request_bytes);
    snprintf(reply, sizeof reply, "%" PRIu64, reply_bytes);
    snprintf(batch, sizeof batch, "%" PRIu64, plan->batch);
    snprintf(spin, sizeof spin, "%u", spin_us);
    return runner_start("limit_pingpong", words);
}

struct latency *latency_create(const struct plan *plan) {
    struct latency *latency = calloc(1, sizeof *latency);
    bench_must(latency != NULL, "memory");
    for (enum way way = 0; way < WAYS; way++) {
        const unsigned spin_us = way == SPIN ? PLAN_SPIN_US : 0;
        runner_place(runner_first_processor(), way == ONE_CORE ? 1 : 0); /* what is started inherits it */
        latency->subjects[way] =
            subject_open(plan, SERVED_PLAINTEXT, 1, ELEMENTS * sizeof(float), plan->batch, spin_us);
        latency->pingpongs[way] = start_pingpong(plan, runner_ready(latency->subjects[way].worker), spin_us);
        runner_place(0, 0);
    }
    return latency;
}

void latency_destroy(struct latency *latency) {
    if (latency == NULL)
        return;
    for (enum way way = 0; way < WAYS; way++) {
        subject_close(&latency->subjects[way]);
        runner_stop(latency->pingpongs[way]);
    }
    free(latency);
}

void latency_repeat(struct latency *latency, struct figures *figures) {
    for (enum way way = 0; way < WAYS; way++) {
        double limit[1][RUNNER_FIGURES], canyon[1][RUNNER_FIGURES];
        runner_rounds(latency->pingpongs[way], 1, limit);
        runner_rounds(latency->subjects[way].worker, 1, canyon);
        figures_add(figures, keys[way].p50, 1e-3 * canyon[0][0]);
        figures_add(figures, keys[way].p99, 1e-3 * canyon[0][1]);
        figures_add(figures, keys[way].limit, 1e-3 * limit[0][0]);
        figures_add(figures, keys[way].ratio, canyon[0][0] / limit[0][0]);
    }
}
