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

enum { LR, BETA1, BETA2, EPS, WEIGHT_DECAY, MOMENTUM_DECAY };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(0.002),
    [BETA1] = HYPER_DECAY("beta1", 0.9, "how much of the average of gradients is kept"),
    [BETA2] = HYPER_DECAY("beta2", 0.999, "how much of the average of squared gradients is kept"),
    [EPS] = HYPER_EPS(1e-8, "added to the root of the corrected average of squares"),
    [WEIGHT_DECAY] = HYPER_WEIGHT_DECAY,
    [MOMENTUM_DECAY] = {"momentum_decay", 0.004, 0.0, HYPER_HIGH, false, false,
                        "how fast the momentum rises from beta1 / 2 to beta1; 0 keeps it at a half"},
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
    prepared[0] = (float)(hyper[LR] * (1.0 - mu) / (1.0 - product));
    prepared[1] = (float)(hyper[LR] * mu_next / (1.0 - product_next));
    prepared[2] = (float)hyper[BETA1];
    prepared[3] = (float)(1.0 - hyper[BETA1]);
    prepared[4] = (float)hyper[BETA2];
    prepared[5] = (float)(1.0 - hyper[BETA2]);
    prepared[6] = (float)(1.0 / correction2);
    prepared[7] = (float)hyper[EPS];
    prepared[8] = (float)hyper[WEIGHT_DECAY];
}

static void run(const float *restrict prepared, size_t n, const float *restrict g, float *restrict w,
                float *restrict first, float *restrict second) {
    const float rate_g = prepared[0], rate_m = prepared[1], keep1 = prepared[2], take1 = prepared[3];
    const float keep2 = prepared[4], take2 = prepared[5], correction = prepared[6], eps = prepared[7];
    const float weight_decay = prepared[8];
    for (size_t i = 0; i < n; i++) {
        const float d = decayed(g[i], weight_decay, w[i]);
        const float m = keep1 * first[i] + take1 * d;
        const float v = keep2 * second[i] + take2 * d * d;
        first[i] = m;
        second[i] = v;
        const float inverse = 1.0f / (sqrtf(v * correction) + eps);
        w[i] = w[i] - rate_g * d * inverse - rate_m * m * inverse;
    }
}

static void update(const float *prepared, size_t n, const float *restrict g, float *restrict w, float *const *slots) {
    run(prepared, n, g, w, slots[0], slots[1]);
}

const struct optimizer optimizer_nadam = {
    .name = "nadam",
    .summary = "Nadam: Adam with Nesterov's look-ahead and a momentum schedule",
    .source = "Dozat 2016, the NAdam algorithm; torch.optim.NAdam of PyTorch 1.13",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"exp_avg", "exp_avg_sq"},
    .slot_count = 2,
    .scalars = {"mu_product"},
    .scalar_initial = {1.0},
    .scalar_count = 1,
    .prepare = prepare,
    .update = update,
};
