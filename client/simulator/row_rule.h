/* Optimizers for rows in this process, by the definitions and defaults of the servers': sgd, adagrad, adam and ftrl.
 *
 * Written apart from the servers' code, in double where that costs nothing; results agree to a few roundings. Their
 * settings are those of server/optimizers; schedules and treatments of gradients are the servers' alone. */
#ifndef CANYON_SIMULATOR_ROW_RULE_H
#define CANYON_SIMULATOR_ROW_RULE_H

#include <stddef.h>
#include <stdint.h>

#include "canyon.h"

#define ROW_RULE_SLOTS    2
#define ROW_RULE_SETTINGS 4

struct row_rule {
    int which;                          /* of a list of its own */
    double settings[ROW_RULE_SETTINGS]; /* defaults filled in */
    uint32_t slots;                     /* arrays of a row's length beside its weights: 0 to ROW_RULE_SLOTS */
    float first[ROW_RULE_SLOTS];        /* what they begin with */
};

/* Reads "NAME[:key=value,...]". INVALID_ARGUMENT with `text` for any that is not here, with what is. */
enum canyon_status row_rule_read(struct row_rule *rule, const char *optimizer, char *text, size_t bytes);

/* One step for one row: `weights` and behind them its slots, each of `dim` floats; `step` counts from 1. */
void row_rule_step(const struct row_rule *rule, float *weights, const float *gradient, uint32_t dim, uint64_t step);

#endif
