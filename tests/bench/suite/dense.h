/* Dense push_pull beside its roofline: the same bytes echoed, plus the optimizer over the same state, plus, encrypted,
 * the AEAD over the same bytes, with the same numbers of threads, one after the other. */
#ifndef TESTS_BENCH_SUITE_DENSE_H
#define TESTS_BENCH_SUITE_DENSE_H

#include "tests/bench/suite/figures.h"
#include "tests/bench/suite/limits.h"
#include "tests/bench/suite/plan.h"

struct dense;

/* Starts the server, the worker and what limit programs are missing. `name` (borrowed) is its figures' group. */
struct dense *dense_create(const struct plan *plan, struct limits *limits, const char *name, unsigned threads,
                           bool encrypted);
void dense_destroy(struct dense *dense);

/* One repeat: the limits, then Canyon, `rounds` of each. Adds to the figures NAME.gbps (10^9 bytes of gradient a
 * second), NAME.roofline_ratio, NAME.server_cpu_s_per_gb, NAME.server_cpu_ratio, and the times in ms that they come
 * from: NAME.push_pull_ms, echo_ms, adam_ms, aead_ms. */
void dense_repeat(struct dense *dense, struct figures *figures);

/* dense.gain_ratio from the repeats that dense_1 and dense_2 just did: push_pull's gain from one thread to two, over
 * the roofline's. */
void dense_gain(struct figures *figures);

#endif
