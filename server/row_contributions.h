/* Row contributions are the gradients of a synchronous clock that is still open, of the rows of one table in one shard:
 * kept row by row until the clock is closed, and then one gradient for each row that has any.
 *
 * As they arrive: one sum for each row, and who contributed. By rank: one for each worker and row, added up in the
 * order of ranks when the clock closes. A worker that contributes to a row several times in one clock counts once, with
 * its sum. Rows come out in the order in which they were first contributed to, whatever their keys: keys are for
 * finding rows and never show. Memory that was taken stays for the next clock. Pure. */
#ifndef CANYON_SERVER_ROW_CONTRIBUTIONS_H
#define CANYON_SERVER_ROW_CONTRIBUTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/consistency.h"
#include "common/hash.h"
#include "server/row_array.h"

#define ROW_CONTRIBUTIONS_PIECE 64 /* rows that are taken at a time */

struct row_contributions {
    size_t dim;
    struct row_array rows, givers, values;
    uint32_t row_count, giver_count, value_count; /* used of these arrays */
    uint32_t contributed;                         /* rows that have any */
    bool by_rank;                                 /* where row_count > 0 */
    uint32_t *slots;                              /* of rows, by key; UINT32_MAX: none */
    size_t slot_count;                            /* a power of two, at least twice the rows; or 0 */
    float *piece;                                 /* [ROW_CONTRIBUTIONS_PIECE x dim]; NULL before the first reserve */
};

/* Takes no memory. `pool` is borrowed until finish, which is safe on a zeroed one. */
void row_contributions_init(struct row_contributions *contributions, struct pool *pool, size_t dim);
void row_contributions_finish(struct row_contributions *contributions);

/* Bytes that are taken; the most that an add can add to them: of `count` rows of these keys, each once, or, where keys
 * is NULL, of rows that nobody contributed to. */
uint64_t row_contributions_bytes(const struct row_contributions *contributions);
uint64_t row_contributions_room(const struct row_contributions *contributions, const uint64_t *keys, size_t count,
                                uint32_t rank, enum consistency_order order);

/* Takes the memory that the add of the same keys, rank and order needs; false when it cannot be had. Changes no state.
 */
bool row_contributions_reserve(struct row_contributions *contributions, const uint64_t *keys, size_t count,
                               uint32_t rank, enum consistency_order order);
/* Reserved before. Ids and keys (server/rowkey.h) each once; gradients [count x dim]. While anything is contributed the
 * order is that of the first add. */
void row_contributions_add(struct row_contributions *contributions, const uint64_t *ids, const uint64_t *keys,
                           size_t count, uint32_t rank, enum consistency_order order, const float *gradients);

/* What was contributed to this row is gone. */
void row_contributions_forget(struct row_contributions *contributions, uint64_t key);

/* The next rows that have contributions, ROW_CONTRIBUTIONS_PIECE at most, from *at (0 at first) on: ids, keys, and in
 * contributions->piece the one gradient of each: a sum, or divided by the number of workers that contributed to this
 * row. 0 when there are no more; then, or earlier, row_contributions_clear, without which nothing may be added. */
size_t row_contributions_take(struct row_contributions *contributions, uint32_t *at, enum consistency_combine combine,
                              uint64_t *ids, uint64_t *keys);
void row_contributions_clear(struct row_contributions *contributions);

/* Adds what is contributed to the hash: nothing where nothing is. */
void row_contributions_digest(const struct row_contributions *contributions, struct hash *hash);

#endif
