/* Adam: momentum and RMSprop with the bias of their zero start taken out.
 *
 *     g' = g + weight_decay * w
 *     m <- beta1 * m + (1 - beta1) * g'
 *     v <- beta2 * v + (1 - beta2) * g'^2
 *     w <- w - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)       at step t = 1, 2, ...
 *
 * Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1. Epsilon stands outside the root of
 * the corrected average, as in the algorithm (not the "epsilon hat" of the rewriting below it). PyTorch:
 * torch.optim.Adam with amsgrad=False, the same but for roundings (a product with 1 / sqrt(1 - beta2^t) stands here for
 * the quotient).
 *
 * Memory: weight and two averages, 12 bytes a parameter. */
#include "server/optimizers/adam.h"

static const struct optimizer_hyperparameter hyperparameters[] = ADAM_HYPERPARAMETERS(0.0, 0.0);

KERNELS(update, 2, adam_element)

const struct optimizer optimizer_adam = {
    .name = "adam",
    .summary = "Adam: averaged gradients divided by the root of averaged squares, both corrected for their start",
    .source = "Kingma and Ba 2015, algorithm 1; torch.optim.Adam",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"exp_avg", "exp_avg_sq"},
    .slot_count = 2,
    .never_negative = {[1] = true},
    .prepare = adam_prepare,
    .update = KERNELS_OF(update),
};
