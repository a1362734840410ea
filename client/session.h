/* A session is the client's side of the conversation with one server thread, over one connection after another: bytes
 * and time in, bytes and outcomes out.
 *
 * It says hello, frames requests, keeps the bytes sent and unanswered within a window, matches replies to requests, and
 * makes what changes the server's shards count exactly once (PROTOCOL.md, "Sessions and numbers"): each piece or run
 * takes its number in (session, shard) when the first byte of its request goes out, in the order of sending, so that
 * what is never sent takes none. It opens no socket, reads no clock and starts no thread: a lane (lane.h) feeds it from
 * libuv, tests feed it from memory. Not thread-safe: the lane holds its lock.
 *
 * Life: session_begin -> HELLO goes out -> WELCOME comes -> (RESUME, RESUMED, once numbers were ever sent) -> ready:
 * requests flow -> session_lose (the connection is lost) -> begin again on a new connection. Requests submitted before
 * it is ready wait for that. Those that outlast a connection (numbered ones, reads and clocks) wait for the next one
 * and are sent again over it, in the same order and with the same numbers; all others end with their connection.
 *
 * When a numbered request that was begun is given up at its deadline, its owner gets its memory back at once, and the
 * session goes on with a copy, an orphan: its numbers are used, and it has to arrive for those after it to count.
 * Orphans are part of the window, which bounds them. Where memory for the copy cannot be had, the request is dropped,
 * and the gap that its numbers leave is closed by the next RESUME: what the server has not taken is numbered from there
 * on.
 *
 * A pull that may wait at the server for other workers (`may_wait`) does not count in the window, or those that wait
 * would keep back the pushes behind them, for which the others may be waiting in turn. Such pulls have a window of
 * their own, of the same bytes and at most SESSION_PATIENCE of them; what does not fit stays here, beside the queue.
 * Requests go out in the order in which they were submitted, but for one case: while any pull of that window is known
 * to wait for other workers, what was submitted after pulls that do not fit goes past them. It is known of a pull when
 * something that was sent after it is answered before it, since a server carries out in order what need not wait. When
 * a request would have to go past a pull and nothing is known, the session asks: it sends a request of its own
 * (MEMBERS), and either its answer comes first or that of the pulls, which makes room for more of them. */
#ifndef CANYON_CLIENT_SESSION_H
#define CANYON_CLIENT_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/frame.h"
#include "common/message.h"

/* RESUMING: welcomed, and what the server has taken is asked for. */
enum session_state { SESSION_DOWN = 0, SESSION_GREETING = 1, SESSION_READY = 2, SESSION_RESUMING = 3 };

struct session_request;

/* Called exactly once for a submitted request: with status OK and the reply (borrowed for the call; its payload is at
 * the request's destination when one was given and it fits, else in the frame), or with a failure and no reply (NULL).
 * A reply of type ERROR arrives as its code and text, with no reply. The request's memory is the owner's again. */
typedef void (*session_done)(struct session_request *request, enum canyon_status status, const char *text,
                             const struct frame *reply);

/* One request; the owner allocates and zeroes it, fills the upper part, and keeps it alive until `done`. */
struct session_request {
    uint16_t type;
    size_t message_bytes;
    uint8_t *message;            /* borrowed until done */
    const struct iovec *payload; /* borrowed until done; may be NULL */
    size_t payload_count;
    uint32_t payload_bytes;
    void *destination; /* where a reply payload of exactly destination_bytes goes; NULL: to the frame */
    uint32_t destination_bytes;
    uint32_t reply_bytes; /* payload the reply is expected to carry: counts in the window */
    uint64_t deadline;    /* monotonic ns; UINT64_MAX for none */
    bool may_wait;        /* a pull that the server may let wait for other workers; not numbered */
    bool changes_state;   /* decides between TIMEOUT/UNAVAILABLE and OUTCOME_UNKNOWN once bytes of it were sent */
    /* What is numbered: pieces in the message, all of them packed with a number other than 0 (message_piece_number) and
     * `shards` having each one's shard, borrowed until done; or, `shards` being NULL, runs at the beginning of the
     * first slice of the payload (struct rows_run). The session writes the numbers there. 0: not numbered. */
    uint32_t piece_count;
    const uint32_t *shards;
    /* NULL, or called when it is about to be sent, from session_output: the last moment to write its payload, whose
     * length stays. Called again while no byte of it ever went out. */
    void (*prepare)(struct session_request *request);
    session_done done;
    void *user;
    /* The session's own: */
    uint64_t id;
    size_t sent;       /* of its bytes, over this connection */
    bool begun;        /* a byte of it went out, over this connection or one before; to be read in `done` */
    bool numbered;     /* its numbers stand in it; for good once it is begun */
    bool admitted;     /* of one that may wait: it has its place in the window of those, */
    bool waits;        /* and what was sent after it was answered before it */
    uint64_t begun_at; /* session_clock, over this connection */
    uint8_t header[FRAME_HEADER_BYTES];
    struct session_request *next, *previous;
};

/* Defined in session.c; created on the heap. */
struct session;

