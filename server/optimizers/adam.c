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
#include <assert.h>

#include "server/optimizers/kernel.h"

enum { LR, BETA1, BETA2, EPS, WEIGHT_DECAY };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(0.001),
    [BETA1] = HYPER_DECAY("beta1", 0.9, "how much of the average of gradients is kept"),
    [BETA2] = HYPER_DECAY("beta2", 0.999, "how much of the average of squared gradients is kept"),
    [EPS] = HYPER_EPS(1e-8, "added to the root of the corrected average of squares"),
    [WEIGHT_DECAY] = HYPER_WEIGHT_DECAY,
};

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    assert(step > 0);
    (void)scalars;
    const double correction1 = 1.0 - optimizer_power(hyper[BETA1], step);
    const double correction2 = 1.0 - optimizer_power(hyper[BETA2], step);
    prepared[0] = (float)(hyper[LR] / correction1);
    prepared[1] = (float)hyper[BETA1];
    prepared[2] = (float)(1.0 - hyper[BETA1]);
    prepared[3] = (float)hyper[BETA2];
    prepared[4] = (float)(1.0 - hyper[BETA2]);
    prepared[5] = (float)(1.0 / sqrt(correction2));
    prepared[6] = (float)hyper[EPS];
    prepared[7] = (float)hyper[WEIGHT_DECAY];
}

static void run(const float *restrict prepared, size_t n, const float *restrict g, float *restrict w,
                float *restrict first, float *restrict second) {
    const float rate = prepared[0], keep1 = prepared[1], take1 = prepared[2], keep2 = prepared[3], take2 = prepared[4];
    const float correction = prepared[5], eps = prepared[6], weight_decay = prepared[7];
    for (size_t i = 0; i < n; i++) {
        const float d = decayed(g[i], weight_decay, w[i]);
        const float m = keep1 * first[i] + take1 * d;
        const float v = keep2 * second[i] + take2 * d * d;
        first[i] = m;
        second[i] = v;
        w[i] -= rate * m / (sqrtf(v) * correction + eps);
    }
}

static void update(const float *prepared, size_t n, const float *restrict g, float *restrict w, float *const *slots) {
    run(prepared, n, g, w, slots[0], slots[1]);
}

const struct optimizer optimizer_adam = {
    .name = "adam",
    .summary = "Adam: averaged gradients divided by the root of averaged squares, both corrected for their start",
    .source = "Kingma and Ba 2015, algorithm 1; torch.optim.Adam",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"exp_avg", "exp_avg_sq"},
    .slot_count = 2,
    .prepare = prepare,
    .update = update,
};
