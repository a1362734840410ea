/* What comes back of a transfer: fresh weights, refused blocks, and how it ends. */
#include <stdio.h>
#include <string.h>

#include "client/transfer_state.h"

static const char *transfer_address(const struct transfer *transfer, size_t lane) {
    return lane_address(transfer->batch.client->lanes[lane]);
}

/* ---- replies ---- */

/* A piece that was carried out. */
static void transfer_count(struct transfer *transfer, const struct plan_piece *piece,
                           const struct message_piece_result *result) {
    struct transfer_tally *tally = &transfer->tallies[piece->item];
    const struct transfer_item *item = &transfer->items[piece->item];
    if (result->version < tally->version)
        tally->version = result->version;
    if (result->staleness > tally->staleness)
        tally->staleness = result->staleness;
    /* Of what is no weight only the version is known, not the weights of that version. */
    if (item->type != FRAME_PUSH && item->slot == SLOT_WEIGHTS)
        atomic_store_explicit(&item->tensor->versions[piece->block], result->version, memory_order_relaxed);
    if (type_changes_state(item->type))
        transfer->applied = true;
}

static void transfer_refuse(struct transfer *transfer, size_t lane, const struct plan_piece *piece,
                            enum canyon_status status, const char *text) {
    struct transfer_tally *tally = &transfer->tallies[piece->item];
    struct transfer_refusal *refusal = &transfer->refusal;
    if (tally->refused == 0 || piece->block < tally->refused_block)
        tally->refused_block = piece->block;
    tally->refused++;
    bool graver = status == CANYON_NOT_FOUND && refusal->status != CANYON_NOT_FOUND;
    if (refusal->status != CANYON_OK && !graver)
        return;
    *refusal = (struct transfer_refusal){.status = status, .item = piece->item, .lane = lane, .block = piece->block};
    memcpy(refusal->text, text, sizeof refusal->text);
}

/* The values of the pieces that are OK follow one another in the payload. */
static enum canyon_status transfer_check_reply(const struct transfer_frame *frame, const struct frame *reply,
                                               const struct message_piece_results *results, struct error *error) {
    const struct transfer *transfer = frame->transfer;
    const char *address = transfer_address(transfer, frame->plan->lane);
    bool has_values = frame->plan->type == FRAME_PULL || frame->plan->type == FRAME_PUSH_PULL;
    uint64_t expected = 0;
    if (results->count != frame->plan->count)
        return error_set(error, CANYON_PROTOCOL, "%s answered %u of %u pieces", address, results->count,
                         frame->plan->count);
    size_t index = frame->plan->first;
    for (uint32_t i = 0; i < results->count; i++) {
        const struct plan_piece *piece = &transfer->plan.pieces[index];
        if (has_values && results->results[i].status == CANYON_OK)
            expected += piece->in;
        index = piece->next;
    }
    if (expected != reply->header.payload_bytes)
        return error_set(error, CANYON_PROTOCOL, "%s answered %u payload bytes where %llu belong", address,
                         reply->header.payload_bytes, (unsigned long long)expected);
    return CANYON_OK;
}

/* Brings to its place what did not land in the caller's memory by itself. */
static enum canyon_status transfer_decode(const struct transfer_frame *frame, const struct frame *reply,
                                          const struct message_piece_results *results, struct error *error) {
    const struct transfer *transfer = frame->transfer;
    const uint8_t *values = reply->payload;
    enum canyon_status status = CANYON_OK;
    if (reply->header.payload_bytes == 0 || values == frame->request.destination)
        return CANYON_OK;
    size_t index = frame->plan->first;
    for (uint32_t i = 0; i < results->count && status == CANYON_OK; i++) {
        const struct plan_piece *piece = &transfer->plan.pieces[index];
        const struct transfer_item *item = &transfer->items[piece->item];
        index = piece->next;
        if (results->results[i].status != CANYON_OK)
            continue;
        status =
            codec_decode(item->reply.codec, values, piece->in, piece->elements, 0, item->in + piece->offset, error);
        values += piece->in;
    }
    if (status != CANYON_OK) {
        error->status = status = CANYON_PROTOCOL;
        error_prefix(error, "weights from %s", transfer_address(transfer, frame->plan->lane));
    }
    return status;
}

/* What the client's counters say of a frame that was answered. */
static void transfer_count_bytes(const struct transfer_frame *frame, const struct frame *reply) {
    struct canyon_client *client = frame->transfer->batch.client;
    const struct plan_frame *plan = frame->plan;
    bool whole = reply->header.payload_bytes == plan->in;
    atomic_fetch_add_explicit(&client->sent, plan->out, memory_order_relaxed);
    atomic_fetch_add_explicit(&client->sent_single, plan->out > 0 ? plan->single : 0, memory_order_relaxed);
    if (plan->in > 0 && whole) {
        atomic_fetch_add_explicit(&client->received, plan->in, memory_order_relaxed);
        atomic_fetch_add_explicit(&client->received_single, plan->single, memory_order_relaxed);
    }
}

