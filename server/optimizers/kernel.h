/* What the optimizer files share: the hyperparameters all of them have, in one wording, and weight decay.
 *
 * Private to server/optimizers. An update loop takes every pointer as `restrict` and its constants in locals, uses
 * + - * / and sqrtf only, and has no branch, so that compilers turn it into vector code; and since each of these is
 * rounded exactly by IEEE-754, vector width never shows in a result. */
#ifndef CANYON_SERVER_OPTIMIZERS_KERNEL_H
#define CANYON_SERVER_OPTIMIZERS_KERNEL_H

#include <math.h>
#include <stddef.h>

#include "server/optimizers/optimizer.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Upper bounds keep every prepared constant inside float's range; they are far beyond any useful value. The lower bound
 * of epsilon keeps it a normal float, so that no zero gradient ever divides zero by zero. */
#define HYPER_HIGH    1e6
#define HYPER_EPS_LOW 1e-30

#define HYPER_LR(fallback)                                                                                             \
    { "lr", fallback, 0.0, HYPER_HIGH, true, false, "learning rate: the length of a step" }
#define HYPER_WEIGHT_DECAY                                                                                             \
    { "weight_decay", 0.0, 0.0, HYPER_HIGH, false, false, "L2 penalty: this times the weight is added to its gradient" }
#define HYPER_EPS(fallback, meaning)                                                                                   \
    { "eps", fallback, HYPER_EPS_LOW, HYPER_HIGH, false, false, meaning }
/* A fraction of the past that is kept at each step. */
#define HYPER_DECAY(name, fallback, meaning)                                                                           \
    { name, fallback, 0.0, 1.0, false, true, meaning }

/* The gradient with weight decay as PyTorch's optimizers have it: part of the gradient (L2), not of the step. */
static inline float decayed(float g, float weight_decay, float w) {
    return g + weight_decay * w;
}

/* a * b + c with one rounding, as PyTorch's vector code adds a scaled tensor. The product of two floats is exact in
 * double, so this differs from a fused multiply-add only where rounding the double sum to float meets a tie made by its
 * first rounding; and unlike fmaf it costs the same, and gives the same, on a CPU that has no such instruction. Used
 * where PyTorch's steps are not small against the weights, so that roundings would add up: the SGD family. */
static inline float fused(float a, float b, float c) {
    return (float)((double)a * (double)b + (double)c);
}

#endif
