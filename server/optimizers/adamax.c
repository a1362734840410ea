/* Adamax: Adam with the largest decayed gradient in place of the root of averaged squares.
 *
 *     g' = g + weight_decay * w
 *     m <- beta1 * m + (1 - beta1) * g'
 *     u <- max(beta2 * u, |g'| + eps)
 *     w <- w - lr / (1 - beta1^t) * m / u         at step t = 1, 2, ...
 *
 * Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 2. Epsilon is PyTorch's addition and
 * stands with the gradient's size. PyTorch: torch.optim.Adamax, the same but for roundings.
 *
 * Memory: weight and two arrays, 12 bytes a parameter. */
#include <assert.h>

#include "server/optimizers/kernel.h"

enum { LR, BETA1, BETA2, EPS, COMMON };
enum { RATE = PREPARED_OWN, KEEP1, TAKE1, KEEP2, EPSILON };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(0.002),
    [BETA1] = HYPER_DECAY("beta1", 0.9, "how much of the average of gradients is kept"),
    [BETA2] = HYPER_DECAY("beta2", 0.999, "how much of the largest gradient's size is kept"),
    [EPS] = HYPER_EPS(1e-8, "added to the gradient's size before the larger of both is taken"),
    HYPER_COMMON(0.0, 0.0),
};

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    assert(step > 0);
    (void)scalars;
    prepare_common(hyper + COMMON, hyper[LR], prepared);
    prepared[RATE] = (float)(hyper[LR] / (1.0 - optimizer_power(hyper[BETA1], step)));
    prepared[KEEP1] = (float)hyper[BETA1];
    prepared[TAKE1] = (float)(1.0 - hyper[BETA1]);
    prepared[KEEP2] = (float)hyper[BETA2];
    prepared[EPSILON] = (float)hyper[EPS];
}

ELEMENT struct cell element(const float *p, float g, struct cell old) {
    const float d = gradient(p, g, old.w);
    const float m = p[KEEP1] * old.s[0] + p[TAKE1] * d;
    const float past = p[KEEP2] * old.s[1], size = fabsf(d) + p[EPSILON];
    const float u = past > size ? past : size;
    return (struct cell){shrunk(p, old.w) - p[RATE] * m / u, {m, u}};
}
KERNELS(update, 2, element)

const struct optimizer optimizer_adamax = {
    .name = "adamax",
    .summary = "Adamax: averaged gradients divided by the largest recent gradient",
    .source = "Kingma and Ba 2015, algorithm 2; torch.optim.Adamax",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"exp_avg", "exp_inf"},
    .slot_count = 2,
    .never_negative = {[1] = true},
    .prepare = prepare,
    .update = KERNELS_OF(update),
};
