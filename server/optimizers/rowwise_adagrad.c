/* Row-wise Adagrad: one sum of squares for a whole row of a table.
 *
 *     g' = g + weight_decay * w               for every element of the row
 *     s <- s + mean(g'^2)                     one s for the row, starting at 0
 *     w <- w - lr * g' / (sqrt(s) + eps)
 *
 * Duchi, Hazan and Singer 2011 with one step size a row, as FBGEMM's EXACT_ROWWISE_ADAGRAD has it (Mudigere et al.,
 * "Software-hardware co-design for fast and scalable training of deep learning recommendation models", 2022, section
 * 4.1.4). Epsilon stands outside the root. For the rows of tables only: blocks of dense tensors cut rows apart.
 *
 * The mean's order is fixed, so that every instruction set gives the same bits: sixteen partial sums, element i in sum
 * i mod 16, then halves onto halves.
 *
 * Memory: the weights, and 4 bytes a row. */
#include "server/optimizers/kernel.h"

#define LANES 16

enum { LR, EPS, COMMON };
enum { RATE = PREPARED_OWN, EPSILON };

static const struct optimizer_hyperparameter hyperparameters[] = {
    [LR] = HYPER_LR(0.01),
    [EPS] = HYPER_EPS(1e-8, "added to the root of the row's sum, against a division by zero"),
    HYPER_COMMON(0.0, 0.0),
};

static void prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    (void)step;
    (void)scalars;
    prepare_common(hyper + COMMON, hyper[LR], prepared);
    prepared[RATE] = (float)hyper[LR];
    prepared[EPSILON] = (float)hyper[EPS];
}

ALWAYS_INLINE float sum_of_squares(const float *p, size_t n, const float *restrict g, const float *restrict w) {
    float sums[LANES] = {0.0f};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t lane = 0; lane < LANES; lane++) {
            const float d = gradient(p, g[i + lane], w[i + lane]);
            sums[lane] += d * d;
        }
    }
    for (size_t lane = 0; i + lane < n; lane++) {
        const float d = gradient(p, g[i + lane], w[i + lane]);
        sums[lane] += d * d;
    }
    for (size_t half = LANES / 2; half > 0; half /= 2) {
        for (size_t lane = 0; lane < half; lane++)
            sums[lane] += sums[lane + half];
    }
    return sums[0];
}

/* A row whose sum would not be finite is kept whole. */
ALWAYS_INLINE uint64_t row(const float *restrict prepared, size_t n, const float *restrict g, float *restrict w,
                           float *restrict sum) {
    float p[OPTIMIZER_PREPARED + 1] = {[PREPARED_PLAIN] = 0.0f};
    memcpy(p, prepared, OPTIMIZER_PREPARED * sizeof p[0]);
    const float new_sum = n > 0 ? *sum + sum_of_squares(p, n, g, w) / (float)n : *sum;
    const float rate = p[RATE] / (sqrtf(new_sum) + p[EPSILON]);
    uint32_t kept = 0;
    if (!isfinite(new_sum))
        return n;
    for (size_t i = 0; i < n; i++) {
        const float new = shrunk(p, w[i]) - rate *gradient(p, g[i], w[i]);
        const bool good = new - new == 0.0f;
        kept += good ? 0 : 1;
        w[i] = good ? new : w[i];
    }
    *sum = new_sum;
    return kept;
}

#define UPDATE(target, set)                                                                                            \
    target static uint64_t update_##set(const float *prepared, size_t n, const float *restrict g, float *restrict w,   \
                                        float *const *slots) {                                                         \
        return row(prepared, n, g, w, slots[0]);                                                                       \
    }
UPDATE(, baseline)
UPDATE(TARGET_AVX2, avx2)
UPDATE(TARGET_AVX512, avx512)

const struct optimizer optimizer_rowwise_adagrad = {
    .name = "rowwise_adagrad",
    .summary = "row-wise Adagrad: one sum of squared gradients for a whole row; for the rows of tables only",
    .source = "Duchi, Hazan and Singer 2011; FBGEMM's EXACT_ROWWISE_ADAGRAD; not in PyTorch",
    .hyperparameters = hyperparameters,
    .hyperparameter_count = COUNT_OF(hyperparameters),
    .slots = {"sum"},
    .slot_count = 1,
    .never_negative = {[0] = true},
    .rows_only = true,
    .prepare = prepare,
    .update = LOOPS_OF(update),
};
