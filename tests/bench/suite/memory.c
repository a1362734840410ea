#include "tests/bench/suite/memory.h"

#include "tests/bench/measure.h"
#include "tests/bench/suite/subject.h"

#define PUSHES 2
#define ARRAYS 3 /* weights, exp_avg, exp_avg_sq */

void memory_repeat(const struct plan *plan, struct figures *figures) {
    double times[PUSHES][RUNNER_FIGURES];
    struct served *server = subject_server(plan, SERVED_PLAINTEXT, 1, 0, 0);
    /* A client of another kind comes and goes first: then the server is up, and has what every server has. */
    canyon_close(served_connect(server, 0));
    const uint64_t before = served_memory_kib(server, "VmRSS");
    struct runner *worker = subject_worker(plan, server, SERVED_PLAINTEXT, plan->memory_bytes, 0, 0);
    runner_rounds(worker, PUSHES, times);
    const double growth = 1024 * ((double)served_memory_kib(server, "VmRSS") - (double)before);
    runner_stop(worker);
    served_stop(server);
    figures_add(figures, "memory.dense_overhead", growth / ((double)plan->memory_bytes * ARRAYS));
    figures_add(figures, "memory.dense_growth_mib", growth / (1 << 20));
}
