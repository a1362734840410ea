/* Which instruction set the update loops run on. */
#include <assert.h>

#include "server/optimizers/optimizer.h"

/* Written once, by optimizer_start, before other threads look. */
static enum optimizer_set chosen = OPTIMIZER_BASELINE;

bool optimizer_set_supported(enum optimizer_set set) {
    bool supported = set == OPTIMIZER_BASELINE;
#if defined(__x86_64__)
    if (set == OPTIMIZER_AVX2)
        supported = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (set == OPTIMIZER_AVX512)
        supported = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("fma");
#endif
    return supported;
}

const char *optimizer_set_name(enum optimizer_set set) {
    static const char *const names[] = {"baseline", "AVX2", "AVX-512"};
    assert(set < OPTIMIZER_SETS);
    return names[set];
}

void optimizer_start(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
    enum optimizer_set best = OPTIMIZER_AVX512;
    while (!optimizer_set_supported(best))
        best--;
    chosen = best;
}

enum optimizer_set optimizer_set_chosen(void) {
    return chosen;
}

uint64_t optimizer_apply(const struct optimizer *optimizer, const float *prepared, size_t n, const float *restrict g,
                         float *restrict w, float *const *slots) {
    return optimizer->update[chosen](prepared, n, g, w, slots);
}
