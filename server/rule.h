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

struct rule {
    const struct optimizer *optimizer;
    double hyper[OPTIMIZER_HYPERPARAMETERS]; /* in descriptor order, zeros behind */
    size_t rate;                             /* the place of lr among them, or their number */
    struct schedule schedule;
    enum nonfinite_policy nonfinite;
    enum steps_policy steps;
};

/* Reads canonical settings of a registered optimizer. */
void rule_read(struct rule *rule, const struct optimizer_spec *settings);

/* The hyperparameters with the schedule's rate for this argument in place of lr; OPTIMIZER_HYPERPARAMETERS numbers. */
void rule_hyper(const struct rule *rule, uint64_t argument, double *hyper);

/* What every element of a slot starts with. */
float rule_initial(const struct rule *rule, size_t slot);

/* The policy on steps in canonical settings. */
enum steps_policy rule_steps(const struct optimizer_spec *settings);

#endif
