/* What a run says at its end. */
#ifndef TESTS_BENCH_SUITE_REPORT_H
#define TESTS_BENCH_SUITE_REPORT_H

#include "tests/bench/suite/figures.h"
#include "tests/bench/suite/plan.h"

/* Reasons why something was not measured: "iperf3": "not installed". */
struct report_skips {
    const char *what[8], *why[8];
    size_t count;
};
void report_skip(struct report_skips *skips, const char *what, const char *why); /* borrowed texts */

/* Everything as JSON: date, machine, plan, "limits" (which is taken over), "skipped", and the figures by their groups.
 * Owned. */
json_t *report_json(const struct plan *plan, const struct figures *figures, json_t *limits,
                    const struct report_skips *skips);
/* Into a file, "-" for standard output. A failure ends the program. */
void report_write(const json_t *report, const char *path);
/* A table for people on standard output; `what` was measured ("64.0 MiB"). */
void report_print(const char *what, const struct plan *plan, const struct figures *figures,
                  const struct report_skips *skips);

#endif
