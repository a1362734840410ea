/* What is measured: a canyon-server process and a worker process that uses it. */
#ifndef TESTS_BENCH_SUITE_SUBJECT_H
#define TESTS_BENCH_SUITE_SUBJECT_H

#include "tests/bench/served.h"
#include "tests/bench/suite/plan.h"
#include "tests/bench/suite/runner.h"

struct subject {
    struct served *server;
    struct runner *worker;
};

/* A server of so many threads, and a worker with a tensor of so many bytes (Adam); `batch` 0, or small push_pulls in a
 * round; `spin_us` for both sides. */
struct subject subject_open(const struct plan *plan, enum served_channel channel, unsigned threads, uint64_t bytes,
                            uint64_t batch, unsigned spin_us);
/* The server alone, of so many shards or, with 0, as many as a server has by itself; and then its worker. */
struct served *subject_server(const struct plan *plan, enum served_channel channel, unsigned threads, unsigned shards,
                              unsigned spin_us);
struct runner *subject_worker(const struct plan *plan, const struct served *server, enum served_channel channel,
                              uint64_t bytes, uint64_t batch, unsigned spin_us);
/* Where the plan wants threads pinned, and the machine has processors enough for the threads of a server and as many of
 * a client: the first of the server's, behind which the client's follow. Else -1. */
int subject_first(const struct plan *plan, unsigned threads);
void subject_close(struct subject *subject);

#endif
