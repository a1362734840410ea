/* Pulls that may wait at the server for other workers: their window, who may pass them, and what is said of them. */
#include <stdio.h>

#include "client/session_state.h"

/* ---- their window ---- */

/* To where they belong in the queue: before all that came after them, unless bytes of that went out already. */
static void admit(struct session *session, struct session_request *request) {
    struct session_request *before = session->queue.last;
    while (before != NULL && before->id > request->id && before->sent == 0 && !before->begun)
        before = before->previous;
    request_list_remove(&session->later, request);
    request_list_insert(&session->queue, before, request);
    request->admitted = true;
    session->patience += request_cost(request);
    session->patient++;
}

void session_admit(struct session *session) {
    struct session_request *request = session->later.first;
    while (request != NULL && session->patient < SESSION_PATIENCE &&
           (session->patient == 0 || session->patience + request_cost(request) <= session->options.window_bytes)) {
        admit(session, request);
        request = session->later.first;
    }
}

void session_dismiss(struct session *session, struct session_request *request) {
    session->patience -= request_cost(request);
    session->patient--;
    session->waiting -= request->waits;
    request->waits = false;
}

/* ---- who passes them ---- */

static void asked(struct session_request *request, enum canyon_status status, const char *text,
                  const struct frame *reply) {
    (void)status; /* that there is an answer is the answer */
    (void)text;
    (void)reply;
    ((struct session *)request->user)->asks = false;
}

/* For the members after the last that there can be: of all that has an answer in every mode and changes nothing, the
 * least. */
static void ask(struct session *session, const struct session_request *next) {
    const struct message_members none = {.after = UINT64_MAX};
    struct session_request *request = &session->ask;
    *request = (struct session_request){.type = FRAME_MEMBERS,
                                        .message = session->ask_message,
                                        .message_bytes = message_pack_members(&none, session->ask_message),
                                        .deadline = UINT64_MAX,
                                        .done = asked,
                                        .user = session};
    session_number(session, request);
    request_list_insert(&session->queue, next->previous, request);
    session->asks = true;
}

struct session_request *session_turn(struct session *session, struct session_request *request) {
    const bool free = request == NULL || session->later.first == NULL || session->waiting > 0 ||
                      request == &session->ask || request->sent > 0 || request->begun ||
                      request->id < session->later.first->id;
    if (free)
        return request;
    if (session->asks)
        return NULL;
    ask(session, request);
    return &session->ask;
}

void session_notice(struct session *session, const struct session_request *answered) {
    for (struct session_request *request = session->sent.first; request != answered; request = request->next) {
        session->waiting += request->may_wait && !request->waits;
        request->waits = request->may_wait;
    }
}

/* ---- what is said of them ---- */

void session_note(struct session *session, enum canyon_status status, const char *text) {
    if (status == CANYON_OK)
        session->waited[0] = '\0';
    else if (status == CANYON_TIMEOUT)
        snprintf(session->waited, sizeof session->waited, "%s", text);
}

void session_explain(const struct session *session, const struct session_request *request,
                     char text[ERROR_TEXT_BYTES]) {
    const char *address = session->options.address, *type = frame_type_name(request->type);
    const bool heard = session->waited[0] != '\0';
    char last[ERROR_TEXT_BYTES] = "";
    if (heard)
        snprintf(last, sizeof last, " (the last answer to one that did: %.160s)", session->waited);
    if (request->admitted)
        snprintf(text, ERROR_TEXT_BYTES, "%s did not answer %s before the deadline%s%s", address, type,
                 request->waits || heard ? ": it may wait for other workers there" : "", last);
    else
        snprintf(text, ERROR_TEXT_BYTES, "%s stood behind %u pulls that %s has not answered%s%s", type,
                 session->patient, address,
                 session->waiting > 0 || heard ? ", which wait for other workers" : " yet: allow more time", last);
}
