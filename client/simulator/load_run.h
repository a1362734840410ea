/* One load on given servers: its processes, the clock of the measure, and what came of it. */
#ifndef CANYON_SIMULATOR_LOAD_RUN_H
#define CANYON_SIMULATOR_LOAD_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "client/simulator/load_plan.h"
#include "client/simulator/load_share.h"
#include "client/simulator/load_verify.h"
#include "client/tools/local.h"
#include "client/tools/outcome.h"
#include "common/histogram.h"

struct load_result {
    uint32_t servers, threads; /* threads of all servers together */
    bool encrypted;
    uint32_t block_elements;
    double seconds;   /* measured */
    bool interrupted; /* by a signal, before its time */
    bool exhausted;   /* ended because a verified load may make no more pushes */
    uint64_t totals[LOAD_COUNTERS];
    struct histogram latency, latencies[LOAD_KINDS]; /* of all calls, and by kind */
    /* What the servers counted, between two looks that lie about at the measure's ends: */
    bool wire;
    double wire_seconds;
    uint64_t wire_in, wire_out; /* bytes to the servers, and from them */
    double coded_in, coded_out; /* bytes of values to and from the servers, over what they are as float32; negative when
                                   there were none */
    double cpu_workers;         /* seconds, within the measure */
    double cpu_servers;         /* of local servers, between the same two looks as wire; else negative */
    char failure[LOAD_TEXT_BYTES];    /* what the first call that failed said; "" without one */
    struct load_verdict verdict;      /* of a verified load */
    char unverified[NEWS_TEXT_BYTES]; /* why there is none */
};

/* Runs it. `local` are the servers when they are this program's own; else NULL. Progress goes to standard error. On
 * OUTCOME_DONE *result is filled in, whatever it says; otherwise what went wrong was printed as "canyon-sim load: ...".
 * Either way no process is left, and no tensor, unless the key may not drop them, which is said. */
enum outcome load_run(const struct load_plan *plan, struct local *local, struct load_result *result);

#endif
