/* How well scores tell two kinds apart: the area under the receiver operating characteristic.
 *
 * It is the probability that a positive drawn at random scores higher than a negative drawn at random, where a tie
 * counts one half: the Mann-Whitney statistic over all pairs, computed exactly from ranks. The standard error is that
 * of DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
 * characteristic curves", 1988, for one curve. */
#ifndef CANYON_SIMULATOR_AUC_H
#define CANYON_SIMULATOR_AUC_H

#include <stdbool.h>
#include <stddef.h>

struct auc {
    double area;  /* 0 to 1; 0.5 is chance */
    double error; /* standard error; 0 when there are less than two of either kind */
};

/* Scores are finite, and there is at least one of either kind. Sorts both arrays. */
struct auc auc_of(float *positives, size_t positive_count, float *negatives, size_t negative_count);

#endif
