/* What can be said about many weights in a few numbers. Pure. */
#ifndef CANYON_CLI_SUMMARY_H
#define CANYON_CLI_SUMMARY_H

#include <stdint.h>

struct summary {
    uint64_t finite, not_finite; /* counts */
    double minimum, maximum;     /* of the finite ones; NaN when there are none */
    double mean;                 /* the same */
    double deviation;            /* of the population (divided by the count, not by one less) */
};

/* Sums are in double, in order; the mean first and then the squares about it, so that nothing cancels. */
void summary_of(const float *values, uint64_t count, struct summary *summary);

#endif
