#include "client/request_list.h"

#include "common/mutant.h"

void request_list_append(struct request_list *list, struct session_request *request) {
    request->next = NULL;
    request->previous = list->last;
    if (list->last != NULL)
        list->last->next = request;
    else
        list->first = request;
    list->last = request;
    list->count++;
}

void request_list_insert(struct request_list *list, struct session_request *before, struct session_request *request) {
    struct session_request *after = before != NULL ? before->next : list->first;
    request->previous = before;
    request->next = after;
    if (before != NULL)
        before->next = request;
    else
        list->first = request;
    if (after != NULL)
        after->previous = request;
    else
        list->last = request;
    list->count++;
}

void request_list_remove(struct request_list *list, struct session_request *request) {
    if (request->previous != NULL)
        request->previous->next = request->next;
    else
        list->first = request->next;
    if (request->next != NULL)
        request->next->previous = request->previous;
    else
        list->last = request->previous;
    request->next = request->previous = NULL;
    list->count--;
}

void request_list_replace(struct request_list *list, const struct session_request *old,
                          struct session_request *request) {
    request->next = old->next;
    request->previous = old->previous;
    if (old->previous != NULL)
        old->previous->next = request;
    else
        list->first = request;
    if (old->next != NULL)
        old->next->previous = request;
    else
        list->last = request;
}

void request_list_join(struct request_list *list, struct request_list *more) {
    if (more->first == NULL)
        return;
    more->first->previous = list->last;
    if (list->last != NULL)
        list->last->next = more->first;
    else
        list->first = more->first;
    list->last = more->last;
    list->count += more->count;
    *more = (struct request_list){.first = NULL};
}

struct session_request *request_list_find(const struct request_list *list, uint64_t id) {
    struct session_request *request = list->first;
    while (request != NULL && request->id != id)
        request = request->next;
    return request;
}

size_t request_bytes(const struct session_request *request) {
    return FRAME_HEADER_BYTES + request->message_bytes + request->payload_bytes;
}

uint64_t request_cost(const struct session_request *request) {
    size_t bytes = request_bytes(request);
    return bytes > request->reply_bytes ? bytes : request->reply_bytes;
}

bool request_is_sent(const struct session_request *request) {
    return request->sent == request_bytes(request);
}

enum canyon_status request_verdict(const struct session_request *request, enum canyon_status status) {
    bool unknown = request->changes_state && request->begun && status != CANYON_CLOSED;
    return unknown ? CANYON_OUTCOME_UNKNOWN : status;
}

/* Reads, which change nothing however often they are made. */
static bool type_is_read(uint16_t type) {
    return type == FRAME_PULL || type == FRAME_TABLE_PULL || type == FRAME_STATISTICS || type == FRAME_DIGEST ||
           type == FRAME_OPTIMIZER || type == FRAME_TABLE_INFO || type == FRAME_TABLE_ROWS;
}

/* What a worker says of its clock: the server takes the same again as a sign of life. */
static bool type_is_pace(uint16_t type) {
    return type == FRAME_ENTER || type == FRAME_CLOCK;
}

bool request_lasts(const struct session_request *request) {
    if (MUTANT(drop_unacked_on_reconnect) && request->begun && request->piece_count > 0)
        return false;
    if (MUTANT(read_ends_with_connection) && request->piece_count == 0)
        return false;
    return request->piece_count > 0 ||
           (!request->changes_state && (type_is_read(request->type) || type_is_pace(request->type)));
}
