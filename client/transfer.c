#include "client/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "client/batch.h"

/* What became of one item. */
struct transfer_tally {
    uint64_t version; /* the lowest so far */
    uint64_t staleness;
    uint64_t refused, refused_block;
};

struct transfer;

/* One frame of the plan and its request. */
struct transfer_frame {
    struct session_request request;
    struct transfer *transfer;
    const struct plan_frame *plan;
};

/* Why blocks were refused: the first reason, except that a missing tensor goes before all others. */
struct transfer_refusal {
    enum canyon_status status;
    size_t item, lane;
    uint32_t block;
    char text[ERROR_TEXT_BYTES];
};

struct transfer {
    struct batch batch; /* first; its future's lock guards tallies, refusal and applied */
    size_t count;
    struct transfer_item *items;
    struct transfer_tally *tallies;
    struct canyon_item *results; /* the caller's, or NULL */
    uint64_t deadline;
    struct plan plan;
    struct transfer_frame *frames;
    struct iovec *slices; /* one for each piece, in the order of their frames */
    uint8_t *messages;    /* of all frames, one after another */
    bool applied;         /* something was changed on a server */
    struct transfer_refusal refusal;
    bool asked; /* shard 0, what it knows of the missing tensor */
    struct session_request question;
    uint8_t question_bytes[LIMIT_MESSAGE_BYTES];
    struct error answer;
};

static bool type_changes_state(uint16_t type) {
    return type != FRAME_PULL;
}

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
    if (item->type != FRAME_PUSH)
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
            expected += (uint64_t)piece->elements * sizeof(float);
        index = piece->next;
    }
    if (expected != reply->header.payload_bytes)
        return error_set(error, CANYON_PROTOCOL, "%s answered %u payload bytes where %llu belong", address,
                         reply->header.payload_bytes, (unsigned long long)expected);
    return CANYON_OK;
}

