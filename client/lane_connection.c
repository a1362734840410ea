#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/lane_state.h"
#include "common/clock.h"

#define SLICES 64 /* of one sendmsg */
#define READS  16 /* of one turn, so that writing gets its turn too */

void lane_lose(struct lane *lane, enum canyon_status status, const char *format, ...) {
    bool was_up = lane->state == LANE_UP;
    lane->failure.status = status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(lane->failure.text, sizeof lane->failure.text, format, arguments);
    va_end(arguments);
    lane->state = LANE_DOWN;
    lane->wanted = false;
    lane->blocked = false;
    session_fail(lane->session, status, lane->failure.text);
    if (lane->link != NULL)
        shutdown(lane->link->descriptor, SHUT_RDWR);
    if (status != CANYON_CLOSED) {
        char reason[ERROR_TEXT_BYTES * 2];
        log_event(lane->options.log, LOG_WARNING, was_up ? "disconnected" : "connect_failed",
                  "address=%s thread=%u reason=%s", lane->address_text, lane->options.thread,
                  log_quote(lane->failure.text, reason, sizeof reason));
    }
    pthread_cond_broadcast(&lane->turn);
}

static void link_closed(uv_handle_t *handle) {
    struct link *link = handle->data;
    close(link->descriptor);
    free(link);
}

void lane_close_link(struct lane *lane) {
    if (lane->link == NULL)
        return;
    uv_close((uv_handle_t *)&lane->link->poll, link_closed);
    lane->link = NULL;
}

void lane_flush(struct lane *lane) {
    struct iovec slices[SLICES];
    lane->blocked = false;
    while (lane->state >= LANE_GREETING) {
        size_t count = session_output(lane->session, slices, SLICES);
        if (count == 0)
            return;
        struct msghdr message = {.msg_iov = slices, .msg_iovlen = count};
        ssize_t sent = sendmsg(lane->link->descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            session_sent(lane->session, (size_t)sent);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            lane->blocked = true;
            return;
        } else if (errno != EINTR) {
            lane_lose(lane, CANYON_UNAVAILABLE, "the connection to %s broke while sending: %s", lane->address_text,
                      strerror(errno));
        }
    }
}

/* The session is through its greeting: is this the server it should be? */
static void lane_greeted(struct lane *lane) {
    const struct message_welcome *welcome = session_welcome(lane->session);
    if (lane->expects && memcmp(welcome->digest, lane->digest, sizeof lane->digest) != 0) {
        lane_lose(lane, CANYON_CONFIGURATION,
                  "%s now serves another configuration (job \"%s\", %u shards, blocks of %u) than when this client "
                  "connected: connect anew",
                  lane->address_text, welcome->job, welcome->shards, welcome->block);
        return;
    }
    if (lane->expects && lane->threads == 0) {
        lane_lose(lane, CANYON_UNAVAILABLE,
                  "%s could not be reached when this client connected; it answers now: connect anew",
                  lane->address_text);
        return;
    }
    if (lane->expects && (welcome->server != lane->server || welcome->threads != lane->threads)) {
        lane_lose(lane, CANYON_CONFIGURATION,
                  "%s is now server %u with %u threads, it was server %u with %u threads: connect anew",
                  lane->address_text, welcome->server, welcome->threads, lane->server, lane->threads);
        return;
    }
    if (lane->has_boot && memcmp(welcome->boot, lane->boot, sizeof lane->boot) != 0) {
        lane->restarts++;
        log_event(lane->options.log, LOG_WARNING, "server_restarted", "address=%s thread=%u", lane->address_text,
                  lane->options.thread);
    }
    lane->has_boot = true;
    memcpy(lane->boot, welcome->boot, sizeof lane->boot);
    lane->state = LANE_UP;
    lane->wanted = false;
    log_event(lane->options.log, LOG_INFO, "connected", "address=%s thread=%u", lane->address_text,
              lane->options.thread);
    pthread_cond_broadcast(&lane->turn);
}

