/* iperf3 over loopback, both ways at once, to see that the echo is as fast as others find the network. */
#ifndef TESTS_BENCH_SUITE_IPERF_H
#define TESTS_BENCH_SUITE_IPERF_H

#include "tests/bench/suite/figures.h"
#include "tests/bench/suite/plan.h"

struct iperf;

/* Starts its server. NULL when iperf3 is not installed. */
struct iperf *iperf_create(const struct plan *plan);
void iperf_destroy(struct iperf *iperf);

/* One second of it. Adds iperf3.half_gbps, half of what both directions sum to in 10^9 bytes a second, and, when
 * dense_1's echo was just measured, iperf3.echo_ratio: its bytes a second each way over that half. */
void iperf_repeat(struct iperf *iperf, struct figures *figures);

#endif
