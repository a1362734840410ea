#include "client/simulator/curve.h"

#include <assert.h>
#include <string.h>

void curve_init(struct curve *curve) {
    memset(curve, 0, sizeof *curve);
    curve->width = 1;
}

static void curve_merge(struct curve *curve) {
    for (size_t i = 0; i < CURVE_POINTS / 2; i++) {
        curve->sums[i] = curve->sums[2 * i] + curve->sums[2 * i + 1];
    }
    curve->count = CURVE_POINTS / 2;
    curve->width *= 2;
    curve->last = curve->width;
}

void curve_add(struct curve *curve, double loss) {
    if (curve->count == CURVE_POINTS && curve->last == curve->width) {
        curve_merge(curve);
    }
    if (curve->count == 0 || curve->last == curve->width) {
        curve->sums[curve->count++] = 0.0;
        curve->last = 0;
    }
    curve->sums[curve->count - 1] += loss;
    curve->last++;
}

static uint64_t curve_point_steps(const struct curve *curve, size_t point) {
    assert(point < curve->count);
    return point + 1 == curve->count ? curve->last : curve->width;
}

double curve_step(const struct curve *curve, size_t point) {
    double before = (double)(point * curve->width);
    return before + ((double)curve_point_steps(curve, point) + 1.0) / 2.0;
}

double curve_loss(const struct curve *curve, size_t point) {
    return curve->sums[point] / (double)curve_point_steps(curve, point);
}

void curve_smooth(const struct curve *curve, double *values) {
    size_t reach = curve->count / 40;
    for (size_t i = 0; i < curve->count; i++) {
        size_t back = i < reach ? i : reach;
        size_t last = i + back < curve->count ? i + back : curve->count - 1;
        double sum = 0.0, weights = 0.0;
        for (size_t k = i - back; k <= last; k++) {
            double weight = (double)(reach + 1 - (k < i ? i - k : k - i));
            sum += weight * curve_loss(curve, k);
            weights += weight;
        }
        values[i] = sum / weights;
    }
}
