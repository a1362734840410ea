#include "client/session.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/session_state.h"
#include "common/mutant.h"

/* A welcome carries at most the whole server list, one address a line. */
#define GREETING_PAYLOAD_LIMIT (LIMIT_SERVERS * LIMIT_ADDRESS_BYTES)

/* ---- life ---- */

struct session *session_create(const struct session_options *options) {
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return NULL;
    session->options = *options;
    session->next_id = 1;
    session->earliest = UINT64_MAX;
    return session;
}

void session_destroy(struct session *session) {
    if (session == NULL)
        return;
    assert(session_outstanding(session) == 0);
    frame_reader_finish(&session->reader);
    free(session->scratch);
    free(session->servers);
    free(session->shards);
    free(session);
}

enum canyon_status session_begin(struct session *session, const uint8_t *digest, struct error *error) {
    assert(session->state == SESSION_DOWN && session->sent.count == 0 && session->in_flight == 0);
    frame_reader_finish(&session->reader);
    memset(&session->reader, 0, sizeof session->reader);
    enum canyon_status status =
        frame_reader_init(&session->reader, GREETING_PAYLOAD_LIMIT, session_target, session, error);
    if (status != CANYON_OK)
        return status;

    struct message_hello hello = {.protocol = FRAME_VERSION, .thread = session->options.thread};
    memcpy(hello.session, session->options.session_id, sizeof hello.session);
    if (digest != NULL) {
        hello.has_digest = true;
        memcpy(hello.digest, digest, sizeof hello.digest);
    }
    snprintf(hello.name, sizeof hello.name, "%s", session->options.name);

    session_control(session, FRAME_HELLO, message_pack_hello(&hello, session->control + FRAME_HEADER_BYTES));
    session->state = SESSION_GREETING;
    return CANYON_OK;
}

void session_clock(struct session *session, uint64_t now) {
    session->now = now;
}

void session_limit(struct session *session, uint64_t window_bytes) {
    session->options.window_bytes = window_bytes;
}

enum session_state session_state(const struct session *session) {
    return session->state;
}

const struct message_welcome *session_welcome(const struct session *session) {
    return &session->welcome;
}

const char *session_servers(const struct session *session, size_t *bytes) {
    *bytes = session->servers_bytes;
    return session->servers;
}

size_t session_outstanding(const struct session *session) {
    return session_unsent(session) + session->sent.count;
}

uint64_t session_awaited(const struct session *session) {
    uint64_t here = session->reader.payload_have;
    return session->awaited > here ? session->awaited - here : 0;
}

size_t session_unsent(const struct session *session) {
    return session->queue.count + session->later.count;
}

struct session_counters session_count(const struct session *session) {
    return session->counters;
}

bool session_has_numbers(const struct session *session) {
    return session->numbered;
}

/* ---- requests ---- */

void session_number(struct session *session, struct session_request *request) {
    request->id = session->next_id++;
    struct frame_header header = {.type = request->type,
                                  .message_bytes = (uint32_t)request->message_bytes,
                                  .payload_bytes = request->payload_bytes,
                                  .request = request->id};
    frame_header_encode(&header, request->header);
}

void session_submit(struct session *session, struct session_request *request) {
    assert(request->message_bytes <= LIMIT_MESSAGE_BYTES && request->done != NULL);
    assert(!request->may_wait || request->piece_count == 0);
    request->sent = 0;
    request->begun = request->numbered = request->admitted = request->waits = false;
    session_number(session, request);
    request_list_append(request->may_wait ? &session->later : &session->queue, request);
    if (MUTANT(number_taken_when_queued) && request->piece_count > 0 && session->state == SESSION_READY)
        number_take(session, request);
    if (request->deadline < session->earliest)
        session->earliest = request->deadline;
}

/* Where it is now. */
static struct request_list *session_list_of(struct session *session, const struct session_request *request) {
    if (request->may_wait && !request->admitted)
        return &session->later;
    return request_is_sent(request) ? &session->sent : &session->queue;
}

void session_forget(struct session *session, struct session_request *request) {
    if (request_is_sent(request))
        session->awaited -= request->reply_bytes;
    request_list_remove(session_list_of(session, request), request);
    if (request->admitted)
        session_dismiss(session, request);
    else if (request->sent > 0)
        session->in_flight -= request_cost(request);
}

/* Sends what is still to come of an arriving payload to scratch memory, so that its destination is the caller's again.
 */
static bool session_divert(struct session *session) {
    free(session->scratch);
    session->scratch = malloc(session->reader.header.payload_bytes);
    session->receiving = NULL;
    if (session->scratch == NULL)
        return false;
    session->reader.destination = session->scratch;
    return true;
}

/* A numbered request that was begun has to arrive, though its owner waits no more. */
static bool session_orphan(struct session *session, const struct session_request *request) {
    struct session_request *orphan = NULL;
    if (request->begun && request->piece_count > 0 && !MUTANT(orphan_dropped))
        orphan = orphan_create(request);
    if (orphan != NULL && MUTANT(deadline_applies_twice))
        session_submit(session, orphan_create(request));
    if (orphan != NULL)
        request_list_replace(request_is_sent(request) ? &session->sent : &session->queue, request, orphan);
    return orphan != NULL;
}

