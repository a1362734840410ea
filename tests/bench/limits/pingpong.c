/* The limit of a small request's latency: a message and its answer between two processes over loopback TCP.
 *
 * A server process reads a request of a fixed size and writes a reply of a fixed size, a client process does the
 * opposite, one exchange after the other. Both may be pinned, and both may spin: try without blocking, giving the core
 * away with sched_yield in between, for so many microseconds before they block.
 *
 * Figures of a round, which is a batch of exchanges, in nanoseconds: the median time of one, and the 99th percentile.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "limit.h"

#define MOST_BYTES 65536
#define MOST_BATCH 100000

struct side {
    int descriptor;
    uint64_t spin; /* nanoseconds */
    char buffer[MOST_BYTES];
};

struct client {
    struct side side;
    size_t request, reply, batch;
    double *times;
};

/* 0 at the connection's end. */
static int receive(struct side *side, size_t bytes) {
    for (size_t got = 0; got < bytes;) {
        const uint64_t begin = side->spin > 0 ? limit_now() : 0;
        ssize_t given = -1;
        errno = EAGAIN;
        while (side->spin > 0 && limit_now() - begin < side->spin) {
            given = recv(side->descriptor, side->buffer + got, bytes - got, MSG_DONTWAIT);
            if (given >= 0 || errno != EAGAIN)
                break;
            sched_yield();
        }
        if (given < 0 && errno == EAGAIN)
            given = recv(side->descriptor, side->buffer + got, bytes - got, 0);
        if (given <= 0)
            return 0;
        got += (size_t)given;
    }
    return 1;
}

static int transmit(const struct side *side, size_t bytes) {
    return send(side->descriptor, side->buffer, bytes, MSG_NOSIGNAL) == (ssize_t)bytes;
}

static void serve(int listening, uint64_t spin, int core, size_t request, size_t reply) {
    static struct side side;
    limit_pin(core, 0);
    side.spin = spin;
    side.descriptor = limit_accept(listening);
    while (receive(&side, request) && transmit(&side, reply))
        continue;
    _exit(0);
}

static void batch(void *user, double *figures) {
    struct client *client = user;
    for (size_t i = 0; i < client->batch; i++) {
        const uint64_t begin = limit_now();
        limit_must(transmit(&client->side, client->request) && receive(&client->side, client->reply), "an exchange");
        client->times[i] = (double)(limit_now() - begin);
    }
    figures[0] = limit_median(client->times, client->batch); /* sorts */
    figures[1] = client->times[client->batch * 99 / 100];
}

int main(int argc, char **argv) {
    enum { REQUEST, REPLY, BATCH, SPIN, SERVER_CORE, CLIENT_CORE, CONGESTION, ROUNDS, OPTIONS };
    struct limit_option options[OPTIONS] = {
        [REQUEST] = {"request", "120", "bytes of a request"},
        [REPLY] = {"reply", "120", "bytes of a reply"},
        [BATCH] = {"batch", "2000", "exchanges in a round"},
        [SPIN] = {"spin", "0", "microseconds that both sides try before they block"},
        [SERVER_CORE] = {"server-core", "", "core to pin the server to"},
        [CLIENT_CORE] = {"client-core", "", "core to pin the client to"},
        [CONGESTION] = {"congestion", limit_congestion_default(), "of TCP, on both ends"},
        [ROUNDS] = {"rounds", "0", "rounds to do"},
    };
    static const char *const names[] = {"p50", "p99"};
    static struct client client;
    uint16_t port = 0;
    limit_options(options, OPTIONS, argc, argv, "limit_pingpong: a message and its answer over loopback TCP");
    client.request = limit_number(&options[REQUEST], 1, MOST_BYTES);
    client.reply = limit_number(&options[REPLY], 1, MOST_BYTES);
    client.batch = limit_number(&options[BATCH], 1, MOST_BATCH);
    client.side.spin = 1000 * limit_number(&options[SPIN], 0, 1000000);
    client.times = calloc(client.batch, sizeof client.times[0]);
    limit_must(client.times != NULL, "memory");
    const int server_core = limit_core(&options[SERVER_CORE]), client_core = limit_core(&options[CLIENT_CORE]);
    const int listening = limit_listen(&port, options[CONGESTION].value);
    const pid_t server = fork();
    limit_must(server >= 0, "fork");
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(listening, client.side.spin, server_core, client.request, client.reply);
    }
    limit_pin(client_core, 0);
    client.side.descriptor = limit_connect(port, options[CONGESTION].value);
    printf("ready %zu and %zu bytes, spin %llu us, %s\n", client.request, client.reply,
           (unsigned long long)client.side.spin / 1000, options[CONGESTION].value);
    limit_serve(batch, &client, names, 2, limit_number(&options[ROUNDS], 0, LIMIT_ROUNDS));
    free(client.times);
    return 0;
}
