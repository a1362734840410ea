/* Rprop: every weight has a step size of its own, which grows while its gradient keeps its sign and shrinks where the
 * sign turns; the gradient's size plays no part.
 *
 *     s <- s * etaplus    where g * last > 0       (s starts at lr, last at 0)
 *     s <- s * etaminus   where g * last < 0, and then g = 0
 *     s <- s              where g * last = 0
 *     s <- s cut to [step_size_min, step_size_max]
 *     w <- w - sign(g) * s
 *     last <- g
 *
 * Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm", 1993, in
 * the variant without a step back (Igel and Hüsken, 2000, "iRprop-"). No epsilon, no weight decay. PyTorch:
 * torch.optim.Rprop, the same to the bit; etas is etaminus, etaplus there and step_sizes is step_size_min,
 * step_size_max. A change of lr has no effect once the tensor is there, nor has a schedule: its step sizes are state.
 *
 * Meant for whole-batch gradients: the sign of a small batch's is mostly noise.
 *
 * Memory: weight, last gradient and step size, 12 bytes a parameter. */
#include "server/optimizers/kernel.h"

enum { LR, ETAMINUS, ETAPLUS, STEP_SIZE_MIN, STEP_SIZE_MAX, COMMON };
enum { SHORTER = PREPARED_OWN, LONGER, LEAST, MOST };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = {"lr", 0.01, 0.0, HYPER_HIGH, true, false, "the size of the first steps; later ones find their own", false},
    [ETAMINUS] = {"etaminus", 0.5, 0.0, 1.0, true, true, "what a step size is multiplied by where the sign turns",
                  false},
    [ETAPLUS] = {"etaplus", 1.2, 1.0, HYPER_HIGH, true, false,
                 "what a step size is multiplied by where the sign is kept", false},
    [STEP_SIZE_MIN] = HYPER("step_size_min", 1e-6, 0.0, HYPER_HIGH, "no step is shorter"),
    [STEP_SIZE_MAX] = HYPER("step_size_max", 50.0, 0.0, HYPER_HIGH, "no step is longer"),
    HYPER_GRADIENT,
};

static float slot_initial(const double *hyper, size_t slot) {
    return slot == 1 ? (float)hyper[LR] : 0.0f;
}

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    (void)step;
    (void)scalars;
    prepare_gradient(hyper + COMMON, prepared);
    prepared[SHORTER] = (float)hyper[ETAMINUS];
    prepared[LONGER] = (float)hyper[ETAPLUS];
    prepared[LEAST] = (float)hyper[STEP_SIZE_MIN];
    prepared[MOST] = (float)hyper[STEP_SIZE_MAX];
}

/* Choices are written as sums of products with 0 and 1, which are exact: GCC 12 finds no AVX-512 for a choice between
 * constants. */
ELEMENT struct cell element(const float *p, float g, struct cell old) {
    const float d = treated(p, g), product = d * old.s[0], least = p[LEAST], most = p[MOST];
    const float kept = product > 0.0f ? 1.0f : 0.0f, turned = product < 0.0f ? 1.0f : 0.0f,
                neither = 1.0f - kept - turned;
    const float wanted = old.s[1] * (kept * p[LONGER] + turned * p[SHORTER] + neither);
    const float enough = wanted < least ? least : wanted;
    const float size = enough > most ? most : enough;
    const float last = d * (1.0f - turned);
    return (struct cell){old.w - sign(last) * size, {last, size}};
}
KERNELS(update, 2, element)

const struct optimizer optimizer_rprop = {
    .name = "rprop",
    .summary = "Rprop: a step size for each weight, longer while its gradient keeps its sign, shorter where it turns",
    .source = "Riedmiller and Braun 1993; Igel and Huesken 2000 (iRprop-); torch.optim.Rprop",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"prev", "step_size"},
    .slot_count = 2,
    .never_negative = {[1] = true},
    .slot_initial = slot_initial,
    .prepare = prepare,
    .update = KERNELS_OF(update),
};
