#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/lane_state.h"
#include "common/clock.h"
#include "common/random.h"
#include "common/secret.h"

#define SLICES     64 /* of one sendmsg */
#define BULK_BYTES (192 * 1024)
#define READS      16 /* of one turn, so that writing gets its turn too */

void lane_hang_up(struct lane *lane) {
    lane->state = LANE_DOWN;
    lane->blocked = false;
    lane_channel_destroy(lane->channel);
    lane->channel = NULL;
    if (lane->link != NULL)
        shutdown(lane->link->descriptor, SHUT_RDWR);
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

/* What the socket is to take next; 0 slices when there is nothing, or the connection was lost over it. */
static size_t lane_offer(struct lane *lane, struct iovec slices[SLICES]) {
    struct error error = {.status = CANYON_OK};
    if (lane->channel == NULL)
        return session_output(lane->session, slices, SLICES);
    if (lane_channel_output(lane->channel, lane->session, slices, &error) != CANYON_OK) {
        lane_lose(lane, error.status, "%s", error.text);
        return 0;
    }
    return slices[0].iov_len > 0 ? 1 : 0;
}

void lane_flush(struct lane *lane) {
    struct iovec slices[SLICES];
    lane->blocked = false;
    session_clock(lane->session, clock_boot());
    while (lane->state >= LANE_SECURING) {
        size_t count = lane_offer(lane, slices);
        if (count == 0)
            return;
        struct msghdr message = {.msg_iov = slices, .msg_iovlen = count};
        ssize_t sent = sendmsg(lane->link->descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0 && lane->channel != NULL) {
            lane_channel_sent(lane->channel, (size_t)sent);
        } else if (sent >= 0) {
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

bool lane_is_sending(const struct lane *lane) {
    return session_unsent(lane->session) > 0 || (lane->channel != NULL && lane_channel_waiting(lane->channel) > 0);
}

void lane_say_last(struct lane *lane) {
    struct iovec rest;
    if (lane->state < LANE_GREETING || lane->channel == NULL || !lane_channel_finish(lane->channel, &rest))
        return;
    /* Once: who does not read now is not waited for, and sees an abort. */
    ssize_t sent = send(lane->link->descriptor, rest.iov_base, rest.iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent;
}

bool lane_is_old(const struct lane *lane) {
    const struct lane_options *options = &lane->options;
    return lane->channel != NULL && !lane->pinned &&
           (lane_channel_carried(lane->channel) >= options->renew_bytes ||
            clock_now() - lane->up_since >= options->renew_ms * LANE_MILLISECOND);
}

void lane_renew(struct lane *lane) {
    assert(lane->state == LANE_UP && session_outstanding(lane->session) == 0);
    log_event(lane->options.log, LOG_INFO, "renewing_keys", "address=%s thread=%u", lane->address_text,
              lane->options.thread);
    lane_say_last(lane);
    session_lose(lane->session, CANYON_UNAVAILABLE, "");
    lane_hang_up(lane);
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
    lane->doubted = false;
    lane->denials = 0;
    lane->up_since = clock_now();
    lane_returned(lane);
    log_event(lane->options.log, LOG_INFO, "connected", "address=%s thread=%u cipher=%s", lane->address_text,
              lane->options.thread, lane->known != NULL ? channel_cipher_name(lane->known->cipher) : "none");
    pthread_cond_broadcast(&lane->turn);
}

/* A silent close at this point of the handshake speaks of keys, but one by a server that dies just now looks the same:
 * it is asked once more, within the same attempt's time. */
static void lane_ask_again(struct lane *lane) {
    lane->doubted = true;
    lane->wanted = true;
    session_restart(lane->session);
    lane_hang_up(lane);
}

/* The stream ended, or broke with an errno. */
static void lane_ended(struct lane *lane, int failure) {
    struct error error = {.status = CANYON_OK};
    if (lane->channel != NULL)
        lane_channel_ended(lane->channel, failure, &error);
    else if (lane->state == LANE_GREETING && failure == 0)
        error_set(
            &error, CANYON_UNAVAILABLE,
            "%s closed the connection without a word; is it running with --insecure-plaintext, as this client is?",
            lane->address_text);
    else
        error_set(&error, CANYON_UNAVAILABLE, "%s closed the connection%s%s; is it still running?", lane->address_text,
                  failure != 0 ? ": " : "", failure != 0 ? strerror(failure) : "");
    if (error.status == CANYON_UNAUTHENTICATED && !lane->doubted)
        lane_ask_again(lane);
    else
        lane_lose(lane, error.status, "%s", error.text);
}

/* The socket stands, and whoever is at its other end may hear the hello. */
static void lane_greet(struct lane *lane) {
    struct error error = {.status = CANYON_OK};
    session_clock(lane->session, clock_boot());
    if (session_begin(lane->session, lane->expects ? lane->digest : NULL, &error) != CANYON_OK) {
        lane_lose(lane, error.status, "%s", error.text);
        return;
    }
    lane->state = LANE_GREETING;
    lane_flush(lane);
}

/* Bytes of the protocol were put at the session's space. */
static void lane_feed(struct lane *lane, size_t count) {
    struct error error = {.status = CANYON_OK};
    session_clock(lane->session, clock_boot());
    enum canyon_status status = session_received(lane->session, count, &error);
    if (status != CANYON_OK)
        lane_lose(lane, status, "%s", error.text);
    else if (lane->state == LANE_GREETING && session_state(lane->session) == SESSION_READY)
        lane_greeted(lane);
    else if (lane->lost_since != 0)
        lane_answered(lane);
}

/* Sealed bytes were received: goes through all that they amount to. */
static void lane_open_records(struct lane *lane) {
    enum lane_channel_event event = LANE_CHANNEL_BYTES;
    while (lane->state >= LANE_SECURING && event != LANE_CHANNEL_NEEDS_MORE) {
        struct error error = {.status = CANYON_OK};
        size_t got = 0;
        event = lane_channel_next(lane->channel, lane->session, &got, &error);
        switch (event) {
        case LANE_CHANNEL_NEEDS_MORE:
            break;
        case LANE_CHANNEL_PROVEN:
            lane_greet(lane);
            break;
        case LANE_CHANNEL_BYTES:
            lane_feed(lane, got);
            break;
        case LANE_CHANNEL_LAST:
            lane_say_last(lane);
            lane_lose(lane, CANYON_UNAVAILABLE, "%s closed the connection; is it still running?", lane->address_text);
            break;
        case LANE_CHANNEL_FAILED:
            lane->damaged = lane->state == LANE_UP;
            lane_lose(lane, error.status, "%s", error.text);
            break;
        }
    }
}

void lane_read(struct lane *lane) {
    for (int reads = 0; reads < READS && lane->state >= LANE_SECURING; reads++) {
        uint8_t *at = NULL;
        size_t room = 0;
        if (lane->channel != NULL)
            lane_channel_space(lane->channel, &at, &room);
        else
            session_space(lane->session, &at, &room);
        if (room == 0)
            return;
        ssize_t got = recv(lane->link->descriptor, at, room, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (got <= 0) {
            lane_ended(lane, got < 0 ? errno : 0);
            return;
        }
        lane->heard = clock_now();
        if (lane->channel != NULL) {
            lane_channel_received(lane->channel, (size_t)got);
            lane_open_records(lane);
        } else {
            lane_feed(lane, (size_t)got);
        }
        if ((size_t)got < room)
            return;
    }
}

static void lane_on_poll(uv_poll_t *poll, int status, int events) {
    struct lane *lane = poll->loop->data;
    (void)events;
    lane->stirred = true;
    pthread_mutex_lock(&lane->lock);
    if (lane->link != NULL && &lane->link->poll == poll && lane->state >= LANE_SECURING) {
        if (status < 0)
            lane_lose(lane, CANYON_UNAVAILABLE, "the connection to %s broke: %s", lane->address_text,
                      uv_strerror(status));
        lane_read(lane);
        lane_flush(lane);
    }
    pthread_mutex_unlock(&lane->lock);
}

/* The server must prove itself before it hears anything. */
static void lane_secure(struct lane *lane) {
    struct lane_channel_options options = {
        .own = identity_key(lane->options.identity), .server = lane->known, .address = lane->address_text};
    random_fill(options.seed, sizeof options.seed);
    lane->channel = lane_channel_create(&options);
    secret_wipe(options.seed, sizeof options.seed);
    if (lane->channel == NULL) {
        lane_lose(lane, CANYON_NO_MEMORY, "no memory for the connection to %s", lane->address_text);
        return;
    }
    lane->state = LANE_SECURING;
    lane_flush(lane);
}

/* Plaintext, as was asked for: but is that the machine it was asked for? */
static void lane_go_plain(struct lane *lane) {
    const enum dial_peer peer = dial_peer(lane->link->descriptor);
    if (peer == DIAL_GONE) {
        lane_lose(lane, CANYON_UNAVAILABLE, "%s closed the connection at once; is it still running?",
                  lane->address_text);
        return;
    }
    if (peer == DIAL_FAR && !identity_plaintext_anywhere(lane->options.identity)) {
        lane_lose(lane, CANYON_INVALID_ARGUMENT,
                  "%s is another machine, and plaintext is for this one: use keys (canyon keygen makes one) or, where "
                  "nobody else can listen, --insecure-plaintext-anywhere; no data was sent",
                  lane->address_text);
        return;
    }
    lane_greet(lane);
}

static void lane_adopt(struct lane *lane, int descriptor) {
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL || uv_poll_init_socket(&lane->loop, &link->poll, descriptor) != 0) {
        free(link);
        close(descriptor);
        lane_lose(lane, CANYON_NO_MEMORY, "no memory for the connection to %s", lane->address_text);
        return;
    }
    link->descriptor = descriptor;
    link->least = 1;
    link->poll.data = link;
    lane->link = link;
    if (lane->options.window_bytes == 0)
        session_limit(lane->session, dial_peer(descriptor) == DIAL_NEAR ? LANE_WINDOW_NEAR : LANE_WINDOW_FAR);
    if (lane->known != NULL)
        lane_secure(lane);
    else
        lane_go_plain(lane);
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
    if (!lane->doubted)
        lane->attempt_deadline = clock_now() + (uint64_t)lane->options.connect_ms * LANE_MILLISECOND;
    lane->dial =
        dial_start(&lane->loop, &lane->address, lane->options.congestion, lane->attempt_deadline, lane_dialed, lane);
    if (lane->dial != NULL)
        lane->state = LANE_DIALING;
    else
        lane_lose(lane, CANYON_NO_MEMORY, "no memory to connect to %s", lane->address_text);
}

/* While much is to come, a driver that wakes for every packet wakes often, which costs the sender time too. */
static int lane_least(struct lane *lane) {
    bool much = lane->state == LANE_UP && session_awaited(lane->session) >= 2 * BULK_BYTES;
    lane->hasty = lane->hasty && much;
    return much && !lane->hasty ? BULK_BYTES : 1;
}

bool lane_poll_link(struct lane *lane) {
    if (lane->link == NULL)
        return false;
    int least = lane_least(lane);
    if (least != lane->link->least &&
        setsockopt(lane->link->descriptor, SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least) == 0)
        lane->link->least = least;
    int events = UV_READABLE | (lane->blocked ? UV_WRITABLE : 0);
    if (events == lane->link->events)
        return lane->link->least > 1;
    int failure = uv_poll_start(&lane->link->poll, events, lane_on_poll);
    assert(failure == 0); /* only a handle that is being closed refuses, and the lane has let go of those */
    (void)failure;
    lane->link->events = events;
    return lane->link->least > 1;
}
