/* The session's bytes: what goes out, and what comes in. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/session_state.h"

/* ---- bytes out ---- */

void session_control(struct session *session, uint16_t type, size_t message_bytes) {
    session->control_id = session->next_id++;
    const struct frame_header header = {
        .type = type, .message_bytes = (uint32_t)message_bytes, .request = session->control_id};
    frame_header_encode(&header, session->control);
    session->control_bytes = FRAME_HEADER_BYTES + message_bytes;
    session->control_sent = 0;
    session->control_at = session->now;
}

void session_control_pace(struct session *session) {
    uint8_t *at = session->control + session->control_bytes;
    const struct frame_header header = {
        .type = session->pace_type, .message_bytes = (uint32_t)session->pace_bytes, .request = session->next_id};
    if (session->pace_type == 0)
        return;
    assert(session->control_bytes + FRAME_HEADER_BYTES + session->pace_bytes <= sizeof session->control);
    session->next_id++;
    frame_header_encode(&header, at);
    memcpy(at + FRAME_HEADER_BYTES, session->pace, session->pace_bytes);
    session->control_bytes += FRAME_HEADER_BYTES + session->pace_bytes;
}

/* The unsent rest of [from, from + bytes) of a request, when `skip` of the request's bytes went out. */
static size_t slice_rest(struct iovec *slices, size_t count, size_t most, const void *bytes, size_t length,
                         size_t *skip) {
    if (*skip >= length) {
        *skip -= length;
        return count;
    }
    if (count < most) {
        /* iovec has no const; nothing writes through it. */
        union {
            const void *from;
            void *to;
        } base = {bytes};
        slices[count] = (struct iovec){.iov_base = (uint8_t *)base.to + *skip, .iov_len = length - *skip};
    }
    *skip = 0;
    return count + 1;
}

/* Adds a request's unsent bytes; returns the new count, which is above `most` when they did not all fit. */
static size_t slice_request(const struct session_request *request, struct iovec *slices, size_t count, size_t most) {
    size_t skip = request->sent;
    count = slice_rest(slices, count, most, request->header, FRAME_HEADER_BYTES, &skip);
    if (request->message_bytes > 0)
        count = slice_rest(slices, count, most, request->message, request->message_bytes, &skip);
    for (size_t i = 0; i < request->payload_count && count <= most; i++)
        if (request->payload[i].iov_len > 0)
            count = slice_rest(slices, count, most, request->payload[i].iov_base, request->payload[i].iov_len, &skip);
    return count;
}

/* RESUMED may be there before all that went out with RESUME. */
static bool session_has_control(const struct session *session) {
    return session->state != SESSION_DOWN && session->control_sent < session->control_bytes;
}

size_t session_output(struct session *session, struct iovec *slices, size_t most) {
    size_t count = 0;
    if (session_has_control(session) && most > 0) {
        slices[0] = (struct iovec){.iov_base = session->control + session->control_sent,
                                   .iov_len = session->control_bytes - session->control_sent};
        return 1;
    }
    if (session->state != SESSION_READY)
        return 0;
    session_admit(session);
    uint64_t in_flight = session->in_flight;
    for (struct session_request *request = session_turn(session, session->queue.first); request != NULL && count < most;
         request = session_turn(session, request->next)) {
        if (request->sent == 0) {
            uint64_t cost = request->may_wait ? 0 : request_cost(request);
            if (cost > 0 && in_flight > 0 && in_flight + cost > session->options.window_bytes)
                break;
            const bool prepares = request->prepare != NULL && !request->begun;
            /* Prepared when it goes first: what is prepared and then not sent must be taken back. */
            if (prepares && count > 0)
                break;
            in_flight += cost;
            if (prepares)
                request->prepare(request);
            if (request->piece_count > 0 && !request->numbered)
                number_take(session, request);
        }
        count = slice_request(request, slices, count, most);
    }
    return count < most ? count : most;
}

/* The first byte of it goes out, over this connection. */
static void session_begin_sending(struct session *session, struct session_request *request) {
    session->in_flight += request->may_wait ? 0 : request_cost(request);
    session->counters.resent += request->begun;
    if (!session->numbered && request->piece_count > 0)
        session->known_at = session->now;
    session->numbered = session->numbered || request->piece_count > 0;
    request->begun_at = session->now;
    request->begun = true;
}

void session_sent(struct session *session, size_t count) {
    if (session_has_control(session)) {
        session->control_sent += count;
        assert(session->control_sent <= session->control_bytes);
        return;
    }
    while (count > 0) {
        struct session_request *request = session->queue.first;
        assert(request != NULL);
        size_t rest = request_bytes(request) - request->sent;
        size_t step = count < rest ? count : rest;
        if (request->sent == 0)
            session_begin_sending(session, request);
        request->sent += step;
        count -= step;
        if (request_is_sent(request)) {
            request_list_remove(&session->queue, request);
            request_list_append(&session->sent, request);
            session->awaited += request->reply_bytes;
        }
    }
}

/* ---- bytes in ---- */

void *session_target(void *user, const struct frame_header *header, const uint8_t *message) {
    struct session *session = user;
    (void)message;
    session->receiving = NULL;
    if (session->state != SESSION_READY)
        return NULL;
    struct session_request *request = request_list_find(&session->sent, header->request);
    if (request == NULL || request->destination == NULL || header->type != request->type + 1 ||
        header->payload_bytes != request->destination_bytes)
        return NULL;
    session->receiving = request;
    return request->destination;
}

void session_space(struct session *session, uint8_t **at, size_t *room) {
    assert(session->state != SESSION_DOWN);
    frame_reader_space(&session->reader, at, room);
}