void lane_read(struct lane *lane) {
    for (int reads = 0; reads < READS && lane->state >= LANE_GREETING; reads++) {
        uint8_t *at = NULL;
        size_t room = 0;
        session_space(lane->session, &at, &room);
        ssize_t got = recv(lane->link->descriptor, at, room, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (got <= 0) {
            lane_lose(lane, CANYON_UNAVAILABLE, "%s closed the connection%s%s; is it still running?",
                      lane->address_text, got < 0 ? ": " : "", got < 0 ? strerror(errno) : "");
            return;
        }
        struct error error = {.status = CANYON_OK};
        enum canyon_status status = session_received(lane->session, (size_t)got, &error);
        if (status != CANYON_OK) {
            lane_lose(lane, status, "%s", error.text);
            return;
        }
        if (lane->state == LANE_GREETING && session_state(lane->session) == SESSION_READY)
            lane_greeted(lane);
        if ((size_t)got < room)
            return;
    }
}

static void lane_on_poll(uv_poll_t *poll, int status, int events) {
    struct lane *lane = poll->loop->data;
    (void)events;
    pthread_mutex_lock(&lane->lock);
    if (lane->link != NULL && &lane->link->poll == poll && lane->state >= LANE_GREETING) {
        if (status < 0)
            lane_lose(lane, CANYON_UNAVAILABLE, "the connection to %s broke: %s", lane->address_text,
                      uv_strerror(status));
        lane_read(lane);
        lane_flush(lane);
    }
    pthread_mutex_unlock(&lane->lock);
}

static void lane_adopt(struct lane *lane, int descriptor) {
    struct error error = {.status = CANYON_OK};
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL || uv_poll_init_socket(&lane->loop, &link->poll, descriptor) != 0) {
        free(link);
        close(descriptor);
        lane_lose(lane, CANYON_NO_MEMORY, "no memory for the connection to %s", lane->address_text);
        return;
    }
    link->descriptor = descriptor;
    link->poll.data = link;
    lane->link = link;
    if (session_begin(lane->session, lane->expects ? lane->digest : NULL, &error) != CANYON_OK) {
        lane_lose(lane, error.status, "%s", error.text);
        return;
    }
    lane->state = LANE_GREETING;
    lane_flush(lane);
}

static void lane_dialed(void *user, int descriptor, const char *text) {
    struct lane *lane = user;
    uv_stop(&lane->loop); /* the next turn is prepared for the new state; this one may have no timer left */
    pthread_mutex_lock(&lane->lock);
    lane->dial = NULL;
    uv_stop(&lane->loop); /* perhaps called by a timer, before the turn waits: others are to hear of it first */
    if (lane->state != LANE_DIALING) {
        if (descriptor >= 0)
            close(descriptor);
    } else if (descriptor >= 0) {
        lane_adopt(lane, descriptor);
    } else {
        lane_lose(lane, CANYON_UNAVAILABLE, "%s cannot be reached: %s; is the server running there?",
                  lane->address_text, text);
    }
    pthread_mutex_unlock(&lane->lock);
}

void lane_dial(struct lane *lane) {
    lane->attempt_deadline = clock_now() + (uint64_t)lane->options.connect_ms * LANE_MILLISECOND;
    lane->dial = dial_start(&lane->loop, &lane->address, lane->attempt_deadline, lane_dialed, lane);
    if (lane->dial != NULL)
        lane->state = LANE_DIALING;
    else
        lane_lose(lane, CANYON_NO_MEMORY, "no memory to connect to %s", lane->address_text);
}

void lane_poll_link(struct lane *lane) {
    if (lane->link == NULL)
        return;
    int events = UV_READABLE | (lane->blocked ? UV_WRITABLE : 0);
    if (events == lane->link->events)
        return;
    int failure = uv_poll_start(&lane->link->poll, events, lane_on_poll);
    assert(failure == 0); /* only a handle that is being closed refuses, and the lane has let go of those */
    (void)failure;
    lane->link->events = events;
}
