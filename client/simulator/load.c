#include "client/simulator/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/simulator/draws.h"
#include "client/simulator/interrupt.h"
#include "client/simulator/load_options.h"
#include "client/simulator/load_report.h"
#include "client/simulator/load_run.h"
#include "client/simulator/place.h"

/* Prints what came of it; whether it was well. */
static enum outcome load_tell(const struct load_options *options, const struct load_result *result) {
    const struct load_plan *plan = &options->plan;
    bool printed = true;
    load_report_faults(stderr, plan, result);
    if (options->json) {
        printed = load_report_json(stdout, plan, result);
    } else if (options->canonical && !result->interrupted) {
        printed = load_report_brief(stdout, plan, result);
    } else {
        printed = load_report_table(stdout, plan, result);
    }
    if (!printed) {
        fprintf(stderr, "%s: cannot write to standard output\n", LOAD_PROGRAM);
    }
    bool well = result->totals[LOAD_FAILED] == 0 && result->totals[LOAD_REFUSED] == 0 &&
                (!plan->verify || load_verdict_good(&result->verdict));
    return printed && well ? OUTCOME_DONE : OUTCOME_FAILED;
}

/* Runs it, with what ids are drawn by: made once, before the processes that share it. */
static enum outcome load_do(struct load_plan *plan, struct local *local, struct load_result *result) {
    struct draws draws = {.count = 0};
    if (plan->table && !draws_make(&draws, plan->rows, plan->exponent)) {
        fprintf(stderr, "%s: no memory to draw from %" PRIu64 " rows\n", LOAD_PROGRAM, plan->rows);
        draws_finish(&draws);
        return OUTCOME_FAILED;
    }
    plan->draws = plan->table ? &draws : NULL;
    plan->most = plan->table ? draws.most : 0.0;
    enum outcome outcome = load_run(plan, local, result);
    plan->draws = NULL;
    draws_finish(&draws);
    return outcome;
}

int load_main(int argc, char **argv) {
    static struct load_result result; /* half a megabyte of histograms */
    struct load_options options;
    struct place place;
    char prefix[PLAN_PREFIX_BYTES];
    enum arguments_verdict verdict = load_options_parse(&options, argc, argv);
    if (verdict != ARGUMENTS_RUN) {
        return verdict == ARGUMENTS_HELP ? OUTCOME_DONE : OUTCOME_USAGE;
    }
    enum outcome outcome = place_open(&place, &options.where, LOAD_SERVERS, LOAD_PROGRAM);
    if (outcome != OUTCOME_DONE) {
        return (int)outcome;
    }
    struct load_plan *plan = &options.plan;
    plan->servers = place.servers;
    plan->keys = place.keys;
    plan->prefix = place_prefix(&place, 1, prefix);
    plan->timeout_ms = place.timeout_ms;
    outcome = load_do(plan, place.local, &result);
    if (outcome == OUTCOME_DONE) {
        outcome = load_tell(&options, &result);
    }
    if (!place_close(&place, LOAD_PROGRAM) && outcome == OUTCOME_DONE) {
        outcome = OUTCOME_FAILED;
    }
    return interrupt_signal() != 0 ? interrupt_exit_code() : (int)outcome;
}
