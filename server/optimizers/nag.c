/* Nesterov's accelerated gradient.
 *
 *     g' = g + weight_decay * w
 *     b <- momentum * b + g'            (b starts at 0)
 *     w <- w - lr * (g' + momentum * b)
 *
 * Nesterov, "A method for solving the convex programming problem with convergence rate O(1/k^2)", 1983; in the form of
 * Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep learning", 2013, eq. 3
 * and 4, rewritten for the weights at which the next gradient is taken, with lr outside the buffer. PyTorch:
 * torch.optim.SGD(momentum=..., nesterov=True), the same, rounded alike; PyTorch refuses momentum 0, which here is
 * plain sgd. The defaults are ours, as in momentum.c.
 *
 * No epsilon. Memory: weight and buffer, 8 bytes a parameter. */
#include "server/optimizers/kernel.h"

enum { LR, MOMENTUM, COMMON };
enum { RATE = PREPARED_OWN, KEEP, AHEAD };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(0.01),
    [MOMENTUM] = HYPER_DECAY("momentum", 0.9, "how much of the last step's velocity is kept, and looked ahead by"),
    HYPER_COMMON(0.0, 0.0),
};

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    (void)step;
    (void)scalars;
    prepare_common(hyper + COMMON, hyper[LR], prepared);
    prepared[RATE] = (float)hyper[LR];
    prepared[KEEP] = (float)hyper[MOMENTUM];
    prepared[AHEAD] = (float)hyper[MOMENTUM];
}

ELEMENT struct cell element(const float *p, float g, struct cell old, fused_function *fused) {
    const float d = gradient_fused(p, g, old.w, fused);
    const float b = p[KEEP] * old.s[0] + d;
    return (struct cell){fused(-p[RATE], fused(p[AHEAD], b, d), shrunk(p, old.w)), {b}};
}
KERNELS_FUSED(update, 1, element)

const struct optimizer optimizer_nag = {
    .name = "nag",
    .summary = "Nesterov's accelerated gradient: momentum that looks one step ahead",
    .source = "Nesterov 1983; Sutskever et al. 2013, eq. 3-4; torch.optim.SGD(momentum=..., nesterov=True)",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"momentum_buffer"},
    .slot_count = 1,
    .prepare = prepare,
    .update = KERNELS_OF(update),
};
