/* The payloads of requests and replies about rows of tables: which rows, and their values, as PROTOCOL.md has them.
 *
 * A request (TABLE_PUSH, TABLE_PULL, TABLE_PUSH_PULL, TABLE_ERASE) is about rows of one table in shards of one server
 * thread. The rows of one shard in it are a run: that is what a server takes or refuses as a whole.
 *
 *     a run for each shard | ids, run after run | zeros up to a multiple of 64 | gradients, row after row
 *
 * and its reply
 *
 *     a result for each run | zeros up to a multiple of 64 | weights, row after row, of the runs that were carried out
 *
 * where what is not there (gradients of a pull or an erase, weights of a push or an erase, or of no row) has no zeros
 * before it either. So in a payload that is aligned to 64 bytes, as frame.h has it, ids and float32 values can be used
 * where they lie. A row's values are encoded on their own: they do not depend on what else is in the frame.
 *
 * Pure and thread-safe. */
#ifndef CANYON_COMMON_ROWS_H
#define CANYON_COMMON_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/frame.h"
#include "common/message.h"
#include "common/status.h"

/* As they lie in payloads, little-endian like the machine (endian.h). */
struct rows_run {
    uint32_t shard, rows;
    uint64_t version; /* of pushes: the table's in that shard when the weights came from there */
    uint64_t number;  /* of what changes the shard: in (session, shard), from 1 on; 0: not numbered */
};

struct rows_result {
    uint32_t code; /* enum canyon_status, or a number of a later version; not OK: refused */
    uint32_t rows; /* of pushes and creating pulls: made by it; of erases: gone */
    uint64_t version, staleness;
    uint64_t applied, stable; /* of a numbered run: the session's highest number taken there, and that cannot be lost */
};

/* Bytes before the runs' values, where they are, and in all. */
struct rows_layout {
    size_t ids, values, bytes;
};

#define ROWS_ALIGNMENT 64

static inline bool rows_push(unsigned type) {
    return type == FRAME_TABLE_PUSH || type == FRAME_TABLE_PUSH_PULL;
}
static inline bool rows_pull(unsigned type) {
    return type == FRAME_TABLE_PULL || type == FRAME_TABLE_PUSH_PULL;
}

/* Bytes of one row's values in a form: a multiple of 4. 0 for a codec that rows do not have. */
size_t rows_row_bytes(uint32_t codec, uint32_t dim);

/* Of a request: `row_bytes` is what rows_row_bytes says of its gradients, or 0 when it has none. Of a reply: `rows`
 * is how many rows' weights are there. */
struct rows_layout rows_request_layout(uint32_t runs, uint32_t rows, size_t row_bytes);
struct rows_layout rows_reply_layout(uint32_t runs, uint32_t rows, size_t row_bytes);

/* Judges a request as a whole, before anything of it is looked at: `limit` is the most bytes of a payload to this
 * server. Whether the table, its dim, the shards and the ids are right is not judged. On OK the payload holds what
 * *layout says, and the runs in it have ascending shards below `shards`, at least one row each, and as many together
 * as the message says.
 *   PROTOCOL          no runs, runs that do not add up, zeros that are not, a payload of another length
 *   UNSUPPORTED       a codec that is not known; INVALID_ARGUMENT for one where none belongs, or topk
 *   INVALID_ARGUMENT  a dim of 0; `create` in another request than TABLE_PULL
 *   TOO_LARGE         more bytes there, back or as float32 than `limit` */
enum canyon_status rows_check_request(unsigned type, const struct message_rows *message, const uint8_t *payload,
                                      size_t bytes, uint32_t shards, uint32_t limit, struct rows_layout *layout,
                                      struct error *error);

/* Judges a reply to that request, of which `runs` are: PROTOCOL when lengths and counts do not agree with one another
 * or with the request. */
enum canyon_status rows_check_reply(unsigned type, const struct message_rows *asked, const struct rows_run *runs,
                                    const struct message_rows_done *done, const uint8_t *payload, size_t bytes,
                                    struct rows_layout *layout, struct error *error);

/* ---- A page of rows, the payload of TABLE_ROWS_ARE: ids, and where state was asked for a rows_count and the scalars
 * of each, then zeros up to a multiple of 64, then each row's float32 values ---- */

struct rows_count {
    uint32_t step, clock; /* up to 2^32 - 1 */
};

struct rows_page_layout {
    size_t counts, scalars, values, bytes; /* ids are at 0 */
};

struct rows_page_layout rows_page_layout(const struct message_row_page *page, bool state);

#endif
