/* A lane is one connection to one server thread, kept alive over libuv, and the rule of who drives it.
 *
 * Whoever holds the driver token runs the lane's loop, one turn at a time. A caller who waits takes the token if it is
 * free, so a blocking call does its network work on its own thread; the lane's I/O thread takes it only when requests
 * are under way and nobody waits. Requests are written by whoever submits them; replies are read by whoever drives.
 *
 * A connection that is lost is replaced as long as requests wait that outlast it (session.h), at intervals that grow
 * (backoff.h), for reconnect_ms; then they end. A server that was never reached is tried once; one that did not come
 * back in that time, once for each submit. An encrypted connection that has carried much or stands for long is replaced
 * by a new one when it is idle, so that its keys do not get old. Thread-safe.
 */
#ifndef CANYON_CLIENT_LANE_H
#define CANYON_CLIENT_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/identity.h"
#include "client/session.h"
#include "common/log.h"
#include "common/message.h"

struct lane;

struct lane_options {
    const char *address; /* copied */
    uint32_t thread;
    uint8_t session_id[SESSION_BYTES];
    const char *name;      /* of the worker; borrowed for the lane's life */
    uint64_t window_bytes; /* 0: LANE_WINDOW_NEAR or LANE_WINDOW_FAR */
    uint32_t connect_ms;
    uint32_t reconnect_ms;           /* how long requests wait for a lost server; 0: not at all */
    const char *congestion;          /* a name of common/congestion.h; borrowed for the lane's life; NULL for "auto" */
    uint32_t spin_us;                /* how long a driver looks for bytes before it sleeps */
    const struct identity *identity; /* borrowed for the lane's life */
    uint64_t renew_bytes;            /* carried by a connection until it is replaced; 0 for LANE_RENEW_BYTES */
    uint64_t renew_ms;               /* and its age; 0 for LANE_RENEW_MS */
    const struct log *log;           /* borrowed for the lane's life */
};

/* What is under way to a server on this machine should fit into the caches of its processors, and be enough blocks
 * (five of the default length) that neither side waits for the other; to another machine it fills the network. */
#define LANE_WINDOW_NEAR (3ull << 19)
#define LANE_WINDOW_FAR  (8ull << 20)

#define LANE_RENEW_BYTES (1ull << 40)
#define LANE_RENEW_MS    (24ull * 60 * 60 * 1000)

/* NULL with an error when threads or memory cannot be had, or the identity does not know the server. Connects to
 * nothing yet. */
struct lane *lane_create(const struct lane_options *options, struct error *error);

/* Ends every request with CLOSED and refuses new ones the same way. */
void lane_close(struct lane *lane);

/* After lane_close, when no other thread is in a call on it. Waits for a name lookup under way. Safe on NULL. */
void lane_destroy(struct lane *lane);

/* What the server must say from the next connection on; until then anything is accepted. A server that says otherwise
 * is a CONFIGURATION error. `threads` 0: it was not there to say how many it has; should it come, that is UNAVAILABLE,
 * since nobody knows yet which of its threads owns what. */
void lane_expect(struct lane *lane, const uint8_t digest[JOB_DIGEST_BYTES], uint32_t server, uint32_t threads);

/* Begins to connect on the I/O thread, and waits for the end of that. `welcome` and `servers` (one a line, owned by the
 * caller: free) may be NULL. UNAVAILABLE, CONFIGURATION, UNSUPPORTED, ...: the text names the server. */
void lane_connect(struct lane *lane);
enum canyon_status lane_wait_connected(struct lane *lane, struct message_welcome *welcome, char **servers,
                                       struct error *error);

/* Who will drive the requests of a submit: the caller itself at once; the caller, after other lanes (the I/O thread
 * helps when much is to be moved); or nobody but the I/O thread. */
enum lane_urgency { LANE_DRIVEN = 0, LANE_DRIVEN_LATER = 1, LANE_UNATTENDED = 2 };

/* Submits a chain of requests (linked through `next`, NULL-terminated) and writes what the socket takes. The requests'
 * `done` functions are called under the lane's lock, by whichever thread finds the end of the request, perhaps before
 * this returns: they must not call lane functions other than lane_defer. */
void lane_submit(struct lane *lane, struct session_request *first, enum lane_urgency urgency);

/* Drives the lane, or waits while another thread does, until `over(user)` (called under the lane's lock) or `deadline`.
 */
void lane_drive(struct lane *lane, bool (*over)(void *user), void *user, uint64_t deadline);

/* From a request's `done` only: `run(user)` is called soon, on this thread, when no lock is held. */
struct lane_task {
    void (*run)(void *user);
    void *user;
    struct lane_task *next;
};
void lane_defer(struct lane *lane, struct lane_task *task);

/* The connection is not to be replaced while it works: the server ties something to it that a new one would lose. */
void lane_pin(struct lane *lane);

/* Begins to end the session, if the server knows it and nothing is under way: then nothing more is submitted (CLOSED).
 * lane_wait_left returns at the server's answer or the deadline, or at once. */
void lane_leave(struct lane *lane, uint64_t deadline);
void lane_wait_left(struct lane *lane);

struct lane_counters {
    uint64_t reconnects;         /* connections made in place of a lost one */
    uint64_t resent, duplicates; /* struct session_counters */
};
struct lane_counters lane_count(struct lane *lane);

const char *lane_address(const struct lane *lane);

/* How often the server was found restarted since the lane was created. */
uint32_t lane_restarts(struct lane *lane);

#endif
