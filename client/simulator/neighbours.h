/* Which words' vectors point in nearly the same direction. */
#ifndef CANYON_SIMULATOR_NEIGHBOURS_H
#define CANYON_SIMULATOR_NEIGHBOURS_H

#include <stddef.h>
#include <stdint.h>

#define NEIGHBOURS_HIGH 64

struct neighbour {
    uint32_t word;
    float cosine;
};

/* The cosine of the angle between two vectors, from -1 to 1; 0 when one of them is zero or not finite. */
float neighbours_cosine(const float *a, const float *b, uint32_t dim);

/* The words nearest to `word`, itself left out, the nearest first, of equally near ones the lower index; at most `most`
 * of them, which is at most NEIGHBOURS_HIGH. `vectors` has dim floats for each of `size` words. Returns how many. */
size_t neighbours_of(const float *vectors, uint32_t dim, uint32_t size, uint32_t word, struct neighbour *nearest,
                     size_t most);

#endif
