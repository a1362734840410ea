#include "client/simulator/trail.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool trail_init(struct trail *trail, size_t parameters, uint64_t interval) {
    memset(trail, 0, sizeof *trail);
    trail->parameters = parameters;
    trail->interval = interval;
    trail->weights = calloc(TRAIL_POINTS, parameters * sizeof *trail->weights);
    return trail->weights != NULL;
}

void trail_finish(struct trail *trail) {
    free(trail->weights);
    memset(trail, 0, sizeof *trail);
}

static float *weights_at(const struct trail *trail, size_t point) {
    return trail->weights + point * trail->parameters;
}

static void thin_out(struct trail *trail) {
    for (size_t i = 1; i < TRAIL_POINTS / 2; i++) {
        trail->points[i] = trail->points[2 * i];
        memcpy(weights_at(trail, i), weights_at(trail, 2 * i), trail->parameters * sizeof *trail->weights);
    }
    trail->count = TRAIL_POINTS / 2;
    trail->interval *= 2;
}

void trail_add(struct trail *trail, const struct trail_point *point, const float *weights) {
    const struct trail_point *last = trail->count > 0 ? &trail->points[trail->count - 1] : NULL;
    if (last != NULL && (last->updates == point->updates || point->nanoseconds < last->nanoseconds + trail->interval)) {
        return;
    }
    if (trail->count == TRAIL_POINTS) {
        thin_out(trail);
    }
    trail->points[trail->count] = *point;
    memcpy(weights_at(trail, trail->count), weights, trail->parameters * sizeof *trail->weights);
    trail->count++;
}

const float *trail_weights(const struct trail *trail, size_t point) {
    assert(point < trail->count);
    return weights_at(trail, point);
}
