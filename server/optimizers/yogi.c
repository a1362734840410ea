/* Yogi: Adam whose average of squares moves towards a new square by a share of that square, never faster.
 *
 *     g' = g + weight_decay * w
 *     m <- beta1 * m + (1 - beta1) * g'
 *     v <- v - (1 - beta2) * sign(v - g'^2) * g'^2         (v starts at initial_accumulator_value)
 *     w <- w - lr * m / (sqrt(v) + eps)
 *
 * Zaheer, Reddi, Sachan, Kale and Kumar, "Adaptive methods for nonconvex optimization", 2018, algorithm 2, which
 * corrects no bias; its experiments have eps 1e-3 and start v above zero. Epsilon stands outside the root. PyTorch has
 * none. TensorFlow Addons' and Optax's correct the averages as Adam does: there, the first steps differ.
 *
 * Memory: weight and two averages, 12 bytes a parameter. */
#include "server/optimizers/kernel.h"

enum { LR, BETA1, BETA2, INITIAL_ACCUMULATOR_VALUE, EPS, COMMON };
enum { RATE = PREPARED_OWN, KEEP1, TAKE1, TAKE2, EPSILON };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(0.01),
    [BETA1] = HYPER_DECAY("beta1", 0.9, "how much of the average of gradients is kept"),
    [BETA2] = HYPER_DECAY("beta2", 0.999, "1 less the share of a squared gradient that the average moves by"),
    [INITIAL_ACCUMULATOR_VALUE] =
        HYPER("initial_accumulator_value", 1e-6, 0.0, HYPER_HIGH, "what the average of squares starts with"),
    [EPS] = HYPER_EPS(1e-3, "added to the root of the average of squares"),
    HYPER_COMMON(0.0, 0.0),
};

static float slot_initial(const double *hyper, size_t slot) {
    return slot == 1 ? (float)hyper[INITIAL_ACCUMULATOR_VALUE] : 0.0f;
}

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    (void)step;
    (void)scalars;
    prepare_common(hyper + COMMON, hyper[LR], prepared);
    prepared[RATE] = (float)hyper[LR];
    prepared[KEEP1] = (float)hyper[BETA1];
    prepared[TAKE1] = (float)(1.0 - hyper[BETA1]);
    prepared[TAKE2] = (float)(1.0 - hyper[BETA2]);
    prepared[EPSILON] = (float)hyper[EPS];
}

/* v stays at or above zero: where it shrinks, it is by a share of a square that is less than v. */
ELEMENT struct cell element(const float *p, float g, struct cell old) {
    const float d = gradient(p, g, old.w), square = d * d;
    const float m = p[KEEP1] * old.s[0] + p[TAKE1] * d;
    const float v = old.s[1] - sign(old.s[1] - square) * (p[TAKE2] * square);
    return (struct cell){shrunk(p, old.w) - p[RATE] * m / (sqrtf(v) + p[EPSILON]), {m, v}};
}
KERNELS(update, 2, element)

const struct optimizer optimizer_yogi = {
    .name = "yogi",
    .summary = "Yogi: Adam whose average of squares moves by bounded amounts, so that steps grow slowly",
    .source = "Zaheer et al. 2018, algorithm 2; not in PyTorch",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"exp_avg", "exp_avg_sq"},
    .slot_count = 2,
    .never_negative = {[1] = true},
    .slot_initial = slot_initial,
    .prepare = prepare,
    .update = KERNELS_OF(update),
};
