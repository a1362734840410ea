/* canyon-bench: Canyon over real processes beside what the machine allows, in one run and in turns. The figures and
 * what they mean stand in tests/bench/README.md. */
#include <signal.h>
#include <stdio.h>

#include "client/tools/outcome.h"
#include "tests/bench/suite/options.h"
#include "tests/bench/suite/report.h"
#include "tests/bench/suite/run.h"
#include "tests/bench/suite/runner.h"
#include "tests/bench/suite/sweep.h"

/* Children end at it, and the run, when it misses one, ends too and cleans up. */
static void interrupted(int number) {
    (void)number;
}

int main(int argc, char **argv) {
    struct options options;
    struct report_skips skips = {.count = 0};
    json_t *limits = NULL;
    char what[32];
    const enum arguments_verdict verdict = options_read(&options, argc, argv);
    if (verdict != ARGUMENTS_RUN)
        return verdict == ARGUMENTS_HELP ? OUTCOME_DONE : OUTCOME_USAGE;
    runner_place(0, 0); /* learns which processors there are */
    (void)signal(SIGINT, interrupted);
    (void)signal(SIGPIPE, SIG_IGN);
    struct figures *figures = figures_create();
    if (options.sweep)
        sweep_run(&options.plan, options.plot, figures, &limits);
    else
        run_parts(&options.plan, figures, &skips, &limits);
    if (options.sweep)
        snprintf(what, sizeof what, "many sizes");
    else
        snprintf(what, sizeof what, "%.1f MiB", (double)options.plan.bytes / 0x1p20);
    json_t *report = report_json(&options.plan, figures, limits, &skips);
    if (options.json)
        report_write(report, "-");
    else
        report_print(what, &options.plan, figures, &skips);
    if (options.output != NULL)
        report_write(report, options.output);
    json_decref(report);
    figures_destroy(figures);
    return OUTCOME_DONE;
}
