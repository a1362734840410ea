#include "server/connection_state.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"

#define MILLISECOND 1000000ull
#define TURN_FRAMES 64
#define TURN_BYTES  ((size_t)4 * 1024 * 1024)
/* A frame may take long (digests of much state): then it is the only one of its turn. */
#define TURN_TIME (2 * MILLISECOND)

/* SOME: the reader was given bytes. NOTHING: there are none now. OVER: there will be no more, or the connection failed.
 */
enum receipt { RECEIPT_SOME, RECEIPT_NOTHING, RECEIPT_OVER };

/* One recv of at most `room` bytes. NOTHING also after one that came short: the receive buffer was empty then, and the
 * poll handle tells when more has come. */
static enum receipt receive(struct connection *connection, uint8_t *at, size_t room, size_t *count) {
    ssize_t got;
    assert(room > 0);
    if (connection->dry) {
        return RECEIPT_NOTHING;
    }
    do {
        got = recv(connection->descriptor, at, room, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
            connection_fail(connection, LOG_DEBUG, strerror(errno));
        }
        return RECEIPT_NOTHING;
    }
    if (got == 0) {
        connection->ended = true;
        return RECEIPT_OVER;
    }
    const bool begins = connection_input_idle(connection);
    connection->dry = (size_t)got < room;
    ++connection->host->events;
    connection->progress = clock_now();
    connection->resting = false;
    connection->begun = begins ? connection->progress : connection->begun;
    pace_take(&connection->pace, (uint64_t)got, connection->progress);
    handler_count_bytes(connection->host->handler, (uint64_t)got, 0);
    handler_peer_heard(connection->host->handler, &connection->peer);
    *count = (size_t)got;
    return RECEIPT_SOME;
}

static enum receipt receive_plain(struct connection *connection) {
    uint8_t *at;
    size_t room, count = 0;
    frame_reader_space(&connection->reader, &at, &room);
    enum receipt receipt = receive(connection, at, room, &count);
    if (receipt == RECEIPT_SOME) {
        frame_reader_received(&connection->reader, count);
    }
    return receipt;
}

/* The stream ended, or went wrong, where the client had not said that it was all. What it had asked for may be answered
 * no more, since nobody can tell who closed it. */
static void abort_input(struct connection *connection, const char *reason) {
    struct connection_host *host = connection->host;
    atomic_fetch_add(&host->tally->aborted, 1);
    seldom_log(&host->aborted, host->log, LOG_INFO, "aborted", connection->from, connection->peer.name, reason);
    connection->failed = true;
    connection_schedule(connection);
}

/* Whole records become plaintext in the reader; when there is none, more is received into the channel. */
static enum receipt receive_sealed(struct connection *connection) {
    for (;;) {
        uint8_t *at;
        size_t room, count = 0;
        frame_reader_space(&connection->reader, &at, &room);
        switch (channel_read(connection->channel, at, room, &count)) {
        case CHANNEL_BYTES:
            frame_reader_received(&connection->reader, count);
            return RECEIPT_SOME;
        case CHANNEL_LAST:
            connection->ended = true;
            return RECEIPT_OVER;
        case CHANNEL_BROKEN:
            abort_input(connection, "a record was not sealed by the client, or not now");
            return RECEIPT_OVER;
        case CHANNEL_NEEDS_MORE:
            break;
        }
        channel_space(connection->channel, &at, &room);
        enum receipt receipt = receive(connection, at, room, &count);
        if (receipt == RECEIPT_OVER) {
            abort_input(connection, "the stream ended without a last record");
        }
        if (receipt != RECEIPT_SOME) {
            return receipt;
        }
        channel_received(connection->channel, count);
    }
}

bool connection_input_idle(const struct connection *connection) {
    return frame_reader_idle(&connection->reader) && (connection->channel == NULL || channel_idle(connection->channel));
}

void connection_set_paced(struct connection *connection, bool paced) {
    if (connection->paced != paced) {
        connection->paced = paced;
        connection->host->paced = connection->host->paced + (paced ? 1 : 0) - (paced ? 0 : 1);
    }
}

