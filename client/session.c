#include "client/session.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/request_list.h"

/* A welcome carries at most the whole server list, one address a line. */
#define GREETING_PAYLOAD_LIMIT (LIMIT_SERVERS * LIMIT_ADDRESS_BYTES)

struct session {
    struct session_options options;
    enum session_state state;
    struct frame_reader reader;
    struct request_list queue; /* not wholly sent; only the first may be partly sent */
    struct request_list sent;  /* waiting for their replies */
    uint64_t next_id;
    uint64_t awaited;                  /* reply_bytes of the requests in `sent` */
    uint64_t in_flight;                /* cost of every request of which a byte was sent */
    uint64_t earliest;                 /* no deadline is before this */
    struct session_request *receiving; /* the one whose destination the reader is filling */
    uint8_t *scratch;                  /* where an abandoned reply goes instead */
    uint64_t hello_id;
    size_t hello_bytes, hello_sent;
    uint8_t hello[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    struct message_welcome welcome;
    char *servers;
    size_t servers_bytes;
};

/* ---- life ---- */

static void *session_target(void *user, const struct frame_header *header, const uint8_t *message);

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
    assert(session->queue.count == 0 && session->sent.count == 0);
    frame_reader_finish(&session->reader);
    free(session->scratch);
    free(session->servers);
    free(session);
}

enum canyon_status session_begin(struct session *session, const uint8_t *digest, struct error *error) {
    assert(session->state == SESSION_DOWN && session->sent.count == 0);
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

    session->hello_id = session->next_id++;
    size_t bytes = message_pack_hello(&hello, session->hello + FRAME_HEADER_BYTES);
    struct frame_header header = {.type = FRAME_HELLO, .message_bytes = (uint32_t)bytes, .request = session->hello_id};
    frame_header_encode(&header, session->hello);
    session->hello_bytes = FRAME_HEADER_BYTES + bytes;
    session->hello_sent = 0;
    session->state = SESSION_GREETING;
    return CANYON_OK;
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
    return session->queue.count + session->sent.count;
}

uint64_t session_awaited(const struct session *session) {
    uint64_t here = session->reader.payload_have;
    return session->awaited > here ? session->awaited - here : 0;
}

size_t session_unsent(const struct session *session) {
    return session->queue.count;
}

/* ---- requests ---- */

void session_submit(struct session *session, struct session_request *request) {
    assert(request->message_bytes <= LIMIT_MESSAGE_BYTES && request->done != NULL);
    request->id = session->next_id++;
    request->sent = 0;
    struct frame_header header = {.type = request->type,
                                  .message_bytes = (uint32_t)request->message_bytes,
                                  .payload_bytes = request->payload_bytes,
                                  .request = request->id};
    frame_header_encode(&header, request->header);
    request_list_append(&session->queue, request);
    if (request->deadline < session->earliest)
        session->earliest = request->deadline;
}

