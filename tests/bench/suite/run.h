/* A run: all parts of the plan, repeat after repeat in turns. */
#ifndef TESTS_BENCH_SUITE_RUN_H
#define TESTS_BENCH_SUITE_RUN_H

#include "tests/bench/suite/figures.h"
#include "tests/bench/suite/plan.h"
#include "tests/bench/suite/report.h"

/* Measures what the plan says; progress goes to standard error. Afterwards the plan has as many rounds as the last
 * repeat had: fewer on a machine that was too slow for more. `skips` receives what could not be measured, and *limits
 * (owned) what each limit program chose. */
void run_parts(struct plan *plan, struct figures *figures, struct report_skips *skips, json_t **limits);

#endif
