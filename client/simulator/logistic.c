#include "client/simulator/logistic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/room.h"

void logistic_begin(struct logistic_batch *batch) {
    gather_begin(&batch->rows);
    batch->entry_count = batch->count = 0;
}

static bool entry_add(struct logistic_batch *batch, uint64_t id, float value) {
    size_t place = gather_place(&batch->rows, id);
    if (place == SIZE_MAX ||
        !room_make(&batch->entries, &batch->entry_capacity, batch->entry_count + 1, sizeof *batch->entries)) {
        return false;
    }
    batch->entries[batch->entry_count++] = (struct logistic_entry){.place = (uint32_t)place, .value = value};
    return true;
}

bool logistic_add(struct logistic_batch *batch, const struct libsvm_example *example) {
    bool good = room_make(&batch->ends, &batch->end_capacity, batch->count + 1, sizeof *batch->ends) &&
                room_make(&batch->positive, &batch->positive_capacity, batch->count + 1, sizeof *batch->positive) &&
                entry_add(batch, LIBSVM_BIAS, 1.0f);
    for (size_t i = 0; i < example->count && good; i++) {
        good = entry_add(batch, example->features[i].id, example->features[i].value);
    }
    if (good) {
        batch->ends[batch->count] = batch->entry_count;
        batch->positive[batch->count] = example->positive;
        batch->count++;
    }
    return good;
}

/* Of example `which`; sums in double. */
static double score_of(const struct logistic_batch *batch, size_t which, const float *weights) {
    double score = 0.0;
    for (size_t i = which == 0 ? 0 : batch->ends[which - 1]; i < batch->ends[which]; i++) {
        score += (double)weights[batch->entries[i].place] * (double)batch->entries[i].value;
    }
    return score;
}

/* -log of the probability of what the example is; no overflow for any score. *slope is the derivative by the score. */
static double loss_of(double score, bool positive, double *slope) {
    double against = positive ? -score : score, small = exp(-fabs(against));
    double wrong = (against >= 0.0 ? 1.0 : small) / (1.0 + small); /* 1 - p of what it is */
    *slope = positive ? -wrong : wrong;
    return (against > 0.0 ? against : 0.0) + log1p(small);
}

double logistic_gradient(const struct logistic_batch *batch, const float *weights, float *gradient) {
    double loss = 0.0, slope = 0.0;
    memset(gradient, 0, batch->rows.count * sizeof *gradient);
    for (size_t e = 0; e < batch->count; e++) {
        loss += loss_of(score_of(batch, e, weights), batch->positive[e], &slope);
        for (size_t i = e == 0 ? 0 : batch->ends[e - 1]; i < batch->ends[e]; i++) {
            gradient[batch->entries[i].place] += (float)(slope * (double)batch->entries[i].value);
        }
    }
    return loss;
}

double logistic_scores(const struct logistic_batch *batch, const float *weights, float *scores) {
    double loss = 0.0, slope = 0.0;
    for (size_t e = 0; e < batch->count; e++) {
        double score = score_of(batch, e, weights);
        loss += loss_of(score, batch->positive[e], &slope);
        scores[e] = (float)score;
    }
    return loss;
}

void logistic_finish(struct logistic_batch *batch) {
    gather_finish(&batch->rows);
    free(batch->entries);
    free(batch->ends);
    free(batch->positive);
    memset(batch, 0, sizeof *batch);
}
