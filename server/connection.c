#include "server/connection.h"

#include <assert.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/congestion.h"
#include "server/connection_state.h"

#define SECOND      1000000000ull
#define FLUSH_TIME  (5 * SECOND)
#define LINGER_TIME (1 * SECOND)
#define GRACE_TIME  (SECOND / 5)
#define REST_AFTER  (2 * SECOND)
#define HURRY_TIME  (SECOND / 4) /* of each of the two, for a client that may no longer be here */

#define LEAST_RATE 4096ull /* bytes a second of a frame under way, beyond the time that it may stand still */

#define SWEEP_MS         1000
#define SWEEP_HURRIED_MS 20

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

void connection_watch(struct connection *connection) {
    int wanted = 0;
    bool reads = connection->state == CONNECTION_OPEN ? !connection->paused && !connection->paced
                                                      : connection->state == CONNECTION_LINGERING;
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

/* ---- the end ---- */

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}

static void forget_peer(struct connection *connection) {
    if (connection->known) {
        connection->known = false;
        handler_peer_gone(connection->host->handler, &connection->peer);
    }
    connection_set_paced(connection, false);
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
    if (connection->census != NULL) {
        census_leave(connection->census, connection->channel != NULL ? connection->key : NULL);
    }
    channel_destroy(connection->channel);
    connection->channel = NULL;
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
    connection->deadline = clock_now() + (connection->hurried ? HURRY_TIME : LINGER_TIME);
    connection_watch(connection);
}

void connection_wind_up(struct connection *connection) {
    forget_peer(connection);
    connection_input_release(connection);
    connection->state = CONNECTION_FLUSHING;
    connection->paused = false;
    connection->deadline = clock_now() + (connection->hurried ? HURRY_TIME : FLUSH_TIME);
    connection_send_last(connection);
    if (outbox_empty(&connection->outbox)) {
        linger(connection);
    } else {
        connection_watch(connection);
    }
}

void connection_refuse(struct connection *connection, const struct error *error) {
    seldom_log(&connection->host->refused, connection->host->log, LOG_WARNING, "connection-refused", connection->from,
               connection->peer.name, error->text);
    connection_send_error(connection, error);
    connection_wind_up(connection);
}

/* ---- turns ---- */

void connection_turn(struct connection *connection) {
    unschedule(connection);
    if (connection->failed) {
        connection_close(connection);
        return;
    }
    if (connection->state == CONNECTION_OPEN && connection->dismissed) {
        connection_wind_up(connection);
    } else if (connection->state == CONNECTION_OPEN) {
        connection_input_execute(connection);
    } else if (connection->state == CONNECTION_LINGERING) {
        connection_input_discard(connection);
    }
    connection_watch(connection);
}

