/* A connection is one greeted client on one server thread: the adapter between its socket and the handler.
 *
 * Bytes received become frames, frames go to the handler, what the handler sends is offered to the socket at once and
 * what the socket does not take waits in an outbox. With a channel, bytes received become plaintext in between, which
 * is decrypted straight to where the frame wants it, and replies are sealed straight from parameter memory; a server
 * has connections with a channel, or without, never both. One turn executes a bounded number of frames for a bounded
 * time, so that a greedy client does not starve the others; while much output waits, nothing more is read. Pulls that
 * waited for other workers and are let go, perhaps a thousand at once, count as frames that are there before all that
 * is read: they too are executed in turns, and while not much output waits. Life:
 *
 *   OPEN       frames are executed
 *   FLUSHING   nothing more is executed (the client closed, broke the protocol, lost its permission, was ended by the
 *              handler, or the server stops): output goes out, the last record with it
 *   LINGERING  all is sent, our end is closed: input is thrown away until the client closes too, since closing with
 *              unread input would make the kernel destroy what the client has not read yet
 *   CLOSED     its handle is closing, then its memory goes
 *
 * A stream that ends without the client's last record was cut: the connection is closed, logged and counted as aborted.
 * A record that the client did not seal closes it at once, without a word.
 *
 * It works on the plain descriptor through uv_poll, not through uv_tcp: stopping must know that the receive buffer is
 * empty, a turn must be able to stop reading after any frame, and outgoing slices must reach the socket without a copy.
 * Only the thread of its loop touches it. */
#ifndef CANYON_SERVER_CONNECTION_H
#define CANYON_SERVER_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include "common/frame.h"
#include "common/log.h"
#include "server/arrival.h"
#include "server/handler.h"
#include "server/outbox.h"
#include "server/pace.h"
#include "server/seldom.h"
#include "server/tally.h"

enum connection_state { CONNECTION_OPEN, CONNECTION_FLUSHING, CONNECTION_LINGERING, CONNECTION_CLOSED };

struct connection {
    struct handler_peer peer; /* first: the handler's peer is the connection */
    struct connection_host *host;
    int descriptor;
    struct channel *channel; /* owned; NULL in plaintext */
    uint8_t key[KEY_BYTES];  /* with a channel: whose it is */
    struct census *census;   /* to leave */
    enum connection_state state;
    bool known;     /* to the handler */
    bool failed;    /* the socket is of no use: the next turn closes */
    bool paused;    /* too much output waits: nothing is read or executed */
    bool draining;  /* the server stops: what is received, or on its way, is answered, then no more */
    bool ended;     /* the client closed its end, or sent its last record */
    bool dry;       /* in this turn, all that the socket had was received */
    bool paced;     /* its key's share of this second is used up: nothing is read or executed */
    bool hurried;   /* it is to be gone within a second */
    bool last_sent; /* we sent our last record: no byte may follow */
    bool scheduled; /* in the host's ready list */
    bool dismissed; /* the handler has ended it: the next turn winds up */
    bool resting;   /* its buffers' pages went back to the system; nothing has come since */
    uv_poll_t poll;
    int events; /* of poll, as armed */
    struct frame_reader reader;
    size_t payload_room; /* of the reader, as counted in the host's received */
    struct outbox outbox;
    uint64_t progress; /* when bytes last came, or the pause ended */
    uint64_t begun;    /* when the frame under way began, or the pause in its middle ended */
    uint64_t deadline; /* of FLUSHING and LINGERING; of draining's reading */
    uint64_t grace;    /* of draining: until then more may come after the receive buffer was found empty */
    uint64_t sent;     /* bytes the socket took */
    uint64_t taken;    /* of these, acknowledged by the client's machine at the last sweep */
    uint64_t taken_at; /* when that last grew, or no output waited */
    struct pace pace;
    char from[ARRIVAL_FROM_BYTES];
    char label[2 * LIMIT_NAME_BYTES]; /* the peer's name, quoted for logs: it may be any text */
    TAILQ_ENTRY(connection) all, ready;
};

TAILQ_HEAD(connection_list, connection);

/* What the connections of one thread share; the reactor fills and owns it. */
struct connection_host {
    uv_loop_t *loop;
    struct handler *handler;
    const struct log *log;
    bool encrypted;      /* all connections have a channel, or none has */
    struct allow *allow; /* held; whom an encrypting server lets do what */
    uint8_t *sealed;     /* from connection_scratch_create; of an encrypting server */
    struct tally *tally;
    struct outbox_pool pool;
    uint32_t payload_limit;
    size_t high_water; /* of an outbox: above it nothing is read, until it is below half of it */
    size_t outbox_cap;
    size_t received;        /* bytes of the readers' payload buffers together */
    size_t received_limit;  /* a payload that would need more is refused, and its connection with it */
    size_t pool_crowded;    /* chunks used by all: above it a connection reads nothing while any output of it waits */
    uint64_t stall;         /* nanoseconds that a partial frame may stand still */
    uint64_t unread;        /* nanoseconds that output may wait while the client takes none of it */
    const char *congestion; /* of their sockets: a name of common/congestion.h; borrowed */
    uint64_t events;        /* that the loop reported of connections, and receipts of bytes, ever */
    struct seldom refused, cut, aborted; /* events of these names */
    struct connection_list all;
    struct connection_list ready; /* want another turn soon */
    size_t count;
    size_t paced;   /* connections that are */
    uint64_t hurry; /* until then deadlines are due sooner than in the next second */
};

/* Where an encrypting host's connections put their records together; from malloc, NULL without memory. */
uint8_t *connection_scratch_create(void);

/* Takes over the arrival's descriptor, channel and place in the census (also when it fails), and makes the client known
 * to the handler. A client whose key is not in the host's list (any more), or whose session belongs to another key, is
 * told so. */
enum canyon_status connection_open(struct connection_host *host, struct arrival *arrival);

/* From now on this list says who may do what (held): roles change at once, and connections whose key is not in it are
 * told so and closed within a second. Of an encrypting host. */
void connection_allow(struct connection_host *host, struct allow *allow);

/* How soon connection_sweep should be called for all, again and again: milliseconds. */
uint64_t connection_sweep_interval(const struct connection_host *host);

/* One turn: executes what is there, within bounds. For those in the ready list. */
void connection_turn(struct connection *connection);

/* The server stops: whole frames received until the receive buffer is empty, or until `until`, are answered; then the
 * connection flushes and closes. */
void connection_drain(struct connection *connection, uint64_t until);

/* Looks at its deadlines. The connection may be CLOSED afterwards. */
void connection_sweep(struct connection *connection, uint64_t now);

/* At once, whatever waits. Its memory goes when the loop has closed its handle. */
void connection_close(struct connection *connection);

#endif
