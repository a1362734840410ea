/* What comes back of a batch of ids: weights, refused rows, and how it ends. */
#include "client/table_transfer.h"

#include <stdio.h>
#include <string.h>

static const char *address_of(const struct table_transfer *transfer, size_t lane) {
    return lane_address(transfer->batch.client->lanes[lane]);
}

/* ---- replies ---- */

/* A run that was carried out. */
static void count_run(struct table_transfer *transfer, const struct rows_run *run, const struct rows_result *result) {
    transfer->created += result->rows;
    if (result->staleness > transfer->staleness)
        transfer->staleness = result->staleness;
    if (rows_pull(transfer->order.type))
        atomic_store_explicit(&transfer->order.table->versions[run->shard], result->version, memory_order_relaxed);
    transfer->applied = transfer->applied || table_changes_state(&transfer->order);
}

/* A run that was not. */
static void refuse_run(struct table_transfer *transfer, size_t lane, const uint64_t *ids, uint32_t rows,
                       enum canyon_status status, const char *text) {
    struct table_refusal *refusal = &transfer->refusal;
    for (uint32_t i = 0; i < rows && transfer->refused + i < CANYON_BATCH_REFUSED; i++)
        transfer->refused_ids[transfer->refused + i] = ids[i];
    transfer->refused += rows;
    if (refusal->status != CANYON_OK)
        return;
    refusal->status = status;
    refusal->lane = lane;
    memcpy(refusal->text, text, sizeof refusal->text);
}

static enum canyon_status status_of(const struct rows_result *result) {
    return result->code <= CANYON_STATUS_LAST ? (enum canyon_status)result->code : CANYON_INTERNAL;
}

static void take_results(struct table_frame *frame, const uint8_t *payload, const char *text) {
    struct table_transfer *transfer = frame->transfer;
    const struct row_split_frame *part = frame->part;
    uint32_t place = part->first;
    pthread_mutex_lock(&transfer->batch.future.lock);
    for (uint32_t i = 0; i < part->runs; i++) {
        const struct rows_run *run = &transfer->split.runs[part->first_run + i];
        struct rows_result result;
        memcpy(&result, payload + i * sizeof result, sizeof result);
        if (result.code == CANYON_OK)
            count_run(transfer, run, &result);
        else
            refuse_run(transfer, part->lane, transfer->split.ids + place, run->rows, status_of(&result), text);
        place += run->rows;
    }
    pthread_mutex_unlock(&transfer->batch.future.lock);
}

/* The weights of one stretch of places, from where they arrived to the caller's. */
static enum canyon_status take_weights(const struct table_transfer *transfer, uint32_t place, uint32_t rows,
                                       const uint8_t *values, struct error *error) {
    const uint32_t dim = transfer->order.table->dim;
    enum canyon_status status = CANYON_OK;
    if (transfer->reply == CODEC_F32) {
        row_split_scatter(&transfer->split, place, rows, (const float *)(const void *)values, dim,
                          transfer->order.weights);
        return CANYON_OK;
    }
    /* Decoded where the row's first item is, and brought to the others from there. */
    for (uint32_t i = 0; i < rows && status == CANYON_OK; i++, values += transfer->row_in) {
        float *first = transfer->order.weights + (size_t)transfer->split.items[place + i] * dim;
        status = codec_decode(transfer->reply, values, transfer->row_in, dim, 0, first, error);
        const uint32_t *next = transfer->split.next;
        for (uint32_t item = next == NULL ? ROW_SPLIT_NONE : next[transfer->split.items[place + i]];
             item != ROW_SPLIT_NONE; item = next[item])
            memcpy(transfer->order.weights + (size_t)item * dim, first, dim * sizeof *first);
    }
    return status;
}

/* Runs that were carried out one after another are taken at once: mostly all of a frame. */
static enum canyon_status take_values(const struct table_frame *frame, const uint8_t *payload,
                                      const struct rows_layout *layout, struct error *error) {
    const struct table_transfer *transfer = frame->transfer;
    const struct row_split_frame *part = frame->part;
    const uint8_t *values = payload + layout->values;
    uint32_t place = part->first, begin = place;
    enum canyon_status status = CANYON_OK;
    for (uint32_t i = 0; i <= part->runs && status == CANYON_OK; i++) {
        struct rows_result result = {.code = CANYON_INTERNAL}; /* behind the last: an end like a refused one */
        const uint32_t rows = i < part->runs ? transfer->split.runs[part->first_run + i].rows : 0;
        if (i < part->runs)
            memcpy(&result, payload + i * sizeof result, sizeof result);
        if (result.code != CANYON_OK) {
            status = take_weights(transfer, begin, place - begin, values, error);
            values += (place - begin) * transfer->row_in;
            begin = place + rows;
        }
        place += rows;
    }
    return status;
}

/* What the client's counters say of a frame that was answered. */
static void count_bytes(const struct table_frame *frame, uint32_t back) {
    struct canyon_client *client = frame->transfer->batch.client;
    const uint64_t rows = frame->part->rows, single = CODEC_SINGLE((uint64_t)frame->transfer->order.table->dim);
    const uint64_t out = frame->transfer->row_out, in = frame->transfer->row_in;
    atomic_fetch_add_explicit(&client->sent, rows * out, memory_order_relaxed);
    atomic_fetch_add_explicit(&client->sent_single, out > 0 ? rows * single : 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&client->received, back * in, memory_order_relaxed);
    atomic_fetch_add_explicit(&client->received_single, back * single, memory_order_relaxed);
}

