/* The limit programs of a run: started when they are first asked for, each for a number of threads, and kept. */
#ifndef TESTS_BENCH_SUITE_LIMITS_H
#define TESTS_BENCH_SUITE_LIMITS_H

#include <jansson.h>

#include "tests/bench/suite/plan.h"
#include "tests/bench/suite/runner.h"

#define LIMITS_THREADS 16 /* at most */

struct limits;

struct limits *limits_create(const struct plan *plan);
void limits_destroy(struct limits *limits);

/* Borrowed. For `bytes` of the plan, or others. */
struct runner *limits_echo(struct limits *limits, unsigned threads);
struct runner *limits_adam(struct limits *limits, unsigned threads);
struct runner *limits_aead(struct limits *limits, unsigned threads);          /* both sides' threads at once */
struct runner *limits_aead_one_side(struct limits *limits, unsigned threads); /* one side's */

/* Adds what each chose: "echo_1": "blocking server, ...". */
void limits_json(const struct limits *limits, json_t *object);

#endif