struct session_options {
    uint8_t session_id[SESSION_BYTES];
    const char *name;      /* of the worker; borrowed for the session's life */
    const char *address;   /* of the server, for texts; borrowed for the session's life */
    uint32_t thread;       /* the server thread wanted */
    uint64_t window_bytes; /* most bytes sent and unanswered, or expected back; one request may always go alone */
};

/* As many pulls as a server lets wait for a connection (PROTOCOL.md): one more would be refused. */
#define SESSION_PATIENCE 1024

/* A session that a server had so long nothing to do with may be forgotten by it (PROTOCOL.md; a tenth less than there).
 */
#ifndef SESSION_MEMORY_NS
#define SESSION_MEMORY_NS (540 * 1000000000ull)
#endif

/* Since the session was created. */
struct session_counters {
    uint64_t answered;   /* requests, with whatever result */
    uint64_t given_up;   /* at their deadline */
    uint64_t resent;     /* requests that were begun again over another connection */
    uint64_t duplicates; /* pieces and runs sent again although the server had taken them: it answers those as such */
};

/* NULL when memory cannot be had. */
struct session *session_create(const struct session_options *options);
/* Every request must have ended (session_fail). Safe on NULL. */
void session_destroy(struct session *session);

/* A connection stands: queue the hello. `digest` is the job's when known, else NULL. NO_MEMORY leaves it DOWN. The
 * connection before is closed: what it may still carry is fenced off by the RESUME that is part of this beginning. */
enum canyon_status session_begin(struct session *session, const uint8_t *digest, struct error *error);

/* What time it is, in nanoseconds that go on while the machine sleeps: before session_output and session_received. By
 * it the session knows whether a server that does not know it has never heard of it, or may have forgotten it. */
void session_clock(struct session *session, uint64_t now);

/* Another window from now on. */
void session_limit(struct session *session, uint64_t window_bytes);

enum session_state session_state(const struct session *session);

/* What the server said, once READY: the welcome and the server list (text, one address a line). Borrowed. */
const struct message_welcome *session_welcome(const struct session *session);
const char *session_servers(const struct session *session, size_t *bytes);

/* Queues a request. Its `done` may be called from any later call below, never from this one. */
void session_submit(struct session *session, struct session_request *request);

/* Ends one request early (its owner gave up): `done` is called with `status`, and neither its message and payload nor
 * its destination are touched any more. One that is numbered and was begun goes on as an orphan. Otherwise a reply that
 * is still to come is swallowed; one that is arriving at the destination is diverted to scratch memory. When bytes of
 * what cannot go on were sent already but not all (or the scratch cannot be had), the connection cannot be used on:
 * returns false, and the lane must close it and call session_lose. */
bool session_cancel(struct session *session, struct session_request *request, enum canyon_status status,
                    const char *text);

/* Where to receive, and that `count` bytes arrived. A status other than OK means that the connection cannot go on (text
 * in error): the lane closes it and calls session_lose where session_may_return says so, else session_fail. What the
 * server says of the connection as a whole comes out here too: a refusal before READY, and GAP, FENCED and
 * SESSION_UNKNOWN, after which a new connection and its RESUME put numbers right. */
void session_space(struct session *session, uint8_t **at, size_t *room);
enum canyon_status session_received(struct session *session, size_t count, struct error *error);

/* What to send now: fills up to `most` slices, returns how many; 0 when there is nothing or the window is full. The
 * memory stays valid until session_sent says it went out. Always send all of it, or report how much went. */
size_t session_output(struct session *session, struct iovec *slices, size_t most);
void session_sent(struct session *session, size_t count);

/* The connection is lost, and there will be another: requests that do not outlast it end (as session_fail says), the
 * others wait. The state is DOWN. */
void session_lose(struct session *session, enum canyon_status status, const char *text);

/* Whether a connection that ended with this status may be followed by one that goes on with its requests. */
bool session_may_return(enum canyon_status status);

/* The connection is lost or could not be made, and nothing waits for another: every request ends (OUTCOME_UNKNOWN where
 * it changes state and bytes of it went out, else `status`; always `status` when that is CLOSED) with `text`, and there
 * are no orphans any more. The state is DOWN. What is submitted afterwards counts exactly once all the same: the next
 * RESUME says which numbers were taken. */
void session_fail(struct session *session, enum canyon_status status, const char *text);

/* The connection is lost before the welcome, so that no request was begun: they wait for another one. DOWN. */
void session_restart(struct session *session);

/* Ends the requests whose deadline is at or before `now`: OUTCOME_UNKNOWN where it changes state and bytes of it went
 * out, else UNAVAILABLE when the connection was lost and is waited for, else TIMEOUT; false as session_cancel. */
bool session_tick(struct session *session, uint64_t now);

/* When session_tick wants to be called: never later than the earliest deadline; UINT64_MAX when nothing waits. */
uint64_t session_wakeup(const struct session *session);

/* Payload bytes that are still to come for requests that were wholly sent, if all of them are answered as they hope. */
uint64_t session_awaited(const struct session *session);

/* Requests not ended yet, orphans among them, and those among them of which not all bytes were sent. */
size_t session_outstanding(const struct session *session);
size_t session_unsent(const struct session *session);

struct session_counters session_count(const struct session *session);

/* Whether anything numbered ever went out: then the server knows the session. */
bool session_has_numbers(const struct session *session);

#endif
