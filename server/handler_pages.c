/* TABLE_INFO and TABLE_ROWS: looking at tables. */
#include "server/handler_state.h"

#include <string.h>

#include "common/rows.h"

static void add(struct message_table_totals *totals, const struct shard_table *part) {
    totals->shards++;
    totals->rows += part->rows;
    totals->bytes += part->bytes;
    totals->version += part->version;
    totals->clock = part->clock > totals->clock ? part->clock : totals->clock;
}

enum canyon_status serve_table_info(struct handler *handler, const struct request *request, const struct frame *frame,
                                    struct error *error) {
    struct message_table_query query;
    struct message_table_totals totals = {.shards = 0};
    struct handler_tensor *table = NULL;
    struct shard *shard = NULL;
    struct shard_table part;
    enum canyon_status status = message_unpack_table_query(frame->message, frame->header.message_bytes, &query, error);
    if (status == CANYON_OK) {
        status = tables_find(handler, request, query.table, &table, error);
    }
    if (status == CANYON_OK && query.sum) {
        status = tables_shard(handler, table, query.shard, &shard, error);
        if (status == CANYON_OK) {
            status = shard_table(shard, query.table, &part, error);
        }
        if (status == CANYON_OK) {
            add(&totals, &part);
            handler->slices[1] = (struct handler_slice){part.sum, sizeof part.sum};
        }
    }
    for (uint32_t i = 0; i < handler->job->shards && !query.sum && status == CANYON_OK; i++) {
        if (handler->shards[i] != NULL) {
            status = shard_table_counts(handler->shards[i], query.table, &part, error);
            if (status == CANYON_OK) {
                add(&totals, &part);
            }
        }
    }
    if (status == CANYON_OK) {
        reply_send(handler, request, FRAME_TABLE_INFO_IS, message_pack_table_totals(&totals, reply_message(handler)),
                   query.sum ? 1 : 0);
    }
    return status;
}

/* How many rows of so many numbers fit a page: one at least. */
static uint32_t page_rows(const struct handler *handler, uint32_t most, const struct message_row_page *form,
                          bool state) {
    const size_t row = sizeof(uint64_t) + (state ? sizeof(struct rows_count) + form->scalars * sizeof(double) : 0) +
                       form->values * sizeof(float);
    const size_t fit = (handler_payload_limit(handler->job) - ROWS_ALIGNMENT) / row;
    const uint32_t rows = fit < most ? (uint32_t)fit : most;
    return rows > 0 ? rows : 1;
}

static void put_row(uint8_t *page, const struct rows_page_layout *layout, const struct message_row_page *form,
                    bool state, size_t index, const struct shard_row *row) {
    memcpy(page + index * sizeof row->id, &row->id, sizeof row->id);
    if (state) {
        const struct rows_count count = {.step = row->step, .clock = row->clock};
        memcpy(page + layout->counts + index * sizeof count, &count, sizeof count);
        if (form->scalars > 0) {
            memcpy(page + layout->scalars + index * form->scalars * sizeof(double), row->scalars,
                   form->scalars * sizeof(double));
        }
    }
    memcpy(page + layout->values + index * form->values * sizeof(float), row->values, form->values * sizeof(float));
}

/* The rows from `from` on: their number in `page`, themselves in the handler's room for weights. What a row is like is
 * the table's to say, so that the index is walked once. */
static enum canyon_status fill_page(struct handler *handler, const struct shard *shard,
                                    const struct handler_tensor *table, const struct message_row_query *query,
                                    struct message_row_page *page, size_t *bytes, struct error *error) {
    uint64_t *ids = handler->tables.numbers;
    struct shard_row row = {.id = 0};
    size_t count = 0, values = 0, scalars = 0;
    uint8_t *memory = (uint8_t *)handler->tables.weights;
    enum canyon_status status = shard_row_numbers(shard, query->table, &values, &scalars, error);
    *bytes = 0;
    page->values = query->state ? (uint32_t)values : (uint32_t)table->spec.shape.dims[0];
    page->scalars = query->state ? (uint32_t)scalars : 0;
    if (status != CANYON_OK || query->most == 0) {
        return status;
    }
    page->rows = page_rows(handler, query->most, page, query->state);
    status = shard_next_rows(shard, query->table, query->from, (size_t)page->rows + 1, ids, &count, error);
    page->more = count > page->rows;
    page->rows = count < page->rows ? (uint32_t)count : page->rows;
    if (page->rows == 0) {
        return status;
    }
    const struct rows_page_layout layout = rows_page_layout(page, query->state);
    memset(memory, 0, layout.values);
    for (uint32_t i = 0; i < page->rows && status == CANYON_OK; i++) {
        status = shard_row(shard, query->table, ids[i], &row, error);
        if (status == CANYON_OK) {
            put_row(memory, &layout, page, query->state, i, &row);
        }
    }
    *bytes = layout.bytes;
    return status;
}

enum canyon_status serve_table_rows(struct handler *handler, const struct request *request, const struct frame *frame,
                                    struct error *error) {
    struct message_row_query query;
    struct message_row_page page = {.rows = 0};
    struct handler_tensor *table = NULL;
    struct shard *shard = NULL;
    size_t bytes = 0;
    enum canyon_status status = message_unpack_row_query(frame->message, frame->header.message_bytes, &query, error);
    if (status == CANYON_OK) {
        status = tables_find(handler, request, query.table, &table, error);
    }
    if (status == CANYON_OK) {
        status = tables_shard(handler, table, query.shard, &shard, error);
    }
    if (status == CANYON_OK) {
        status = fill_page(handler, shard, table, &query, &page, &bytes, error);
    }
    if (status == CANYON_OK) {
        handler->slices[1] = (struct handler_slice){handler->tables.weights, bytes};
        reply_send(handler, request, FRAME_TABLE_ROWS_ARE, message_pack_row_page(&page, reply_message(handler)),
                   bytes > 0 ? 1 : 0);
    }
    return status;
}
