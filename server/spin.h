/* Spin: a server thread's loop that looks for work for a while before it sleeps.
 *
 * A reply comes sooner by the time that waking takes, for a busy processor. Others get the processor between two looks:
 * the client may need this very one to write what is waited for. */
#ifndef CANYON_SERVER_SPIN_H
#define CANYON_SERVER_SPIN_H

#include <stdint.h>

#include "server/connection.h"

/* Runs the host's loop until it has no handles left; it sleeps once nothing has come for `patience` nanoseconds. On the
 * loop's own thread. */
void spin_run(struct connection_host *host, uint64_t patience);

#endif
