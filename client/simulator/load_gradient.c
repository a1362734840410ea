#include "client/simulator/load_gradient.h"

#include "client/simulator/counter.h"

#define VALUE_STREAM UINT64_C(0x76616c0000000000) /* apart from every other use of the seed */
#define ROW_SEED     UINT64_C(0x726f77)           /* rows are the same for every seed */

void load_values(uint64_t seed, uint32_t worker, uint64_t number, uint8_t values[LOAD_CLASSES]) {
    uint64_t bits = counter_bits(seed, VALUE_STREAM + worker, number);
    for (unsigned c = 0; c < LOAD_CLASSES; c++) {
        values[c] = (uint8_t)(1 + (bits >> (4 * c) & 15) % LOAD_VALUE_HIGH);
    }
}

unsigned load_row_class(uint32_t tensor, uint64_t row) {
    return (unsigned)(counter_bits(ROW_SEED, tensor, row) % LOAD_CLASSES);
}

unsigned load_element_class(uint32_t tensor, uint64_t element) {
    return (unsigned)((load_row_class(tensor, element / LOAD_ROW) + element) % LOAD_CLASSES);
}

/* How many elements from `at` on lie in its row and before `end`. */
static uint64_t row_left(uint64_t at, uint64_t end) {
    uint64_t row_end = at - at % LOAD_ROW + LOAD_ROW;
    return (row_end < end ? row_end : end) - at;
}

void load_gradient_fill(const uint8_t values[LOAD_CLASSES], uint32_t tensor, uint64_t elements, float *gradient) {
    for (uint64_t at = 0; at < elements; at += LOAD_ROW) {
        float turn[LOAD_CLASSES];
        unsigned begin = load_element_class(tensor, at);
        uint64_t length = row_left(at, elements);
        for (unsigned c = 0; c < LOAD_CLASSES; c++) {
            turn[c] = values[(begin + c) % LOAD_CLASSES];
        }
        for (uint64_t i = 0; i < length; i++) {
            gradient[at + i] = turn[i % LOAD_CLASSES];
        }
    }
}

uint64_t load_weights_differ(const uint64_t sums[LOAD_CLASSES], uint32_t tensor, uint64_t first, uint64_t count,
                             const float *weights, uint64_t *place) {
    uint64_t differ = 0, length = 0;
    for (uint64_t at = first; at < first + count; at += length) {
        unsigned begin = load_element_class(tensor, at);
        length = row_left(at, first + count);
        for (uint64_t i = 0; i < length; i++) {
            float expected = -(float)sums[(begin + i) % LOAD_CLASSES];
            if (weights[at - first + i] != expected) { /* NaN differs too */
                *place = differ == 0 ? at - first + i : *place;
                differ++;
            }
        }
    }
    return differ;
}

bool load_weights_whole(uint32_t tensor, uint64_t first, uint64_t count, const float *weights) {
    uint64_t sums[LOAD_CLASSES] = {0}, place = 0;
    bool known[LOAD_CLASSES] = {false};
    unsigned have = 0;
    for (uint64_t i = 0; i < count && have < LOAD_CLASSES; i++) {
        unsigned class = load_element_class(tensor, first + i);
        double sum = 0.0 - (double)weights[i];
        if (!known[class]) {
            if (!(sum >= 0.0 && sum <= (double)LOAD_SUM_HIGH && sum == (double)(uint64_t)sum)) {
                return false;
            }
            known[class] = true;
            sums[class] = (uint64_t)sum;
            have++;
        }
    }
    return load_weights_differ(sums, tensor, first, count, weights, &place) == 0;
}
