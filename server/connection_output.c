/* From the handler's replies to bytes at the socket. */
#include "server/connection_state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"

#define SLICES 128
/* Where records are put together, at most so much at a time: the client can open the first while we seal the next. */
#define SEALED ((size_t)4 * (CHANNEL_BULK_BYTES + CHANNEL_RECORD_BYTES))
/* A chunk of the outbox with less room than this is left as it is, rather than filled with tiny records. */
#define SEALED_LEAST 1024

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

static void fail_outbox(struct connection *connection, enum canyon_status status) {
    connection_fail(connection, LOG_WARNING,
                    status == CANYON_TOO_LARGE ? "more replies wait than the limit allows" : "no memory for replies");
}

/* Offers slices to the socket if nothing waits before them, and keeps a copy of the rest. */
static void put(struct connection *connection, struct iovec *slices, size_t count, int flags) {
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
            fail_outbox(connection, status);
        }
    }
    handler_count_bytes(connection->host->handler, 0, total);
}

/* ---- encrypted ---- */

/* Seals what it can of the slices, less the first `skip` bytes, straight to where it waits behind what waits already.
 * Returns the bytes it took. */
static size_t seal_behind(struct connection *connection, const struct iovec *slices, size_t count, size_t skip) {
    uint8_t *at;
    size_t room, taken = 0;
    enum canyon_status status = outbox_space(&connection->outbox, SEALED_LEAST, &at, &room);
    if (status != CANYON_OK) {
        fail_outbox(connection, status);
        return 0;
    }
    size_t sealed = channel_seal(connection->channel, slices, count, skip, at, room, &taken);
    assert(sealed > 0);
    outbox_filled(&connection->outbox, sealed);
    handler_count_bytes(connection->host->handler, 0, sealed);
    return taken;
}

static void seal(struct connection *connection, const struct iovec *slices, size_t count, bool more) {
    uint8_t *scratch = connection->host->sealed;
    size_t total = 0, done = 0;
    for (size_t i = 0; i < count; ++i) {
        total += slices[i].iov_len;
    }
    while (done < total && !connection->failed) {
        size_t taken = 0;
        if (!outbox_empty(&connection->outbox)) {
            done += seal_behind(connection, slices, count, done);
            continue;
        }
        struct iovec records = {.iov_base = scratch};
        records.iov_len = channel_seal(connection->channel, slices, count, done, scratch, SEALED, &taken);
        assert(records.iov_len > 0);
        done += taken;
        put(connection, &records, 1, more || done < total ? MSG_MORE : 0);
    }
}

uint8_t *connection_scratch_create(void) {
    return malloc(SEALED);
}

/* ---- what the other files call ---- */

/* Bytes of frames leave a connection here and nowhere else: never in the clear when there is a channel. */
static void output(struct connection *connection, struct iovec *slices, size_t count, bool more) {
    assert(!connection->last_sent);
    if (connection->channel != NULL) {
        seal(connection, slices, count, more);
    } else {
        assert(!connection->host->encrypted);
        put(connection, slices, count, more ? MSG_MORE : 0);
    }
}

void connection_send(struct handler_peer *peer, const struct handler_slice *slices, size_t count) {
    struct connection *connection = (struct connection *)(void *)peer;
    struct iovec vector[SLICES];
    size_t at = 0;
    while (at < count && connection->state == CONNECTION_OPEN && !connection->failed) {
        size_t part = count - at < SLICES ? count - at : SLICES;
        for (size_t i = 0; i < part; ++i) {
            vector[i] = (struct iovec){.iov_base = (void *)slices[at + i].bytes, .iov_len = slices[at + i].count};
        }
        at += part;
        output(connection, vector, part, at < count);
    }
    connection_watch(connection);
}

void connection_send_error(struct connection *connection, const struct error *error) {
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    size_t count = message_pack_error(error, bytes + FRAME_HEADER_BYTES);
    struct frame_header header = {.type = FRAME_ERROR, .message_bytes = (uint32_t)count};
    struct iovec slice = {.iov_base = bytes, .iov_len = FRAME_HEADER_BYTES + count};
    frame_header_encode(&header, bytes);
    output(connection, &slice, 1, false);
}

void connection_send_last(struct connection *connection) {
    uint8_t record[CHANNEL_RECORD_BYTES];
    struct iovec slice = {.iov_base = record, .iov_len = sizeof record};
    if (connection->channel != NULL && !connection->last_sent && !connection->failed) {
        channel_seal_last(connection->channel, record);
        put(connection, &slice, 1, 0);
    }
    connection->last_sent = true;
}

void connection_flush(struct connection *connection) {
    struct iovec vector[SLICES];
    while (!outbox_empty(&connection->outbox) && !connection->failed) {
        size_t sent = transmit(connection, vector, outbox_slices(&connection->outbox, vector, SLICES), 0);
        if (sent == 0) {
            break;
        }
        outbox_sent(&connection->outbox, sent);
        if (connection->known) { /* it reads: while much waits, nothing else that it does is looked at */
            handler_peer_heard(connection->host->handler, &connection->peer);
        }
    }
    if (connection->paused && connection->outbox.bytes <= connection->host->high_water / 2) {
        connection->paused = false;
        connection->progress = clock_now();
        connection->begun = connection->progress;
        connection_schedule(connection);
    }
}
