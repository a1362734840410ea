/* AMSGrad: Adam that divides by the largest average of squares so far, so that its steps cannot grow again.
 *
 *     m, v as in adam.c
 *     x <- max(x, v)
 *     w <- w - lr / (1 - beta1^t) * m / (sqrt(x) / sqrt(1 - beta2^t) + eps)       at step t = 1, 2, ...
 *
 * Reddi, Kale and Kumar, "On the convergence of Adam and beyond", 2018, algorithm 2, with Adam's corrections for the
 * zero start, as PyTorch has it: torch.optim.Adam(amsgrad=True), the same but for roundings; with
 * decoupled_weight_decay=1 it is torch.optim.AdamW(amsgrad=True). Epsilon stands as in adam.c.
 *
 * Memory: weight and three arrays, 16 bytes a parameter. */
#include "server/optimizers/adam.h"

static const struct optimizer_hyperparameter hyperparameters[] = ADAM_HYPERPARAMETERS(0.0, 0.0);

ELEMENT struct cell element(const float *p, float g, struct cell old) {
    const float d = gradient(p, g, old.w);
    const float m = p[ADAM_KEEP1] * old.s[0] + p[ADAM_TAKE1] * d;
    const float v = p[ADAM_KEEP2] * old.s[1] + p[ADAM_TAKE2] * d * d;
    const float x = old.s[2] > v ? old.s[2] : v;
    const float w = shrunk(p, old.w) - p[ADAM_RATE] * m / (sqrtf(x) * p[ADAM_CORRECTION] + p[ADAM_EPSILON]);
    return (struct cell){w, {m, v, x}};
}
KERNELS(update, 3, element)

const struct optimizer optimizer_amsgrad = {
    .name = "amsgrad",
    .summary = "AMSGrad: Adam divided by the largest average of squares so far, so that steps cannot grow again",
    .source = "Reddi, Kale and Kumar 2018, algorithm 2; torch.optim.Adam(amsgrad=True)",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
    .slot_count = 3,
    .never_negative = {[1] = true, [2] = true},
    .prepare = adam_prepare,
    .update = KERNELS_OF(update),
};
