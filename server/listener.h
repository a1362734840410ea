/* A listening socket: opened at an address as people write it, or inherited from whoever started the process. */
#ifndef CANYON_SERVER_LISTENER_H
#define CANYON_SERVER_LISTENER_H

#include <stdbool.h>

#include "common/address.h"
#include "common/status.h"

struct listener {
    int descriptor;         /* owned, non-blocking, close-on-exec */
    struct address address; /* the host as given (as the socket says when it was inherited) and the actual port */
    bool loopback;          /* nobody but this machine can connect */
};

/* Resolves the host and listens at the first of its addresses that can be had. An IPv6 address serves IPv6 alone.
 * UNAVAILABLE with a text that names the address and what to do. */
enum canyon_status listener_open(const struct address *address, struct listener *listener, struct error *error);

/* Takes over descriptor `number`. CONFIGURATION when it is not a listening TCP socket; then it is left alone. */
enum canyon_status listener_inherit(int number, struct listener *listener, struct error *error);

/* Safe when it is closed already (descriptor -1). */
void listener_close(struct listener *listener);

#endif
