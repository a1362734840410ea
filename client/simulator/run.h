/* One training run: workers and an observer on given servers, from the first fork to the last one reaped. */
#ifndef CANYON_SIMULATOR_RUN_H
#define CANYON_SIMULATOR_RUN_H

#include <stdint.h>

#include "canyon.h"
#include "client/simulator/curve.h"
#include "client/simulator/plan.h"
#include "client/simulator/progression.h"
#include "client/tools/local.h"
#include "client/tools/outcome.h"

#define RUN_WORKERS_HIGH PACING_WORKERS_HIGH

struct run_result {
    const char *optimizer; /* the plan's */
    double rate;           /* the learning rate in force; negative when the optimizer has none */
    uint32_t servers;
    uint64_t steps;   /* batches, of all workers together */
    uint64_t pushes;  /* gradients of one tensor: steps times the model's tensors */
    uint64_t clipped; /* steps whose gradients were longer than the plan's clip_norm */
    uint64_t refused; /* times that a step's gradient was too stale and had to be computed anew */
    uint64_t late;    /* batches whose clock was closed without them; they are no steps */
    double final_loss, test_accuracy;
    double staleness_mean; /* over the pushes; a push's staleness is the largest among its blocks */
    uint64_t staleness_max;
    uint64_t bytes_sent, bytes_received; /* of gradients and weights in the workers' steps, as they travelled, */
    uint64_t bytes_single;               /* and both together as float32 */
    double seconds;                      /* from the moment all workers could begin until the last was done */
    struct curve curve;
    struct progression *progression; /* filled in where the plan has trail_ms; the caller's, zeroed; may be NULL else */
};

/* Trains. `local` are the servers when they are this program's own, so that the death of one can be explained; else
 * NULL. Progress goes to standard error under the name `label`. On OUTCOME_DONE *result is filled in; otherwise what
 * went wrong was printed to standard error after the plan's program. Either way no process and no tensor is left.
 * When interrupt_signal() is set afterwards, that is why it failed. */
enum outcome run_train(const struct plan *plan, struct local *local, const char *label, struct run_result *result);

#endif
