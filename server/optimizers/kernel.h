/* What an optimizer's file is written with: the hyperparameters they share, in one wording, and the loop around its
 * update of one element.
 *
 * Private to server/optimizers. A file has a function from one element's old state to its new one,
 *
 *     ELEMENT struct cell element(const float *p, float g, struct cell old)
 *
 * with p the prepared constants and g the gradient as it came, written with + - * / sqrtf and selections (a < b ? a :
 * b) only; KERNELS(NAME, SLOTS, element) makes the loops over whole arrays from it, one for each instruction set, and
 * KERNELS_OF(NAME) is their list for the descriptor. Each of those operations is rounded exactly by IEEE-754, so vector
 * width never shows in a result. */
#ifndef CANYON_SERVER_OPTIMIZERS_KERNEL_H
#define CANYON_SERVER_OPTIMIZERS_KERNEL_H

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "server/optimizers/optimizer.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Upper bounds keep every prepared constant inside float's range; they are far beyond any useful value. The lower bound
 * of epsilon keeps it a normal float, so that no zero gradient ever divides zero by zero. */
#define HYPER_HIGH    1e6
#define HYPER_EPS_LOW 1e-30

/* Of a closed range. */
#define HYPER(name, fallback, low, high, meaning)                                                                      \
    { name, fallback, low, high, false, false, meaning, false }
#define HYPER_FLAG(name, fallback, meaning)                                                                            \
    { name, fallback, 0.0, 1.0, false, false, meaning, true }
#define HYPER_LR(fallback)                                                                                             \
    { "lr", fallback, 0.0, HYPER_HIGH, true, false, "learning rate: the length of a step", false }
#define HYPER_EPS(fallback, meaning) HYPER("eps", fallback, HYPER_EPS_LOW, HYPER_HIGH, meaning)
/* A fraction of the past that is kept at each step. */
#define HYPER_DECAY(name, fallback, meaning)                                                                           \
    { name, fallback, 0.0, 1.0, false, true, meaning, false }

/* The last entries of a list of hyperparameters: what is done to every gradient before anything else ... */
#define HYPER_GRADIENT                                                                                                 \
    HYPER_FLAG("maximize", 0.0, "1: climb instead of descend, by turning every gradient's sign"),                      \
        HYPER("clip_value", 0.0, 0.0, 1e30, "gradients are cut to at most this size, either sign; 0: never"),          \
        HYPER("loss_scale", 1.0, 1e-6, 1e12, "what the loss was multiplied by: gradients are divided by it first")
#define HYPER_GRADIENT_COUNT 3
/* ... and that after weight decay. */
#define HYPER_COMMON(weight_decay, decoupled)                                                                          \
    HYPER("weight_decay", weight_decay, 0.0, HYPER_HIGH, "how strongly weights are drawn to zero"),                    \
        HYPER_FLAG("decoupled_weight_decay", decoupled,                                                                \
                   "0: decay joins the gradient (L2); 1: weights shrink by lr * weight_decay of themselves"),          \
        HYPER_GRADIENT
#define HYPER_COMMON_COUNT (2 + HYPER_GRADIENT_COUNT)

/* The first prepared constants of every optimizer; its own begin at PREPARED_OWN. */
enum { PREPARED_SCALE, PREPARED_CLIP, PREPARED_DECAY, PREPARED_SHRINK, PREPARED_OWN };

/* From the HYPER_GRADIENT entries. The limit is infinite where nothing is cut: the one constant that is not finite. */
static inline void prepare_gradient(const double *hyper, float *prepared) {
    prepared[PREPARED_SCALE] = (float)((hyper[0] > 0.0 ? -1.0 : 1.0) / hyper[2]);
    prepared[PREPARED_CLIP] = hyper[1] > 0.0 ? (float)hyper[1] : (float)INFINITY;
    prepared[PREPARED_DECAY] = 0.0f;
    prepared[PREPARED_SHRINK] = 1.0f;
}

