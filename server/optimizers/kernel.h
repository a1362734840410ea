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

#include <float.h>
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
/* Behind them, in the loop alone: 1 where gradients are taken as they come, neither scaled, cut nor decayed. It is a
 * constant of the loop's two copies, not a value, so that the plain one has nothing of that in it. */
enum { PREPARED_PLAIN = OPTIMIZER_PREPARED };

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
    return p[PREPARED_PLAIN] > 0.0f ? g : low > below ? low : below;
}

/* The treated gradient with L2 decay in it, as PyTorch's optimizers have it. */
ALWAYS_INLINE float gradient(const float *p, float g, float w) {
    return p[PREPARED_PLAIN] > 0.0f ? g : treated(p, g) + p[PREPARED_DECAY] * w;
}
ALWAYS_INLINE float gradient_fused(const float *p, float g, float w, fused_function *fused) {
    return p[PREPARED_PLAIN] > 0.0f ? g : fused(p[PREPARED_DECAY], w, treated(p, g));
}

/* The weight after decoupled decay. */
ALWAYS_INLINE float shrunk(const float *p, float w) {
    return w * p[PREPARED_SHRINK];
}

/* -1, 0 or 1. */
ALWAYS_INLINE float sign(float x) {
    return (x > 0.0f ? 1.0f : 0.0f) - (x < 0.0f ? 1.0f : 0.0f);
}

typedef struct cell element_function(const float *p, float g, struct cell old);

/* Old values of elements that are updated together. */
#define STRETCH 512
struct cell_arrays {
    float w[STRETCH], s[OPTIMIZER_SLOTS][STRETCH];
};

/* Updates n elements and puts their old values aside. The result is zero when everything is finite: whatever is finite
 * gives 0 or -0 when multiplied by zero, anything else NaN. One product for the sum of an element's numbers does, if it
 * may also be NaN where a sum of finite numbers overflows. `count` and `element` are constants where this is used, so
 * all that depends on them is gone after inlining. */
ALWAYS_INLINE uint32_t advance(element_function *element, size_t count, const float *p, size_t n,
                               const float *restrict g, float *restrict w, float *restrict a, float *restrict b,
                               float *restrict c, float *restrict d, struct cell_arrays *restrict aside) {
    uint32_t found = 0;
    for (size_t i = 0; i < n; i++) {
        struct cell old = {w[i], {0.0f}};
        uint32_t bits;
        aside->w[i] = old.w;
        if (count > 0)
            aside->s[0][i] = old.s[0] = a[i];
        if (count > 1)
            aside->s[1][i] = old.s[1] = b[i];
        if (count > 2)
            aside->s[2][i] = old.s[2] = c[i];
        if (count > 3)
            aside->s[3][i] = old.s[3] = d[i];
        const struct cell new = element(p, g[i], old);
        float probe = g[i];
        w[i] = new.w;
        if (count > 0)
            probe += a[i] = new.s[0];
        if (count > 1)
            probe += b[i] = new.s[1];
        if (count > 2)
            probe += c[i] = new.s[2];
        if (count > 3)
            probe += d[i] = new.s[3];
        probe = (probe + new.w) * 0.0f;
        memcpy(&bits, &probe, sizeof bits);
        found |= bits;
    }
    return found << 1;
}

/* Gives the elements of a stretch that are not finite their old values back; returns how many. `at` is where the
 * stretch begins. (kernel.c) */
uint64_t kernel_put_back(size_t count, size_t at, size_t n, const float *g, float *w, float *const *s,
                         const struct cell_arrays *aside);

/* The loop over a whole array, in stretches whose old values stay in the first cache. */
ALWAYS_INLINE uint64_t element_loop(element_function *element, size_t count, bool plain, const float *prepared,
                                    size_t n, const float *g, float *w, float *const *s) {
    float p[OPTIMIZER_PREPARED + 1];
    struct cell_arrays aside;
    uint64_t kept = 0;
    memcpy(p, prepared, OPTIMIZER_PREPARED * sizeof p[0]);
    p[PREPARED_PLAIN] = plain ? 1.0f : 0.0f;
    for (size_t at = 0; at < n; at += STRETCH) {
        const size_t length = n - at < STRETCH ? n - at : STRETCH;
        const uint32_t found =
            advance(element, count, p, length, g + at, w + at, count > 0 ? s[0] + at : NULL,
                    count > 1 ? s[1] + at : NULL, count > 2 ? s[2] + at : NULL, count > 3 ? s[3] + at : NULL, &aside);
        if (found != 0)
            kept += kernel_put_back(count, at, length, g, w, s, &aside);
    }
    return kept;
}

/* Rows are short: what the loop above does around its elements would take longer than they do. So they go in pieces of
 * ROW_PIECE elements, which compilers unroll, and are stored only when all of a piece is finite; the rare other piece
 * is left to the loop above, and so is what is shorter. */
#define ROW_PIECE 16

