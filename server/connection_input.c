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

enum receipt { RECEIPT_SOME, RECEIPT_PARTIAL, RECEIPT_NOTHING, RECEIPT_END };

/* One recv into the reader. PARTIAL: less came than there was room for, so the receive buffer was empty then. */
static enum receipt receive(struct connection *connection) {
    uint8_t *at;
    size_t room;
    ssize_t got;
    frame_reader_space(&connection->reader, &at, &room);
    assert(room > 0);
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
        return RECEIPT_END;
    }
    frame_reader_received(&connection->reader, (size_t)got);
    connection->progress = clock_now();
    handler_count_bytes(connection->host->handler, (uint64_t)got, 0);
    return (size_t)got < room ? RECEIPT_PARTIAL : RECEIPT_SOME;
}

void connection_input_over(struct connection *connection) {
    if (!frame_reader_idle(&connection->reader)) {
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

/* A buffer is kept for the next payload as long as there is plenty. */
static void spare_buffer(struct connection *connection) {
    if (connection->host->received > connection->host->received_limit / 2) {
        frame_reader_trim(&connection->reader);
        (void)count_buffer(connection);
    }
}

bool connection_input_drained(const struct connection *connection, uint64_t now) {
    return now >= connection->grace && !connection->paused && !connection->scheduled &&
           frame_reader_idle(&connection->reader);
}

void connection_input_execute(struct connection *connection) {
    struct connection_host *host = connection->host;
    size_t frames = 0, bytes = 0;
    uint64_t start = clock_now();
    bool empty = false; /* the receive buffer was, at the last look */
    while (connection->state == CONNECTION_OPEN && !connection->failed && !connection->paused) {
        struct frame frame;
        struct error error;
        if (connection->outbox.bytes > (host->pool.used > host->pool_crowded ? 0 : host->high_water)) {
            connection->paused = true;
            break;
        }
        if (frames >= TURN_FRAMES || bytes >= TURN_BYTES || (frames > 0 && clock_now() - start >= TURN_TIME)) {
            connection_schedule(connection);
            break;
        }
        enum frame_reader_result result = frame_reader_next(&connection->reader, &frame, &error);
        if (!count_buffer(connection)) {
            refuse_payload(connection);
            break;
        }
        if (result == FRAME_READER_FRAME) {
            ++frames;
            bytes += FRAME_HEADER_BYTES + frame.header.message_bytes + frame.header.payload_bytes;
            handler_frame(host->handler, &connection->peer, &frame);
            continue;
        }
        if (result == FRAME_READER_BROKEN) {
            connection_refuse(connection, &error);
            break;
        }
        if (empty) {
            break; /* the poll handle tells when more has come */
        }
        enum receipt receipt = receive(connection);
        empty = receipt == RECEIPT_PARTIAL;
        if (receipt == RECEIPT_END) {
            connection->ended = true;
            connection_input_over(connection);
        } else if (receipt == RECEIPT_NOTHING) {
            break;
        }
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
