/* The acceptor is the thread for everything that is not greeted yet.
 *
 * It accepts, and finds out who each stranger is: an encrypting server takes the three messages of the channel's
 * handshake, looks the proven key up in the allow-list and judges the hello inside; a plaintext server takes the HELLO
 * alone. It answers, and delivers the good ones to the thread they asked for; a server thread never sees a connection
 * before. Whoever cannot prove an allowed key gets no byte that says why: the connection is closed.
 *
 * A stranger costs little: STRANGER_BYTES of memory at most, five seconds in all, no arithmetic on a curve before its
 * first message was made by somebody who knows the server's key, and a place among few. When the places are taken, who
 * has been silent for longest gives way to who comes, so that newcomers get their turn whatever sits there; the same
 * when descriptors run out, and when those inside have them all, a few in reserve serve to turn newcomers away. The
 * thread runs at a lower priority than the server's, so that a flood at the door takes no time from those inside. */
#ifndef CANYON_SERVER_ACCEPTOR_H
#define CANYON_SERVER_ACCEPTOR_H

#include "common/log.h"
#include "server/arrival.h"
#include "server/greeting.h"
#include "server/tally.h"

#define ACCEPTOR_STRANGERS     16384 /* most at once, where descriptors allow as many */
#define ACCEPTOR_HANDSHAKES    1024  /* most of them past their first message */
#define ACCEPTOR_HELLO_SECONDS 5
#define ACCEPTOR_RESERVE       4 /* descriptors */

struct acceptor;

struct acceptor_options {
    int descriptor;                  /* listening, non-blocking; borrowed until acceptor_stop returns */
    const struct greeting *greeting; /* borrowed for the acceptor's life, as are the next five */
    const struct log *log;
    const struct key_pair *key; /* the server's; NULL for a plaintext server */
    struct census *census;
    struct tally *tally;
    enum channel_cipher cipher;
    uint32_t strangers; /* most at once, up to ACCEPTOR_STRANGERS */
    /* Called on the acceptor's thread; the arrival is the callee's. */
    void (*deliver)(void *user, struct arrival *arrival);
    void *user;
};

/* Creates it and starts its thread. `allow` (held; NULL for a plaintext server) is the list of the first day. Signals
 * must be blocked by the caller before. NULL with a text in `error`. */
struct acceptor *acceptor_start(const struct acceptor_options *options, struct allow *allow, struct error *error);

/* From now on keys are looked up in this list (held). Any thread. */
void acceptor_allow(struct acceptor *acceptor, struct allow *allow);

/* Stops accepting, lets the strangers go, ends the thread and frees everything. Safe on NULL. */
void acceptor_stop(struct acceptor *acceptor);

#endif