enum canyon_status session_refused(struct session *session, const struct frame *frame, const char *what,
                                   struct error *error) {
    struct error peer = {.status = CANYON_OK};
    enum canyon_status status = message_unpack_error(frame->message, frame->header.message_bytes, &peer, error);
    if (status != CANYON_OK)
        return status;
    if (peer.status == CANYON_OK)
        peer.status = CANYON_PROTOCOL;
    return error_set(error, peer.status, "%s %s: %s", session->options.address, what, peer.text);
}

static enum canyon_status session_greeted(struct session *session, const struct frame *frame, struct error *error) {
    if (frame->header.type == FRAME_ERROR)
        return session_refused(session, frame, "refused the connection", error);
    if (frame->header.type != FRAME_WELCOME || frame->header.request != session->control_id)
        return error_set(error, CANYON_PROTOCOL, "%s answered the hello with %s instead of WELCOME",
                         session->options.address, frame_type_name(frame->header.type));
    enum canyon_status status =
        message_unpack_welcome(frame->message, frame->header.message_bytes, &session->welcome, error);
    if (status != CANYON_OK) {
        error_prefix(error, "%s", session->options.address);
        return status;
    }
    if (session->welcome.protocol != FRAME_VERSION)
        return error_set(error, CANYON_UNSUPPORTED, "%s speaks protocol version %u, this library %u: use matching ones",
                         session->options.address, session->welcome.protocol, (unsigned)FRAME_VERSION);
    char *servers = malloc((size_t)frame->header.payload_bytes + 1);
    if (servers == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for the server list of %s", session->options.address);
    if (frame->header.payload_bytes > 0)
        memcpy(servers, frame->payload, frame->header.payload_bytes);
    servers[frame->header.payload_bytes] = '\0';
    free(session->servers);
    session->servers = servers;
    session->servers_bytes = frame->header.payload_bytes;
    return session_welcomed(session, error);
}

/* A reply whose request is not among those wholly sent. */
static enum canyon_status session_stray(struct session *session, const struct frame *frame, struct error *error) {
    uint64_t id = frame->header.request;
    const bool unsent =
        request_list_find(&session->queue, id) != NULL || request_list_find(&session->later, id) != NULL;
    if (frame->header.type == FRAME_ERROR && (id == 0 || unsent))
        return session_refused(session, frame, "ended the connection", error);
    if (id == 0 || id >= session->next_id || unsent)
        return error_set(error, CANYON_PROTOCOL, "%s sent %s for request %llu, which was never made",
                         session->options.address, frame_type_name(frame->header.type), (unsigned long long)id);
    return CANYON_OK; /* its owner gave up before */
}

/* The server still had this connection when it took the request. */
static void session_answered(struct session *session, struct session_request *request, enum canyon_status status,
                             const char *text) {
    if (request->may_wait)
        session_note(session, status, text);
    session_notice(session, request);
    session_forget(session, request);
    session->counters.answered++;
    if (request->begun_at > session->known_at)
        session->known_at = request->begun_at;
}

/* Its message is good until it is done. */
static void session_note_pace(struct session *session, const struct session_request *request) {
    struct message_clock clock = {.leave = false};
    struct error error;
    if (request->type != FRAME_ENTER && request->type != FRAME_CLOCK)
        return;
    if (request->type == FRAME_CLOCK)
        (void)message_unpack_clock(request->message, request->message_bytes, &clock, &error);
    const bool lasts = !clock.leave && request->message_bytes <= SESSION_PACE_BYTES;
    session->pace_type = lasts ? request->type : 0;
    session->pace_bytes = lasts ? request->message_bytes : 0;
    if (session->pace_bytes > 0) /* one that asks for nothing has no bytes */
        memcpy(session->pace, request->message, session->pace_bytes);
}

static enum canyon_status session_replied(struct session *session, const struct frame *frame, struct error *error) {
    struct session_request *request = request_list_find(&session->sent, frame->header.request);
    session->receiving = NULL;
    if (request == NULL)
        return session_stray(session, frame, error);
    if (frame->header.type == request->type + 1) {
        session_note_pace(session, request);
        session_answered(session, request, CANYON_OK, "");
        request->done(request, CANYON_OK, "", frame);
        return CANYON_OK;
    }
    if (frame->header.type != FRAME_ERROR)
        return error_set(error, CANYON_PROTOCOL, "%s answered %s with %s", session->options.address,
                         frame_type_name(request->type), frame_type_name(frame->header.type));
    struct error peer = {.status = CANYON_OK};
    enum canyon_status status = message_unpack_error(frame->message, frame->header.message_bytes, &peer, error);
    if (status != CANYON_OK)
        return status;
    session_answered(session, request, peer.status, peer.text);
    request->done(request, peer.status != CANYON_OK ? peer.status : CANYON_PROTOCOL, peer.text, NULL);
    return CANYON_OK;
}

enum canyon_status session_received(struct session *session, size_t count, struct error *error) {
    frame_reader_received(&session->reader, count);
    for (;;) {
        struct frame frame;
        enum frame_reader_result result = frame_reader_next(&session->reader, &frame, error);
        if (result == FRAME_READER_NEEDS_MORE)
            return CANYON_OK;
        if (result == FRAME_READER_BROKEN) {
            enum canyon_status status = error->status;
            error_prefix(error, "%s", session->options.address);
            return status;
        }
        enum canyon_status status = session->state == SESSION_GREETING   ? session_greeted(session, &frame, error)
                                    : session->state == SESSION_RESUMING ? session_resumed(session, &frame, error)
                                                                         : session_replied(session, &frame, error);
        if (status != CANYON_OK)
            return status;
    }
}
