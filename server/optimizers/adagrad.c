/* Adagrad: each weight's step shrinks with the gradients it has seen.
 *
 *     g' = g + weight_decay * w
 *     s <- s + g'^2                     (s starts at initial_accumulator_value)
 *     w <- w - lr / (1 + (t - 1) * lr_decay) * g' / (sqrt(s) + eps)       at step t = 1, 2, ...
 *
 * Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization", 2011, eq. 1
 * (the diagonal update). Epsilon stands outside the root. PyTorch: torch.optim.Adagrad, the same but for roundings.
 *
 * Memory: weight and sum, 8 bytes a parameter. */
#include <assert.h>

#include "server/optimizers/kernel.h"

enum { LR, LR_DECAY, INITIAL_ACCUMULATOR_VALUE, EPS, WEIGHT_DECAY };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(0.01),
    [LR_DECAY] = {"lr_decay", 0.0, 0.0, HYPER_HIGH, false, false,
                  "lr is divided by 1 + (step - 1) times this: a decay of its own"},
    [INITIAL_ACCUMULATOR_VALUE] = {"initial_accumulator_value", 0.0, 0.0, HYPER_HIGH, false, false,
                                   "what the sum of squared gradients starts with"},
    [EPS] = HYPER_EPS(1e-10, "added to the root of the sum, against a division by zero"),
    [WEIGHT_DECAY] = HYPER_WEIGHT_DECAY,
};

static float slot_initial(const double *hyper, size_t slot) {
    (void)slot;
    return (float)hyper[INITIAL_ACCUMULATOR_VALUE];
}

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    assert(step > 0);
    (void)scalars;
    prepared[0] = (float)(hyper[LR] / (1.0 + (double)(step - 1) * hyper[LR_DECAY]));
    prepared[1] = (float)hyper[EPS];
    prepared[2] = (float)hyper[WEIGHT_DECAY];
}

static void run(const float *restrict prepared, size_t n, const float *restrict g, float *restrict w,
                float *restrict sum) {
    const float lr = prepared[0], eps = prepared[1], weight_decay = prepared[2];
    for (size_t i = 0; i < n; i++) {
        const float d = decayed(g[i], weight_decay, w[i]);
        const float s = sum[i] + d * d;
        sum[i] = s;
        w[i] -= lr * d / (sqrtf(s) + eps);
    }
}

static void update(const float *prepared, size_t n, const float *restrict g, float *restrict w, float *const *slots) {
    run(prepared, n, g, w, slots[0]);
}

const struct optimizer optimizer_adagrad = {
    .name = "adagrad",
    .summary = "Adagrad: steps divided by the root of the sum of all squared gradients, weight by weight",
    .source = "Duchi, Hazan and Singer 2011, eq. 1 (diagonal); torch.optim.Adagrad",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"sum"},
    .slot_count = 1,
    .slot_initial = slot_initial,
    .prepare = prepare,
    .update = update,
};
