#include "client/simulator/auc.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static int compare(const void *left, const void *right) {
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

/* The mean and the variance (with n - 1) of a share that is looked at for every score of one kind: of the other kind's
 * scores, those below it count 1 and those equal to it 1/2. Both arrays are in order. */
static double placements(const float *scores, size_t count, const float *others, size_t other_count, double *variance) {
    size_t below = 0, upto = 0; /* others below the score, and others at most the score */
    double mean = 0.0, squares = 0.0;
    for (size_t i = 0; i < count; i++) {
        while (below < other_count && others[below] < scores[i]) {
            below++;
        }
        while (upto < other_count && others[upto] <= scores[i]) {
            upto++;
        }
        double share = 0.5 * ((double)below + (double)upto) / (double)other_count;
        double change = share - mean; /* Welford's way: no cancellation */
        mean += change / (double)(i + 1);
        squares += change * (share - mean);
    }
    *variance = count > 1 ? squares / (double)(count - 1) : 0.0;
    return mean;
}

struct auc auc_of(float *positives, size_t positive_count, float *negatives, size_t negative_count) {
    double across_positives = 0.0, across_negatives = 0.0;
    assert(positive_count > 0 && negative_count > 0);
    qsort(positives, positive_count, sizeof *positives, compare);
    qsort(negatives, negative_count, sizeof *negatives, compare);
    struct auc auc = {.area = placements(positives, positive_count, negatives, negative_count, &across_positives)};
    placements(negatives, negative_count, positives, positive_count, &across_negatives);
    if (positive_count > 1 && negative_count > 1) {
        auc.error = sqrt(across_positives / (double)positive_count + across_negatives / (double)negative_count);
    }
    return auc;
}