bool session_cancel(struct session *session, struct session_request *request, enum canyon_status status,
                    const char *text) {
    bool usable = session->receiving != request || session_divert(session);
    if (!session_orphan(session, request)) {
        if (request->begun)
            number_drop(session, request);
        else if (request->numbered && !MUTANT(number_taken_when_queued))
            number_take_back(session);
        usable = usable && (request->sent == 0 || request_is_sent(request));
        session_forget(session, request);
    }
    request->done(request, status, text, NULL);
    return usable;
}

static void session_end(struct session *session, struct session_request *request, enum canyon_status status,
                        const char *text) {
    enum canyon_status verdict = request_verdict(request, status);
    session_forget(session, request);
    request->done(request, verdict, text, NULL);
}

static void session_hang_up(struct session *session) {
    number_take_back(session);
    session->state = SESSION_DOWN;
    session->receiving = NULL;
    session->lost[0] = '\0';
}

void session_fail(struct session *session, enum canyon_status status, const char *text) {
    session_hang_up(session);
    while (session->sent.first != NULL)
        session_end(session, session->sent.first, status, text);
    while (session->queue.first != NULL)
        session_end(session, session->queue.first, status, text);
    while (session->later.first != NULL)
        session_end(session, session->later.first, status, text);
    session->earliest = UINT64_MAX;
    assert(session->in_flight == 0 && session->patience == 0 && session->patient == 0 && session->waiting == 0);
}

/* Ends those of a list that do not outlast their connection. */
static void session_end_brief(struct session *session, struct request_list *list, enum canyon_status status,
                              const char *text) {
    struct session_request *next = NULL;
    for (struct session_request *request = list->first; request != NULL; request = next) {
        next = request->next;
        if (!request_lasts(request))
            session_end(session, request, status, text);
    }
}

void session_lose(struct session *session, enum canyon_status status, const char *text) {
    session_hang_up(session);
    session_end_brief(session, &session->sent, status, text);
    session_end_brief(session, &session->queue, status, text);
    session_end_brief(session, &session->later, status, text);
    /* What was sent was sent first. */
    const bool wrong = MUTANT(resend_out_of_order);
    struct request_list *first = wrong ? &session->queue : &session->sent;
    request_list_join(first, wrong ? &session->sent : &session->queue);
    session->queue = *first;
    if (MUTANT(resend_skips_first) && session->queue.first != NULL && session->queue.first->begun &&
        session->queue.first->user != NULL) /* no orphan, which is nobody's */
        request_list_remove(&session->queue, session->queue.first);
    session->sent = (struct request_list){.first = NULL};
    for (struct session_request *request = session->queue.first; request != NULL; request = request->next) {
        request->sent = 0;
        request->waits = false;
    }
    session->waiting = 0;
    session->in_flight = session->awaited = 0;
    snprintf(session->lost, sizeof session->lost, "%s", text);
}

bool session_may_return(enum canyon_status status) {
    return status == CANYON_UNAVAILABLE || status == CANYON_TIMEOUT || status == CANYON_BUSY || status == CANYON_GAP ||
           status == CANYON_FENCED || status == CANYON_SESSION_UNKNOWN;
}

void session_restart(struct session *session) {
    assert(session->state != SESSION_READY && session->in_flight == 0);
    session->state = SESSION_DOWN;
}

/* ---- time ---- */

uint64_t session_wakeup(const struct session *session) {
    return session->earliest;
}

static bool session_expire(struct session *session, struct session_request *request) {
    char text[ERROR_TEXT_BYTES];
    const char *address = session->options.address;
    const bool away = session->lost[0] != '\0';
    enum canyon_status status = request_verdict(request, away ? CANYON_UNAVAILABLE : CANYON_TIMEOUT);
    if (status == CANYON_OUTCOME_UNKNOWN)
        snprintf(text, sizeof text, "%s did not answer %s before the deadline; it may or may not have been applied%s",
                 address, frame_type_name(request->type), request->piece_count > 0 ? ", or will be, once" : ": look");
    else if (session->lost[0] != '\0')
        snprintf(text, sizeof text, "%s; it did not come back before the deadline of %s", session->lost,
                 frame_type_name(request->type));
    else if (session->state != SESSION_READY)
        snprintf(text, sizeof text, "%s was not reached before the deadline of %s; is it running?", address,
                 frame_type_name(request->type));
    else if (request->may_wait && (request_is_sent(request) || !request->admitted))
        session_explain(session, request, text);
    else if (request->sent == 0)
        snprintf(text, sizeof text, "the deadline of %s passed before it could be sent to %s: allow more time",
                 frame_type_name(request->type), address);
    else
        snprintf(text, sizeof text, "%s did not answer %s before the deadline", address,
                 frame_type_name(request->type));
    session->counters.given_up++;
    return session_cancel(session, request, status, text);
}

static bool session_expire_list(struct session *session, struct request_list *list, uint64_t now) {
    bool usable = true;
    struct session_request *next = NULL;
    for (struct session_request *request = list->first; request != NULL; request = next) {
        next = request->next;
        if (request->deadline <= now)
            usable = session_expire(session, request) && usable;
        else if (request->deadline < session->earliest)
            session->earliest = request->deadline;
    }
    return usable;
}

bool session_tick(struct session *session, uint64_t now) {
    if (now < session->earliest)
        return true;
    session->earliest = UINT64_MAX;
    bool sent_usable = session_expire_list(session, &session->sent, now);
    bool queue_usable = session_expire_list(session, &session->queue, now);
    bool later_usable = session_expire_list(session, &session->later, now);
    return sent_usable && queue_usable && later_usable;
}
