/* Nadam: Adam with Nesterov's look-ahead, on a momentum that warms up.
 *
 *     mu(t) = beta1 * (1 - 0.5 * 0.96^(t * momentum_decay))
 *     g' = g + weight_decay * w
 *     m <- beta1 * m + (1 - beta1) * g'
 *     v <- beta2 * v + (1 - beta2) * g'^2
 *     P <- P * mu(t)                                      (P starts at 1)
 *     w <- w - lr * ((1 - mu(t)) / (1 - P) * g' + mu(t+1) / (1 - P * mu(t) * mu(t+1)) * m)
 *              / (sqrt(v / (1 - beta2^t)) + eps)          at step t = 1, 2, ...
 *
 * Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016, the NAdam algorithm with its momentum
 * schedule (0.96^(t / 250) there). Epsilon stands outside the root. The running product P of mu is a scalar of each
 * block.
 *
 * PyTorch: torch.optim.NAdam as version 1.13 computes it one tensor at a time, its default. There the product that
 * corrects the look-ahead has mu(t) twice; the paper, PyTorch's documentation and its 2.x releases have 1 - P *
 * mu(t+1). The two differ visibly in the first steps only, as P shrinks quickly. PyTorch keeps P in float, this file in
 * double; otherwise the same but for roundings (the two terms of the step share one division here, and are taken off
 * one after the other as there).
 *
 * Memory: weight and two averages, 12 bytes a parameter, and 8 bytes a block. */
#include <assert.h>

#include "server/optimizers/kernel.h"

enum { LR, BETA1, BETA2, EPS, MOMENTUM_DECAY, COMMON };
enum { RATE_G = PREPARED_OWN, RATE_M, KEEP1, TAKE1, KEEP2, TAKE2, CORRECTION, EPSILON };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(0.002),
    [BETA1] = HYPER_DECAY("beta1", 0.9, "how much of the average of gradients is kept"),
    [BETA2] = HYPER_DECAY("beta2", 0.999, "how much of the average of squared gradients is kept"),
    [EPS] = HYPER_EPS(1e-8, "added to the root of the corrected average of squares"),
    [MOMENTUM_DECAY] = HYPER("momentum_decay", 0.004, 0.0, HYPER_HIGH,
                             "how fast the momentum rises from beta1 / 2 to beta1; 0 keeps it at a half"),
    HYPER_COMMON(0.0, 0.0),
};

/* 0.96^y for y >= 0, to a few units in the last place: the whole part by binary powering, the rest by the series of
 * exp, whose argument is above -0.041, so that nine terms reach 1e-20. */
static double warming(double y) {
    static const double log_base = -0.04082199452025513; /* ln 0.96 */
    if (y >= 20000.0)                                    /* below the smallest double */
        return 0.0;
    const uint64_t whole = (uint64_t)y;
    const double x = (y - (double)whole) * log_base;
    double series = 1.0;
    for (int k = 9; k > 0; k--)
        series = 1.0 + x / (double)k * series;
    return optimizer_power(0.96, whole) * series;
}

static double momentum_at(const double *hyper, double step) {
    return hyper[BETA1] * (1.0 - 0.5 * warming(step * hyper[MOMENTUM_DECAY]));
}

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    assert(step > 0);
    const double mu = momentum_at(hyper, (double)step);
    const double mu_next = momentum_at(hyper, (double)step + 1.0);
    const double product = scalars[0] * mu;
    const double product_next = product * mu * mu_next;
    const double correction2 = 1.0 - optimizer_power(hyper[BETA2], step);
    scalars[0] = product;
    prepare_common(hyper + COMMON, hyper[LR], prepared);
    prepared[RATE_G] = (float)(hyper[LR] * (1.0 - mu) / (1.0 - product));
    prepared[RATE_M] = (float)(hyper[LR] * mu_next / (1.0 - product_next));
    prepared[KEEP1] = (float)hyper[BETA1];
    prepared[TAKE1] = (float)(1.0 - hyper[BETA1]);
    prepared[KEEP2] = (float)hyper[BETA2];
    prepared[TAKE2] = (float)(1.0 - hyper[BETA2]);
    prepared[CORRECTION] = (float)(1.0 / correction2);
    prepared[EPSILON] = (float)hyper[EPS];
}

ELEMENT struct cell element(const float *p, float g, struct cell old) {
    const float d = gradient(p, g, old.w);
    const float m = p[KEEP1] * old.s[0] + p[TAKE1] * d;
    const float v = p[KEEP2] * old.s[1] + p[TAKE2] * d * d;
    const float inverse = 1.0f / (sqrtf(v * p[CORRECTION]) + p[EPSILON]);
    const float w = shrunk(p, old.w) - p[RATE_G] * d * inverse - p[RATE_M] * m * inverse;
    return (struct cell){w, {m, v}};
}
KERNELS(update, 2, element)

const struct optimizer optimizer_nadam = {
    .name = "nadam",
    .summary = "Nadam: Adam with Nesterov's look-ahead and a momentum schedule",
    .source = "Dozat 2016, the NAdam algorithm; torch.optim.NAdam of PyTorch 1.13",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"exp_avg", "exp_avg_sq"},
    .slot_count = 2,
    .never_negative = {[1] = true},
    .scalars = {"mu_product"},
    .scalar_initial = {1.0},
    .scalar_low = {0.0},
    .scalar_high = {1.0}, /* a product of factors below 1: 1 - P * mu is never zero */
    .scalar_count = 1,
    .prepare = prepare,
    .update = KERNELS_OF(update),
};
