#include "client/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "client/batch.h"

struct exchange_part {
    struct session_request request;
    struct exchange *exchange;
    size_t lane;
    struct exchange_reply *reply; /* or NULL */
};

struct exchange {
    struct batch batch; /* first */
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct exchange_part parts[];
};

void exchange_reply_init(struct exchange_reply *reply) {
    reply->error.status = CANYON_OK;
    reply->error.text[0] = '\0';
    reply->message_bytes = reply->payload_bytes = 0;
    reply->payload = NULL;
}

void exchange_reply_finish(struct exchange_reply *reply) {
    free(reply->payload);
    reply->payload = NULL;
}

static enum canyon_status reply_take(struct exchange_reply *reply, const struct frame *frame, struct error *error) {
    if (frame->header.payload_bytes > 0) {
        reply->payload = malloc(frame->header.payload_bytes);
        if (reply->payload == NULL)
            return error_set(error, CANYON_NO_MEMORY, "no memory for a reply of %u bytes", frame->header.payload_bytes);
        memcpy(reply->payload, frame->payload, frame->header.payload_bytes);
    }
    reply->payload_bytes = frame->header.payload_bytes;
    reply->message_bytes = frame->header.message_bytes;
    memcpy(reply->message, frame->message, frame->header.message_bytes);
    return CANYON_OK;
}

static void exchange_done(struct session_request *request, enum canyon_status status, const char *text,
                          const struct frame *frame) {
    struct exchange_part *part = request->user;
    struct batch *batch = &part->exchange->batch;
    struct error error = {.status = CANYON_OK};
    if (status != CANYON_OK)
        error_set(&error, status, "%s", text);
    else if (part->reply != NULL)
        reply_take(part->reply, frame, &error);
    if (error.status != CANYON_OK && strstr(error.text, lane_address(batch->client->lanes[part->lane])) == NULL)
        error_prefix(&error, "%s", lane_address(batch->client->lanes[part->lane]));
    if (part->reply != NULL)
        part->reply->error = error;
    batch_ended(batch, part->lane, &error);
}

static void exchange_destroy(struct batch *batch) {
    batch_finish(batch);
    free(batch);
}

enum canyon_status exchange_run(struct canyon_client *client, const struct exchange_request *request, size_t first,
                                size_t count, struct exchange_reply *replies, struct error *error) {
    struct exchange *exchange = calloc(1, sizeof *exchange + count * sizeof exchange->parts[0]);
    if (exchange == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for a call on %zu connections", count);
    enum canyon_status status = batch_init(&exchange->batch, client, error);
    if (status != CANYON_OK) {
        free(exchange);
        return status;
    }
    exchange->batch.destroy = exchange_destroy;
    if (request->bytes > 0)
        memcpy(exchange->message, request->message, request->bytes);
    for (size_t i = 0; i < count; i++) {
        struct exchange_part *part = &exchange->parts[i];
        part->exchange = exchange;
        part->lane = first + i;
        part->reply = replies == NULL ? NULL : &replies[i];
        part->request = (struct session_request){.type = request->type,
                                                 .message = exchange->message,
                                                 .message_bytes = request->bytes,
                                                 .deadline = request->deadline,
                                                 .changes_state = request->changes_state,
                                                 .done = exchange_done,
                                                 .user = part};
        if (!request->reached_only || !client->absent[client_server_of(client, part->lane)])
            batch_add(&exchange->batch, part->lane, &part->request);
    }
    batch_submit(&exchange->batch, true);
    struct error outcome;
    future_wait(&exchange->batch.future, UINT64_MAX, &outcome);
    future_release(&exchange->batch.future);
    if (outcome.status != CANYON_OK && error != NULL)
        *error = outcome;
    return outcome.status;
}

enum canyon_status exchange_ask(struct canyon_client *client, const struct exchange_request *request,
                                struct exchange_reply *reply, struct error *error) {
    return exchange_run(client, request, 0, 1, reply, error);
}

enum canyon_status exchange_tell_all(struct canyon_client *client, const struct exchange_request *request,
                                     struct error *error) {
    return exchange_run(client, request, 0, client->lane_count, NULL, error);
}
