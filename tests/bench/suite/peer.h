/* Other programs that do the same work, where they are installed: PyTorch's RPC with torch.optim.Adam. */
#ifndef TESTS_BENCH_SUITE_PEER_H
#define TESTS_BENCH_SUITE_PEER_H

#include "tests/bench/suite/figures.h"
#include "tests/bench/suite/plan.h"

struct peer;

/* NULL when it is not installed. */
struct peer *peer_create(const struct plan *plan);
void peer_destroy(struct peer *peer);

/* Adds peer_torch_rpc.gbps and, when dense_1 was just measured, peer_torch_rpc.canyon_is_faster_by, the quotient of
 * the times. */
void peer_repeat(struct peer *peer, struct figures *figures);

#endif
