/* Gradient descent with momentum (the heavy ball).
 *
 *     g' = g + weight_decay * w
 *     b <- momentum * b + g'                      at the first step, where b is 0
 *     b <- momentum * b + (1 - dampening) * g'    afterwards
 *     w <- w - lr * b
 *
 * Polyak, "Some methods of speeding up the convergence of iteration methods", 1964, the two-step method; in the form of
 * Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep learning", 2013, eq. 1
 * and 2, but with lr outside the buffer, so that a change of lr acts at once. PyTorch: torch.optim.SGD(momentum=...,
 * dampening=...), the same, rounded alike, with its first step free of dampening and with dampening ignored when
 * momentum is 0. A buffer that was assigned counts from the first step on: PyTorch's state for it has no step beside it
 * that could be assigned too. PyTorch has no default lr and momentum 0; the defaults here are ours: 0.9, and an lr
 * whose steps add up to those of sgd, lr / (1 - momentum) = 0.1.
 *
 * No epsilon. Memory: weight and buffer, 8 bytes a parameter. */
#include "server/optimizers/kernel.h"

enum { LR, MOMENTUM, DAMPENING, COMMON };
enum { RATE = PREPARED_OWN, KEEP, TAKE };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(0.01),
    [MOMENTUM] = HYPER_DECAY("momentum", 0.9, "how much of the last step's velocity is kept"),
    [DAMPENING] = HYPER("dampening", 0.0, 0.0, 1.0,
                        "the share of each gradient, but the first, that is kept out of the velocity"),
    HYPER_COMMON(0.0, 0.0),
};

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    (void)scalars;
    const bool whole = step == 1 || hyper[MOMENTUM] <= 0.0;
    prepare_common(hyper + COMMON, hyper[LR], prepared);
    prepared[RATE] = (float)hyper[LR];
    prepared[KEEP] = (float)hyper[MOMENTUM];
    prepared[TAKE] = whole ? 1.0f : (float)(1.0 - hyper[DAMPENING]);
}

ELEMENT struct cell element(const float *p, float g, struct cell old, fused_function *fused) {
    const float b = fused(p[TAKE], gradient_fused(p, g, old.w, fused), p[KEEP] * old.s[0]);
    return (struct cell){fused(-p[RATE], b, shrunk(p, old.w)), {b}};
}
KERNELS_FUSED(update, 1, element)

const struct optimizer optimizer_momentum = {
    .name = "momentum",
    .summary = "gradient descent with momentum: steps along a decaying sum of the gradients",
    .source = "Polyak 1964; Sutskever et al. 2013, eq. 1-2; torch.optim.SGD(momentum=...)",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"momentum_buffer"},
    .slot_count = 1,
    .prepare = prepare,
    .update = KERNELS_OF(update),
};
