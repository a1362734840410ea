/* Contributions are the gradients of a synchronous clock that is still open, of one dense part: kept block by block
 * until the clock is closed, and then one gradient for each block that has any.
 *
 * As they arrive: one sum for each block. By rank: one for each worker and block, added up in the order of ranks when
 * the clock closes, so that the result does not depend on who was first. A worker that contributes to a block several
 * times in one clock counts once, with its sum. A block keeps the order that its first contribution came with, whatever
 * others say, until it is taken. Memory that was taken stays for the next clock. Pure. */
#ifndef CANYON_SERVER_CONTRIBUTIONS_H
#define CANYON_SERVER_CONTRIBUTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/consistency.h"
#include "common/hash.h"
#include "server/memory.h"

struct contributions;

/* For `places` blocks of at most `elements` numbers. `source` is borrowed for its life. NULL when memory cannot be had.
 * destroy is safe on NULL. */
struct contributions *contributions_create(const struct memory *source, size_t places, size_t elements);
void contributions_destroy(struct contributions *contributions);

/* Bytes that one block's values take. */
uint64_t contributions_block_bytes(size_t elements);

/* Bytes of numbers that are taken; what the next add can add to them. */
uint64_t contributions_bytes(const struct contributions *contributions);
uint64_t contributions_growth(const struct contributions *contributions, size_t place, uint32_t rank,
                              enum consistency_order order);

/* Takes the memory that the add of the same place, rank and order needs; false when it cannot be had. Changes no state.
 */
bool contributions_reserve(struct contributions *contributions, size_t place, uint32_t rank,
                           enum consistency_order order);
/* Reserved before. */
void contributions_add(struct contributions *contributions, size_t place, uint32_t rank, enum consistency_order order,
                       const float *values, size_t elements);

/* How many workers have contributed to a block. */
size_t contributions_count(const struct contributions *contributions, size_t place);

/* The one gradient of a block that has contributions, which it then has no more: borrowed until the next add. Divided
 * by the number of workers that contributed to this block, or not. */
const float *contributions_take(struct contributions *contributions, size_t place, enum consistency_combine combine,
                                size_t elements);

/* Adds what is contributed and not yet taken to the hash; `length` gives the elements of a place. */
void contributions_digest(const struct contributions *contributions, struct hash *hash,
                          uint32_t (*length)(const void *user, size_t place), const void *user);

#endif
