/* RAdam: Adam that takes plain momentum steps until enough squares were averaged to divide by, and then shorter ones
 * at first.
 *
 *     g' = g + weight_decay * w
 *     m <- beta1 * m + (1 - beta1) * g'
 *     v <- beta2 * v + (1 - beta2) * g'^2
 *     N = 2 / (1 - beta2) - 1,  n = N - 2 t beta2^t / (1 - beta2^t)               at step t = 1, 2, ...
 *     n > 5:  w <- w - lr / (1 - beta1^t) * r * m * sqrt(1 - beta2^t) / (sqrt(v) + eps)
 *             with r = sqrt((n - 4) (n - 2) N / ((N - 4) (N - 2) n))
 *     else:   w <- w - lr / (1 - beta1^t) * m
 *
 * Liu et al., "On the variance of the adaptive learning rate and beyond", 2020, algorithm 2, which has n > 4; PyTorch's
 * bound of 5 stands here. Epsilon stands outside the root of the average that is not yet corrected. PyTorch:
 * torch.optim.RAdam, the same but for roundings.
 *
 * Memory: weight and two averages, 12 bytes a parameter. */
#include <assert.h>

#include "server/optimizers/kernel.h"

enum { LR, BETA1, BETA2, EPS, COMMON };
/* The divisor is ROOTS * (sqrt(v) + eps) + ONES, one of the two being 1 and the other 0. */
enum { RATE = PREPARED_OWN, KEEP1, TAKE1, KEEP2, TAKE2, EPSILON, ROOTS, ONES };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(0.001),
    [BETA1] = HYPER_DECAY("beta1", 0.9, "how much of the average of gradients is kept"),
    [BETA2] = HYPER_DECAY("beta2", 0.999, "how much of the average of squared gradients is kept"),
    [EPS] = HYPER_EPS(1e-8, "added to the root of the average of squares"),
    HYPER_COMMON(0.0, 0.0),
};

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    assert(step > 0);
    (void)scalars;
    const double power2 = optimizer_power(hyper[BETA2], step), correction2 = 1.0 - power2;
    const double longest = 2.0 / (1.0 - hyper[BETA2]) - 1.0;
    const double length = longest - 2.0 * (double)step * power2 / correction2;
    const bool adaptive = length > 5.0;
    double rate = hyper[LR] / (1.0 - optimizer_power(hyper[BETA1], step));
    if (adaptive) {
        rate *= sqrt((length - 4.0) / (longest - 4.0) * ((length - 2.0) / (longest - 2.0)) * (longest / length));
        rate *= sqrt(correction2);
    }
    prepare_common(hyper + COMMON, hyper[LR], prepared);
    prepared[RATE] = (float)rate;
    prepared[KEEP1] = (float)hyper[BETA1];
    prepared[TAKE1] = (float)(1.0 - hyper[BETA1]);
    prepared[KEEP2] = (float)hyper[BETA2];
    prepared[TAKE2] = (float)(1.0 - hyper[BETA2]);
    prepared[EPSILON] = (float)hyper[EPS];
    prepared[ROOTS] = adaptive ? 1.0f : 0.0f;
    prepared[ONES] = adaptive ? 0.0f : 1.0f;
}

ELEMENT struct cell element(const float *p, float g, struct cell old) {
    const float d = gradient(p, g, old.w);
    const float m = p[KEEP1] * old.s[0] + p[TAKE1] * d;
    const float v = p[KEEP2] * old.s[1] + p[TAKE2] * d * d;
    const float divisor = p[ROOTS] * (sqrtf(v) + p[EPSILON]) + p[ONES];
    return (struct cell){shrunk(p, old.w) - p[RATE] * m / divisor, {m, v}};
}
KERNELS(update, 2, element)

const struct optimizer optimizer_radam = {
    .name = "radam",
    .summary = "RAdam: Adam that warms up by itself, trusting its average of squares as that grows reliable",
    .source = "Liu et al. 2020, algorithm 2; torch.optim.RAdam",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"exp_avg", "exp_avg_sq"},
    .slot_count = 2,
    .never_negative = {[1] = true},
    .prepare = prepare,
    .update = KERNELS_OF(update),
};
