/* The acceptor is the thread for everything that is not greeted yet.
 *
 * It accepts, reads exactly the HELLO of each stranger, answers it, and delivers the good ones to the thread they asked
 * for; a server thread never sees a connection before. A stranger costs little: a small struct, a message of the length
 * its header announces (at most 4 KiB), five seconds, and a place among at most ACCEPTOR_STRANGERS. */
#ifndef CANYON_SERVER_ACCEPTOR_H
#define CANYON_SERVER_ACCEPTOR_H

#include "common/log.h"
#include "server/arrival.h"
#include "server/greeting.h"

#define ACCEPTOR_STRANGERS     1024
#define ACCEPTOR_HELLO_SECONDS 5

struct acceptor;

struct acceptor_options {
    int descriptor;                  /* listening, non-blocking; borrowed until acceptor_stop returns */
    const struct greeting *greeting; /* borrowed for the acceptor's life, as is `log` */
    const struct log *log;
    /* Called on the acceptor's thread; the arrival (from malloc) and its descriptor are the callee's. */
    void (*deliver)(void *user, struct arrival *arrival);
    void *user;
};

/* Creates it and starts its thread. Signals must be blocked by the caller before. NULL with a text in `error`. */
struct acceptor *acceptor_start(const struct acceptor_options *options, struct error *error);

/* Stops accepting, lets the strangers go, ends the thread and frees everything. Safe on NULL. */
void acceptor_stop(struct acceptor *acceptor);

#endif
