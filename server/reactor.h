/* A reactor is one server thread: a libuv loop, a handler that owns the thread's shards, and the connections to both.
 *
 * Life: create -> start (the thread runs) -> deliver ... -> stop -> join -> destroy. */
#ifndef CANYON_SERVER_REACTOR_H
#define CANYON_SERVER_REACTOR_H

#include <stdint.h>

#include "common/job.h"
#include "common/log.h"
#include "server/arrival.h"
#include "server/tally.h"

struct reactor;

struct reactor_options {
    const struct job *job; /* borrowed for the reactor's life, as is `log` */
    uint32_t server;       /* index in the job's list */
    uint32_t thread, threads;
    const struct log *log;
    uint64_t state_limit;        /* of this thread, as in handler_environment */
    uint32_t lease_ms;           /* likewise */
    struct allow *allow;         /* the list of the first day (held); NULL for a plaintext server */
    struct tally *tally;         /* borrowed */
    const char *congestion;      /* of its connections, common/congestion.h; borrowed */
    int processor;               /* that the thread is bound to, or AFFINITY_NONE */
    uint32_t spin;               /* microseconds that it looks for work before it sleeps */
    void (*stopped)(void *user); /* called once on the reactor's thread, when it ends after reactor_stop */
    void *user;
};

/* NULL with a text in `error` when memory or descriptors cannot be had. */
struct reactor *reactor_create(const struct reactor_options *options, struct error *error);

/* Starts the thread. Signals must be blocked by the caller before, so that the thread takes none. */
enum canyon_status reactor_start(struct reactor *reactor, struct error *error);

/* Hands a greeted client over; `arrival` (from malloc) and all it holds belong to the reactor from now on.
 * Any thread; not after reactor_stop. */
void reactor_deliver(struct reactor *reactor, struct arrival *arrival);

/* From now on this list (held) says who may do what, for connections that are open too. Arrivals that are delivered
 * after this call are judged by it. Any thread; not after reactor_stop; of an encrypting server. */
void reactor_allow(struct reactor *reactor, struct allow *allow);

/* Answers what was received and ends, at `deadline` (monotonic nanoseconds) at the latest. Any thread; returns at once.
 */
void reactor_stop(struct reactor *reactor, uint64_t deadline);

/* Waits until the thread has ended. No-op when it was never started. */
void reactor_join(struct reactor *reactor);

/* Joined, or never started. Safe on NULL. */
void reactor_destroy(struct reactor *reactor);

#endif
