/* The codecs' loops for every instruction set, and which of them this CPU gets. */
#include "common/codec_kernel.h"

#include <assert.h>
#include <stdatomic.h>

#if defined(__x86_64__)
#define TARGET_AVX2 __attribute__((target("avx2")))
#if defined(__clang__)
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"), min_vector_width(512)))
#else
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")))
#endif
#else
#define TARGET_AVX2
#define TARGET_AVX512
#endif

#define ENCODER(target, set, name)                                                                                     \
    target static void name##_##set(const float *restrict values, size_t n, uint8_t *restrict bytes) {                 \
        codec_##name(values, n, bytes);                                                                                \
    }
#define DECODER(target, set, name)                                                                                     \
    target static void name##_##set(const uint8_t *restrict bytes, size_t n, float *restrict values) {                 \
        codec_##name(bytes, n, values);                                                                                \
    }
#define KERNELS(target, set)                                                                                           \
    ENCODER(target, set, bf16_encode)                                                                                  \
    DECODER(target, set, bf16_decode)                                                                                  \
    ENCODER(target, set, f16_encode)                                                                                   \
    DECODER(target, set, f16_decode)                                                                                   \
    ENCODER(target, set, int8_encode)                                                                                  \
    DECODER(target, set, int8_decode)                                                                                  \
    target static void int8_encode_stochastic_##set(const float *restrict values, size_t n, uint64_t seed,             \
                                                    uint32_t first, uint8_t *restrict bytes) {                         \
        codec_int8_encode_stochastic(values, n, seed, first, bytes);                                                   \
    }                                                                                                                  \
    target static void accumulate_##set(const float *restrict values, const float *restrict residual, size_t n,        \
                                        float *restrict sums) {                                                        \
        codec_accumulate(values, residual, n, sums);                                                                   \
    }                                                                                                                  \
    target static void retain_##set(const float *restrict values, const float *restrict sums,                          \
                                    const float *restrict sent, size_t n, float *restrict residual) {                  \
        codec_retain(values, sums, sent, n, residual);                                                                 \
    }                                                                                                                  \
    target static void take_in_##set(const float *restrict values, float *restrict residual, size_t n,                 \
                                     float *restrict sums) {                                                           \
        codec_take_in(values, residual, n, sums);                                                                      \
    }                                                                                                                  \
    target static void look_##set(const float *restrict values, const float *restrict residual, size_t n,              \
                                  float *restrict sums) {                                                              \
        codec_look(values, residual, n, sums);                                                                         \
    }                                                                                                                  \
    target static void reach_##set(const float *restrict values, size_t n, uint32_t least,                             \
                                   uint8_t *restrict reached) {                                                        \
        codec_reach(values, n, least, reached);                                                                        \
    }

#define KERNELS_OF(set)                                                                                                \
    {                                                                                                                  \
        bf16_encode_##set, bf16_decode_##set, f16_encode_##set, f16_decode_##set, int8_encode_##set,                   \
            int8_encode_stochastic_##set, int8_decode_##set, accumulate_##set, retain_##set, take_in_##set,            \
            look_##set, reach_##set                                                                                    \
    }

KERNELS(, baseline)
KERNELS(TARGET_AVX2, avx2)
KERNELS(TARGET_AVX512, avx512)

static const struct codec_kernels kernels[CODEC_SETS] = {
    [CODEC_BASELINE] = KERNELS_OF(baseline), [CODEC_AVX2] = KERNELS_OF(avx2), [CODEC_AVX512] = KERNELS_OF(avx512)};

/* Every call of codec_start writes the same number. */
static _Atomic int chosen = CODEC_BASELINE;

const struct codec_kernels *codec_kernels(void) {
    return &kernels[atomic_load_explicit(&chosen, memory_order_relaxed)];
}

bool codec_set_supported(enum codec_set set) {
    bool supported = set == CODEC_BASELINE;
#if defined(__x86_64__)
    if (set == CODEC_AVX2)
        supported = __builtin_cpu_supports("avx2");
    if (set == CODEC_AVX512)
        supported = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
    return supported;
}

const char *codec_set_name(enum codec_set set) {
    static const char *const names[CODEC_SETS] = {"baseline", "AVX2", "AVX-512"};
    assert(set < CODEC_SETS);
    return names[set];
}

enum codec_set codec_set_chosen(void) {
    return (enum codec_set)atomic_load(&chosen);
}

void codec_set_choose(enum codec_set set) {
    assert(codec_set_supported(set));
    atomic_store(&chosen, (int)set);
}

void codec_start(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
    enum codec_set best = CODEC_AVX512;
    while (!codec_set_supported(best))
        best--;
    codec_set_choose(best);
}
