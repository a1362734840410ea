/* Logistic regression on sparse examples: a row of one weight for each feature, and one for what all have in common.
 *
 *     p = 1 / (1 + exp(-(bias + sum over features of weight * value)))
 *     loss = -log p of a positive example, -log(1 - p) of a negative one
 *
 * A batch's gradient is the sum over its examples, not their mean: a feature that one example in thousands has would
 * otherwise move by next to nothing. Optimizers that measure gradients, as FTRL does, take care of those that all have.
 */
#ifndef CANYON_SIMULATOR_LOGISTIC_H
#define CANYON_SIMULATOR_LOGISTIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/simulator/gather.h"
#include "client/simulator/libsvm.h"

struct logistic_entry {
    uint32_t place; /* of the feature's id */
    float value;
};

/* Begin with zeros; its memory is used again and again. */
struct logistic_batch {
    struct gather rows; /* the ids, the bias among them */
    struct logistic_entry *entries;
    size_t entry_count, entry_capacity;
    size_t *ends; /* of each example, in entries */
    bool *positive;
    size_t count, end_capacity, positive_capacity;
};

/* Empties it. */
void logistic_begin(struct logistic_batch *batch);

/* Adds an example, with a bias of value 1. False when there is no memory. */
bool logistic_add(struct logistic_batch *batch, const struct libsvm_example *example);

/* The losses' sum, in nats, and its gradient; weights and gradient have one float for each of the rows' ids. */
double logistic_gradient(const struct logistic_batch *batch, const float *weights, float *gradient);

/* Each example's bias + sum over its features (the logarithm of its odds), and the losses' sum. */
double logistic_scores(const struct logistic_batch *batch, const float *weights, float *scores);

void logistic_finish(struct logistic_batch *batch);

#endif
