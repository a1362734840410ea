/* The weights of a model on its way, kept as they were at many times, so that they can be scored when nothing depends
 * on the machine any more: a hundredth of a second's scoring between two steps would slow the training down that it
 * measures.
 *
 * It has at most TRAIL_POINTS points. When it is full, every other one is dropped, and from then on points that come
 * sooner than twice the interval before are passed over. */
#ifndef CANYON_SIMULATOR_TRAIL_H
#define CANYON_SIMULATOR_TRAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRAIL_POINTS 1024 /* even */

struct trail_point {
    uint64_t nanoseconds, updates;
};

struct trail {
    size_t parameters; /* of a point */
    size_t count;
    uint64_t interval; /* nanoseconds, at least, between points */
    struct trail_point points[TRAIL_POINTS];
    float *weights; /* of point p from p * parameters on */
};

/* False when there is no memory. trail_finish in every case. */
bool trail_init(struct trail *trail, size_t parameters, uint64_t interval);

/* Frees. Safe on a zeroed one. */
void trail_finish(struct trail *trail);

/* Adds a point, unless nothing has changed since the last one or it comes too soon after it. */
void trail_add(struct trail *trail, const struct trail_point *point, const float *weights);

const float *trail_weights(const struct trail *trail, size_t point);

#endif
