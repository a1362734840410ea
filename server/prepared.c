#include "server/prepared.h"

void prepared_init(struct prepared *prepared, const struct optimizer *optimizer, const double *hyper) {
    memset(prepared->steps, 0, sizeof prepared->steps);
    prepared->optimizer = optimizer;
    memcpy(prepared->hyper, hyper, sizeof prepared->hyper);
}

const float *prepared_make(struct prepared *prepared, uint32_t step, double *scalars) {
    const uint32_t place = step % PREPARED_STEPS;
    const size_t bytes = prepared->optimizer->scalar_count * sizeof(double);
    double none[OPTIMIZER_SCALARS] = {0};
    float *values = prepared->values[place];
    double *state = bytes > 0 ? scalars : none;
    memcpy(prepared->scalars[place].before, state, bytes);
    memset(values, 0, sizeof prepared->values[place]);
    prepared->optimizer->prepare(prepared->hyper, step, state, values);
    memcpy(prepared->scalars[place].after, state, bytes);
    prepared->steps[place] = step;
    return values;
}