/* Takes a request out of its list and the window. */
static void session_forget(struct session *session, struct session_request *request) {
    if (request_is_sent(request))
        session->awaited -= request->reply_bytes;
    request_list_remove(request_is_sent(request) ? &session->sent : &session->queue, request);
    if (request->sent > 0)
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

bool session_cancel(struct session *session, struct session_request *request, enum canyon_status status,
                    const char *text) {
    bool usable = request->sent == 0 || request_is_sent(request);
    if (session->receiving == request && !session_divert(session))
        usable = false;
    session_forget(session, request);
    request->done(request, status, text, NULL);
    return usable;
}

static void session_fail_list(struct session *session, struct request_list *list, enum canyon_status status,
                              const char *text) {
    while (list->first != NULL) {
        struct session_request *request = list->first;
        enum canyon_status verdict = request_verdict(request, status);
        session_forget(session, request);
        request->done(request, verdict, text, NULL);
    }
}

void session_fail(struct session *session, enum canyon_status status, const char *text) {
    session->state = SESSION_DOWN;
    session->receiving = NULL;
    session_fail_list(session, &session->sent, status, text);
    session_fail_list(session, &session->queue, status, text);
    session->earliest = UINT64_MAX;
    assert(session->in_flight == 0);
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
    enum canyon_status status = request_verdict(request, CANYON_TIMEOUT);
    if (status == CANYON_OUTCOME_UNKNOWN)
        snprintf(text, sizeof text,
                 "%s did not answer %s before the deadline; it may or may not have been applied: pull to see", address,
                 frame_type_name(request->type));
    else if (session->state != SESSION_READY)
        snprintf(text, sizeof text, "%s was not reached before the deadline of %s; is it running?", address,
                 frame_type_name(request->type));
    else if (request->sent == 0)
        snprintf(text, sizeof text, "the deadline of %s passed before it could be sent to %s: allow more time",
                 frame_type_name(request->type), address);
    else
        snprintf(text, sizeof text, "%s did not answer %s before the deadline", address,
                 frame_type_name(request->type));
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
    return sent_usable && queue_usable;
}

/* ---- bytes out ---- */

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

size_t session_output(struct session *session, struct iovec *slices, size_t most) {
    size_t count = 0;
    if (session->state == SESSION_GREETING && session->hello_sent < session->hello_bytes && most > 0) {
        slices[0] = (struct iovec){.iov_base = session->hello + session->hello_sent,
                                   .iov_len = session->hello_bytes - session->hello_sent};
        return 1;
    }
    if (session->state != SESSION_READY)
        return 0;
    uint64_t in_flight = session->in_flight;
    for (struct session_request *request = session->queue.first; request != NULL && count < most;
         request = request->next) {
        if (request->sent == 0) {
            uint64_t cost = request_cost(request);
            if (in_flight > 0 && in_flight + cost > session->options.window_bytes)
                break;
            /* Prepared when it goes first: what is prepared and then not sent must be taken back. */
            if (request->prepare != NULL && count > 0)
                break;
            in_flight += cost;
            if (request->prepare != NULL)
                request->prepare(request);
        }
        count = slice_request(request, slices, count, most);
    }
    return count < most ? count : most;
}

void session_sent(struct session *session, size_t count) {
    if (session->state == SESSION_GREETING) {
        session->hello_sent += count;
        assert(session->hello_sent <= session->hello_bytes);
        return;
    }
    while (count > 0) {
        struct session_request *request = session->queue.first;
        assert(request != NULL);
        size_t rest = request_bytes(request) - request->sent;
        size_t step = count < rest ? count : rest;
        if (request->sent == 0)
            session->in_flight += request_cost(request);
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

static void *session_target(void *user, const struct frame_header *header, const uint8_t *message) {
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

/* A server's ERROR that ends the connection or refuses the hello. */
static enum canyon_status session_refused(struct session *session, const struct frame *frame, const char *what,
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
    if (frame->header.type != FRAME_WELCOME || frame->header.request != session->hello_id)
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
    session->reader.payload_limit = FRAME_PAYLOAD_LIMIT;
    session->state = SESSION_READY;
    return CANYON_OK;
}

/* A reply whose request is not among those wholly sent. */
static enum canyon_status session_stray(struct session *session, const struct frame *frame, struct error *error) {
    uint64_t id = frame->header.request;
    if (frame->header.type == FRAME_ERROR && (id == 0 || request_list_find(&session->queue, id) != NULL))
        return session_refused(session, frame, "ended the connection", error);
    if (id == 0 || id >= session->next_id || request_list_find(&session->queue, id) != NULL)
        return error_set(error, CANYON_PROTOCOL, "%s sent %s for request %llu, which was never made",
                         session->options.address, frame_type_name(frame->header.type), (unsigned long long)id);
    return CANYON_OK; /* its owner gave up before */
}

static enum canyon_status session_replied(struct session *session, const struct frame *frame, struct error *error) {
    struct session_request *request = request_list_find(&session->sent, frame->header.request);
    session->receiving = NULL;
    if (request == NULL)
        return session_stray(session, frame, error);
    if (frame->header.type == request->type + 1) {
        session_forget(session, request);
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
    session_forget(session, request);
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
        enum canyon_status status = session->state == SESSION_GREETING ? session_greeted(session, &frame, error)
                                                                       : session_replied(session, &frame, error);
        if (status != CANYON_OK)
            return status;
    }
}