/* From the HYPER_COMMON entries; lr is this step's. */
static inline void prepare_common(const double *hyper, double lr, float *prepared) {
    const bool decoupled = hyper[1] > 0.0;
    prepare_gradient(hyper + 2, prepared);
    prepared[PREPARED_DECAY] = decoupled ? 0.0f : (float)hyper[0];
    prepared[PREPARED_SHRINK] = decoupled ? (float)(1.0 - lr * hyper[0]) : 1.0f;
}

/* One element: its weight and slots. */
struct cell {
    float w, s[OPTIMIZER_SLOTS];
};

#define ALWAYS_INLINE static inline __attribute__((always_inline, unused))
#define ELEMENT       ALWAYS_INLINE

/* a * b + c with one rounding, as PyTorch's vector code adds a scaled tensor: by the CPU's instruction where the
 * instruction set has it, elsewhere in double, to the same bits. The product of two floats is exact in double; the sum
 * is rounded to odd (towards the neighbour whose last bit is 1, unless it is exact), so that rounding it to float never
 * sees a tie that is none. Used where PyTorch's steps are not small against the weights, or where differences cancel,
 * so that roundings would show; an element that uses it takes it as a last argument, see KERNELS_FUSED. */
typedef float fused_function(float a, float b, float c);

ALWAYS_INLINE float fused_hardware(float a, float b, float c) {
    return __builtin_fmaf(a, b, c);
}
ALWAYS_INLINE float fused_emulated(float a, float b, float c) {
    const double product = (double)a * (double)b, addend = (double)c, sum = product + addend;
    const double part = sum - product, error = (product - (sum - part)) + (addend - part); /* sum + error is exact */
    uint64_t bits, off;
    double odd;
    memcpy(&bits, &sum, sizeof bits);
    memcpy(&off, &error, sizeof off);
    const uint64_t size = off << 1;                             /* zero where the sum is exact */
    const uint64_t wrong = ((size | (0 - size)) >> 63) & ~bits; /* 1: not exact, and even */
    const uint64_t inward = (off ^ bits) >> 63;                 /* 1: the error takes from the sum */
    bits += wrong - 2 * (wrong & inward);
    memcpy(&odd, &bits, sizeof odd);
    return (float)odd;
}

/* The gradient to work with: scaled, turned where something is maximized, cut. Weight decay comes after, so it is
 * neither turned nor cut. */
ALWAYS_INLINE float treated(const float *p, float g) {
    const float high = p[PREPARED_CLIP], low = -high, x = g * p[PREPARED_SCALE];
    const float below = high < x ? high : x;
    return low > below ? low : below;
}

/* The treated gradient with L2 decay in it, as PyTorch's optimizers have it. */
ALWAYS_INLINE float gradient(const float *p, float g, float w) {
    return treated(p, g) + p[PREPARED_DECAY] * w;
}
ALWAYS_INLINE float gradient_fused(const float *p, float g, float w, fused_function *fused) {
    return fused(p[PREPARED_DECAY], w, treated(p, g));
}

/* The weight after decoupled decay. */
ALWAYS_INLINE float shrunk(const float *p, float w) {
    return w * p[PREPARED_SHRINK];
}

/* -1, 0 or 1. */
ALWAYS_INLINE float sign(float x) {
    return (x > 0.0f ? 1.0f : 0.0f) - (x < 0.0f ? 1.0f : 0.0f);
}

/* `a` where the mask is all ones, `b` where it is zero. With a condition in place of the mask compilers see a store
 * that is left out, which baseline vectors cannot do. */
ALWAYS_INLINE float select(uint32_t mask, float a, float b) {
    uint32_t one, other;
    float result;
    memcpy(&one, &a, sizeof one);
    memcpy(&other, &b, sizeof other);
    one = (one & mask) | (other & ~mask);
    memcpy(&result, &one, sizeof result);
    return result;
}

