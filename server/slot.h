/* The values of a block by their slot number: its weights, the optimizer's arrays, its step, the optimizer's scalars.
 *
 * What optimizer state a client may see, and what it may assign; common/tensor.h has the numbers. Pure. */
#ifndef CANYON_SERVER_SLOT_H
#define CANYON_SERVER_SLOT_H

#include "server/dense.h"

/* How many 4-byte words a slot of a block has: its elements, or SLOT_NUMBER_WORDS. 0 when there is no such slot. */
size_t slot_words(const struct dense *dense, size_t place, uint32_t slot);

/* Where they are, little-endian. Borrowed until the block changes. NULL when there is no such slot. */
const void *slot_values(const struct dense *dense, size_t place, uint32_t slot);

/* Fills the error, INVALID_ARGUMENT, with which slots there are, and returns its status. */
enum canyon_status slot_missing(const struct dense *dense, uint32_t slot, struct error *error);

/* Whether `count` words may be assigned: INVALID_ARGUMENT for a slot that is not there, another length, a value below
 * zero in a slot that is never negative, a step above LIMIT_STEP, a scalar outside its range; NOT_FINITE. The text
 * names the block, the slot and the value. */
enum canyon_status slot_check(const struct dense *dense, size_t place, uint32_t slot, const float *values, size_t count,
                              struct error *error);

/* Assigns what slot_check found good. */
void slot_assign(struct dense *dense, size_t place, uint32_t slot, const float *values);

#endif
