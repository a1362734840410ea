/* push_pull of rows of a table beside its roofline: the same bytes echoed, plus the table's operation in memory on the
 * same batches, with the same numbers of threads, one after the other. And what rows cost, and what growth does. */
#ifndef TESTS_BENCH_SUITE_SPARSE_H
#define TESTS_BENCH_SUITE_SPARSE_H

#include <jansson.h>

#include "tests/bench/suite/figures.h"
#include "tests/bench/suite/plan.h"

struct sparse;

/* The bytes of memory that all processes of one of them take, about. */
uint64_t sparse_bytes(const struct plan *plan);

/* Starts the server, the worker and the limit of the table, which begin to make their rows. `name` (borrowed) is its
 * figures' group. Before the first repeat: sparse_wait, which waits until rows are there, and starts the echo. Several
 * may be created before the first is waited for. */
struct sparse *sparse_create(const struct plan *plan, const char *name, unsigned threads);
void sparse_wait(struct sparse *sparse);
void sparse_destroy(struct sparse *sparse);

/* One repeat. Adds NAME.mrows_s (10^6 unique rows a second), NAME.roofline_ratio, NAME.server_cpu_us_per_row, and the
 * times in ms that they come from: NAME.push_pull_ms, echo_ms, table_ms. The first also adds, of the server's resident
 * memory since before the worker connected (and after another one has), sparse.bytes_per_row, beyond weights and slots,
 * and sparse.bytes_ratio, all of it over what the formula says. */
void sparse_repeat(struct sparse *sparse, struct figures *figures);

/* Adds what the limit programs chose, and as rows_T what the worker says of a round. */
void sparse_json(const struct sparse *sparse, json_t *object);

/* The slowest pushes while a table doubles, which has one shard: a server and a worker of its own. */
struct growth;
/* The bytes of memory that it takes, about. */
uint64_t growth_bytes(const struct plan *plan);
struct growth *growth_create(const struct plan *plan);
void growth_destroy(struct growth *growth);
/* Adds sparse.growth_p999_ratio, and the times behind it, sparse.steady_p999_us and growing_p999_us. */
void growth_repeat(struct growth *growth, struct figures *figures);

#endif
