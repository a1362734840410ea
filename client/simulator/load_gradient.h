/* The gradients of a load whose outcome is verified: whole numbers that follow from (seed, worker, number of the call,
 * class of the element), so that anybody can say what the sum of any calls is.
 *
 * An element's class is one of 16. Within 16 neighbours that begin at a multiple of 16 each class comes once, in turn;
 * which one is the first is drawn for every 16 of every tensor, so that a block which lands in another's place does not
 * fit there. With plain sgd and learning rate 1 on weights that began as 0, a weight is minus the sum of its class over
 * the calls that were applied, exactly and in any order, as long as that sum is below 2^24, float32's last whole number
 * without gaps. */
#ifndef CANYON_SIMULATOR_LOAD_GRADIENT_H
#define CANYON_SIMULATOR_LOAD_GRADIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_CLASSES    16
#define LOAD_STRETCH    256u /* elements whose first classes are drawn together */
#define LOAD_VALUE_HIGH 3    /* values are 1, 2 and 3 */
#define LOAD_SUM_HIGH   ((UINT64_C(1) << 24) - 1)
/* So many pushes may be made: then no sum passes LOAD_SUM_HIGH, whatever was drawn. */
#define LOAD_PUSHES_HIGH (LOAD_SUM_HIGH / LOAD_VALUE_HIGH)

/* What call `number` of `worker` pushes to each class. */
void load_values(uint64_t seed, uint32_t worker, uint64_t number, uint8_t values[LOAD_CLASSES]);

/* The class of an element, counted from the tensor's first: (bits(element / 16) + element) % 16, where bits(g) are bits
 * 4 * (g % 16) and the three above of counter_bits(0x706c616365, tensor, g / 16). */
unsigned load_element_class(uint32_t tensor, uint64_t element);

/* A tensor's whole gradient. */
void load_gradient_fill(const uint8_t values[LOAD_CLASSES], uint32_t tensor, uint64_t elements, float *gradient);

/* Compares `count` weights, those from element `first` of a tensor on, with minus their classes' sums. Returns how many
 * differ; of the first that does, *place is its place among them. */
uint64_t load_weights_differ(const uint64_t sums[LOAD_CLASSES], uint32_t tensor, uint64_t first, uint64_t count,
                             const float *weights, uint64_t *place);

/* Whether a block's weights can be of one moment: whole numbers, no positive ones, all elements of a class equal. In
 * one that was torn between two updates they are not, because every update changes every class. */
bool load_weights_whole(uint32_t tensor, uint64_t first, uint64_t count, const float *weights);

#endif
