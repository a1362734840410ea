/* An arrival is a connection whose hello was good, on its way from the acceptor to the thread it asked for. */
#ifndef CANYON_SERVER_ARRIVAL_H
#define CANYON_SERVER_ARRIVAL_H

#include "common/message.h"

#define ARRIVAL_FROM_BYTES 64 /* "[IPv6]:PORT" */

struct arrival {
    struct arrival *next;
    int descriptor; /* owned; connected, non-blocking, close-on-exec; nothing beyond the hello was read */
    uint32_t thread;
    uint8_t session[SESSION_BYTES];
    char name[LIMIT_NAME_BYTES];
    char from[ARRIVAL_FROM_BYTES]; /* the peer's address, for logs */
};

#endif
