/* Lion: steps of one size in the direction of the sign of an average.
 *
 *     c = beta1 * m + (1 - beta1) * g
 *     w <- w - lr * (sign(c) + weight_decay * w)
 *     m <- beta2 * m + (1 - beta2) * g
 *
 * Chen et al., "Symbolic discovery of optimization algorithms", 2023, algorithm 2. No epsilon. sign(0) is 0. Its weight
 * decay is decoupled; decoupled_weight_decay=0 adds weight_decay * w to g instead. PyTorch has none.
 *
 * Memory: weight and average, 8 bytes a parameter. */
#include "server/optimizers/kernel.h"

enum { LR, BETA1, BETA2, COMMON };
enum { RATE = PREPARED_OWN, KEEP1, TAKE1, KEEP2, TAKE2 };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(0.0001),
    [BETA1] = HYPER_DECAY("beta1", 0.9, "the average's share, beside the gradient's, in the sign of a step"),
    [BETA2] = HYPER_DECAY("beta2", 0.99, "how much of the average of gradients is kept"),
    HYPER_COMMON(0.0, 1.0),
};

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    (void)step;
    (void)scalars;
    prepare_common(hyper + COMMON, hyper[LR], prepared);
    prepared[RATE] = (float)hyper[LR];
    prepared[KEEP1] = (float)hyper[BETA1];
    prepared[TAKE1] = (float)(1.0 - hyper[BETA1]);
    prepared[KEEP2] = (float)hyper[BETA2];
    prepared[TAKE2] = (float)(1.0 - hyper[BETA2]);
}

ELEMENT struct cell element(const float *p, float g, struct cell old) {
    const float d = gradient(p, g, old.w);
    const float c = p[KEEP1] * old.s[0] + p[TAKE1] * d;
    const float m = p[KEEP2] * old.s[0] + p[TAKE2] * d;
    return (struct cell){shrunk(p, old.w) - p[RATE] * sign(c), {m}};
}
KERNELS(update, 1, element)

const struct optimizer optimizer_lion = {
    .name = "lion",
    .summary = "Lion: steps of one size in the direction of the sign of averaged gradients",
    .source = "Chen et al. 2023, algorithm 2; not in PyTorch",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"exp_avg"},
    .slot_count = 1,
    .prepare = prepare,
    .update = KERNELS_OF(update),
};
