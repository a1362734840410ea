/* How accurate a model was on its way: test accuracy by time and by updates. */
#ifndef CANYON_SIMULATOR_PROGRESSION_H
#define CANYON_SIMULATOR_PROGRESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/simulator/trail.h"

struct progression_point {
    double seconds;  /* since all workers could begin */
    uint64_t steps;  /* gradients of all workers that are in the weights */
    double accuracy; /* 0 to 1 */
};

struct progression {
    size_t count;
    struct progression_point points[TRAIL_POINTS + 1]; /* by time; the last one is the end */
};

/* The first point that is at least that accurate, NULL when none is. */
const struct progression_point *progression_reaches(const struct progression *progression, double accuracy);

#endif
