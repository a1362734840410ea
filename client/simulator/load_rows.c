#include "client/simulator/load_rows.h"

#include <string.h>

#include "client/simulator/counter.h"
#include "client/simulator/draws.h"
#include "client/simulator/load_gradient.h"

#define DRAW_STREAM UINT64_C(0x6472610000000000) /* apart from every other use of the seed */
#define AHEAD       32
#define BASE_STREAM UINT64_C(0x6261730000000000)

/* SplitMix64's last step (Steele, Lea and Flood, 2014), whose parts can each be undone: a shift by s that is xored is
 * undone by shifts of s, 2s, ..., a product by the product with the inverse modulo 2^64. */
uint64_t load_row_id(uint64_t rank) {
    uint64_t z = rank + UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t load_row_rank(uint64_t id) {
    uint64_t z = id ^ (id >> 31) ^ (id >> 62);
    z *= UINT64_C(0x319642b2d24d8ec3);
    z = z ^ (z >> 27) ^ (z >> 54);
    z *= UINT64_C(0x96de1b173f119089);
    z = z ^ (z >> 30) ^ (z >> 60);
    return z - UINT64_C(0x9e3779b97f4a7c15);
}

void load_rows_draw(const struct load_plan *plan, uint32_t worker, uint64_t number, uint64_t *ids) {
    uint64_t call = counter_bits(plan->seed, DRAW_STREAM + worker, number);
    /* What millions of rows are drawn by is larger than caches: it is asked for some draws ahead. */
    for (uint64_t i = 0; i < plan->batch; i++) {
        ids[i] = counter_bits(call, 0, i);
        draws_ask(plan->draws, ids[i]);
        if (i >= AHEAD) {
            ids[i - AHEAD] = load_row_id(draws_of(plan->draws, ids[i - AHEAD]));
        }
    }
    for (uint64_t i = plan->batch < AHEAD ? 0 : plan->batch - AHEAD; i < plan->batch; i++) {
        ids[i] = load_row_id(draws_of(plan->draws, ids[i]));
    }
}

unsigned load_rows_base(uint64_t seed, uint32_t worker, uint64_t number) {
    return counter_below(seed, BASE_STREAM + worker, number, LOAD_ROW_CLASSES);
}

unsigned load_row_class(uint64_t id, uint32_t column) {
    return (unsigned)((id % LOAD_ROW_CLASSES + column) % LOAD_ROW_CLASSES);
}

static unsigned value_of(unsigned base, unsigned class) {
    return 1 + (base + class) % LOAD_ROW_CLASSES;
}

void load_rows_fill(const struct load_plan *plan, unsigned base, const uint64_t *ids, float *gradient) {
    for (uint64_t i = 0; i < plan->batch; i++, gradient += plan->dim) {
        unsigned class = load_row_class(ids[i], 0);
        for (uint32_t c = 0; c < plan->dim; c++) {
            gradient[c] = (float)value_of(base, class + c);
        }
    }
}

uint64_t load_row_sum(const uint32_t draws[LOAD_ROW_CLASSES], unsigned class) {
    uint64_t sum = 0;
    for (unsigned base = 0; base < LOAD_ROW_CLASSES; base++) {
        sum += (uint64_t)draws[base] * value_of(base, class);
    }
    return sum;
}

bool load_row_whole(uint32_t dim, const float *weights) {
    for (uint32_t c = 0; c < dim; c++) {
        double sum = 0.0 - (double)weights[c];
        /* A class comes again after as many columns, whichever is the first. */
        const float *same = c < LOAD_ROW_CLASSES ? weights + c : weights + c - LOAD_ROW_CLASSES;
        if (!(sum >= 0.0 && sum <= (double)LOAD_SUM_HIGH && sum == (double)(uint64_t)sum) || *same != weights[c]) {
            return false;
        }
    }
    return true;
}

uint64_t load_rows_pushes_high(const struct load_plan *plan) {
    /* Values are 2 on the average: three for each leaves half as much again. */
    double often = (double)plan->batch * plan->most * LOAD_ROW_VALUE_HIGH;
    double pushes = (double)LOAD_SUM_HIGH / often;
    return pushes > (double)LOAD_PUSHES_HIGH ? LOAD_PUSHES_HIGH : (uint64_t)pushes;
}
