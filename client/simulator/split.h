/* The one division of the digits into images to train with and images to test with: 1,297 and 500.
 *
 * It is the same on every machine and for every seed, so that accuracies can be compared. The rule:
 *   1. Label c, which n[c] of the 1,797 images have, gives floor(500 n[c] / 1797) images to the test set, and one more
 *      for the labels with the largest remainders until there are 500; of equal remainders the smaller label comes
 * first.
 *   2. The images of a label are put in the order of counter_bits(SPLIT_SEED, label, index), index being the image's
 *      line in the file counted from 0; the first of them are the test images.
 * Both lists are then in the order of the file. */
#ifndef CANYON_SIMULATOR_SPLIT_H
#define CANYON_SIMULATOR_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/simulator/digits.h"

#define SPLIT_TEST  500
#define SPLIT_TRAIN (DIGITS_COUNT - SPLIT_TEST)
#define SPLIT_SEED  1998u /* the year the data was given to the public; no other was tried */

struct split {
    uint32_t train[SPLIT_TRAIN]; /* indices of images, ascending */
    uint32_t test[SPLIT_TEST];
};

/* `digits` must hold DIGITS_COUNT images, which digits_load promises. */
void split_make(const struct digits *digits, struct split *split);

#endif
