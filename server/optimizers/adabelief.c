/* AdaBelief: Adam that divides by how far gradients stray from their average, not by their size.
 *
 *     g' = g + weight_decay * w
 *     m <- beta1 * m + (1 - beta1) * g'
 *     s <- beta2 * s + (1 - beta2) * (g' - m)^2 + eps
 *     w <- w - lr / (1 - beta1^t) * m / (sqrt(s) / sqrt(1 - beta2^t) + eps)       at step t = 1, 2, ...
 *
 * Zhuang et al., "AdaBelief optimizer: adapting stepsizes by the belief in observed gradients", 2020, algorithm 2.
 * Epsilon stands twice: in the average of every step, where it adds up to eps / (1 - beta2), and outside the root. The
 * paper has 1e-8; its authors' later code has the 1e-16 that is the default here, being in the root. PyTorch has none.
 *
 * Memory: weight and two averages, 12 bytes a parameter. */
#include <assert.h>

#include "server/optimizers/kernel.h"

enum { LR, BETA1, BETA2, EPS, COMMON };
enum { RATE = PREPARED_OWN, KEEP1, TAKE1, KEEP2, TAKE2, CORRECTION, EPSILON };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(0.001),
    [BETA1] = HYPER_DECAY("beta1", 0.9, "how much of the average of gradients is kept"),
    [BETA2] = HYPER_DECAY("beta2", 0.999, "how much of the average of squared deviations is kept"),
    [EPS] = HYPER_EPS(1e-16, "added to the average of squared deviations at every step, and to its root"),
    HYPER_COMMON(0.0, 0.0),
};

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    assert(step > 0);
    (void)scalars;
    const double correction1 = 1.0 - optimizer_power(hyper[BETA1], step);
    const double correction2 = 1.0 - optimizer_power(hyper[BETA2], step);
    prepare_common(hyper + COMMON, hyper[LR], prepared);
    prepared[RATE] = (float)(hyper[LR] / correction1);
    prepared[KEEP1] = (float)hyper[BETA1];
    prepared[TAKE1] = (float)(1.0 - hyper[BETA1]);
    prepared[KEEP2] = (float)hyper[BETA2];
    prepared[TAKE2] = (float)(1.0 - hyper[BETA2]);
    prepared[CORRECTION] = (float)(1.0 / sqrt(correction2));
    prepared[EPSILON] = (float)hyper[EPS];
}

ELEMENT struct cell element(const float *p, float g, struct cell old) {
    const float d = gradient(p, g, old.w);
    const float m = p[KEEP1] * old.s[0] + p[TAKE1] * d;
    const float stray = d - m;
    const float s = p[KEEP2] * old.s[1] + p[TAKE2] * stray * stray + p[EPSILON];
    const float w = shrunk(p, old.w) - p[RATE] * m / (sqrtf(s) * p[CORRECTION] + p[EPSILON]);
    return (struct cell){w, {m, s}};
}
KERNELS(update, 2, element)

const struct optimizer optimizer_adabelief = {
    .name = "adabelief",
    .summary = "AdaBelief: averaged gradients divided by the root of their averaged squared deviations",
    .source = "Zhuang et al. 2020, algorithm 2; not in PyTorch",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"exp_avg", "exp_avg_var"},
    .slot_count = 2,
    .never_negative = {[1] = true},
    .prepare = prepare,
    .update = KERNELS_OF(update),
};
