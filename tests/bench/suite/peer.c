#include "tests/bench/suite/peer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/measure.h"
#include "tests/bench/suite/runner.h"

#define PYTHON "/usr/bin/python3"
#define ROUNDS 1 /* after one that warms up */

struct peer {
    const struct plan *plan;
    struct runner *runner;
};

struct peer *peer_create(const struct plan *plan) {
    char bytes[24];
    const char *words[] = {CANYON_SOURCE_DIR "/tests/bench/peer_torch_rpc.py", "--bytes", bytes, NULL};
    if (system(PYTHON " -c 'import torch.distributed.rpc as r; r.init_rpc' >/dev/null 2>&1") != 0)
        return NULL;
    struct peer *peer = calloc(1, sizeof *peer);
    bench_must(peer != NULL, "memory");
    snprintf(bytes, sizeof bytes, "%" PRIu64, plan->bytes);
    *peer = (struct peer){.plan = plan, .runner = runner_start(PYTHON, words)};
    return peer;
}

void peer_destroy(struct peer *peer) {
    if (peer != NULL)
        runner_stop(peer->runner);
    free(peer);
}

void peer_repeat(struct peer *peer, struct figures *figures) {
    double times[1 + ROUNDS][RUNNER_FIGURES];
    runner_rounds(peer->runner, 1 + ROUNDS, times);
    const double seconds = runner_median(times + 1, ROUNDS, 0),
                 canyon_ms = figures_last(figures, "dense_1.push_pull_ms");
    figures_add(figures, "peer_torch_rpc.gbps", 1e-9 * (double)peer->plan->bytes / seconds);
    if (canyon_ms > 0)
        figures_add(figures, "peer_torch_rpc.canyon_is_faster_by", 1e3 * seconds / canyon_ms);
}
