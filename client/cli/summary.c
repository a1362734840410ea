#include "client/cli/summary.h"

#include <math.h>

void summary_of(const float *values, uint64_t count, struct summary *summary) {
    double sum = 0.0, squares = 0.0;
    *summary =
        (struct summary){.minimum = (double)NAN, .maximum = (double)NAN, .mean = (double)NAN, .deviation = (double)NAN};
    for (uint64_t i = 0; i < count; i++) {
        double value = (double)values[i];
        if (!isfinite(value)) {
            summary->not_finite++;
            continue;
        }
        summary->minimum = summary->finite == 0 || value < summary->minimum ? value : summary->minimum;
        summary->maximum = summary->finite == 0 || value > summary->maximum ? value : summary->maximum;
        summary->finite++;
        sum += value;
    }
    if (summary->finite == 0) {
        return;
    }
    summary->mean = sum / (double)summary->finite;
    for (uint64_t i = 0; i < count; i++) {
        double distance = (double)values[i] - summary->mean;
        squares += isfinite(distance) ? distance * distance : 0.0;
    }
    summary->deviation = sqrt(squares / (double)summary->finite);
}