static enum canyon_status transfer_take_reply(struct transfer_frame *frame, const struct frame *reply,
                                              struct error *error) {
    struct transfer *transfer = frame->transfer;
    struct message_piece_results results;
    enum canyon_status status =
        message_unpack_piece_results(reply->message, reply->header.message_bytes, &results, error);
    if (status != CANYON_OK) {
        error_prefix(error, "%s", transfer_address(transfer, frame->plan->lane));
        return status;
    }
    status = transfer_check_reply(frame, reply, &results, error);
    if (status != CANYON_OK)
        return status;
    status = transfer_decode(frame, reply, &results, error);
    if (status != CANYON_OK)
        return status;
    transfer_count_bytes(frame, reply);
    if (results.clock > 0)
        pace_catch_up(transfer->batch.client->pace, results.clock);
    pthread_mutex_lock(&transfer->batch.future.lock);
    size_t index = frame->plan->first;
    for (uint32_t i = 0; i < results.count; i++) {
        const struct plan_piece *piece = &transfer->plan.pieces[index];
        if (results.results[i].status == CANYON_OK)
            transfer_count(transfer, piece, &results.results[i]);
        else
            transfer_refuse(transfer, frame->plan->lane, piece, results.results[i].status, results.text);
        index = piece->next;
    }
    pthread_mutex_unlock(&transfer->batch.future.lock);
    return CANYON_OK;
}

static bool is_unreached(enum canyon_status status) {
    return status == CANYON_TIMEOUT || status == CANYON_UNAVAILABLE;
}

void transfer_done(struct session_request *request, enum canyon_status status, const char *text,
                   const struct frame *reply) {
    struct transfer_frame *frame = request->user;
    struct error error = {.status = CANYON_OK};
    if (status == CANYON_OK)
        transfer_take_reply(frame, reply, &error);
    else
        error_set(&error, status, "%s", text);
    if (frame->encoded && !request->begun)
        transfer_undo(frame);
    if (is_unreached(error.status) && type_changes_state(frame->plan->type)) {
        pthread_mutex_lock(&frame->transfer->batch.future.lock);
        frame->transfer->undone = true;
        pthread_mutex_unlock(&frame->transfer->batch.future.lock);
    }
    batch_ended(&frame->transfer->batch, frame->plan->lane, &error);
}

/* ---- the end ---- */

static void transfer_publish(const struct transfer *transfer) {
    for (size_t i = 0; transfer->results != NULL && i < transfer->count; i++) {
        const struct transfer_tally *tally = &transfer->tallies[i];
        struct canyon_item *item = &transfer->results[i];
        item->version = tally->version == UINT64_MAX ? 0 : tally->version;
        item->staleness = tally->staleness;
        item->refused = tally->refused;
        item->refused_block = tally->refused_block;
    }
}

/* Reasons that a program acts on have their own codes. */
static bool refusal_is_named(enum canyon_status status) {
    return status == CANYON_NOT_FINITE || status == CANYON_DENIED || status == CANYON_STALE || status == CANYON_LATE ||
           status == CANYON_BUSY || status == CANYON_CONFLICT || status == CANYON_OUTCOME_UNKNOWN;
}

/* The outcome of a transfer whose every request was answered, but some blocks refused. */
static void transfer_judge_refusal(struct transfer *transfer, struct error *error) {
    const struct transfer_refusal *refusal = &transfer->refusal;
    const char *name = transfer->items[refusal->item].tensor->info.spec.name;
    const struct transfer_tally *tally = &transfer->tallies[refusal->item];
    if (transfer->missing.asked) {
        missing_answer(&transfer->missing, error);
        return;
    }
    enum canyon_status status = refusal_is_named(refusal->status) ? refusal->status : CANYON_REFUSED;
    error_set(error, status, "tensor \"%s\": %llu of its %llu blocks were refused, block %u by %s: %s", name,
              (unsigned long long)tally->refused, (unsigned long long)transfer->items[refusal->item].tensor->blocks,
              refusal->block, transfer_address(transfer, refusal->lane), refusal->text);
}

/* Nobody reads gradients any more: their copy goes back here, since the future may outlive the client. */
static void transfer_conclude(struct transfer *transfer) {
    struct error *error = &transfer->batch.error;
    client_give_room(transfer->batch.client, &transfer->copy);
    client_give_room(transfer->batch.client, &transfer->encoded);
    if (is_unreached(error->status) && transfer->applied && transfer->undone) {
        error->status = CANYON_OUTCOME_UNKNOWN;
        error_prefix(error, "some blocks were updated, others not");
    } else if (is_unreached(error->status) && transfer->applied) {
        error_prefix(error, "what was pushed was answered, not all that was pulled");
    } else if (error->status == CANYON_OK && transfer->refusal.status != CANYON_OK) {
        transfer_judge_refusal(transfer, error);
    }
    transfer_publish(transfer);
}

static void transfer_ask(struct transfer *transfer) {
    struct missing *missing = &transfer->missing;
    const struct transfer_refusal *refusal = &transfer->refusal;
    missing->batch = &transfer->batch;
    missing->tensor = transfer->items[refusal->item].tensor;
    missing->lane = refusal->lane;
    snprintf(missing->what, sizeof missing->what, "block %u of tensor", refusal->block);
    missing_ask(missing, transfer->deadline);
}

bool transfer_settle(struct batch *batch) {
    struct transfer *transfer = (struct transfer *)batch; /* its first member */
    bool missing = batch->error.status == CANYON_OK && transfer->refusal.status == CANYON_NOT_FOUND;
    if (missing && !transfer->missing.asked) {
        transfer_ask(transfer);
        return false;
    }
    transfer_conclude(transfer);
    return true;
}