static void on_poll(uv_poll_t *handle, int status, int events) {
    struct connection *connection = handle->data;
    ++connection->host->events;
    if (status < 0) {
        connection_fail(connection, LOG_DEBUG, uv_strerror(status));
    } else if ((events & UV_WRITABLE) != 0) {
        connection_flush(connection);
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

/* ---- the socket ---- */

/* A reply must not wait for an acknowledgement of the one before; a peer that is gone must be noticed within 30 seconds
 * whether something was on its way to it (the user timeout) or not (probes after 10, 15, 20 and 25 seconds of silence;
 * the user timeout also decides when they are enough). Timers of the kernel are up to an eighth late. */
static bool tune(int descriptor, const char *congestion) {
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof peer;
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
    if (getpeername(descriptor, (struct sockaddr *)&peer, &length) == 0) {
        congestion_set(descriptor, (const struct sockaddr *)&peer, congestion);
    }
    return good;
}

/* ---- who may do what ---- */

/* Gives the peer what the host's list says of its key; false when its key is not in it. */
static bool permit(struct connection *connection) {
    const struct allow_entry *entry = NULL;
    if (connection->channel != NULL) {
        entry = allow_find(connection->host->allow, connection->key);
    }
    connection->peer.entry = entry;
    connection->peer.role = connection->channel == NULL ? ROLE_ADMIN : entry != NULL ? entry->role : ROLE_NONE;
    pace_set(&connection->pace, entry != NULL ? entry->push_bytes : 0);
    return connection->peer.role != ROLE_NONE;
}

/* Its key is not in the list any more. */
static void expel(struct connection *connection) {
    char fingerprint[KEY_FINGERPRINT_BYTES];
    struct error error;
    if (connection->hurried || connection->failed) {
        return;
    }
    connection->hurried = true;
    connection->host->hurry = clock_now() + 2 * SECOND;
    if (connection->state == CONNECTION_OPEN) {
        log_event(connection->host->log, LOG_INFO, "revoked", "from=%s name=%s key=%s", connection->from,
                  connection->label, key_fingerprint(connection->key, fingerprint));
        error_set(&error, CANYON_UNAUTHENTICATED, "this client's key was taken off the server's allow-list");
        connection_send_error(connection, &error);
        connection_wind_up(connection);
    } else {
        connection->deadline = clock_now() + HURRY_TIME;
    }
}

void connection_allow(struct connection_host *host, struct allow *allow) {
    struct connection *connection = TAILQ_FIRST(&host->all);
    struct allow *old = host->allow;
    assert(host->encrypted);
    host->allow = allow_hold(allow);
    while (connection != NULL) {
        struct connection *next = TAILQ_NEXT(connection, all);
        if (!permit(connection)) {
            expel(connection);
        }
        connection = next;
    }
    allow_release(old); /* nobody has one of its entries any more */
}

/* ---- coming ---- */

/* The handler's, which may be deep inside a request of another connection: the next turn winds up. */
static void dismiss(struct handler_peer *peer) {
    struct connection *connection = (struct connection *)(void *)peer;
    connection->dismissed = true;
    connection_schedule(connection);
}

/* The handler's: pulls that waited go on in its turns, among the others' (connection_input_execute). */
static void wake(struct handler_peer *peer) {
    connection_schedule((struct connection *)(void *)peer);
}

/* Greets it on this thread's behalf; it may be refused, which it is told. */
static void introduce(struct connection *connection) {
    struct connection_host *host = connection->host;
    struct error error;
    bool permitted = permit(connection);
    log_event(host->log, LOG_DEBUG, "connected", "from=%s name=%s key=%s role=%s", connection->from, connection->label,
              connection->peer.entry != NULL ? connection->peer.entry->name : "-", role_name(connection->peer.role));
    if (!permitted) {
        expel(connection);
    } else if (handler_peer_came(host->handler, &connection->peer, &error) != CANYON_OK) {
        connection_refuse(connection, &error);
    } else {
        connection->known = true;
        connection_watch(connection);
    }
}

enum canyon_status connection_open(struct connection_host *host, struct arrival *arrival) {
    struct connection *connection = calloc(1, sizeof *connection);
    struct error error = {.status = CANYON_NO_MEMORY};
    char quoted[2 * LIMIT_NAME_BYTES];
    assert((arrival->channel != NULL) == host->encrypted);
    if (connection == NULL) {
        goto no_memory;
    }
    if (frame_reader_init(&connection->reader, host->payload_limit, NULL, NULL, &error) != CANYON_OK) {
        goto no_reader;
    }
    if (!tune(arrival->descriptor, host->congestion) ||
        uv_poll_init_socket(host->loop, &connection->poll, arrival->descriptor) != 0) {
        error.status = CANYON_UNAVAILABLE;
        goto no_poll;
    }
    connection->poll.data = connection;
    connection->host = host;
    connection->descriptor = arrival->descriptor;
    connection->channel = arrival->channel;
    connection->census = arrival->census;
    arrival->descriptor = -1;
    arrival->channel = NULL;
    arrival->census = NULL;
    connection->state = CONNECTION_OPEN;
    connection->progress = clock_now();
    connection->taken_at = connection->progress;
    memcpy(connection->key, arrival->key, KEY_BYTES);
    memcpy(connection->from, arrival->from, sizeof connection->from);
    memcpy(connection->peer.session, arrival->session, SESSION_BYTES);
    memcpy(connection->peer.name, arrival->name, sizeof connection->peer.name);
    log_quote(arrival->name, connection->label, sizeof connection->label);
    connection->peer.send = connection_send;
    connection->peer.close = dismiss;
    connection->peer.wake = wake;
    outbox_init(&connection->outbox, &host->pool, host->outbox_cap);
    TAILQ_INSERT_TAIL(&host->all, connection, all);
    ++host->count;
    introduce(connection);
    return CANYON_OK;

no_poll:
    frame_reader_finish(&connection->reader);
no_reader:
    free(connection);
no_memory:
    log_event(host->log, LOG_ERROR, "connection-lost", "from=%s name=%s reason=%s", arrival->from,
              log_quote(arrival->name, quoted, sizeof quoted), status_name(error.status));
    arrival_release(arrival);
    return error.status;
}

/* ---- stopping, deadlines ---- */

void connection_drain(struct connection *connection, uint64_t until) {
    connection->draining = true;
    if (connection->state == CONNECTION_OPEN) {
        uint64_t grace = clock_now() + GRACE_TIME;
        connection->deadline = until;
        connection->grace = grace < until ? grace : until;
        connection_watch(connection);
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

/* For how long a frame may be under way: its buffer is memory that others then cannot have, and a byte now and then
 * would hold it for ever. A record, or header and message, may be all that is there. */
static uint64_t frame_time(const struct connection *connection) {
    return connection->host->stall +
           (CHANNEL_BULK_BYTES + (uint64_t)connection->reader.header.payload_bytes) * SECOND / LEAST_RATE;
}

/* Of a frame that has begun; false when it need not end yet. */
static bool is_late(const struct connection *connection, uint64_t now, struct error *error) {
    if (now - connection->progress >= connection->host->stall) {
        error_set(error, CANYON_TIMEOUT, "a frame stood unfinished for %llu seconds",
                  (unsigned long long)(connection->host->stall / SECOND));
    } else if (now - connection->begun >= frame_time(connection)) {
        error_set(error, CANYON_TIMEOUT,
                  "a frame was not whole after %llu seconds: it came slower than %llu bytes a second",
                  (unsigned long long)(frame_time(connection) / SECOND), LEAST_RATE);
    } else {
        return false;
    }
    return true;
}

/* The connection was reset, or the client's machine is silent for too long. Of a socket that the loop does not watch
 * nobody else tells; a client that only closed its end is still here. */
static bool is_lost(const struct connection *connection) {
    struct pollfd socket = {.fd = connection->descriptor};
    return poll(&socket, 1, 0) == 1 && (socket.revents & (POLLERR | POLLHUP)) != 0;
}

void connection_sweep(struct connection *connection, uint64_t now) {
    struct error error;
    switch (connection->state) {
    case CONNECTION_OPEN:
        if (connection->draining && (now >= connection->deadline || connection_input_drained(connection, now))) {
            connection_input_over(connection);
        } else if (connection->paced && connection->events == 0 && is_lost(connection)) {
            connection_fail(connection, LOG_DEBUG, "it is gone");
        } else if (connection->paced) {
            connection_input_resume(connection, now);
        } else if (!connection->paused && !connection->scheduled && !connection_input_idle(connection) &&
                   is_late(connection, now, &error)) {
            connection_refuse(connection, &error);
        } else if (reads_nothing(connection, now)) {
            cut_off(connection);
        } else if (!connection->resting && now - connection->progress >= REST_AFTER &&
                   connection_input_idle(connection)) {
            connection_input_rest(connection);
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

uint64_t connection_sweep_interval(const struct connection_host *host) {
    return host->paced > 0 || (host->hurry > 0 && clock_now() < host->hurry) ? SWEEP_HURRIED_MS : SWEEP_MS;
}
