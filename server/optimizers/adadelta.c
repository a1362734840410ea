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

enum { LR, RHO, EPS, COMMON };
enum { RATE = PREPARED_OWN, KEEP, TAKE, EPSILON };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(1.0),
    [RHO] = HYPER_DECAY("rho", 0.9, "how much of the averages of squared gradients and steps is kept"),
    [EPS] = HYPER_EPS(1e-6, "added to both averages under their roots; sets the size of the first steps"),
    HYPER_COMMON(0.0, 0.0),
};

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    (void)step;
    (void)scalars;
    prepare_common(hyper + COMMON, hyper[LR], prepared);
    prepared[RATE] = (float)hyper[LR];
    prepared[KEEP] = (float)hyper[RHO];
    prepared[TAKE] = (float)(1.0 - hyper[RHO]);
    prepared[EPSILON] = (float)hyper[EPS];
}

ELEMENT struct cell element(const float *p, float g, struct cell old) {
    const float d = gradient(p, g, old.w);
    const float v = p[KEEP] * old.s[0] + p[TAKE] * d * d;
    const float s = sqrtf(old.s[1] + p[EPSILON]) / sqrtf(v + p[EPSILON]) * d;
    const float u = p[KEEP] * old.s[1] + p[TAKE] * s * s;
    return (struct cell){shrunk(p, old.w) - p[RATE] * s, {v, u}};
}
KERNELS(update, 2, element)

const struct optimizer optimizer_adadelta = {
    .name = "adadelta",
    .summary = "Adadelta: steps scaled by the ratio of two running averages, of past steps and of gradients",
    .source = "Zeiler 2012, algorithm 1; torch.optim.Adadelta",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"square_avg", "acc_delta"},
    .slot_count = 2,
    .never_negative = {[0] = true, [1] = true},
    .prepare = prepare,
    .update = KERNELS_OF(update),
};