typedef struct cell element_function(const float *p, float g, struct cell old);

/* The loop. `count` and `element` are constants where it is used, so all that depends on them is gone after inlining.
 * x - x is zero for every finite x and NaN for others, so one comparison judges a whole element. */
ALWAYS_INLINE uint64_t element_loop(element_function *element, size_t count, const float *restrict prepared, size_t n,
                                    const float *restrict g, float *restrict w, float *restrict a, float *restrict b,
                                    float *restrict c, float *restrict d) {
    float p[OPTIMIZER_PREPARED];
    uint32_t kept = 0;
    for (size_t i = 0; i < OPTIMIZER_PREPARED; i++)
        p[i] = prepared[i];
    for (size_t i = 0; i < n; i++) {
        struct cell old = {w[i], {0.0f}};
        if (count > 0)
            old.s[0] = a[i];
        if (count > 1)
            old.s[1] = b[i];
        if (count > 2)
            old.s[2] = c[i];
        if (count > 3)
            old.s[3] = d[i];
        const struct cell new = element(p, g[i], old);
        float probe = (g[i] - g[i]) + (new.w - new.w);
        if (count > 0)
            probe += new.s[0] - new.s[0];
        if (count > 1)
            probe += new.s[1] - new.s[1];
        if (count > 2)
            probe += new.s[2] - new.s[2];
        if (count > 3)
            probe += new.s[3] - new.s[3];
        const uint32_t good = probe == 0.0f ? UINT32_MAX : 0;
        kept += good + 1;
        w[i] = select(good, new.w, old.w);
        if (count > 0)
            a[i] = select(good, new.s[0], old.s[0]);
        if (count > 1)
            b[i] = select(good, new.s[1], old.s[1]);
        if (count > 2)
            c[i] = select(good, new.s[2], old.s[2]);
        if (count > 3)
            d[i] = select(good, new.s[3], old.s[3]);
    }
    return kept;
}

#if defined(__x86_64__)
#define TARGET_AVX2 __attribute__((target("avx2,fma")))
#if defined(__clang__)
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"), min_vector_width(512)))
#else
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,prefer-vector-width=512")))
#endif
#else
#define TARGET_AVX2
#define TARGET_AVX512
#define fused_hardware fused_emulated
#endif

#define KERNEL(target, name, count, element)                                                                           \
    target static uint64_t name(const float *prepared, size_t n, const float *restrict g, float *restrict w,           \
                                float *const *slots) {                                                                 \
        return element_loop(element, count, prepared, n, g, w, (count) > 0 ? slots[0] : NULL,                          \
                            (count) > 1 ? slots[1] : NULL, (count) > 2 ? slots[2] : NULL,                              \
                            (count) > 3 ? slots[3] : NULL);                                                            \
    }
#define KERNELS(name, count, element)                                                                                  \
    KERNEL(, name##_baseline, count, element)                                                                          \
    KERNEL(TARGET_AVX2, name##_avx2, count, element)                                                                   \
    KERNEL(TARGET_AVX512, name##_avx512, count, element)
/* The same for an element that takes `fused` as its last argument. */
#define KERNELS_FUSED(name, count, element)                                                                            \
    ELEMENT struct cell name##_on_hardware(const float *p, float g, struct cell old) {                                 \
        return element(p, g, old, fused_hardware);                                                                     \
    }                                                                                                                  \
    ELEMENT struct cell name##_in_double(const float *p, float g, struct cell old) {                                   \
        return element(p, g, old, fused_emulated);                                                                     \
    }                                                                                                                  \
    KERNEL(, name##_baseline, count, name##_in_double)                                                                 \
    KERNEL(TARGET_AVX2, name##_avx2, count, name##_on_hardware)                                                        \
    KERNEL(TARGET_AVX512, name##_avx512, count, name##_on_hardware)
#define KERNELS_OF(name)                                                                                               \
    { name##_baseline, name##_avx2, name##_avx512 }

#endif
