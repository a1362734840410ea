/* A run: all parts of the plan, repeat after repeat in turns. */
#ifndef TESTS_BENCH_SUITE_RUN_H
#define TESTS_BENCH_SUITE_RUN_H

#include "tests/bench/suite/figures.h"
#include "tests/bench/suite/plan.h"
#include "tests/bench/suite/report.h"

/* Measures what the plan says; progress goes to standard error. `skips` receives what could not be measured, and
 * *limits (owned) what each limit program chose. */
void run_parts(const struct plan *plan, struct figures *figures, struct report_skips *skips, json_t **limits);

#endif
