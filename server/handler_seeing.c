/* STATISTICS, DIGEST, OPTIMIZER. */
#include "server/handler_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/endian.h"
#include "server/optimizers/optimizer.h"

static enum canyon_status refuse_message(const struct frame *frame, struct error *error) {
    if (frame->header.message_bytes > 0) {
        return error_set(error, CANYON_PROTOCOL, "%s has no message, this one has %u bytes",
                         frame_type_name(frame->header.type), frame->header.message_bytes);
    }
    return CANYON_OK;
}

enum canyon_status serve_statistics(struct handler *handler, const struct request *request, const struct frame *frame,
                                    struct error *error) {
    struct message_statistics statistics = handler->counters;
    enum canyon_status status = refuse_message(frame, error);
    if (status != CANYON_OK) {
        return status;
    }
    uint64_t now = handler_now(handler);
    statistics.uptime_ms = (now - handler->started) / 1000000;
    statistics.parked = handler->parked.count;
    statistics.sessions = sessions_numbered(handler->sessions);
    for (size_t i = 0; i < handler->tensors.count; i++) {
        const struct handler_tensor *tensor = (const void *)handler->tensors.by_id[i];
        statistics.tensors += tensor->bytes > 0;
        statistics.tables += tensor->bytes > 0 && tensor->spec.kind == TENSOR_TABLE;
    }
    for (uint32_t shard = 0; shard < handler->job->shards; shard++) {
        if (handler->shards[shard] != NULL) {
            struct shard_totals totals;
            shard_totals(handler->shards[shard], &totals);
            statistics.rows += totals.rows;
            statistics.parameters += totals.parameters;
            statistics.state_bytes += totals.state_bytes;
            statistics.kept += totals.kept;
            statistics.skipped += totals.skipped;
            statistics.clipped += totals.clipped;
        }
    }
    if (handler->thread == 0 && handler->environment->count != NULL) {
        handler->environment->count(handler->environment->user, &statistics);
    }
    reply_send(handler, request, FRAME_STATISTICS_ARE, message_pack_statistics(&statistics, reply_message(handler)), 0);
    return CANYON_OK;
}

enum canyon_status serve_digest(struct handler *handler, const struct request *request, const struct frame *frame,
                                struct error *error) {
    size_t bytes = (size_t)handler->counters.shards * MESSAGE_DIGEST_ENTRY_BYTES;
    enum canyon_status status = refuse_message(frame, error);
    if (status != CANYON_OK) {
        return status;
    }
    uint8_t *entries = malloc(bytes + 1), *at = entries; /* a thread may own no shard at all */
    if (entries == NULL) {
        return error_set(error, CANYON_NO_MEMORY, "no memory for %zu bytes of digests", bytes);
    }
    for (uint32_t shard = 0; shard < handler->job->shards; shard++) {
        if (handler->shards[shard] != NULL) {
            store_u32(at, shard);
            store_u64(at + 4, shard_sequence(handler->shards[shard]));
            shard_digest(handler->shards[shard], at + 12);
            at += MESSAGE_DIGEST_ENTRY_BYTES;
        }
    }
    handler->slices[1] = (struct handler_slice){entries, bytes};
    reply_send(handler, request, FRAME_DIGESTS, 0, bytes > 0 ? 1 : 0);
    free(entries);
    return CANYON_OK;
}

static void describe(const struct optimizer *optimizer, struct message_optimizer *message) {
    snprintf(message->name, sizeof message->name, "%s", optimizer->name);
    snprintf(message->summary, sizeof message->summary, "%s", optimizer->summary);
    snprintf(message->source, sizeof message->source, "%s", optimizer->source);
    message->slot_count = (uint32_t)optimizer->slot_count;
    for (size_t i = 0; i < optimizer->slot_count; i++) {
        snprintf(message->slots[i], sizeof message->slots[i], "%s", optimizer->slots[i]);
    }
    message->rows_only = optimizer->rows_only;
    message->scalar_count = (uint32_t)optimizer->scalar_count;
    for (size_t i = 0; i < optimizer->scalar_count; i++) {
        snprintf(message->scalars[i], sizeof message->scalars[i], "%s", optimizer->scalars[i]);
    }
    message->hyperparameter_count = (uint32_t)optimizer->hyperparameter_count;
    for (size_t i = 0; i < optimizer->hyperparameter_count; i++) {
        const struct optimizer_hyperparameter *from = &optimizer->hyperparameters[i];
        struct message_hyperparameter *to = &message->hyperparameters[i];
        snprintf(to->name, sizeof to->name, "%s", from->name);
        snprintf(to->meaning, sizeof to->meaning, "%s", from->meaning);
        to->fallback = from->fallback;
        to->low = from->low;
        to->high = from->high;
        to->low_open = from->low_open;
        to->high_open = from->high_open;
    }
}

/* The optimizer that a request means, by name or index: its index. */
static enum canyon_status find_optimizer(const struct message_optimizer_request *asked, uint32_t *index,
                                         struct error *error) {
    *index = asked->index;
    if (asked->name[0] != '\0') {
        *index = 0;
        while (*index < optimizer_count() && strcmp(optimizer_at(*index)->name, asked->name) != 0) {
            ++*index;
        }
        return *index < optimizer_count()
                   ? CANYON_OK
                   : error_set(error, CANYON_NOT_FOUND, "this server has no optimizer '%s'", asked->name);
    }
    return *index < optimizer_count()
               ? CANYON_OK
               : error_set(error, CANYON_NOT_FOUND, "no optimizer of index %u: this server has %zu", *index,
                           optimizer_count());
}

enum canyon_status serve_optimizer(struct handler *handler, const struct request *request, const struct frame *frame,
                                   struct error *error) {
    struct message_optimizer_request asked;
    struct message_optimizer message;
    uint32_t index = 0;
    enum canyon_status status =
        message_unpack_optimizer_request(frame->message, frame->header.message_bytes, &asked, error);
    if (status == CANYON_OK) {
        status = find_optimizer(&asked, &index, error);
    }
    if (status == CANYON_OK) {
        memset(&message, 0, sizeof message);
        message.index = index;
        message.total = (uint32_t)optimizer_count();
        describe(optimizer_at(index), &message);
        reply_send(handler, request, FRAME_OPTIMIZER_IS, message_pack_optimizer(&message, reply_message(handler)), 0);
    }
    return status;
}
