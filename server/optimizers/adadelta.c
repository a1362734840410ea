/* Adadelta: steps in the units of the weights, with no learning rate to find.
 *
 *     g' = g + weight_decay * w
 *     v <- rho * v + (1 - rho) * g'^2
 *     d  = sqrt(u + eps) / sqrt(v + eps) * g'
 *     u <- rho * u + (1 - rho) * d^2
 *     w <- w - lr * d
 *
 * Zeiler, "ADADELTA: an adaptive learning rate method", 2012, algorithm 1; lr is PyTorch's addition, 1 is the paper.
 * Epsilon stands inside both roots, where it also sets the size of the first steps. PyTorch: torch.optim.Adadelta, the
 * same but for roundings.
 *
 * Memory: weight and two averages, 12 bytes a parameter. */
#include "server/optimizers/kernel.h"

enum { LR, RHO, EPS, WEIGHT_DECAY };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(1.0),
    [RHO] = HYPER_DECAY("rho", 0.9, "how much of the averages of squared gradients and steps is kept"),
    [EPS] = HYPER_EPS(1e-6, "added to both averages under their roots; sets the size of the first steps"),
    [WEIGHT_DECAY] = HYPER_WEIGHT_DECAY,
};

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    (void)step;
    (void)scalars;
    prepared[0] = (float)hyper[LR];
    prepared[1] = (float)hyper[RHO];
    prepared[2] = (float)(1.0 - hyper[RHO]);
    prepared[3] = (float)hyper[EPS];
    prepared[4] = (float)hyper[WEIGHT_DECAY];
}

static void run(const float *restrict prepared, size_t n, const float *restrict g, float *restrict w,
                float *restrict square, float *restrict delta) {
    const float lr = prepared[0], keep = prepared[1], take = prepared[2], eps = prepared[3], weight_decay = prepared[4];
    for (size_t i = 0; i < n; i++) {
        const float d = decayed(g[i], weight_decay, w[i]);
        const float v = keep * square[i] + take * d * d;
        const float s = sqrtf(delta[i] + eps) / sqrtf(v + eps) * d;
        square[i] = v;
        delta[i] = keep * delta[i] + take * s * s;
        w[i] -= lr * s;
    }
}

static void update(const float *prepared, size_t n, const float *restrict g, float *restrict w, float *const *slots) {
    run(prepared, n, g, w, slots[0], slots[1]);
}

const struct optimizer optimizer_adadelta = {
    .name = "adadelta",
    .summary = "Adadelta: steps scaled by the ratio of two running averages, of past steps and of gradients",
    .source = "Zeiler 2012, algorithm 1; torch.optim.Adadelta",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"square_avg", "acc_delta"},
    .slot_count = 2,
    .prepare = prepare,
    .update = update,
};
