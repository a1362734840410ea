/* An arrival is a connection whose hello was good, on its way from the acceptor to the thread it asked for. */
#ifndef CANYON_SERVER_ARRIVAL_H
#define CANYON_SERVER_ARRIVAL_H

#include "common/channel.h"
#include "common/message.h"
#include "server/census.h"

#define ARRIVAL_FROM_BYTES 64 /* "[IPv6]:PORT" */

struct arrival {
    struct arrival *next;
    int descriptor; /* owned; connected, non-blocking, close-on-exec; nothing beyond the hello was read. -1: taken */
    uint32_t thread;
    uint8_t session[SESSION_BYTES];
    char name[LIMIT_NAME_BYTES];
    char from[ARRIVAL_FROM_BYTES]; /* the peer's address, for logs */
    struct channel *channel;       /* owned; NULL in plaintext */
    uint8_t key[KEY_BYTES];        /* with a channel: whose it is proven to be; in the allow-list when it came */
    struct census *census;         /* where it has entered; NULL once somebody else is to let it leave */
};

/* Closes the descriptor, destroys the channel and lets it leave the census, as far as nobody took them. */
void arrival_release(struct arrival *arrival);

/* Releases and frees one from malloc. Safe on NULL. */
void arrival_destroy(struct arrival *arrival);

#endif
