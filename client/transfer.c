#include "client/transfer.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "client/transfer_state.h"

/* Memory for `count` of something, in the transfer where there are few. */
static void *transfer_room(size_t count, size_t bytes, void *few) {
    return count <= TRANSFER_FEW ? few : malloc(count * bytes);
}

static void transfer_give(void *room, const void *few) {
    if (room != few)
        free(room);
}

static struct transfer *transfer_create(void) {
    struct transfer *transfer = malloc(sizeof *transfer);
    if (transfer != NULL)
        memset(transfer, 0, offsetof(struct transfer, missing.message));
    return transfer;
}

static void transfer_free(struct transfer *transfer) {
    plan_finish(&transfer->plan);
    transfer_give(transfer->items, transfer->few_items);
    transfer_give(transfer->tallies, transfer->few_tallies);
    transfer_give(transfer->frames, transfer->few_frames);
    transfer_give(transfer->slices, transfer->few_slices);
    transfer_give(transfer->shards, transfer->few_shards);
    free(transfer);
}

static void transfer_destroy(struct batch *batch) {
    struct transfer *transfer = (struct transfer *)batch;
    batch_finish(batch);
    transfer_free(transfer);
}

static enum canyon_status transfer_plan(struct transfer *transfer, struct canyon_client *client, struct error *error) {
    struct plan_item few[TRANSFER_FEW];
    struct plan_item *items = transfer_room(transfer->count, sizeof *items, few);
    if (items == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for a step of %zu tensors", transfer->count);
    for (size_t i = 0; i < transfer->count; i++)
        items[i] = (struct plan_item){.tensor = transfer->items[i].tensor->info.id,
                                      .home = transfer->items[i].tensor->home,
                                      .elements = transfer->items[i].tensor->elements,
                                      .per_block = slot_is_number(transfer->items[i].slot),
                                      .type = transfer->items[i].type,
                                      .codec = transfer->items[i].codec.codec,
                                      .fraction = transfer->items[i].codec.fraction,
                                      .reply = transfer->items[i].reply.codec};
    enum canyon_status status = plan_make(&transfer->plan, &client->layout, items, transfer->count, error);
    transfer_give(items, few);
    return status;
}

_Static_assert(TRANSFER_MESSAGE_BYTES *LIMIT_PIECES + TRANSFER_HEAD_BYTES <= LIMIT_MESSAGE_BYTES, "they fit a message");

static bool type_pushes(uint16_t type) {
    return type == FRAME_PUSH || type == FRAME_PUSH_PULL;
}

/* Optimizer state and what is assigned travel as float32. */
static void transfer_choose(struct transfer_item *item) {
    struct codec_choice gradient, weights;
    encoding_look(&item->tensor->encoding, &gradient, &weights);
    item->codec = type_pushes(item->type) ? gradient : (struct codec_choice){.codec = CODEC_F32};
    item->reply = item->in != NULL && item->slot == SLOT_WEIGHTS ? weights : (struct codec_choice){.codec = CODEC_F32};
}

/* Room for the gradients that are to be encoded. */
static enum canyon_status transfer_take_room(struct transfer *transfer, struct canyon_client *client,
                                             struct error *error) {
    uint64_t words = 0, longest = 0;
    for (size_t i = 0; i < transfer->plan.piece_count; i++) {
        const struct plan_piece *piece = &transfer->plan.pieces[i];
        const struct codec_choice *codec = &transfer->items[piece->item].codec;
        words += codec->codec != CODEC_F32 ? piece->out / sizeof(float) : 0;
        if (codec->feedback && piece->elements > longest)
            longest = piece->elements;
    }
    if (words > 0 && !client_take_room(client, words + longest, &transfer->encoded))
        return error_set(error, CANYON_NO_MEMORY, "no memory for %llu bytes of encoded gradients",
                         (unsigned long long)(words * sizeof(float)));
    transfer->decoded = words > 0 ? transfer->encoded.values + words : NULL;
    return CANYON_OK;
}

static enum canyon_status transfer_allocate(struct transfer *transfer, const struct transfer_item *items, size_t count,
                                            struct canyon_client *client, struct error *error) {
    transfer->count = count;
    transfer->items = transfer_room(count, sizeof *transfer->items, transfer->few_items);
    transfer->tallies = transfer_room(count, sizeof *transfer->tallies, transfer->few_tallies);
    if (transfer->items == NULL || transfer->tallies == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for a step of %zu tensors", count);
    for (size_t i = 0; i < count; i++) {
        transfer->items[i] = items[i];
        transfer_choose(&transfer->items[i]);
        transfer->tallies[i] = (struct transfer_tally){.version = UINT64_MAX};
    }
    enum canyon_status status = transfer_plan(transfer, client, error);
    if (status != CANYON_OK)
        return status;
    size_t pieces = transfer->plan.piece_count;
    transfer->frames = transfer_room(transfer->plan.frame_count, sizeof *transfer->frames, transfer->few_frames);
    transfer->slices = transfer_room(pieces, sizeof *transfer->slices, transfer->few_slices);
    transfer->shards = transfer_room(pieces, TRANSFER_PIECE_BYTES, transfer->few_shards);
    if (transfer->frames == NULL || transfer->slices == NULL || transfer->shards == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for a step of %zu blocks", pieces);
    transfer->messages = (uint8_t *)(transfer->shards + pieces);
    return transfer_take_room(transfer, client, error);
}

/* iovec has no const; nothing writes through it. */
static struct iovec slice_of(const void *bytes, size_t count) {
    union {
        const void *from;
        void *to;
    } base = {bytes};
    return (struct iovec){.iov_base = base.to, .iov_len = count};
}

/* The values of a piece where they are, or where they will be encoded: at *room, which is moved on. */
static struct iovec transfer_slice(const struct transfer *transfer, const struct plan_piece *piece, uint8_t **room) {
    const struct transfer_item *item = &transfer->items[piece->item];
    if (item->codec.codec == CODEC_F32)
        return slice_of(item->out + piece->offset, piece->out);
    uint8_t *to = *room;
    *room += piece->out;
    return slice_of(to, piece->out);
}

static struct encoding_block transfer_block(const struct transfer *transfer, const struct plan_piece *piece) {
    const struct transfer_item *item = &transfer->items[piece->item];
    uint64_t worker;
    memcpy(&worker, transfer->batch.client->session_id, sizeof worker);
    return (struct encoding_block){.codec = item->codec.codec,
                                   .values = item->out + piece->offset,
                                   .offset = piece->offset,
                                   .elements = piece->elements,
                                   .kept = piece->kept,
                                   .feedback = item->codec.feedback,
                                   .seed = codec_seed(item->tensor->home, piece->block, worker)};
}

/* A session_request's `prepare`: encodes late, so that the first blocks are applied while the last ones are encoded,
 * and a push that is never sent leaves no trace in a residual. Under the lock of the lane, which is the only one that
 * has these blocks. */
static void transfer_encode(struct session_request *request) {
    struct transfer_frame *frame = request->user;
    const struct transfer *transfer = frame->transfer;
    uint8_t *room = frame->room;
    if (frame->encoded)
        return;
    frame->encoded = true;
    for (size_t index = frame->plan->first; index != PLAN_NONE; index = transfer->plan.pieces[index].next) {
        const struct plan_piece *piece = &transfer->plan.pieces[index];
        const struct encoding_block block = transfer_block(transfer, piece);
        if (block.codec == CODEC_F32)
            continue;
        encoding_write(&transfer->items[piece->item].tensor->encoding, &block, room);
        room += piece->out;
    }
}

void transfer_undo(struct transfer_frame *frame) {
    struct transfer *transfer = frame->transfer;
    const uint8_t *room = frame->room;
    frame->encoded = false;
    pthread_mutex_lock(&transfer->batch.future.lock); /* of the room for what is decoded: lanes may end at once */
    for (size_t index = frame->plan->first; index != PLAN_NONE; index = transfer->plan.pieces[index].next) {
        const struct plan_piece *piece = &transfer->plan.pieces[index];
        const struct encoding_block block = transfer_block(transfer, piece);
        if (block.codec == CODEC_F32)
            continue;
        if (block.feedback)
            encoding_undo(&transfer->items[piece->item].tensor->encoding, &block, room, transfer->decoded);
        room += piece->out;
    }
    pthread_mutex_unlock(&transfer->batch.future.lock);
}

/* The message and payload of one frame; returns the packed bytes, which stay in `bytes`. What is numbered has room for
 * the session's numbers. */
static size_t transfer_pack(struct transfer *transfer, const struct plan_frame *plan, struct iovec *slices,
                            uint32_t *shards, uint8_t **room, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    struct message_pieces message;
    message.count = plan->count;
    message.clock = transfer->clock;
    message.wait_ms = transfer->wait_ms;
    size_t index = plan->first;
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct plan_piece *piece = &transfer->plan.pieces[index];
        const struct transfer_item *item = &transfer->items[piece->item];
        uint64_t version = 0;
        if (type_pushes(item->type))
            version = atomic_load_explicit(&item->tensor->versions[piece->block], memory_order_relaxed);
        message.pieces[i] = (struct message_piece){.tensor = item->tensor->info.id,
                                                   .block = piece->block,
                                                   .elements = piece->elements,
                                                   .version = version,
                                                   .slot = item->slot,
                                                   .codec = item->codec.codec,
                                                   .reply = item->reply.codec,
                                                   .kept = piece->kept,
                                                   .number = type_changes_state(item->type)};
        shards[i] = piece->shard;
        if (item->out != NULL)
            slices[i] = transfer_slice(transfer, piece, room);
        index = piece->next;
    }
    return message_pack_pieces(&message, bytes);
}

static void transfer_fill(struct transfer *transfer) {
    struct iovec *slices = transfer->slices;
    uint32_t *shards = transfer->shards;
    uint8_t *messages = transfer->messages, *room = (uint8_t *)transfer->encoded.values;
    for (size_t i = 0; i < transfer->plan.frame_count; i++) {
        const struct plan_frame *plan = &transfer->plan.frames[i];
        const struct plan_piece *piece = &transfer->plan.pieces[plan->first];
        const struct transfer_item *item = &transfer->items[piece->item];
        struct transfer_frame *frame = &transfer->frames[i];
        uint8_t packed[LIMIT_MESSAGE_BYTES];
        frame->room = room;
        frame->encoded = false;
        size_t bytes = transfer_pack(transfer, plan, slices, shards, &room, packed);
        memcpy(messages, packed, bytes);
        frame->transfer = transfer;
        frame->plan = plan;
        frame->request = (struct session_request){.type = plan->type,
                                                  .message = messages,
                                                  .message_bytes = bytes,
                                                  .deadline = transfer->deadline,
                                                  .may_wait = plan->type == FRAME_PULL && transfer->wait_ms > 0,
                                                  .changes_state = type_changes_state(plan->type),
                                                  .piece_count = type_changes_state(plan->type) ? plan->count : 0,
                                                  .shards = shards,
                                                  .done = transfer_done,
                                                  .user = frame};
        if (room != frame->room)
            frame->request.prepare = transfer_encode;
        if (item->out != NULL) {
            frame->request.payload = slices;
            frame->request.payload_count = plan->count;
            frame->request.payload_bytes = plan->out;
        }
        frame->request.reply_bytes = plan->in;
        /* Several, or encoded: they are brought to their places from where they arrive. */
        if (item->in != NULL && plan->count == 1 && item->reply.codec == CODEC_F32) {
            frame->request.destination = item->in + piece->offset;
            frame->request.destination_bytes = plan->in;
        }
        batch_add(&transfer->batch, plan->lane, &frame->request);
        slices += plan->count;
        shards += plan->count;
        messages += bytes;
    }
}

/* Whether some of it may have to wait for other workers. */
static bool order_pulls(const struct transfer_order *order) {
    size_t i = 0;
    while (i < order->count && order->items[i].type != FRAME_PULL)
        i++;
    return i < order->count;
}

enum canyon_status transfer_begin(struct canyon_client *client, const struct transfer_order *order, bool attended,
                                  struct canyon_future **future, struct error *error) {
    enum canyon_status status = CANYON_NO_MEMORY;
    struct client_room copy = order->copy;
    struct transfer *transfer = transfer_create();
    if (transfer == NULL) {
        error_set(error, status, "no memory for a step of %zu tensors", order->count);
        goto no_transfer;
    }
    status = transfer_allocate(transfer, order->items, order->count, client, error);
    if (status == CANYON_OK)
        status = batch_init(&transfer->batch, client, error);
    if (status != CANYON_OK)
        goto not_begun;
    transfer->copy = copy;
    transfer->batch.settle = transfer_settle;
    transfer->batch.destroy = transfer_destroy;
    transfer->results = order->results;
    transfer->deadline = order->deadline;
    transfer->clock = pace_clock(client->pace);
    if (transfer->clock > 0 && order_pulls(order)) {
        transfer->wait_ms = client_remaining_ms(order->deadline);
        transfer->deadline += CLIENT_PARKED_SLACK;
    }
    transfer_fill(transfer);
    *future = &transfer->batch.future;
    batch_submit(&transfer->batch, attended);
    return CANYON_OK;
not_begun:
    client_give_room(client, &transfer->encoded);
    transfer_free(transfer);
no_transfer:
    client_give_room(client, &copy);
    return status;
}

enum canyon_status transfer_run(struct canyon_client *client, const struct transfer_order *order, struct error *error) {
    struct canyon_future *future = NULL;
    enum canyon_status status = transfer_begin(client, order, true, &future, error);
    if (status != CANYON_OK)
        return status;
    struct error outcome;
    future_wait(future, UINT64_MAX, &outcome);
    future_release(future);
    if (outcome.status != CANYON_OK)
        *error = outcome;
    return outcome.status;
}
