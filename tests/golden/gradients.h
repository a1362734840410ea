/* The first weights and gradients that make_golden.py and the tests here agree on without storing them. */
#ifndef CANYON_TESTS_GOLDEN_GRADIENTS_H
#define CANYON_TESTS_GOLDEN_GRADIENTS_H

#include <stddef.h>
#include <stdint.h>

#define GRADIENT_KINDS 10

/* The 64-bit linear congruential generator of Knuth's MMIX. */
struct generator {
    uint64_t state;
};

/* In [-1, 1). */
static inline double generator_number(struct generator *generator) {
    generator->state = generator->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(generator->state >> 40) / 0x1p23 - 1.0;
}

/* Each of the ten kinds of element has its own range. */
static inline float generator_gradient(struct generator *generator, size_t element) {
    const double u = generator_number(generator);
    switch (element % GRADIENT_KINDS) {
    case 1:
        return 0.0f;
    case 2:
        return u > 0.5 ? (float)u : 0.0f;
    case 3:
        return (float)(u * 1e-20);
    case 4:
        return (float)(u * 1e-40);
    case 5:
        return (float)((u + 2.0) * 1e10);
    case 6:
        return (float)(u * 1e-4);
    case 7:
        return (float)(u * 10.0);
    case 8:
        return u > 0.95 ? (float)(u * 1e20) : (float)u;
    case 9:
        return (float)(u * u * u * u * u * u * u * 1e3);
    default:
        return (float)u;
    }
}

#endif
