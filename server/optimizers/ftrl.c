/* FTRL-Proximal: each weight is the minimum of all its past gradients' linear terms plus penalties; an L1 penalty makes
 * weights exactly zero.
 *
 *     where g is not 0:
 *     s = (sqrt(n + g^2) - sqrt(n)) / lr
 *     z <- z + g - s * w
 *     n <- n + g^2
 *     w <- 0                                                        where |z| <= lambda1
 *     w <- -(z - sign(z) * lambda1) / ((beta + sqrt(n)) / lr + lambda2)    elsewhere
 *
 * McMahan et al., "Ad click prediction: a view from the trenches", 2013, algorithm 1, whose alpha is lr here. As there,
 * a coordinate without gradient is left alone. beta stands with sqrt(n) as an epsilon would. The paper starts with
 * weights of zero; so that any first weights can be had, z of an element that has no history (n = 0) is taken to be the
 * one that gives its weight. Later, weights are a function of z and n: assigning weights alone lasts until their next
 * gradient. Its penalties are lambda1 and lambda2; there is no weight decay beside them. PyTorch has none. In
 * TensorFlow's Ftrl lambda1 is l1_regularization_strength, lambda2 is twice l2_regularization_strength, and the root is
 * learning_rate_power=-0.5, the paper's and the only power here: others would take a transcendental function per
 * element.
 *
 * Memory: weight and two sums, 12 bytes a parameter. Two roots and two quotients an element: with vectors of 256 bits
 * and less the CPU's divider bounds its speed, not memory. */
#include "server/optimizers/kernel.h"

enum { LR, BETA, LAMBDA1, LAMBDA2, COMMON };
enum { INVERSE = PREPARED_OWN, OFFSET, L1, L2 };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER("lr", 0.1, HYPER_EPS_LOW, HYPER_HIGH, "learning rate, the paper's alpha: the length of a step"),
    [BETA] = HYPER("beta", 1.0, HYPER_EPS_LOW, HYPER_HIGH, "added to the root of the sum of squares"),
    [LAMBDA1] = HYPER("lambda1", 0.0, 0.0, HYPER_HIGH, "L1 penalty: weights it outweighs are exactly zero"),
    [LAMBDA2] = HYPER("lambda2", 0.0, 0.0, HYPER_HIGH, "L2 penalty: draws weights to zero"),
    HYPER_GRADIENT,
};

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    (void)step;
    (void)scalars;
    const double lr = hyper[LR] > HYPER_EPS_LOW ? hyper[LR] : HYPER_EPS_LOW; /* a schedule may come to zero */
    prepare_gradient(hyper + COMMON, prepared);
    prepared[INVERSE] = (float)(1.0 / lr);
    prepared[OFFSET] = (float)(hyper[BETA] / lr + hyper[LAMBDA2]);
    prepared[L1] = (float)hyper[LAMBDA1];
}

/* sqrt(n + g^2) - sqrt(n) is written g^2 / (sqrt(n + g^2) + sqrt(n)), which does not cancel. */
ELEMENT struct cell element(const float *p, float g, struct cell old) {
    const float d = treated(p, g), square = d * d;
    const float sum = old.s[1] + square, root = sqrtf(sum), both = root + sqrtf(old.s[1]);
    const float s = both > 0.0f ? square / both * p[INVERSE] : 0.0f;
    const float start = -(old.w * p[OFFSET]) - sign(old.w) * p[L1];
    const float z = (old.s[1] > 0.0f ? old.s[0] : start) + (d - s * old.w);
    const float beyond = fabsf(z) - p[L1];
    const float size = (beyond > 0.0f ? beyond : 0.0f) / (root * p[INVERSE] + p[OFFSET]);
    const float w = z < 0.0f ? size : -size;
    const bool touched = d < 0.0f || d > 0.0f;
    return (struct cell){touched ? w : old.w, {touched ? z : old.s[0], sum}};
}
KERNELS(update, 2, element)

const struct optimizer optimizer_ftrl = {
    .name = "ftrl",
    .summary = "FTRL-Proximal: the best weights in hindsight under penalties; L1 makes weights exactly zero",
    .source = "McMahan et al. 2013, algorithm 1; not in PyTorch",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"z", "n"},
    .slot_count = 2,
    .never_negative = {[1] = true},
    .prepare = prepare,
    .update = KERNELS_OF(update),
};
