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

enum { LR, LR_DECAY, INITIAL_ACCUMULATOR_VALUE, EPS, COMMON };
enum { RATE = PREPARED_OWN, EPSILON };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(0.01),
    [LR_DECAY] =
        HYPER("lr_decay", 0.0, 0.0, HYPER_HIGH, "lr is divided by 1 + (step - 1) times this: a decay of its own"),
    [INITIAL_ACCUMULATOR_VALUE] =
        HYPER("initial_accumulator_value", 0.0, 0.0, HYPER_HIGH, "what the sum of squared gradients starts with"),
    [EPS] = HYPER_EPS(1e-10, "added to the root of the sum, against a division by zero"),
    HYPER_COMMON(0.0, 0.0),
};

static float slot_initial(const double *hyper, size_t slot) {
    (void)slot;
    return (float)hyper[INITIAL_ACCUMULATOR_VALUE];
}

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    assert(step > 0);
    (void)scalars;
    const double rate = hyper[LR] / (1.0 + (double)(step - 1) * hyper[LR_DECAY]);
    prepare_common(hyper + COMMON, rate, prepared);
    prepared[RATE] = (float)rate;
    prepared[EPSILON] = (float)hyper[EPS];
}

ELEMENT struct cell element(const float *p, float g, struct cell old) {
    const float d = gradient(p, g, old.w);
    const float s = old.s[0] + d * d;
    return (struct cell){shrunk(p, old.w) - p[RATE] * d / (sqrtf(s) + p[EPSILON]), {s}};
}
KERNELS(update, 1, element)

const struct optimizer optimizer_adagrad = {
    .name = "adagrad",
    .summary = "Adagrad: steps divided by the root of the sum of all squared gradients, weight by weight",
    .source = "Duchi, Hazan and Singer 2011, eq. 1 (diagonal); torch.optim.Adagrad",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"sum"},
    .slot_count = 1,
    .never_negative = {[0] = true},
    .slot_initial = slot_initial,
    .prepare = prepare,
    .update = KERNELS_OF(update),
};
