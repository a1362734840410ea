/* Gradient descent with momentum (the heavy ball).
 *
 *     g' = g + weight_decay * w
 *     b <- g'                                     at the first step
 *     b <- momentum * b + (1 - dampening) * g'    afterwards
 *     w <- w - lr * b
 *
 * Polyak, "Some methods of speeding up the convergence of iteration methods", 1964, the two-step method; in the form of
 * Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep learning", 2013, eq. 1
 * and 2, but with lr outside the buffer, so that a change of lr acts at once. PyTorch: torch.optim.SGD(momentum=...,
 * dampening=...), the same, rounded alike, with its first step free of dampening and with dampening ignored when
 * momentum is 0. PyTorch has no default lr and momentum 0; the defaults here are ours: 0.9, and an lr whose steps add
 * up to those of sgd, lr / (1 - momentum) = 0.1.
 *
 * No epsilon. Memory: weight and buffer, 8 bytes a parameter. */
#include "server/optimizers/kernel.h"

enum { LR, MOMENTUM, DAMPENING, WEIGHT_DECAY };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(0.01),
    [MOMENTUM] = HYPER_DECAY("momentum", 0.9, "how much of the last step's velocity is kept"),
    [DAMPENING] = {"dampening", 0.0, 0.0, 1.0, false, false,
                   "the share of each gradient, but the first, that is kept out of the velocity"},
    [WEIGHT_DECAY] = HYPER_WEIGHT_DECAY,
};

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    (void)scalars;
    bool whole = step == 1 || hyper[MOMENTUM] <= 0.0;
    prepared[0] = (float)hyper[LR];
    prepared[1] = step == 1 ? 0.0f : (float)hyper[MOMENTUM];
    prepared[2] = whole ? 1.0f : (float)(1.0 - hyper[DAMPENING]);
    prepared[3] = (float)hyper[WEIGHT_DECAY];
}

static void run(const float *restrict prepared, size_t n, const float *restrict g, float *restrict w,
                float *restrict buffer) {
    const float lr = prepared[0], keep = prepared[1], take = prepared[2], weight_decay = prepared[3];
    for (size_t i = 0; i < n; i++) {
        const float b = fused(take, fused(weight_decay, w[i], g[i]), keep * buffer[i]);
        buffer[i] = b;
        w[i] = fused(-lr, b, w[i]);
    }
}

static void update(const float *prepared, size_t n, const float *restrict g, float *restrict w, float *const *slots) {
    run(prepared, n, g, w, slots[0]);
}

const struct optimizer optimizer_momentum = {
    .name = "momentum",
    .summary = "gradient descent with momentum: steps along a decaying sum of the gradients",
    .source = "Polyak 1964; Sutskever et al. 2013, eq. 1-2; torch.optim.SGD(momentum=...)",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"momentum_buffer"},
    .slot_count = 1,
    .prepare = prepare,
    .update = update,
};
