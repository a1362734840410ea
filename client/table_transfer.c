#include "client/table_transfer.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t zeros[ROWS_ALIGNMENT];

static void table_transfer_destroy(struct batch *batch) {
    batch_finish(batch);
    free(batch); /* the transfer's first member */
}

/* iovec has no const; nothing writes through it. */
static struct iovec slice_of(const void *bytes, size_t count) {
    union {
        const void *from;
        void *to;
    } base = {bytes};
    return (struct iovec){.iov_base = base.to, .iov_len = count};
}

static uint8_t *aligned(void *memory) {
    return (uint8_t *)memory + (64 - (uintptr_t)memory % 64) % 64;
}

/* Rounded up, so that batches of about the same size find the room that others have left. */
static bool take_room(struct canyon_client *client, size_t bytes, struct client_room *room) {
    size_t words = bytes / sizeof(float) + 64, step = 1024;
    while (step < words / 8)
        step *= 2;
    return client_take_room(client, (words + step - 1) / step * step, room);
}

/* ---- gradients ---- */

/* In another form than float32: each row is added up, then encoded by itself. */
static void encode_rows(const struct table_frame *frame, uint8_t *to) {
    const struct table_transfer *transfer = frame->transfer;
    const struct row_split_frame *part = frame->part;
    struct canyon_table *table = transfer->order.table;
    uint64_t worker;
    memcpy(&worker, transfer->batch.client->session_id, sizeof worker);
    const uint64_t seed = codec_seed(table->tensor->home, worker, atomic_fetch_add(&table->tensor->encoding.turn, 1));
    for (uint32_t i = 0; i < part->rows; i++, to += transfer->row_out) {
        const uint32_t place = part->first + i;
        row_split_gather(&transfer->split, place, 1, transfer->order.gradients, table->dim, frame->sums);
        codec_encode(transfer->codec, frame->sums, table->dim, codec_seed(seed, transfer->split.ids[place], 0), to);
    }
}

static uint8_t *values_of(const struct table_transfer *transfer, const struct row_split_frame *part) {
    return transfer->values + part->first * transfer->row_out;
}

/* A session_request's `prepare`: gradients are brought together when they are about to be sent, while those sent before
 * are worked on, so that they are still in the caches of the processor that sends them. Under the lock of its lane. */
static void gather(struct session_request *request) {
    struct table_frame *frame = request->user;
    const struct table_transfer *transfer = frame->transfer;
    const struct row_split_frame *part = frame->part;
    if (frame->gathered)
        return;
    frame->gathered = true;
    uint8_t *to = values_of(transfer, part);
    if (transfer->codec == CODEC_F32)
        row_split_gather(&transfer->split, part->first, part->rows, transfer->order.gradients,
                         transfer->order.table->dim, (float *)(void *)to);
    else
        encode_rows(frame, to);
}

/* ---- frames ---- */

static void fill_frame(struct table_transfer *transfer, struct table_frame *frame, const struct row_split_frame *part) {
    const struct table_order *order = &transfer->order;
    const struct row_split *split = &transfer->split;
    const struct rows_layout layout = rows_request_layout(part->runs, part->rows, transfer->row_out);
    const struct message_rows message = {.table = order->table->tensor->info.id,
                                         .dim = order->table->dim,
                                         .runs = part->runs,
                                         .rows = part->rows,
                                         .clock = order->clock,
                                         .wait_ms = order->wait_ms,
                                         .create = order->create,
                                         .codec = transfer->codec,
                                         .reply = transfer->reply};
    uint8_t packed[LIMIT_MESSAGE_BYTES];
    const size_t bytes = message_pack_rows(&message, packed);
    assert(bytes <= sizeof frame->message);
    memcpy(frame->message, packed, bytes);
    for (uint32_t i = 0; i < part->runs && rows_push(order->type); i++) {
        struct rows_run *run = &split->runs[part->first_run + i];
        run->version = atomic_load_explicit(&order->table->versions[run->shard], memory_order_relaxed);
    }
    const size_t ids_end = layout.ids + part->rows * sizeof *split->ids;
    frame->slices[0] = slice_of(split->runs + part->first_run, layout.ids);
    frame->slices[1] = slice_of(split->ids + part->first, part->rows * sizeof *split->ids);
    frame->slices[2] = slice_of(zeros, layout.values - ids_end);
    if (transfer->row_out > 0)
        frame->slices[3] = slice_of(values_of(transfer, part), part->rows * transfer->row_out);
    frame->transfer = transfer;
    frame->part = part;
    frame->gathered = false;
    frame->request = (struct session_request){
        .type = order->type,
        .message = frame->message,
        .message_bytes = bytes,
        .payload = frame->slices,
        .payload_count = transfer->row_out > 0 ? 4 : 2,
        .payload_bytes = (uint32_t)layout.bytes,
        .reply_bytes = (uint32_t)rows_reply_layout(part->runs, part->rows, transfer->row_in).bytes,
        .deadline = order->deadline,
        .may_wait = order->wait_ms > 0 && !table_changes_state(order),
        .changes_state = table_changes_state(order),
        .piece_count = table_changes_state(order) ? part->runs : 0,
        .prepare = transfer->row_out > 0 ? gather : NULL,
        .done = table_frame_done,
        .user = frame};
    batch_add(&transfer->batch, part->lane, &frame->request);
}

