#include "common/rows.h"

#include <inttypes.h>
#include <string.h>

#include "common/codec.h"
#include "common/endian.h"
#include "common/frame.h"

_Static_assert(sizeof(struct rows_run) == 24 && sizeof(struct rows_result) == 40 && sizeof(struct rows_count) == 8,
               "they lie in payloads as they lie in memory");

size_t rows_row_bytes(uint32_t codec, uint32_t dim) {
    return codec < CODEC_TOPK ? codec_bytes((enum codec)codec, dim, 0) : 0;
}

static size_t aligned(size_t bytes) {
    return (bytes + ROWS_ALIGNMENT - 1) / ROWS_ALIGNMENT * ROWS_ALIGNMENT;
}

struct rows_layout rows_request_layout(uint32_t runs, uint32_t rows, size_t row_bytes) {
    const size_t ids = runs * sizeof(struct rows_run), end = ids + rows * sizeof(uint64_t);
    const size_t values = row_bytes > 0 && rows > 0 ? aligned(end) : end;
    return (struct rows_layout){.ids = ids, .values = values, .bytes = values + rows * row_bytes};
}

struct rows_layout rows_reply_layout(uint32_t runs, uint32_t rows, size_t row_bytes) {
    const size_t end = runs * sizeof(struct rows_result);
    const size_t values = row_bytes > 0 && rows > 0 ? aligned(end) : end;
    return (struct rows_layout){.ids = end, .values = values, .bytes = values + rows * row_bytes};
}

static bool zeros(const uint8_t *bytes, size_t from, size_t to) {
    while (from < to && bytes[from] == 0) {
        from++;
    }
    return from == to;
}

static enum canyon_status check_codec(const char *name, const char *what, bool belongs, uint32_t codec,
                                      struct error *error) {
    if (codec > CODEC_LAST) {
        return error_set(error, CANYON_UNSUPPORTED, "%s: there is no codec %" PRIu32 " here", name, codec);
    }
    if (codec == CODEC_TOPK) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "%s: topk is not for rows, which are sparse already", name);
    }
    if (codec != CODEC_F32 && !belongs) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "%s has no %s to encode as %s", name, what, codec_name(codec));
    }
    return CANYON_OK;
}

static enum canyon_status check_message(unsigned type, const struct message_rows *message, uint32_t limit,
                                        struct rows_layout *layout, struct error *error) {
    const char *name = frame_type_name(type);
    enum canyon_status status = check_codec(name, "gradients", rows_push(type), message->codec, error);
    if (status == CANYON_OK) {
        status = check_codec(name, "weights in its reply", rows_pull(type), message->reply, error);
    }
    if (status != CANYON_OK) {
        return status;
    }
    if (message->dim == 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "%s: a row has at least one element, not 0", name);
    }
    if (message->create && type != FRAME_TABLE_PULL) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "%s with `create`, which is for TABLE_PULL alone", name);
    }
    if (message->runs == 0 || message->runs > message->rows) {
        return error_set(error, CANYON_PROTOCOL, "%s of %" PRIu32 " rows in %" PRIu32 " shards: each has at least one",
                         name, message->rows, message->runs);
    }
    *layout = rows_request_layout(message->runs, message->rows,
                                  rows_push(type) ? rows_row_bytes(message->codec, message->dim) : 0);
    /* As float32 too: a short encoding is as much work as a long one. */
    const size_t row_back = rows_pull(type) ? rows_row_bytes(message->reply, message->dim) : 0;
    uint64_t most = rows_reply_layout(message->runs, message->rows, row_back).bytes;
    const uint64_t single = type == FRAME_TABLE_ERASE ? 0 : CODEC_SINGLE((uint64_t)message->rows * message->dim);
    most = single > most ? single : most;
    most = layout->bytes > most ? layout->bytes : most;
    if (most > limit) {
        return error_set(error, CANYON_TOO_LARGE,
                         "the %" PRIu32 " rows of this %s are %" PRIu64 " bytes, a payload at most %" PRIu32,
                         message->rows, name, most, limit);
    }
    return CANYON_OK;
}

