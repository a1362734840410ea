/* A push_pull of 16 floats beside a ping-pong of as many bytes as its frames have, each in three ways: left to the
 * system; both processes on one processor; both sides spinning. */
#ifndef TESTS_BENCH_SUITE_LATENCY_H
#define TESTS_BENCH_SUITE_LATENCY_H

#include "tests/bench/suite/figures.h"
#include "tests/bench/suite/plan.h"

struct latency;

struct latency *latency_create(const struct plan *plan);
void latency_destroy(struct latency *latency);

/* Adds to the figures latency.p50_us, p99_us, ratio_unpinned, ratio_one_core, ratio_spin (of medians), and the others'
 * times in microseconds. */
void latency_repeat(struct latency *latency, struct figures *figures);

#endif
