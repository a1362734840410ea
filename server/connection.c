#include "server/connection.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "server/connection_state.h"

#define SLICES      128
#define SECOND      1000000000ull
#define FLUSH_TIME  (5 * SECOND)
#define LINGER_TIME (1 * SECOND)
#define GRACE_TIME  (SECOND / 5)

static void on_poll(uv_poll_t *handle, int status, int events);

/* ---- the host's lists and the poll handle ---- */

void connection_schedule(struct connection *connection) {
    if (!connection->scheduled && connection->state != CONNECTION_CLOSED) {
        connection->scheduled = true;
        TAILQ_INSERT_TAIL(&connection->host->ready, connection, ready);
    }
}

static void unschedule(struct connection *connection) {
    if (connection->scheduled) {
        connection->scheduled = false;
        TAILQ_REMOVE(&connection->host->ready, connection, ready);
    }
}

void connection_fail(struct connection *connection, enum log_level level, const char *reason) {
    char quoted[128];
    if (!connection->failed) {
        connection->failed = true;
        log_event(connection->host->log, level, "connection-lost", "from=%s name=%s reason=%s", connection->from,
                  connection->label, log_quote(reason, quoted, sizeof quoted));
        connection_schedule(connection);
    }
}

/* Arms the poll handle for what the state wants. */
static void watch(struct connection *connection) {
    int wanted = 0;
    bool reads = connection->state == CONNECTION_OPEN ? !connection->paused : connection->state == CONNECTION_LINGERING;
    if (connection->state == CONNECTION_CLOSED || connection->failed) {
        return;
    }
    if (reads && !connection->ended) {
        wanted |= UV_READABLE;
    }
    if (!outbox_empty(&connection->outbox)) {
        wanted |= UV_WRITABLE;
    }
    if (wanted != connection->events) {
        int failure = wanted != 0 ? uv_poll_start(&connection->poll, wanted, on_poll) : uv_poll_stop(&connection->poll);
        connection->events = wanted;
        if (failure != 0) {
            connection_fail(connection, LOG_ERROR, uv_strerror(failure));
        }
    }
}

/* ---- output ---- */

/* One sendmsg; returns the bytes taken, 0 when the socket is full or has failed. */
static size_t transmit(struct connection *connection, struct iovec *slices, size_t count, int flags) {
    struct msghdr message = {.msg_iov = slices, .msg_iovlen = count};
    ssize_t sent;
    do {
        sent = sendmsg(connection->descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT | flags);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
        connection_fail(connection, LOG_DEBUG, strerror(errno));
    }
    connection->sent += sent > 0 ? (uint64_t)sent : 0;
    return sent > 0 ? (size_t)sent : 0;
}

/* Offers slices to the socket if nothing waits before them, and keeps a copy of the rest. */
static void offer(struct connection *connection, struct iovec *slices, size_t count, int flags) {
    size_t total = 0, sent = 0;
    for (size_t i = 0; i < count; ++i) {
        total += slices[i].iov_len;
    }
    if (outbox_empty(&connection->outbox)) {
        sent = transmit(connection, slices, count, flags);
    }
    if (sent < total && !connection->failed) {
        enum canyon_status status = outbox_add(&connection->outbox, slices, count, sent);
        if (status != CANYON_OK) {
            connection_fail(connection, LOG_WARNING,
                            status == CANYON_TOO_LARGE ? "more replies wait than the limit allows"
                                                       : "no memory for replies");
        }
    }
    handler_count_bytes(connection->host->handler, 0, total);
}

/* The handler's way out. */
static void send_frame(struct handler_peer *peer, const struct handler_slice *slices, size_t count) {
    struct connection *connection = (struct connection *)(void *)peer;
    struct iovec vector[SLICES];
    size_t at = 0;
    while (at < count && connection->state == CONNECTION_OPEN && !connection->failed) {
        size_t part = count - at < SLICES ? count - at : SLICES;
        for (size_t i = 0; i < part; ++i) {
            vector[i] = (struct iovec){.iov_base = (void *)slices[at + i].bytes, .iov_len = slices[at + i].count};
        }
        at += part;
        offer(connection, vector, part, at < count ? MSG_MORE : 0);
    }
    watch(connection);
}

/* Sends what waits; the pause ends when enough went. */
static void flush(struct connection *connection) {
    struct iovec vector[SLICES];
    while (!outbox_empty(&connection->outbox) && !connection->failed) {
        size_t sent = transmit(connection, vector, outbox_slices(&connection->outbox, vector, SLICES), 0);
        if (sent == 0) {
            break;
        }
        outbox_sent(&connection->outbox, sent);
    }
    if (connection->paused && connection->outbox.bytes <= connection->host->high_water / 2) {
        connection->paused = false;
        connection->progress = clock_now();
        connection_schedule(connection);
    }
}