/* Splits the batch, in scratch memory that is given back at once, and takes room for what travels. */
static enum canyon_status split_batch(struct table_transfer *transfer, struct canyon_client *client,
                                      struct error *error) {
    const struct table_order *order = &transfer->order;
    const struct canyon_table *table = order->table;
    struct client_room scratch = {.values = NULL};
    struct row_merge merge;
    enum canyon_status status = CANYON_OK;
    size_t row_bytes = order->type == FRAME_TABLE_ERASE ? 0 : CODEC_SINGLE((size_t)table->dim);
    row_bytes = transfer->row_out > row_bytes ? transfer->row_out : row_bytes; /* int8 of one element is longer */
    row_bytes = transfer->row_in > row_bytes ? transfer->row_in : row_bytes;
    if (!take_room(client, row_merge_bytes(table->order.shards, order->count), &scratch)) {
        status = error_set(error, CANYON_NO_MEMORY, "no memory for a batch of %zu ids", order->count);
        goto out;
    }
    row_merge_make(&merge, &table->order, &table->hash, order->ids, order->count, row_split_frame_rows(row_bytes),
                   aligned(scratch.values));
    const size_t sums = transfer->codec != CODEC_F32 ? CODEC_SINGLE((size_t)table->dim) : 0;
    const size_t split_bytes = row_split_bytes(&merge), values_bytes = merge.rows * transfer->row_out;
    const size_t frames_bytes = merge.frames * sizeof(struct table_frame);
    if (!take_room(client, split_bytes + values_bytes + frames_bytes + merge.frames * sums + 256, &transfer->room)) {
        status = error_set(error, CANYON_NO_MEMORY, "no memory for a batch of %u rows of %u elements", merge.rows,
                           table->dim);
        goto out;
    }
    uint8_t *at = aligned(transfer->room.values);
    row_split_make(&transfer->split, &merge, &table->order, at);
    transfer->values = aligned(at + split_bytes);
    transfer->frames = (struct table_frame *)(void *)aligned(transfer->values + values_bytes);
    float *rows = (float *)(void *)aligned((uint8_t *)transfer->frames + frames_bytes);
    for (uint32_t i = 0; i < merge.frames; i++)
        transfer->frames[i].sums = sums > 0 ? rows + (size_t)i * table->dim : NULL;
out:
    client_give_room(client, &scratch);
    return status;
}

enum canyon_status table_transfer_begin(const struct table_order *order, bool attended, struct canyon_future **future,
                                        struct error *error) {
    struct canyon_client *client = order->table->tensor->client;
    struct codec_choice gradients, weights;
    struct table_transfer *transfer = malloc(sizeof *transfer);
    if (transfer == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for a batch of %zu ids", order->count);
    memset(transfer, 0, offsetof(struct table_transfer, missing.message));
    transfer->order = *order;
    encoding_look(&order->table->tensor->encoding, &gradients, &weights);
    if (rows_push(order->type)) {
        transfer->codec = gradients.codec;
        transfer->row_out = rows_row_bytes(transfer->codec, order->table->dim);
    }
    if (rows_pull(order->type)) {
        transfer->reply = weights.codec;
        transfer->row_in = rows_row_bytes(transfer->reply, order->table->dim);
    }
    enum canyon_status status = split_batch(transfer, client, error);
    if (status == CANYON_OK)
        status = batch_init(&transfer->batch, client, error);
    if (status != CANYON_OK) {
        client_give_room(client, &transfer->room);
        free(transfer);
        return status;
    }
    transfer->batch.settle = table_transfer_settle;
    transfer->batch.destroy = table_transfer_destroy;
    for (uint32_t i = 0; i < transfer->split.frame_count; i++)
        fill_frame(transfer, &transfer->frames[i], &transfer->split.frames[i]);
    *future = &transfer->batch.future;
    batch_submit(&transfer->batch, attended);
    return CANYON_OK;
}

enum canyon_status table_transfer_run(const struct table_order *order, struct error *error) {
    struct canyon_future *future = NULL;
    enum canyon_status status = table_transfer_begin(order, true, &future, error);
    if (status != CANYON_OK)
        return status;
    struct error outcome;
    future_wait(future, UINT64_MAX, &outcome);
    future_release(future);
    if (outcome.status != CANYON_OK)
        *error = outcome;
    return outcome.status;
}
