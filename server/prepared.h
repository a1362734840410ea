/* Prepared constants of updates, kept by step.
 *
 * An optimizer's prepare takes powers and roots, which for one row of 16 numbers would cost more than its update; but
 * most rows of a push have had few updates, or as many as others. What is kept is what prepare returned, so results are
 * the same bits with or without it. One set is for one optimizer under one list of hyperparameters (with the schedule's
 * rate in it, so a rate that changes at every clock leaves nothing to keep). Not thread-safe. */
#ifndef CANYON_SERVER_PREPARED_H
#define CANYON_SERVER_PREPARED_H

#include <stdint.h>
#include <string.h>

#include "server/optimizers/optimizer.h"

#define PREPARED_STEPS 1024 /* kept at a time: those of one remainder displace each other */

struct prepared {
    _Alignas(64) float values[PREPARED_STEPS][OPTIMIZER_PREPARED];
    uint32_t steps[PREPARED_STEPS]; /* 0: nothing is kept here */
    struct {
        double before[OPTIMIZER_SCALARS], after[OPTIMIZER_SCALARS];
    } scalars[PREPARED_STEPS]; /* where the optimizer has any */
    const struct optimizer *optimizer;
    double hyper[OPTIMIZER_HYPERPARAMETERS];
    uint64_t used; /* for whoever keeps several: when it was used last */
};

/* Begins anew. `hyper` has OPTIMIZER_HYPERPARAMETERS numbers, those not used zero. */
void prepared_init(struct prepared *prepared, const struct optimizer *optimizer, const double *hyper);

/* Calls the optimizer's prepare and keeps what it gave. */
const float *prepared_make(struct prepared *prepared, uint32_t step, double *scalars);

/* The constants of this step (1 and on), valid until the next call; scalars are the row's, read and replaced. They may
 * be NULL where the optimizer has none. */
static inline const float *prepared_at(struct prepared *prepared, uint32_t step, double *scalars) {
    uint32_t place = step % PREPARED_STEPS;
    size_t bytes = prepared->optimizer->scalar_count * sizeof(double);
    if (prepared->steps[place] != step || (bytes > 0 && memcmp(prepared->scalars[place].before, scalars, bytes) != 0)) {
        return prepared_make(prepared, step, scalars);
    }
    if (bytes > 0) {
        memcpy(scalars, prepared->scalars[place].after, bytes);
    }
    return prepared->values[place];
}

#endif
