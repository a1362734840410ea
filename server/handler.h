/* A handler answers the requests of one server thread: frames in, reply frames out, no socket in sight.
 *
 * It owns the shards of its thread and, on the thread that owns shard 0, the catalogue's waiters, the workers' ranks
 * and the barriers. Time and randomness come in through its environment; replies go out through each peer's send.
 * Requests of a peer are executed in the order their frames arrive; one that must wait is parked and answered later, so
 * replies may overtake one another. What a peer's role, or the patterns of its key's line in the allow-list, do not
 * permit is answered DENIED. Single-threaded; the same code runs over libuv and in tests without a socket. */
#ifndef CANYON_SERVER_HANDLER_H
#define CANYON_SERVER_HANDLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/frame.h"
#include "common/job.h"
#include "common/message.h"
#include "server/allow.h"
#include "server/memory.h"

/* Parked requests: of one peer, and of the whole handler. Beyond: BUSY. */
#define HANDLER_PARKED_PER_PEER 64
#define HANDLER_PARKED          65536

/* Pulls that wait for the clocks of other workers, apart from those, or did and wait to be carried out: of one peer, of
 * the whole handler, and the bytes of their messages that the handler keeps meanwhile. Beyond: BUSY. */
#define HANDLER_WAITS_PER_PEER 1024
#define HANDLER_WAITS          65536
#define HANDLER_WAIT_BYTES     (64u << 20)
/* All workers of a job often have one key, which so may have most of that room; but not all. */
#define HANDLER_WAITS_OF_KEY      (HANDLER_WAITS / 4 * 3)
#define HANDLER_WAIT_BYTES_OF_KEY (HANDLER_WAIT_BYTES / 4 * 3)

struct command;
struct handler;
struct member;
struct sessions_share;
struct wait;

/* Bytes to send, borrowed for the call. */
struct handler_slice {
    const void *bytes;
    size_t count;
};

/* One client connection as the handler sees it; the connection embeds it first. */
struct handler_peer {
    /* Sends one whole frame given in slices: whatever the socket does not take at once is copied before this returns,
     * since the slices point into parameter memory. A peer that is closing swallows it. Must not call the handler. */
    void (*send)(struct handler_peer *peer, const struct handler_slice *slices, size_t count);
    /* The handler has ended it: nothing more that it sends is looked at. What was sent to it is to go out, then it is
     * to be closed; until it is gone, the handler knows it. May be NULL. Must not call the handler. */
    void (*close)(struct handler_peer *peer);
    /* Pulls of it that waited for clocks may be carried out: it calls handler_go_on, outside of this call, for one
     * after another as long as it has room for what they bring, and before it gives the handler anything that it
     * receives. NULL: they are carried out at once, however much they bring. Must not call the handler. */
    void (*wake)(struct handler_peer *peer);
    uint8_t session[SESSION_BYTES]; /* from its hello */
    char name[LIMIT_NAME_BYTES];    /* from its hello, for texts and logs */
    /* What it may do; the connection changes both, together, when the allow-list does. In plaintext everybody is admin,
     * and there is no entry. */
    enum role role;
    const struct allow_entry *entry; /* its key's; borrowed while the peer has it */
    /* The handler's own, set by handler_peer_came: */
    uint32_t parked;  /* its requests that wait */
    uint32_t waiting; /* its pulls that wait for clocks, */
    uint32_t ready;   /* and those that did, and wait to be carried out; both in their order: */
    struct wait *waiting_first, *waiting_last;
    struct wait *ready_first, *ready_last;
    struct sessions_share *share; /* its key's; NULL in plaintext */
    struct member *member;        /* the worker it is of, once that counts clocks */
    bool joined;                  /* it asked for a rank */
    bool numbered;                /* its session has numbers here, for all that it needs to know */
    bool ending;                  /* its request is answered by its end */
    bool ended;                   /* it was closed */
    uint64_t dropping;            /* the tensor that it gives up creating */
    struct handler_peer *next, *previous;
};