ALWAYS_INLINE bool row_piece(element_function *element, size_t count, const float *p, const float *restrict g,
                             float *restrict w, float *restrict a, float *restrict b, float *restrict c,
                             float *restrict d) {
    float new_w[ROW_PIECE], new_s[OPTIMIZER_SLOTS][ROW_PIECE];
    uint32_t found = 0;
    for (size_t i = 0; i < ROW_PIECE; i++) {
        const struct cell old = {
            w[i], {count > 0 ? a[i] : 0.0f, count > 1 ? b[i] : 0.0f, count > 2 ? c[i] : 0.0f, count > 3 ? d[i] : 0.0f}};
        const struct cell new = element(p, g[i], old);
        float probe = g[i];
        uint32_t bits;
        new_w[i] = new.w;
        for (size_t k = 0; k < count; k++)
            probe += new_s[k][i] = new.s[k];
        probe = (probe + new.w) * 0.0f;
        memcpy(&bits, &probe, sizeof bits);
        found |= bits;
    }
    if (found << 1 != 0)
        return false;
    memcpy(w, new_w, sizeof new_w);
    if (count > 0)
        memcpy(a, new_s[0], sizeof new_w);
    if (count > 1)
        memcpy(b, new_s[1], sizeof new_w);
    if (count > 2)
        memcpy(c, new_s[2], sizeof new_w);
    if (count > 3)
        memcpy(d, new_s[3], sizeof new_w);
    return true;
}

ALWAYS_INLINE uint64_t row_loop(element_function *element, size_t count, bool plain, optimizer_update *update,
                                const float (*prepared)[OPTIMIZER_PREPARED], size_t rows, size_t n, const float *g,
                                float *const *at) {
    uint64_t kept = 0;
    for (size_t row = 0; row < rows; row++, g += n) {
        float *w = at[row], *a = w + n, *b = a + n, *c = b + n, *d = c + n;
        float p[OPTIMIZER_PREPARED + 1];
        size_t i = 0;
        for (size_t k = 0; k < OPTIMIZER_PREPARED; k++)
            p[k] = prepared[row][k];
        p[PREPARED_PLAIN] = plain ? 1.0f : 0.0f;
        while (i + ROW_PIECE <= n && row_piece(element, count, p, g + i, w + i, a + i, b + i, c + i, d + i))
            i += ROW_PIECE;
        if (i < n) {
            float *const slots[OPTIMIZER_SLOTS] = {a + i, b + i, c + i, d + i};
            kept += update(prepared[row], n - i, g + i, w + i, slots);
        }
    }
    return kept;
}

/* True where gradient() gives back the gradient. */
ALWAYS_INLINE bool is_plain(const float *prepared) {
    return prepared[PREPARED_SCALE] == 1.0f && prepared[PREPARED_CLIP] > FLT_MAX && prepared[PREPARED_DECAY] == 0.0f;
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

/* LOOP: the update of whole arrays. ROWS: that of rows. */
#define LOOP(target, name, count, element)                                                                             \
    target static uint64_t name(const float *prepared, size_t n, const float *restrict g, float *restrict w,           \
                                float *const *slots) {                                                                 \
        return is_plain(prepared) ? element_loop(element, count, true, prepared, n, g, w, slots)                       \
                                  : element_loop(element, count, false, prepared, n, g, w, slots);                     \
    }
#define ROWS(target, name, count, element)                                                                             \
    target static uint64_t name##_rows(const float(*prepared)[OPTIMIZER_PREPARED], size_t rows, size_t n,              \
                                       const float *g, float *const *at) {                                             \
        if (rows > 0 && is_plain(prepared[0]))                                                                         \
            return row_loop(element, count, true, name, prepared, rows, n, g, at);                                     \
        return row_loop(element, count, false, name, prepared, rows, n, g, at);                                        \
    }
#define ON_EVERY_SET(kernel, name, count, element, on_hardware)                                                        \
    kernel(, name##_baseline, count, element) kernel(TARGET_AVX2, name##_avx2, count, on_hardware)                     \
        kernel(TARGET_AVX512, name##_avx512, count, on_hardware)
/* An element that takes `fused` as its last argument, with it. */
#define FUSED(name, element)                                                                                           \
    ELEMENT struct cell name##_on_hardware(const float *p, float g, struct cell old) {                                 \
        return element(p, g, old, fused_hardware);                                                                     \
    }                                                                                                                  \
    ELEMENT struct cell name##_in_double(const float *p, float g, struct cell old) {                                   \
        return element(p, g, old, fused_emulated);                                                                     \
    }

/* Loops alone, for an update that puts several together. */
#define LOOPS(name, count, element) ON_EVERY_SET(LOOP, name, count, element, element)
#define LOOPS_FUSED(name, count, element)                                                                              \
    FUSED(name, element)                                                                                               \
    ON_EVERY_SET(LOOP, name, count, name##_in_double, name##_on_hardware)
#define LOOPS_OF(name)                                                                                                 \
    { name##_baseline, name##_avx2, name##_avx512 }

#define KERNELS(name, count, element)                                                                                  \
    LOOPS(name, count, element)                                                                                        \
    ON_EVERY_SET(ROWS, name, count, element, element)
#define KERNELS_FUSED(name, count, element)                                                                            \
    LOOPS_FUSED(name, count, element)                                                                                  \
    ON_EVERY_SET(ROWS, name, count, name##_in_double, name##_on_hardware)
/* For .update; and .rows with it. */
#define KERNELS_OF(name)                                                                                               \
    LOOPS_OF(name), .rows = {                                                                                          \
                        name##_baseline_rows,                                                                          \
                        name##_avx2_rows,                                                                              \
                        name##_avx512_rows,                                                                            \
    }

#endif
