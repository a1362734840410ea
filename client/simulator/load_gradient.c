#include "client/simulator/load_gradient.h"

#include <string.h>

#include "client/simulator/counter.h"

#define VALUE_STREAM UINT64_C(0x76616c0000000000) /* apart from every other use of the seed */
#define PLACE_SEED   UINT64_C(0x706c616365)       /* classes are the same for every seed */

void load_values(uint64_t seed, uint32_t worker, uint64_t number, uint8_t values[LOAD_CLASSES]) {
    uint64_t bits = counter_bits(seed, VALUE_STREAM + worker, number);
    for (unsigned c = 0; c < LOAD_CLASSES; c++) {
        values[c] = (uint8_t)(1 + (bits >> (4 * c) & 15) % LOAD_VALUE_HIGH);
    }
}

/* The 16 first classes of a stretch of 256 elements, 4 bits each. */
static uint64_t stretch_bits(uint32_t tensor, uint64_t element) {
    return counter_bits(PLACE_SEED, tensor, element / LOAD_STRETCH);
}

static unsigned bits_class(uint64_t bits, uint64_t element) {
    return (unsigned)((bits >> (element / LOAD_CLASSES % 16 * 4)) + element) % LOAD_CLASSES;
}

unsigned load_element_class(uint32_t tensor, uint64_t element) {
    return bits_class(stretch_bits(tensor, element), element);
}

void load_gradient_fill(const uint8_t values[LOAD_CLASSES], uint32_t tensor, uint64_t elements, float *gradient) {
    float turns[2 * LOAD_CLASSES]; /* the values twice: 16 of them from any class on lie in one piece */
    uint64_t bits = 0;
    for (unsigned c = 0; c < 2 * LOAD_CLASSES; c++) {
        turns[c] = values[c % LOAD_CLASSES];
    }
    for (uint64_t at = 0; at < elements; at += LOAD_CLASSES) {
        bits = at % LOAD_STRETCH == 0 ? stretch_bits(tensor, at) : bits;
        uint64_t length = elements - at < LOAD_CLASSES ? elements - at : LOAD_CLASSES;
        memcpy(gradient + at, turns + bits_class(bits, at), length * sizeof *gradient);
    }
}

uint64_t load_weights_differ(const uint64_t sums[LOAD_CLASSES], uint32_t tensor, uint64_t first, uint64_t count,
                             const float *weights, uint64_t *place) {
    uint64_t differ = 0, bits = stretch_bits(tensor, first);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t element = first + i;
        bits = element % LOAD_STRETCH == 0 ? stretch_bits(tensor, element) : bits;
        float expected = -(float)sums[bits_class(bits, element)];
        if (weights[i] != expected) { /* NaN differs too */
            *place = differ == 0 ? i : *place;
            differ++;
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
