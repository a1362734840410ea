/* A rule is how rows are updated: an optimizer with its settings read, its schedule, and its policies.
 *
 * Pure data; any thread may read it. */
#ifndef CANYON_SERVER_RULE_H
#define CANYON_SERVER_RULE_H

#include <stddef.h>
#include <stdint.h>

#include "common/tensor.h"
#include "server/optimizers/optimizer.h"
#include "server/schedule.h"

/* What is done about gradients whose weights were stale. */
struct rule_staleness {
    enum staleness_policy policy;
    uint64_t bound; /* of STALENESS_REFUSE */
};

struct rule {
    const struct optimizer *optimizer;
    double hyper[OPTIMIZER_HYPERPARAMETERS]; /* in descriptor order, zeros behind */
    size_t rate;                             /* the place of lr among them, or their number */
    struct schedule schedule;
    enum nonfinite_policy nonfinite;
    enum steps_policy steps;
    struct rule_staleness staleness;
};

/* Reads canonical settings of a registered optimizer. */
void rule_read(struct rule *rule, const struct optimizer_spec *settings);

/* The hyperparameters with the schedule's rate for this argument in place of lr, as a gradient gets it whose weights
 * were that stale; OPTIMIZER_HYPERPARAMETERS numbers. */
void rule_hyper(const struct rule *rule, uint64_t argument, uint64_t staleness, double *hyper);

/* The policy on staleness in canonical settings. */
struct rule_staleness rule_staleness(const struct optimizer_spec *settings);

/* A rate as a gradient gets it whose weights were that stale: rate / (1 + staleness) where the policy is to scale. */
double rule_rate(const struct rule_staleness *policy, double rate, uint64_t staleness);

/* STALE where such a gradient is refused; `what` begins the text: "block 3 of tensor 'w'". */
enum canyon_status rule_admit(const struct rule_staleness *policy, uint64_t staleness, const char *what,
                              struct error *error);

/* What every element of a slot starts with. */
float rule_initial(const struct rule *rule, size_t slot);

/* The policy on steps in canonical settings. */
enum steps_policy rule_steps(const struct optimizer_spec *settings);

#endif
