/* Nesterov's accelerated gradient.
 *
 *     g' = g + weight_decay * w
 *     b <- momentum * b + g'            (b = g' at the first step)
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

enum { LR, MOMENTUM, WEIGHT_DECAY };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(0.01),
    [MOMENTUM] = HYPER_DECAY("momentum", 0.9, "how much of the last step's velocity is kept, and looked ahead by"),
    [WEIGHT_DECAY] = HYPER_WEIGHT_DECAY,
};

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    (void)scalars;
    prepared[0] = (float)hyper[LR];
    prepared[1] = step == 1 ? 0.0f : (float)hyper[MOMENTUM];
    prepared[2] = (float)hyper[MOMENTUM];
    prepared[3] = (float)hyper[WEIGHT_DECAY];
}

static void run(const float *restrict prepared, size_t n, const float *restrict g, float *restrict w,
                float *restrict buffer) {
    const float lr = prepared[0], keep = prepared[1], ahead = prepared[2], weight_decay = prepared[3];
    for (size_t i = 0; i < n; i++) {
        const float d = fused(weight_decay, w[i], g[i]);
        const float b = keep * buffer[i] + d;
        buffer[i] = b;
        w[i] = fused(-lr, fused(ahead, b, d), w[i]);
    }
}

static void update(const float *prepared, size_t n, const float *restrict g, float *restrict w, float *const *slots) {
    run(prepared, n, g, w, slots[0]);
}

const struct optimizer optimizer_nag = {
    .name = "nag",
    .summary = "Nesterov's accelerated gradient: momentum that looks one step ahead",
    .source = "Nesterov 1983; Sutskever et al. 2013, eq. 3-4; torch.optim.SGD(momentum=..., nesterov=True)",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"momentum_buffer"},
    .slot_count = 1,
    .prepare = prepare,
    .update = update,
};
