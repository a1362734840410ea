/* AdamW: Adam whose weight decay shrinks the weights directly instead of joining the gradient.
 *
 *     w <- w - lr * weight_decay * w
 *     then Adam's step (adam.c) on the gradient without decay
 *
 * Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2 with its schedule multiplier as
 * part of lr, so that decay follows lr. Epsilon stands as in adam.c. PyTorch: torch.optim.AdamW with amsgrad=False, its
 * defaults, the same but for roundings. This is adam with decoupled_weight_decay=1 and weight_decay=0.01 as defaults;
 * decoupled_weight_decay=0 makes it adam.
 *
 * Memory: weight and two averages, 12 bytes a parameter. */
#include "server/optimizers/adam.h"

static const struct optimizer_hyperparameter hyperparameters[] = ADAM_HYPERPARAMETERS(0.01, 1.0);

KERNELS(update, 2, adam_element)

const struct optimizer optimizer_adamw = {
    .name = "adamw",
    .summary = "AdamW: Adam with weight decay applied to the weights, not through the gradient's averages",
    .source = "Loshchilov and Hutter 2019, algorithm 2; torch.optim.AdamW",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"exp_avg", "exp_avg_sq"},
    .slot_count = 2,
    .never_negative = {[1] = true},
    .prepare = adam_prepare,
    .update = KERNELS_OF(update),
};