/* ---- the end ---- */

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}

static void forget_peer(struct connection *connection) {
    if (connection->known) {
        connection->known = false;
        handler_peer_gone(connection->host->handler, &connection->peer);
    }
}

void connection_close(struct connection *connection) {
    struct connection_host *host = connection->host;
    if (connection->state == CONNECTION_CLOSED) {
        return;
    }
    connection->state = CONNECTION_CLOSED;
    unschedule(connection);
    forget_peer(connection);
    TAILQ_REMOVE(&host->all, connection, all);
    --host->count;
    log_event(host->log, LOG_DEBUG, "disconnected", "from=%s name=%s", connection->from, connection->label);
    connection_input_release(connection);
    outbox_finish(&connection->outbox);
    uv_close((uv_handle_t *)&connection->poll, on_closed);
    close(connection->descriptor);
    connection->descriptor = -1;
}

/* All is sent: close our end, and wait for the client's. */
static void linger(struct connection *connection) {
    if (connection->ended || shutdown(connection->descriptor, SHUT_WR) != 0) {
        connection_close(connection);
        return;
    }
    connection->state = CONNECTION_LINGERING;
    connection->deadline = clock_now() + LINGER_TIME;
    watch(connection);
}

void connection_wind_up(struct connection *connection) {
    forget_peer(connection);
    connection_input_release(connection);
    connection->state = CONNECTION_FLUSHING;
    connection->paused = false;
    connection->deadline = clock_now() + FLUSH_TIME;
    if (outbox_empty(&connection->outbox)) {
        linger(connection);
    } else {
        watch(connection);
    }
}

void connection_refuse(struct connection *connection, const struct error *error) {
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    size_t count = message_pack_error(error, bytes + FRAME_HEADER_BYTES);
    struct frame_header header = {.type = FRAME_ERROR, .message_bytes = (uint32_t)count};
    struct iovec slice = {.iov_base = bytes, .iov_len = FRAME_HEADER_BYTES + count};
    frame_header_encode(&header, bytes);
    seldom_log(&connection->host->refused, connection->host->log, LOG_WARNING, "connection-refused", connection->from,
               connection->peer.name, error->text);
    offer(connection, &slice, 1, 0);
    connection_wind_up(connection);
}

/* ---- turns ---- */

void connection_turn(struct connection *connection) {
    unschedule(connection);
    if (connection->failed) {
        connection_close(connection);
        return;
    }
    if (connection->state == CONNECTION_OPEN) {
        connection_input_execute(connection);
    } else if (connection->state == CONNECTION_LINGERING) {
        connection_input_discard(connection);
    }
    watch(connection);
}

static void on_poll(uv_poll_t *handle, int status, int events) {
    struct connection *connection = handle->data;
    if (status < 0) {
        connection_fail(connection, LOG_DEBUG, uv_strerror(status));
    } else if ((events & UV_WRITABLE) != 0) {
        flush(connection);
        if (connection->state == CONNECTION_FLUSHING && outbox_empty(&connection->outbox)) {
            linger(connection);
            return;
        }
    }
    /* One that is in the ready list has its turn there. */
    if (!connection->scheduled) {
        connection_turn(connection);
    }
}

/* ---- beginning, stopping, deadlines ---- */

/* A reply must not wait for an acknowledgement of the one before; a peer that is gone must be noticed within 30 seconds
 * whether something was on its way to it (the user timeout) or not (probes after 10, 15, 20 and 25 seconds of silence;
 * the user timeout also decides when they are enough). Timers of the kernel are up to an eighth late. */
static bool tune(int descriptor) {
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},   {SOL_SOCKET, SO_KEEPALIVE, 1}, {IPPROTO_TCP, TCP_KEEPIDLE, 10},
        {IPPROTO_TCP, TCP_KEEPINTVL, 5}, {IPPROTO_TCP, TCP_KEEPCNT, 3}, {IPPROTO_TCP, TCP_USER_TIMEOUT, 25000},
    };
    bool good = true;
    for (size_t i = 0; i < sizeof options / sizeof options[0]; ++i) {
        good = good && setsockopt(descriptor, options[i].level, options[i].name, &options[i].value,
                                  sizeof options[i].value) == 0;
    }
    return good;
}

