/* Stochastic gradient descent.
 *
 *     g' = g + weight_decay * w
 *     w <- w - lr * g'
 *
 * Robbins and Monro, "A stochastic approximation method", 1951; Goodfellow, Bengio and Courville, "Deep learning",
 * 2016, algorithm 8.1. PyTorch: torch.optim.SGD without momentum, rounded alike; it has no default lr, the one here is
 * ours.
 *
 * No epsilon. Memory: the weight alone, 4 bytes a parameter. */
#include "server/optimizers/kernel.h"

enum { LR, COMMON };
enum { RATE = PREPARED_OWN };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(0.1),
    HYPER_COMMON(0.0, 0.0),
};

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    (void)step;
    (void)scalars;
    prepare_common(hyper + COMMON, hyper[LR], prepared);
    prepared[RATE] = (float)hyper[LR];
}

ELEMENT struct cell element(const float *p, float g, struct cell old, fused_function *fused) {
    const float w = fused(-p[RATE], gradient_fused(p, g, old.w, fused), shrunk(p, old.w));
    return (struct cell){w, {0.0f}};
}
KERNELS_FUSED(update, 0, element)

const struct optimizer optimizer_sgd = {
    .name = "sgd",
    .summary = "stochastic gradient descent: a step against the gradient, lr times its length",
    .source = "Robbins and Monro 1951; Goodfellow et al. 2016, algorithm 8.1; torch.optim.SGD",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .prepare = prepare,
    .update = KERNELS_OF(update),
};
