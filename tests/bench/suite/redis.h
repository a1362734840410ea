/* Another program that keeps rows, where it is installed: Redis, with hiredis. */
#ifndef TESTS_BENCH_SUITE_REDIS_H
#define TESTS_BENCH_SUITE_REDIS_H

#include "tests/bench/suite/figures.h"
#include "tests/bench/suite/plan.h"

struct redis;

/* NULL, and *why (static) says what is missing, when it is not there. */
struct redis *redis_create(const struct plan *plan, const char **why);
void redis_destroy(struct redis *redis);

/* Adds peer_redis.mrows_s, unique rows that are read and written, and, when sparse_1 was just measured,
 * peer_redis.canyon_is_faster_by. */
void redis_repeat(struct redis *redis, struct figures *figures);

#endif
