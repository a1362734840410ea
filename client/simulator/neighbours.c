#include "client/simulator/neighbours.h"

#include <assert.h>
#include <math.h>

float neighbours_cosine(const float *a, const float *b, uint32_t dim) {
    double product = 0.0, squares_a = 0.0, squares_b = 0.0;
    for (uint32_t i = 0; i < dim; i++) {
        double x = (double)a[i], y = (double)b[i];
        product += x * y;
        squares_a += x * x;
        squares_b += y * y;
    }
    double cosine = product / sqrt(squares_a * squares_b);
    return isfinite(cosine) ? (float)fmin(1.0, fmax(-1.0, cosine)) : 0.0f;
}

size_t neighbours_of(const float *vectors, uint32_t dim, uint32_t size, uint32_t word, struct neighbour *nearest,
                     size_t most) {
    size_t count = 0;
    assert(most <= NEIGHBOURS_HIGH && word < size);
    for (uint32_t other = 0; other < size; other++) {
        float cosine = neighbours_cosine(vectors + (size_t)word * dim, vectors + (size_t)other * dim, dim);
        size_t at = count < most ? count : most;
        if (other == word) {
            continue;
        }
        while (at > 0 && nearest[at - 1].cosine < cosine) {
            at--;
        }
        if (at >= most) {
            continue;
        }
        count += count < most;
        for (size_t i = count - 1; i > at; i--) {
            nearest[i] = nearest[i - 1];
        }
        nearest[at] = (struct neighbour){.word = other, .cosine = cosine};
    }
    return count;
}
