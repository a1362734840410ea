#include "server/spin.h"

#include <sched.h>

#include "common/clock.h"

#define SOCKETS 4 /* with more connections than this the loop is sooner to ask */
#define LOOKS   8 /* into sockets, until the loop is asked */

/* Looking into the sockets themselves takes less time than asking the loop for them. */
static void look_into_sockets(struct connection_host *host) {
    struct connection *connection = TAILQ_FIRST(&host->all);
    while (connection != NULL) {
        struct connection *next = TAILQ_NEXT(connection, all);
        if (connection->state == CONNECTION_OPEN && !connection->scheduled) {
            connection_turn(connection);
        }
        connection = next;
    }
}

/* Sockets alone are not enough: output waits, somebody wants a turn, or it has been long since the loop was asked. */
static bool wants_loop(const struct connection_host *host, unsigned looks) {
    return host->count > SOCKETS || host->pool.used > 0 || !TAILQ_EMPTY(&host->ready) || looks % LOOKS == 0;
}

void spin_run(struct connection_host *host, uint64_t patience) {
    uint64_t seen = 0, since = clock_now();
    bool alive = true;
    for (unsigned looks = 0; alive; ++looks) {
        const bool patient = clock_now() - since < patience;
        if (!patient || wants_loop(host, looks)) {
            alive = uv_run(host->loop, patient ? UV_RUN_NOWAIT : UV_RUN_ONCE) != 0;
        }
        if (patient && host->count <= SOCKETS) {
            look_into_sockets(host);
        }
        if (host->events != seen) {
            seen = host->events;
            since = clock_now();
        } else if (patient) {
            sched_yield();
        }
    }
}
