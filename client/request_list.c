#include "client/request_list.h"

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
    bool unknown = request->changes_state && request->sent > 0 && status != CANYON_CLOSED;
    return unknown ? CANYON_OUTCOME_UNKNOWN : status;
}
