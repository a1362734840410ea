/* JOIN and BARRIER. */
#include "server/handler_state.h"

#include <stdio.h>

enum canyon_status serve_join(struct handler *handler, const struct request *request, const struct frame *frame,
                              struct error *error) {
    struct message_join message;
    struct message_joined joined = {.rank = 0};
    enum canyon_status status = message_unpack_join(frame->message, frame->header.message_bytes, &message, error);
    if (status == CANYON_OK && !handler_has_catalogue(handler, "workers join", error)) {
        status = error->status;
    }
    if (status == CANYON_OK && !request->peer->joined) {
        status = workers_join(handler->workers, request->peer->session, &joined.rank, error);
        request->peer->joined = status == CANYON_OK;
    }
    if (status == CANYON_OK) {
        (void)workers_rank(handler->workers, request->peer->session, &joined.rank); /* it has joined */
        joined.count = workers_count(handler->workers);
        reply_send(handler, request, FRAME_JOINED, message_pack_joined(&joined, reply_message(handler)), 0);
    }
    return status;
}

void handler_barrier_timeout(const struct handler *handler, const struct parked *parked, struct error *error) {
    uint32_t arrived = 0, wanted = 0;
    workers_barrier(handler->workers, parked->name, &arrived, &wanted);
    error_set(error, CANYON_TIMEOUT, "barrier '%s': %u of %u workers arrived within %u ms", parked->name, arrived,
              wanted, parked->wait_ms);
}

void handler_answer_passed(struct handler *handler) {
    struct parked *parked = workers_next_passed(handler->workers);
    while (parked != NULL) {
        struct request request = {.peer = parked->peer, .id = parked->request};
        parked_remove(&handler->parked, parked);
        reply_send(handler, &request, FRAME_BARRIER_PASSED, 0, 0);
        parked = workers_next_passed(handler->workers);
    }
}

enum canyon_status serve_barrier(struct handler *handler, const struct request *request, const struct frame *frame,
                                 struct error *error) {
    struct message_barrier message;
    struct parked *parked = NULL;
    enum canyon_status status = message_unpack_barrier(frame->message, frame->header.message_bytes, &message, error);
    if (status == CANYON_OK && !handler_has_catalogue(handler, "barriers are", error)) {
        status = error->status;
    }
    if (status == CANYON_OK) {
        status = name_check(message.name, "barrier", error);
    }
    if (status != CANYON_OK) {
        return status;
    }
    /* An arrival whose time is over must not hold up the same worker's next one. */
    handler_end_overdue(handler);
    status = handler_park(handler, request, FRAME_BARRIER, message.name, NULL, message.wait_ms, &parked, error);
    if (status != CANYON_OK) {
        return status;
    }
    status = workers_arrive(handler->workers, message.name, request->peer->session, message.count, parked, error);
    if (status != CANYON_OK) {
        parked_remove(&handler->parked, parked);
        return status;
    }
    handler_answer_passed(handler);
    if (message.wait_ms == 0) {
        handler_end_overdue(handler); /* unless it has passed, its time is over */
    }
    return CANYON_OK;
}
