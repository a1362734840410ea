/* The rare part of the update loops. */
#include "server/optimizers/kernel.h"

uint64_t kernel_put_back(size_t count, size_t at, size_t n, const float *g, float *w, float *const *s,
                         const struct cell_arrays *aside) {
    uint64_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        bool good = isfinite(g[at + i]) && isfinite(w[at + i]);
        for (size_t k = 0; k < count; k++)
            good = good && isfinite(s[k][at + i]);
        if (!good) {
            kept++;
            w[at + i] = aside->w[i];
            for (size_t k = 0; k < count; k++)
                s[k][at + i] = aside->s[k][i];
        }
    }
    return kept;
}