/* Copies what did not land in the caller's memory by itself. */
static void transfer_copy(const struct transfer_frame *frame, const struct frame *reply,
                          const struct message_piece_results *results) {
    const struct transfer *transfer = frame->transfer;
    const uint8_t *values = reply->payload;
    if (reply->header.payload_bytes == 0 || values == frame->request.destination)
        return;
    size_t index = frame->plan->first;
    for (uint32_t i = 0; i < results->count; i++) {
        const struct plan_piece *piece = &transfer->plan.pieces[index];
        index = piece->next;
        if (results->results[i].status != CANYON_OK)
            continue;
        size_t bytes = piece->elements * sizeof(float);
        memcpy(transfer->items[piece->item].in + piece->offset, values, bytes);
        values += bytes;
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
    transfer_copy(frame, reply, &results);
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

static void transfer_done(struct session_request *request, enum canyon_status status, const char *text,
                          const struct frame *reply) {
    struct transfer_frame *frame = request->user;
    struct error error = {.status = CANYON_OK};
    if (status == CANYON_OK)
        transfer_take_reply(frame, reply, &error);
    else
        error_set(&error, status, "%s", text);
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

/* The outcome of a transfer whose every request was answered, but some blocks refused. */
static void transfer_judge_refusal(struct transfer *transfer, struct error *error) {
    const struct transfer_refusal *refusal = &transfer->refusal;
    const char *name = transfer->items[refusal->item].tensor->info.spec.name;
    const struct transfer_tally *tally = &transfer->tallies[refusal->item];
    if (transfer->answer.status != CANYON_OK) {
        *error = transfer->answer;
        return;
    }
    enum canyon_status status = refusal->status == CANYON_NOT_FINITE ? CANYON_NOT_FINITE : CANYON_REFUSED;
    error_set(error, status, "tensor \"%s\": %llu of its %llu blocks were refused, block %u by %s: %s", name,
              (unsigned long long)tally->refused, (unsigned long long)transfer->items[refusal->item].tensor->blocks,
              refusal->block, transfer_address(transfer, refusal->lane), refusal->text);
}

static void transfer_conclude(struct transfer *transfer) {
    struct error *error = &transfer->batch.error;
    bool unreached = error->status == CANYON_TIMEOUT || error->status == CANYON_UNAVAILABLE;
    if (unreached && transfer->applied) {
        error->status = CANYON_OUTCOME_UNKNOWN;
        error_prefix(error, "some blocks were updated, others not");
    } else if (error->status == CANYON_OK && transfer->refusal.status != CANYON_OK) {
        transfer_judge_refusal(transfer, error);
    }
    transfer_publish(transfer);
}

/* ---- a block that is not there ---- */

/* Lost by a server, or dropped by somebody? Shard 0 knows. */
static void transfer_judge_missing(struct transfer *transfer, enum canyon_status status, const char *text,
                                   const struct frame *reply) {
    const struct transfer_refusal *refusal = &transfer->refusal;
    const struct canyon_tensor *tensor = transfer->items[refusal->item].tensor;
    const char *name = tensor->info.spec.name;
    const char *address = transfer_address(transfer, refusal->lane);
    struct tensor_info info;
    bool known = status == CANYON_OK &&
                 message_unpack_opened(reply->message, reply->header.message_bytes, &info, NULL) == CANYON_OK;
    bool absent = status == CANYON_NOT_FOUND || status == CANYON_CONFLICT; /* CONFLICT: another is being created */
    if (!known && !absent)
        error_set(&transfer->answer, status == CANYON_OK ? CANYON_PROTOCOL : status,
                  "%s has no block %u of tensor \"%s\", and whether it was dropped or lost was not found out: %s",
                  address, refusal->block, name, status == CANYON_OK ? "the answer cannot be read" : text);
    else if (known && info.id == tensor->info.id && info.state == TENSOR_COMPLETE)
        error_set(&transfer->answer, CANYON_STATE_LOST,
                  "%s came back without its part of tensor \"%s\": drop the tensor and create it anew", address, name);
    else if (known)
        error_set(&transfer->answer, CANYON_NOT_FOUND,
                  "tensor \"%s\" was dropped and made anew since it was opened here: open it again", name);
    else
        error_set(&transfer->answer, CANYON_NOT_FOUND, "tensor \"%s\" is no longer there: it was dropped", name);
}

static void transfer_answered(struct session_request *request, enum canyon_status status, const char *text,
                              const struct frame *reply) {
    struct transfer *transfer = request->user;
    struct error none = {.status = CANYON_OK};
    transfer_judge_missing(transfer, status, text, reply);
    batch_ended(&transfer->batch, 0, &none);
}

static void transfer_ask(struct transfer *transfer) {
    const struct canyon_tensor *tensor = transfer->items[transfer->refusal.item].tensor;
    struct message_open open = {.wait_ms = 0};
    memcpy(open.name, tensor->info.spec.name, sizeof open.name);
    transfer->asked = true;
    transfer->question = (struct session_request){.type = FRAME_OPEN,
                                                  .message = transfer->question_bytes,
                                                  .message_bytes = message_pack_open(&open, transfer->question_bytes),
                                                  .deadline = transfer->deadline,
                                                  .done = transfer_answered,
                                                  .user = transfer};
    batch_add(&transfer->batch, 0, &transfer->question);
    batch_submit(&transfer->batch, false);
}

/* The server of shard 0 restarted since the handle was opened: its catalogue went with everything else it held. */
static bool transfer_lost_catalogue(struct transfer *transfer) {
    const struct canyon_tensor *tensor = transfer->items[transfer->refusal.item].tensor;
    if (transfer->answer.status != CANYON_NOT_FOUND ||
        lane_restarts(transfer->batch.client->lanes[0]) == tensor->restarts)
        return false;
    error_set(&transfer->answer, CANYON_STATE_LOST, "%s restarted and came back without tensor \"%s\": create it anew",
              transfer_address(transfer, 0), tensor->info.spec.name);
    return true;
}

static bool transfer_settle(struct batch *batch) {
    struct transfer *transfer = (struct transfer *)batch; /* its first member */
    bool missing = batch->error.status == CANYON_OK && transfer->refusal.status == CANYON_NOT_FOUND;
    if (missing && !transfer->asked) {
        transfer_ask(transfer);
        return false;
    }
    if (missing)
        transfer_lost_catalogue(transfer);
    transfer_conclude(transfer);
    return true;
}

/* ---- the beginning ---- */

static void transfer_free(struct transfer *transfer) {
    plan_finish(&transfer->plan);
    free(transfer->items);
    free(transfer->tallies);
    free(transfer->frames);
    free(transfer->slices);
    free(transfer->messages);
    free(transfer);
}

static void transfer_destroy(struct batch *batch) {
    struct transfer *transfer = (struct transfer *)batch;
    batch_finish(batch);
    transfer_free(transfer);
}

static enum canyon_status transfer_plan(struct transfer *transfer, struct canyon_client *client, struct error *error) {
    struct plan_item *items = calloc(transfer->count + 1, sizeof *items);
    if (items == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for a step of %zu tensors", transfer->count);
    for (size_t i = 0; i < transfer->count; i++)
        items[i] = (struct plan_item){.tensor = transfer->items[i].tensor->info.id,
                                      .home = transfer->items[i].tensor->home,
                                      .elements = transfer->items[i].tensor->elements,
                                      .type = transfer->items[i].type};
    enum canyon_status status = plan_make(&transfer->plan, &client->layout, items, transfer->count, error);
    free(items);
    return status;
}

/* Room for the messages: a piece packs into at most this. */
#define PIECE_MESSAGE_BYTES 40

static enum canyon_status transfer_allocate(struct transfer *transfer, const struct transfer_item *items, size_t count,
                                            struct canyon_client *client, struct error *error) {
    transfer->count = count;
    transfer->items = calloc(count + 1, sizeof *transfer->items);
    transfer->tallies = calloc(count + 1, sizeof *transfer->tallies);
    if (transfer->items == NULL || transfer->tallies == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for a step of %zu tensors", count);
    for (size_t i = 0; i < count; i++) {
        transfer->items[i] = items[i];
        transfer->tallies[i].version = UINT64_MAX;
    }
    enum canyon_status status = transfer_plan(transfer, client, error);
    if (status != CANYON_OK)
        return status;
    transfer->frames = calloc(transfer->plan.frame_count + 1, sizeof *transfer->frames);
    transfer->slices = calloc(transfer->plan.piece_count + 1, sizeof *transfer->slices);
    transfer->messages = malloc(transfer->plan.piece_count * PIECE_MESSAGE_BYTES + 1);
    if (transfer->frames == NULL || transfer->slices == NULL || transfer->messages == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for a step of %zu blocks", transfer->plan.piece_count);
    return CANYON_OK;
}

/* iovec has no const; nothing writes through it. */
static struct iovec slice_of(const float *values, size_t elements) {
    union {
        const float *from;
        void *to;
    } base = {values};
    return (struct iovec){.iov_base = base.to, .iov_len = elements * sizeof(float)};
}

/* The message and payload of one frame; returns the packed bytes, which stay in `bytes`. */
static size_t transfer_pack(struct transfer *transfer, const struct plan_frame *plan, struct iovec *slices,
                            uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    struct message_pieces message;
    message.count = plan->count;
    size_t index = plan->first;
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct plan_piece *piece = &transfer->plan.pieces[index];
        const struct transfer_item *item = &transfer->items[piece->item];
        bool pushes = item->type == FRAME_PUSH || item->type == FRAME_PUSH_PULL;
        uint64_t version = 0;
        if (pushes)
            version = atomic_load_explicit(&item->tensor->versions[piece->block], memory_order_relaxed);
        message.pieces[i] = (struct message_piece){
            .tensor = item->tensor->info.id, .block = piece->block, .elements = piece->elements, .version = version};
        if (item->out != NULL)
            slices[i] = slice_of(item->out + piece->offset, piece->elements);
        index = piece->next;
    }
    return message_pack_pieces(&message, bytes);
}

static void transfer_fill(struct transfer *transfer) {
    struct iovec *slices = transfer->slices;
    uint8_t *messages = transfer->messages;
    for (size_t i = 0; i < transfer->plan.frame_count; i++) {
        const struct plan_frame *plan = &transfer->plan.frames[i];
        const struct plan_piece *piece = &transfer->plan.pieces[plan->first];
        const struct transfer_item *item = &transfer->items[piece->item];
        struct transfer_frame *frame = &transfer->frames[i];
        uint8_t packed[LIMIT_MESSAGE_BYTES];
        size_t bytes = transfer_pack(transfer, plan, slices, packed);
        memcpy(messages, packed, bytes);
        frame->transfer = transfer;
        frame->plan = plan;
        frame->request = (struct session_request){.type = plan->type,
                                                  .message = messages,
                                                  .message_bytes = bytes,
                                                  .deadline = transfer->deadline,
                                                  .changes_state = type_changes_state(plan->type),
                                                  .done = transfer_done,
                                                  .user = frame};
        if (item->out != NULL) {
            frame->request.payload = slices;
            frame->request.payload_count = plan->count;
            frame->request.payload_bytes = plan->bytes;
        }
        if (item->in != NULL)
            frame->request.reply_bytes = plan->bytes;
        if (item->in != NULL && plan->count == 1) {
            frame->request.destination = item->in + piece->offset;
            frame->request.destination_bytes = plan->bytes;
        }
        batch_add(&transfer->batch, plan->lane, &frame->request);
        slices += plan->count;
        messages += bytes;
    }
}

enum canyon_status transfer_begin(struct canyon_client *client, const struct transfer_item *items, size_t count,
                                  struct canyon_item *results, uint64_t deadline, bool attended,
                                  struct canyon_future **future, struct error *error) {
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (transfer == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for a step of %zu tensors", count);
    enum canyon_status status = transfer_allocate(transfer, items, count, client, error);
    if (status == CANYON_OK)
        status = batch_init(&transfer->batch, client, error);
    if (status != CANYON_OK) {
        transfer_free(transfer);
        return status;
    }
    transfer->batch.settle = transfer_settle;
    transfer->batch.destroy = transfer_destroy;
    transfer->results = results;
    transfer->deadline = deadline;
    transfer_fill(transfer);
    *future = &transfer->batch.future;
    batch_submit(&transfer->batch, attended);
    return CANYON_OK;
}

enum canyon_status transfer_run(struct canyon_client *client, const struct transfer_item *items, size_t count,
                                struct canyon_item *results, uint64_t deadline, struct error *error) {
    struct canyon_future *future = NULL;
    enum canyon_status status = transfer_begin(client, items, count, results, deadline, true, &future, error);
    if (status != CANYON_OK)
        return status;
    struct error outcome;
    future_wait(future, UINT64_MAX, &outcome);
    future_release(future);
    if (outcome.status != CANYON_OK)
        *error = outcome;
    return outcome.status;
}
