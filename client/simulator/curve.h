/* The loss of a training run, step by step, in bounded memory.
 *
 * A curve has at most CURVE_POINTS points, each the mean of equally many consecutive steps. When it is full,
 * neighbours are merged and a point stands for twice as many steps. */
#ifndef CANYON_SIMULATOR_CURVE_H
#define CANYON_SIMULATOR_CURVE_H

#include <stddef.h>
#include <stdint.h>

#define CURVE_POINTS 2048 /* even */

struct curve {
    double sums[CURVE_POINTS]; /* of the losses of each point's steps */
    size_t count;              /* points, the last one perhaps incomplete */
    uint64_t width;            /* steps a point stands for */
    uint64_t last;             /* steps in the last point so far */
};

void curve_init(struct curve *curve);

void curve_add(struct curve *curve, double loss);

/* The step, counted from 1, in the middle of point `point`'s steps, and their mean loss. point is below count. */
double curve_step(const struct curve *curve, size_t point);
double curve_loss(const struct curve *curve, size_t point);

/* Writes count values: at each point a mean of the points within a fortieth of the curve on both sides, the nearer the
 * weightier, so that mini-batch noise does not hide where a run goes. Near the beginning, where losses fall fast, it
 * reaches no further forward than back; near the end it has less ahead than behind. */
void curve_smooth(const struct curve *curve, double *values);

#endif
