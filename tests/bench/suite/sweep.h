/* Throughput of a push_pull against the tensor's size and the number of threads, beside the roofline's. */
#ifndef TESTS_BENCH_SUITE_SWEEP_H
#define TESTS_BENCH_SUITE_SWEEP_H

#include "tests/bench/suite/figures.h"
#include "tests/bench/suite/plan.h"

/* Measures every size with every number of threads, repeats in turns, and adds to the figures
 * threads_T.size_BYTES_gbps and threads_T.size_BYTES_roofline_gbps, the gradient's bytes over the roofline's time.
 * `plot`: a picture's file, NULL for none. *limits (owned) becomes what the limit programs of the largest size chose.
 */
void sweep_run(const struct plan *plan, const char *plot, struct figures *figures, json_t **limits);

#endif