enum canyon_status connection_open(struct connection_host *host, const struct arrival *arrival) {
    struct connection *connection = calloc(1, sizeof *connection);
    struct error error = {.status = CANYON_NO_MEMORY};
    char quoted[2 * LIMIT_NAME_BYTES];
    if (connection == NULL) {
        goto no_memory;
    }
    if (frame_reader_init(&connection->reader, host->payload_limit, NULL, NULL, &error) != CANYON_OK) {
        goto no_reader;
    }
    if (!tune(arrival->descriptor) || uv_poll_init_socket(host->loop, &connection->poll, arrival->descriptor) != 0) {
        error.status = CANYON_UNAVAILABLE;
        goto no_poll;
    }
    connection->poll.data = connection;
    connection->host = host;
    connection->descriptor = arrival->descriptor;
    connection->state = CONNECTION_OPEN;
    connection->progress = clock_now();
    connection->taken_at = connection->progress;
    memcpy(connection->from, arrival->from, sizeof connection->from);
    memcpy(connection->peer.session, arrival->session, SESSION_BYTES);
    memcpy(connection->peer.name, arrival->name, sizeof connection->peer.name);
    log_quote(arrival->name, connection->label, sizeof connection->label);
    connection->peer.send = send_frame;
    outbox_init(&connection->outbox, &host->pool, host->outbox_cap);
    TAILQ_INSERT_TAIL(&host->all, connection, all);
    ++host->count;
    connection->known = true;
    handler_peer_came(host->handler, &connection->peer);
    log_event(host->log, LOG_DEBUG, "connected", "from=%s name=%s", connection->from, connection->label);
    watch(connection);
    return CANYON_OK;

no_poll:
    frame_reader_finish(&connection->reader);
no_reader:
    free(connection);
no_memory:
    close(arrival->descriptor);
    log_event(host->log, LOG_ERROR, "connection-lost", "from=%s name=%s reason=%s", arrival->from,
              log_quote(arrival->name, quoted, sizeof quoted), status_name(error.status));
    return error.status;
}

void connection_drain(struct connection *connection, uint64_t until) {
    connection->draining = true;
    if (connection->state == CONNECTION_OPEN) {
        uint64_t grace = clock_now() + GRACE_TIME;
        connection->deadline = until;
        connection->grace = grace < until ? grace : until;
        watch(connection);
        connection_schedule(connection);
    }
}

/* Nothing that we sent is still on its way. */
static bool all_arrived(const struct connection *connection) {
    int waiting = 0;
    return ioctl(connection->descriptor, SIOCOUTQ, &waiting) == 0 && waiting == 0;
}

/* Output waits, and for long the client has taken none. What its machine acknowledged is what counts: our socket takes
 * more only in large steps, between which a slow client may need longer than this. */
static bool reads_nothing(struct connection *connection, uint64_t now) {
    int waiting = 0;
    if (outbox_empty(&connection->outbox) || ioctl(connection->descriptor, SIOCOUTQ, &waiting) != 0) {
        connection->taken_at = now;
        return false;
    }
    uint64_t taken = connection->sent - (uint64_t)waiting;
    if (taken != connection->taken) {
        connection->taken = taken;
        connection->taken_at = now;
    }
    return now - connection->taken_at >= connection->host->unread;
}

/* Its memory, in the kernel too, is wanted back now: what is on its way is destroyed. */
static void cut_off(struct connection *connection) {
    struct linger linger = {.l_onoff = 1};
    char reason[64];
    snprintf(reason, sizeof reason, "it read nothing for %llu seconds",
             (unsigned long long)(connection->host->unread / SECOND));
    connection_fail(connection, LOG_WARNING, reason);
    (void)setsockopt(connection->descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    connection_close(connection);
}

void connection_sweep(struct connection *connection, uint64_t now) {
    switch (connection->state) {
    case CONNECTION_OPEN:
        if (connection->draining && (now >= connection->deadline || connection_input_drained(connection, now))) {
            connection_input_over(connection);
        } else if (!connection->paused && !connection->scheduled && !frame_reader_idle(&connection->reader) &&
                   now - connection->progress >= connection->host->stall) {
            struct error error;
            error_set(&error, CANYON_TIMEOUT, "a frame stood unfinished for %llu seconds",
                      (unsigned long long)(connection->host->stall / SECOND));
            connection_refuse(connection, &error);
        } else if (reads_nothing(connection, now)) {
            cut_off(connection);
        }
        break;
    case CONNECTION_FLUSHING:
        if (now >= connection->deadline) {
            connection_close(connection);
        }
        break;
    case CONNECTION_LINGERING:
        if (now >= connection->deadline || (connection->draining && all_arrived(connection))) {
            connection_close(connection);
        }
        break;
    case CONNECTION_CLOSED:
        break;
    }
}