static enum canyon_status take_reply(struct table_frame *frame, const struct frame *reply, struct error *error) {
    struct table_transfer *transfer = frame->transfer;
    const struct row_split_frame *part = frame->part;
    const struct message_rows asked = {
        .dim = transfer->order.table->dim, .runs = part->runs, .rows = part->rows, .reply = transfer->reply};
    struct message_rows_done done;
    struct rows_layout layout;
    enum canyon_status status = message_unpack_rows_done(reply->message, reply->header.message_bytes, &done, error);
    if (status == CANYON_OK)
        status = rows_check_reply(transfer->order.type, &asked, transfer->split.runs + part->first_run, &done,
                                  reply->payload, reply->header.payload_bytes, &layout, error);
    if (status == CANYON_OK && done.rows > 0 && take_values(frame, reply->payload, &layout, error) != CANYON_OK)
        status = error->status = CANYON_PROTOCOL;
    if (status != CANYON_OK) {
        error_prefix(error, "%s", address_of(transfer, part->lane));
        return status;
    }
    count_bytes(frame, done.rows);
    if (done.clock > 0)
        pace_catch_up(transfer->batch.client->pace, done.clock);
    take_results(frame, reply->payload, done.text);
    return CANYON_OK;
}

void table_frame_done(struct session_request *request, enum canyon_status status, const char *text,
                      const struct frame *reply) {
    struct table_frame *frame = request->user;
    struct table_transfer *transfer = frame->transfer;
    const size_t lane = frame->part->lane;
    struct error error = {.status = CANYON_OK};
    if (status == CANYON_OK) {
        take_reply(frame, reply, &error);
    } else if (status == CANYON_NOT_FOUND) {
        pthread_mutex_lock(&transfer->batch.future.lock);
        transfer->refusal.status = status;
        transfer->refusal.lane = lane;
        pthread_mutex_unlock(&transfer->batch.future.lock);
    } else {
        error_set(&error, status, "%s", text);
        if (strstr(error.text, address_of(transfer, lane)) == NULL)
            error_prefix(&error, "%s", address_of(transfer, lane));
    }
    batch_ended(&transfer->batch, lane, &error);
}

/* ---- the end ---- */

static void publish(const struct table_transfer *transfer) {
    struct canyon_batch *results = transfer->order.results;
    if (transfer->order.erased != NULL)
        *transfer->order.erased = transfer->created; /* of an erase: gone */
    if (results == NULL)
        return;
    results->rows = transfer->split.rows;
    results->created = transfer->created;
    results->staleness = transfer->staleness;
    results->refused = transfer->refused;
    memcpy(results->refused_ids, transfer->refused_ids, sizeof results->refused_ids);
}

/* The outcome of a batch whose every request was answered, but some rows refused. */
static void judge_refusal(const struct table_transfer *transfer, struct error *error) {
    const struct table_refusal *refusal = &transfer->refusal;
    if (transfer->missing.asked) {
        missing_answer(&transfer->missing, error);
        return;
    }
    char ids[CANYON_BATCH_REFUSED * 22 + 8] = "";
    size_t length = 0;
    for (size_t i = 0; i < CANYON_BATCH_REFUSED && i < transfer->refused; i++)
        length += (size_t)snprintf(ids + length, sizeof ids - length, i == 0 ? "%llu" : ", %llu",
                                   (unsigned long long)transfer->refused_ids[i]);
    if (transfer->refused > CANYON_BATCH_REFUSED)
        snprintf(ids + length, sizeof ids - length, ", ...");
    const enum canyon_status status = refusal->status == CANYON_INVALID_ARGUMENT ? CANYON_REFUSED : refusal->status;
    error_set(error, status, "table \"%s\": %llu of %u rows were refused (%s) by %s: %s",
              table_name(transfer->order.table), (unsigned long long)transfer->refused, transfer->split.rows, ids,
              address_of(transfer, refusal->lane), refusal->text);
}

static void conclude(struct table_transfer *transfer) {
    struct error *error = &transfer->batch.error;
    const bool unreached = error->status == CANYON_TIMEOUT || error->status == CANYON_UNAVAILABLE;
    if (unreached && transfer->applied) {
        error->status = CANYON_OUTCOME_UNKNOWN;
        error_prefix(error, "some rows were changed, others not");
    } else if (error->status == CANYON_OK && transfer->refusal.status != CANYON_OK) {
        judge_refusal(transfer, error);
    }
    publish(transfer);
    /* The future may outlive the client. */
    client_give_room(transfer->batch.client, &transfer->room);
}

static void ask(struct table_transfer *transfer) {
    struct missing *missing = &transfer->missing;
    missing->batch = &transfer->batch;
    missing->tensor = transfer->order.table->tensor;
    missing->lane = transfer->refusal.lane;
    snprintf(missing->what, sizeof missing->what, "part of table");
    missing_ask(missing, transfer->order.deadline);
}

bool table_transfer_settle(struct batch *batch) {
    struct table_transfer *transfer = (struct table_transfer *)batch; /* its first member */
    if (batch->error.status == CANYON_OK && transfer->refusal.status == CANYON_NOT_FOUND && !transfer->missing.asked) {
        ask(transfer);
        return false;
    }
    conclude(transfer);
    return true;
}