enum canyon_status rows_check_request(unsigned type, const struct message_rows *message, const uint8_t *payload,
                                      size_t bytes, uint32_t shards, uint32_t limit, struct rows_layout *layout,
                                      struct error *error) {
    const char *name = frame_type_name(type);
    enum canyon_status status = check_message(type, message, limit, layout, error);
    if (status != CANYON_OK) {
        return status;
    }
    if (bytes != layout->bytes) {
        return error_set(error, CANYON_PROTOCOL, "%s has a payload of %zu bytes, its rows take %zu", name, bytes,
                         layout->bytes);
    }
    uint64_t rows = 0, least = 0;
    for (uint32_t i = 0; i < message->runs; i++) {
        struct rows_run run;
        memcpy(&run, payload + i * sizeof run, sizeof run);
        if (run.shard < least || run.shard >= shards || run.rows == 0) {
            return error_set(error, CANYON_PROTOCOL,
                             "%s has %" PRIu32 " rows for shard %" PRIu32 " in place %" PRIu32
                             ": shards ascend, are below %" PRIu32 ", and have rows",
                             name, run.rows, run.shard, i, shards);
        }
        least = (uint64_t)run.shard + 1;
        rows += run.rows;
    }
    if (rows != message->rows) {
        return error_set(error, CANYON_PROTOCOL, "%s says %" PRIu32 " rows, its runs have %" PRIu64, name,
                         message->rows, rows);
    }
    const size_t end = layout->ids + message->rows * sizeof(uint64_t);
    if (!zeros(payload, end, layout->values)) {
        return error_set(error, CANYON_PROTOCOL, "%s has something other than zeros between its ids and its values",
                         name);
    }
    return CANYON_OK;
}

enum canyon_status rows_check_reply(unsigned type, const struct message_rows *asked, const struct rows_run *runs,
                                    const struct message_rows_done *done, const uint8_t *payload, size_t bytes,
                                    struct rows_layout *layout, struct error *error) {
    const char *name = frame_type_name(type + 1);
    const size_t row_bytes = rows_pull(type) ? rows_row_bytes(asked->reply, asked->dim) : 0;
    if (done->runs != asked->runs) {
        return error_set(error, CANYON_PROTOCOL, "%s answers %" PRIu32 " of %" PRIu32 " runs", name, done->runs,
                         asked->runs);
    }
    *layout = rows_reply_layout(done->runs, done->rows, row_bytes);
    if (bytes != layout->bytes) {
        return error_set(error, CANYON_PROTOCOL, "%s has a payload of %zu bytes where %zu belong", name, bytes,
                         layout->bytes);
    }
    uint64_t rows = 0;
    for (uint32_t i = 0; i < done->runs; i++) {
        rows += load_u32(payload + i * sizeof(struct rows_result)) == CANYON_OK ? runs[i].rows : 0;
    }
    if (done->rows != (row_bytes > 0 ? rows : 0) || !zeros(payload, layout->ids, layout->values)) {
        return error_set(error, CANYON_PROTOCOL, "%s has weights of %" PRIu32 " rows, its results speak of %" PRIu64,
                         name, done->rows, rows);
    }
    return CANYON_OK;
}

struct rows_page_layout rows_page_layout(const struct message_row_page *page, bool state) {
    const size_t rows = page->rows, counts = rows * sizeof(uint64_t);
    const size_t scalars = counts + (state ? rows * sizeof(struct rows_count) : 0);
    const size_t end = scalars + (state ? rows * page->scalars * sizeof(double) : 0);
    const size_t values = rows > 0 && page->values > 0 ? aligned(end) : end;
    return (struct rows_page_layout){
        .counts = counts, .scalars = scalars, .values = values, .bytes = values + rows * page->values * sizeof(float)};
}
