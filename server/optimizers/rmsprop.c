/* RMSprop: gradients divided by the running root of their mean square; on request by their standard deviation
 * (centered), and with momentum.
 *
 *     g' = g + weight_decay * w
 *     v <- alpha * v + (1 - alpha) * g'^2
 *     a <- alpha * a + (1 - alpha) * g'           with centered; then v - a^2, not below 0, stands for v in the next
 *     b <- momentum * b + g' / (sqrt(v) + eps)    with momentum; without, b is that quotient
 *     w <- w - lr * b
 *
 * Tieleman and Hinton, "Neural networks for machine learning", 2012, lecture 6e, slide 29 (alpha is 0.9 there); Graves,
 * "Generating sequences with recurrent neural networks", 2013, eq. 38 to 45 for centered and momentum (epsilon is in
 * the root there). Epsilon stands outside the root. PyTorch: torch.optim.RMSprop, the same but for roundings, and but
 * for variances that rounding makes negative: PyTorch's weight becomes NaN there, this one counts them as 0.
 *
 * Memory: weight and three arrays, 16 bytes a parameter, whatever the settings: they can change while training runs,
 * and an array that begins to count begins with what it last held, at first zeros. Arrays that the settings make no use
 * of are neither read nor written, so that plain RMSprop has the speed of one. */
#include "server/optimizers/kernel.h"

enum { LR, ALPHA, EPS, MOMENTUM, CENTERED, COMMON };
enum { RATE = PREPARED_OWN, KEEP, TAKE, EPSILON, VELOCITY, VARIANCE };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(0.01),
    [ALPHA] = HYPER_DECAY("alpha", 0.99, "how much of the averages of gradients and their squares is kept"),
    [EPS] = HYPER_EPS(1e-8, "added to the root of the average, against a division by zero"),
    [MOMENTUM] = HYPER_DECAY("momentum", 0.0, "how much of the last step's velocity is kept"),
    [CENTERED] = HYPER_FLAG("centered", 0.0, "1: divide by the standard deviation, not the root of the mean square"),
    HYPER_COMMON(0.0, 0.0),
};

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    (void)step;
    (void)scalars;
    prepare_common(hyper + COMMON, hyper[LR], prepared);
    prepared[RATE] = (float)hyper[LR];
    prepared[KEEP] = (float)hyper[ALPHA];
    prepared[TAKE] = (float)(1.0 - hyper[ALPHA]);
    prepared[EPSILON] = (float)hyper[EPS];
    prepared[VELOCITY] = (float)hyper[MOMENTUM];
    prepared[VARIANCE] = (float)hyper[CENTERED];
}

ELEMENT struct cell plain_element(const float *p, float g, struct cell old) {
    const float d = gradient(p, g, old.w);
    const float v = p[KEEP] * old.s[0] + p[TAKE] * d * d;
    return (struct cell){shrunk(p, old.w) - p[RATE] * d / (sqrtf(v) + p[EPSILON]), {v}};
}
LOOPS(plain, 1, plain_element)

/* With momentum, without centering: the slots are the average of squares and the velocity. */
ELEMENT struct cell moving_element(const float *p, float g, struct cell old) {
    const float d = gradient(p, g, old.w);
    const float v = p[KEEP] * old.s[0] + p[TAKE] * d * d;
    const float b = p[VELOCITY] * old.s[1] + d / (sqrtf(v) + p[EPSILON]);
    return (struct cell){shrunk(p, old.w) - p[RATE] * b, {v, b}};
}
LOOPS(moving, 2, moving_element)

/* The difference of averages cancels where gradients hardly change, so their roundings are PyTorch's to the bit. */
ELEMENT struct cell centered_element(const float *p, float g, struct cell old, fused_function *fused) {
    const float d = gradient_fused(p, g, old.w, fused);
    const float v = fused(p[TAKE] * d, d, p[KEEP] * old.s[0]);
    const float a = fused(p[TAKE], d, p[KEEP] * old.s[1]);
    const float difference = fused(-a, a, v), variance = 0.0f > difference ? 0.0f : difference;
    const float quotient = d / (sqrtf(variance) + p[EPSILON]), b = p[VELOCITY] * old.s[2] + quotient;
    return (struct cell){shrunk(p, old.w) - p[RATE] * b, {v, a, b}};
}
LOOPS_FUSED(centered, 3, centered_element)

/* The velocity without momentum is of no further use, so that it need not be kept. */
#define UPDATE(set)                                                                                                    \
    static uint64_t update_##set(const float *prepared, size_t n, const float *restrict g, float *restrict w,          \
                                 float *const *slots) {                                                                \
        float *const averages_and_velocity[] = {slots[0], slots[2]};                                                   \
        if (prepared[VARIANCE] > 0.0f)                                                                                 \
            return centered_##set(prepared, n, g, w, slots);                                                           \
        if (prepared[VELOCITY] > 0.0f)                                                                                 \
            return moving_##set(prepared, n, g, w, averages_and_velocity);                                             \
        return plain_##set(prepared, n, g, w, slots);                                                                  \
    }
UPDATE(baseline)
UPDATE(avx2)
UPDATE(avx512)

const struct optimizer optimizer_rmsprop = {
    .name = "rmsprop",
    .summary = "RMSprop: gradients divided by the root of a running average of their squares",
    .source = "Tieleman and Hinton 2012, lecture 6e, slide 29; Graves 2013, eq. 38-45; torch.optim.RMSprop",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"square_avg", "grad_avg", "momentum_buffer"},
    .slot_count = 3,
    .never_negative = {[0] = true},
    .prepare = prepare,
    .update = LOOPS_OF(update),
};
