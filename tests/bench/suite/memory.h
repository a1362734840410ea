/* What a server's memory is more than what a tensor's weights and optimizer state need. */
#ifndef TESTS_BENCH_SUITE_MEMORY_H
#define TESTS_BENCH_SUITE_MEMORY_H

#include "tests/bench/suite/figures.h"
#include "tests/bench/suite/plan.h"

/* Starts a server, lets a worker create a large tensor (Adam: weights and two slots) and push_pull it, and ends both.
 * Adds memory.dense_overhead: the growth of the server's resident memory since before the worker connected, over the
 * bytes of weights and slots; and memory.dense_growth_mib. */
void memory_repeat(const struct plan *plan, struct figures *figures);

#endif