struct handler_environment {
    uint64_t (*now)(void *user);                           /* monotonic nanoseconds */
    void (*random)(void *user, void *bytes, size_t count); /* unpredictable bytes */
    /* Adds what is counted outside of the handlers, of the whole server; may be NULL. Asked on thread 0 only. */
    void (*count)(void *user, struct message_statistics *statistics);
    void *user;
    const struct memory *memory; /* for parameters, of this handler's thread alone; NULL for the C library's */
    uint32_t lease_ms;           /* how long a worker that says nothing is waited for; 0 for MEMBERS_LEASE_MS */
    /* Most bytes that these shards may hold together, of parameters, optimizer state, contributions to clocks that are
     * open and what is remembered of sessions; 0 for no limit. What else a thread keeps has bounds of its own: waits
     * and parked requests above, MEMBERS_ENTRIES workers that count clocks (under 600 bytes each), LIMIT_TENSORS
     * tensors. */
    uint64_t state_limit;
};

/* `job` and `environment` are borrowed for the handler's life. Its shards are those s with job_server_of(s) == server
 * and job_thread_of(s, threads) == thread. NULL when memory cannot be had. */
struct handler *handler_create(const struct job *job, uint32_t server, uint32_t thread, uint32_t threads,
                               const struct handler_environment *environment);
void handler_destroy(struct handler *handler);

/* Most payload bytes of one frame of this job, whichever way it goes: a block's, and at least 1 MiB so that small
 * pieces can share a frame. The connection refuses larger requests; a PULL whose reply would be larger is TOO_LARGE.
 * DIGESTS and RESUMED alone may be longer: their length follows from the shards. */
uint32_t handler_payload_limit(const struct job *job);

/* A peer has come (after its hello) and gone. DENIED when its session belongs to another key, NO_MEMORY: then it has
 * not come. After `gone` the handler does not know it any more: its parked requests are forgotten, its rank is free,
 * tensors it was creating pass to the next waiting creator. */
enum canyon_status handler_peer_came(struct handler *handler, struct handler_peer *peer, struct error *error);
void handler_peer_gone(struct handler *handler, struct handler_peer *peer);

/* Bytes of it came, of a frame that may be long under way, or it took some that had waited for it: it lives. */
void handler_peer_heard(struct handler *handler, struct handler_peer *peer);

/* Executes one request. Every frame gets exactly one reply: now, or when it is unparked; unless its peer goes first or
 * is ended, which an ERROR in answer to no request tells it. */
void handler_frame(struct handler *handler, struct handler_peer *peer, const struct frame *frame);

/* Applies a command that a shard of this thread told its watcher (server/shard.h), so that a handler that is given all
 * commands of all its shards, each shard's in their order, comes to the same state; before the first peer comes.
 * INVALID_ARGUMENT for a shard that is not here, NO_MEMORY; INTERNAL when the command does not take a place in the
 * shard's order as it did then: the log is not this shard's, or not whole. After an error the handler is of no use.
 *
 * Of the workers it knows then what commands tell (proto/PROTOCOL.md, "A server that was restarted"). */
enum canyon_status handler_replay(struct handler *handler, uint32_t shard, const struct command *command,
                                  struct error *error);

/* Has this watch a shard of this thread; false when it is not here. */
bool handler_watch(struct handler *handler, uint32_t shard, void (*watch)(void *user, const struct command *command),
                   void *user);

/* Carries out the next of the pulls that the peer was woken for; false when there is none. They are answered in the
 * order in which they were let go. */
bool handler_go_on(struct handler *handler, struct handler_peer *peer);

/* When handler_tick wants to be called: monotonic nanoseconds, UINT64_MAX for not at all. */
uint64_t handler_wakeup(const struct handler *handler);

/* Answers the parked requests whose time is over (TIMEOUT, with a text that says what they waited for), and ends leases
 * that are: to be called when what had been received by then was given to the handler. */
void handler_tick(struct handler *handler);

/* The server is stopping: parked requests are answered UNAVAILABLE. */
void handler_stop(struct handler *handler);

/* Counters the connection layer adds to: */
void handler_count_bytes(struct handler *handler, uint64_t in, uint64_t out);

#endif
