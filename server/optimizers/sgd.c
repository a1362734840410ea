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

enum { LR, WEIGHT_DECAY };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(0.1),
    [WEIGHT_DECAY] = HYPER_WEIGHT_DECAY,
};

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    (void)step;
    (void)scalars;
    prepared[0] = (float)hyper[LR];
    prepared[1] = (float)hyper[WEIGHT_DECAY];
}

static void update(const float *prepared, size_t n, const float *restrict g, float *restrict w, float *const *slots) {
    (void)slots;
    const float lr = prepared[0], weight_decay = prepared[1];
    for (size_t i = 0; i < n; i++)
        w[i] = fused(-lr, fused(weight_decay, w[i], g[i]), w[i]);
}

const struct optimizer optimizer_sgd = {
    .name = "sgd",
    .summary = "stochastic gradient descent: a step against the gradient, lr times its length",
    .source = "Robbins and Monro 1951; Goodfellow et al. 2016, algorithm 8.1; torch.optim.SGD",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .prepare = prepare,
    .update = update,
};
