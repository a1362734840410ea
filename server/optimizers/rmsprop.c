/* RMSprop: gradients divided by the running root of their mean square.
 *
 *     g' = g + weight_decay * w
 *     v <- alpha * v + (1 - alpha) * g'^2
 *     w <- w - lr * g' / (sqrt(v) + eps)
 *
 * Tieleman and Hinton, "Neural networks for machine learning", 2012, lecture 6e, slide 29 (alpha is 0.9 there). Epsilon
 * stands outside the root. PyTorch: torch.optim.RMSprop with centered=False and momentum=0, its defaults, the same
 * but for roundings; its centered and momentum variants are not here.
 *
 * Memory: weight and average, 8 bytes a parameter. */
#include "server/optimizers/kernel.h"

enum { LR, ALPHA, EPS, WEIGHT_DECAY };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(0.01),
    [ALPHA] = HYPER_DECAY("alpha", 0.99, "how much of the average of squared gradients is kept"),
    [EPS] = HYPER_EPS(1e-8, "added to the root of the average, against a division by zero"),
    [WEIGHT_DECAY] = HYPER_WEIGHT_DECAY,
};

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    (void)step;
    (void)scalars;
    prepared[0] = (float)hyper[LR];
    prepared[1] = (float)hyper[ALPHA];
    prepared[2] = (float)(1.0 - hyper[ALPHA]);
    prepared[3] = (float)hyper[EPS];
    prepared[4] = (float)hyper[WEIGHT_DECAY];
}

static void run(const float *restrict prepared, size_t n, const float *restrict g, float *restrict w,
                float *restrict square) {
    const float lr = prepared[0], keep = prepared[1], take = prepared[2], eps = prepared[3], weight_decay = prepared[4];
    for (size_t i = 0; i < n; i++) {
        const float d = decayed(g[i], weight_decay, w[i]);
        const float v = keep * square[i] + take * d * d;
        square[i] = v;
        w[i] -= lr * d / (sqrtf(v) + eps);
    }
}

static void update(const float *prepared, size_t n, const float *restrict g, float *restrict w, float *const *slots) {
    run(prepared, n, g, w, slots[0]);
}

const struct optimizer optimizer_rmsprop = {
    .name = "rmsprop",
    .summary = "RMSprop: gradients divided by the root of a running average of their squares",
    .source = "Tieleman and Hinton 2012, lecture 6e, slide 29; torch.optim.RMSprop",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"square_avg"},
    .slot_count = 1,
    .prepare = prepare,
    .update = update,
};
