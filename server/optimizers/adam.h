/* What Adam's variants share: its settings, its per-step constants, and its element (rule: adam.c). */
#ifndef CANYON_SERVER_OPTIMIZERS_ADAM_H
#define CANYON_SERVER_OPTIMIZERS_ADAM_H

#include <assert.h>

#include "server/optimizers/kernel.h"

enum { ADAM_LR, ADAM_BETA1, ADAM_BETA2, ADAM_EPS, ADAM_COMMON };
enum { ADAM_RATE = PREPARED_OWN, ADAM_KEEP1, ADAM_TAKE1, ADAM_KEEP2, ADAM_TAKE2, ADAM_CORRECTION, ADAM_EPSILON };

#define ADAM_HYPERPARAMETERS(weight_decay, decoupled)                                                                  \
    {                                                                                                                  \
        [ADAM_LR] = HYPER_LR(0.001),                                                                                   \
        [ADAM_BETA1] = HYPER_DECAY("beta1", 0.9, "how much of the average of gradients is kept"),                      \
        [ADAM_BETA2] = HYPER_DECAY("beta2", 0.999, "how much of the average of squared gradients is kept"),            \
        [ADAM_EPS] = HYPER_EPS(1e-8, "added to the root of the corrected average of squares"),                         \
        HYPER_COMMON(weight_decay, decoupled),                                                                         \
    }

static inline void adam_prepare(const double *hyper, uint64_t step, double *scalars, float *prepared) {
    assert(step > 0);
    (void)scalars;
    const double correction1 = 1.0 - optimizer_power(hyper[ADAM_BETA1], step);
    const double correction2 = 1.0 - optimizer_power(hyper[ADAM_BETA2], step);
    prepare_common(hyper + ADAM_COMMON, hyper[ADAM_LR], prepared);
    prepared[ADAM_RATE] = (float)(hyper[ADAM_LR] / correction1);
    prepared[ADAM_KEEP1] = (float)hyper[ADAM_BETA1];
    prepared[ADAM_TAKE1] = (float)(1.0 - hyper[ADAM_BETA1]);
    prepared[ADAM_KEEP2] = (float)hyper[ADAM_BETA2];
    prepared[ADAM_TAKE2] = (float)(1.0 - hyper[ADAM_BETA2]);
    prepared[ADAM_CORRECTION] = (float)(1.0 / sqrt(correction2));
    prepared[ADAM_EPSILON] = (float)hyper[ADAM_EPS];
}

/* Slots: the averages of gradients and of their squares. */
ELEMENT struct cell adam_element(const float *p, float g, struct cell old) {
    const float d = gradient(p, g, old.w);
    const float m = p[ADAM_KEEP1] * old.s[0] + p[ADAM_TAKE1] * d;
    const float v = p[ADAM_KEEP2] * old.s[1] + p[ADAM_TAKE2] * d * d;
    const float w = shrunk(p, old.w) - p[ADAM_RATE] * m / (sqrtf(v) * p[ADAM_CORRECTION] + p[ADAM_EPSILON]);
    return (struct cell){w, {m, v}};
}

#endif