static bool has_unread(const struct connection *connection) {
    uint8_t byte;
    return recv(connection->descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void connection_input_resume(struct connection *connection, uint64_t now) {
    if (has_unread(connection)) {
        /* A worker's signs of life may be among it, and are not read for the pace's sake alone. */
        handler_peer_heard(connection->host->handler, &connection->peer);
    }
    if (pace_allows(&connection->pace, now)) {
        connection_set_paced(connection, false);
        connection->progress = now;
        connection->begun = now;
        connection_schedule(connection);
        connection_watch(connection);
    }
}

void connection_input_over(struct connection *connection) {
    if (!connection_input_idle(connection)) {
        seldom_log(&connection->host->cut, connection->host->log, LOG_INFO, "frame-cut", connection->from,
                   connection->peer.name, connection->ended ? "the client closed" : "the server stops");
    }
    connection_wind_up(connection);
}

/* Notes what the reader's payload buffer takes; false when those of all connections take more than they may. Memory
 * that was only just allocated has not been touched, so that it is not too late. */
static bool count_buffer(struct connection *connection) {
    struct connection_host *host = connection->host;
    host->received = host->received - connection->payload_room + connection->reader.payload_room;
    connection->payload_room = connection->reader.payload_room;
    return host->received <= host->received_limit;
}

void connection_input_release(struct connection *connection) {
    connection->host->received -= connection->payload_room;
    connection->payload_room = 0;
    frame_reader_finish(&connection->reader);
}

static void refuse_payload(struct connection *connection) {
    struct error error;
    error_set(&error, CANYON_BUSY,
              "the payloads that this server thread receives at once would take more than %zu bytes: try again, push "
              "from fewer workers at a time, or give the server more threads",
              connection->host->received_limit);
    connection_refuse(connection, &error);
}

void connection_input_rest(struct connection *connection) {
    frame_reader_rest(&connection->reader);
    (void)count_buffer(connection);
    if (connection->channel != NULL) {
        channel_rest(connection->channel);
    }
    connection->resting = true;
}

/* A buffer is kept for the next payload as long as there is plenty. */
static void spare_buffer(struct connection *connection) {
    if (connection->host->received > connection->host->received_limit / 2) {
        frame_reader_trim(&connection->reader);
        (void)count_buffer(connection);
    }
}

bool connection_input_drained(const struct connection *connection, uint64_t now) {
    return now >= connection->grace && !connection->paused && !connection->paced && !connection->scheduled &&
           connection_input_idle(connection);
}

void connection_input_execute(struct connection *connection) {
    struct connection_host *host = connection->host;
    size_t work = 0, frames = 0, bytes = 0;
    uint64_t start = clock_now();
    connection->dry = false;
    while (connection->state == CONNECTION_OPEN && !connection->failed && !connection->dismissed &&
           !connection->paused && !connection->paced) {
        struct frame frame;
        struct error error;
        if (connection->outbox.bytes > (host->pool.used > host->pool_crowded ? 0 : host->high_water)) {
            connection->paused = true;
            break;
        }
        if (!connection->draining && !pace_allows(&connection->pace, start)) {
            connection_set_paced(connection, true);
            break;
        }
        if (frames >= TURN_FRAMES || bytes >= TURN_BYTES || (work > 0 && clock_now() - start >= TURN_TIME)) {
            connection_schedule(connection);
            break;
        }
        if (handler_go_on(host->handler, &connection->peer)) {
            ++work;
            ++frames;
            continue;
        }
        enum frame_reader_result result = frame_reader_next(&connection->reader, &frame, &error);
        if (!count_buffer(connection)) {
            refuse_payload(connection);
            break;
        }
        if (result == FRAME_READER_FRAME) {
            ++work;
            ++frames;
            bytes += FRAME_HEADER_BYTES + frame.header.message_bytes + frame.header.payload_bytes;
            connection->begun = connection->progress; /* of the next, if there is anything of it */
            handler_frame(host->handler, &connection->peer, &frame);
            continue;
        }
        if (result == FRAME_READER_BROKEN) {
            connection_refuse(connection, &error);
            break;
        }
        enum receipt receipt = connection->channel != NULL ? receive_sealed(connection) : receive_plain(connection);
        if (receipt == RECEIPT_OVER && !connection->failed) {
            connection_input_over(connection);
        }
        if (receipt != RECEIPT_SOME) {
            break;
        }
        ++work;
    }
    if (connection->draining && connection->state == CONNECTION_OPEN && !connection->failed &&
        connection_input_drained(connection, clock_now())) {
        connection_input_over(connection);
    }
    spare_buffer(connection);
}

void connection_input_discard(struct connection *connection) {
    uint8_t waste[4096];
    for (int i = 0; i < 64; ++i) {
        ssize_t got = recv(connection->descriptor, waste, sizeof waste, MSG_DONTWAIT);
        if (got > 0 || (got < 0 && errno == EINTR)) {
            continue;
        }
        if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) {
            connection_close(connection);
        }
        break;
    }
}
