/* The limit of a dense push_pull's network: the same bytes echoed over loopback TCP.
 *
 * A server process has T threads, each of which echoes one connection; a client process has one thread per connection,
 * which sends its share of the bytes from one large buffer and receives them into another, both ways at once, at most a
 * chunk at a time. With --span those two buffers of a thread are only so large, and used again and again from their
 * begin: what a client does that sends many messages from the same memory, which stays in the cache. The server reads
 * and writes either with blocking calls or, nonblocking, with epoll, through a buffer of 64 KiB, 256 KiB or 1 MiB.
 * Whichever combination is the fastest here is found first and taken for the rounds.
 *
 * Figures of a round, in nanoseconds: its time, and the server process's processor time. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "limit.h"

#define MOST_THREADS 64
#define TRIALS       7
#define TRIALS_WARM  2 /* of them, not counted */
#define KIB          ((size_t)1 << 10)

struct variant {
    const char *mode; /* the server's */
    size_t buffer;    /* of a server's thread */
    size_t chunk;     /* most that the client sends or receives at once */
};
static const char *const modes[] = {"blocking", "epoll"};
static const size_t buffers[] = {64 * KIB, 256 * KIB, 1024 * KIB};
static const size_t chunks[] = {256 * KIB, 1024 * KIB};
#define VARIANTS ((size_t)2 * 3 * 2)

/* ---- the server process ---- */

struct echoer {
    int descriptor, first_core;
    size_t index;
    struct variant variant;
    pthread_t thread;
};

static void echo_blocking(int descriptor, char *buffer, size_t bytes) {
    for (ssize_t got; (got = recv(descriptor, buffer, bytes, 0)) > 0;) {
        for (ssize_t sent = 0; sent < got;) {
            const ssize_t taken = send(descriptor, buffer + sent, (size_t)(got - sent), MSG_NOSIGNAL);
            if (taken <= 0)
                return;
            sent += taken;
        }
    }
}

/* Bytes from `begin` to `end` of the buffer have been received and not yet sent. */
static void echo_epoll(int descriptor, char *buffer, size_t bytes) {
    size_t begin = 0, end = 0;
    const int poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
    limit_must(poller >= 0 && fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0 &&
                   epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event) == 0,
               "epoll");
    for (;;) {
        ssize_t got = -1, sent = -1;
        if (end < bytes) {
            got = recv(descriptor, buffer + end, bytes - end, 0);
            if (got == 0 || (got < 0 && errno != EAGAIN))
                break;
            end += got > 0 ? (size_t)got : 0;
        }
        if (begin < end) {
            sent = send(descriptor, buffer + begin, end - begin, MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN)
                break;
            begin += sent > 0 ? (size_t)sent : 0;
        }
        if (begin == end)
            begin = end = 0;
        if (got < 0 && sent < 0)
            (void)epoll_wait(poller, &event, 1, -1);
    }
    close(poller);
}

static void *echo(void *user) {
    const struct echoer *echoer = user;
    limit_pin(echoer->first_core, echoer->index);
    char *buffer = limit_memory(echoer->variant.buffer);
    if (strcmp(echoer->variant.mode, "epoll") == 0)
        echo_epoll(echoer->descriptor, buffer, echoer->variant.buffer);
    else
        echo_blocking(echoer->descriptor, buffer, echoer->variant.buffer);
    close(echoer->descriptor);
    return NULL;
}

static void serve(int listening, const struct variant *variant, size_t threads, int first_core) {
    static struct echoer echoers[MOST_THREADS];
    for (size_t i = 0; i < threads; i++) {
        echoers[i] = (struct echoer){
            .descriptor = limit_accept(listening), .first_core = first_core, .index = i, .variant = *variant};
        limit_must(pthread_create(&echoers[i].thread, NULL, echo, &echoers[i]) == 0, "a thread");
    }
    for (size_t i = 0; i < threads; i++)
        pthread_join(echoers[i].thread, NULL);
    _exit(0);
}

/* ---- the client process ---- */

struct client;

struct end {
    struct client *client;
    int descriptor;
    const char *out;
    char *in;
    size_t bytes; /* each way */
    size_t span;  /* of them that there is memory for */
    pthread_t thread;
};

struct client {
    size_t threads, bytes;
    size_t span;                  /* of a thread's buffers, less than its share of the bytes; or 0: as much */
    int server_core, client_core; /* the first of each, or -1 */
    const char *congestion;
    struct variant variant;
    char *out, *in;
    pid_t server;
    clockid_t server_clock;
    struct end ends[MOST_THREADS];
    pthread_barrier_t start, done;
    int stop;
};

static ssize_t moved(ssize_t result, const char *what) {
    limit_must(result > 0 || (result < 0 && errno == EAGAIN), what);
    return result > 0 ? result : 0;
}

/* How much may be moved at once at this place of the span, of what is left. */
static size_t piece(const struct end *end, size_t place, size_t left, size_t chunk) {
    const size_t straight = end->span - place, most = left < chunk ? left : chunk;
    return most < straight ? most : straight;
}

static void exchange(const struct end *end, size_t chunk) {
    size_t sent = 0, got = 0;
    while (got < end->bytes) {
        const size_t left = end->bytes - sent, room = end->bytes - got;
        const size_t out = sent % end->span, in = got % end->span;
        ssize_t taken = 0, given = 0;
        if (left > 0)
            taken = moved(send(end->descriptor, end->out + out, piece(end, out, left, chunk), MSG_NOSIGNAL), "send");
        given = moved(recv(end->descriptor, end->in + in, piece(end, in, room, chunk), 0), "recv");
        sent += (size_t)taken;
        got += (size_t)given;
        if (taken == 0 && given == 0) {
            struct pollfd polled = {.fd = end->descriptor, .events = (short)(POLLIN | (left > 0 ? POLLOUT : 0))};
            limit_must(poll(&polled, 1, 30000) > 0, "30 seconds without a byte");
        }
    }
}

static void *drive(void *user) {
    const struct end *end = user;
    limit_pin(end->client->client_core, (size_t)(end - end->client->ends));
    for (;;) {
        pthread_barrier_wait(&end->client->start);
        if (end->client->stop)
            return NULL;
        exchange(end, end->client->variant.chunk);
        pthread_barrier_wait(&end->client->done);
    }
}

/* A server of this variant, and connections to it. The calling thread drives the first one, threads the others. */
static void client_open(struct client *client, const struct variant *variant) {
    uint16_t port = 0;
    const int listening = limit_listen(&port, client->congestion);
    client->variant = *variant;
    client->stop = 0;
    fflush(stdout);
    client->server = fork();
    limit_must(client->server >= 0, "fork");
    if (client->server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(listening, variant, client->threads, client->server_core);
    }
    close(listening);
    limit_must(clock_getcpuclockid(client->server, &client->server_clock) == 0, "the server's clock");
    limit_must(pthread_barrier_init(&client->start, NULL, (unsigned)client->threads) == 0 &&
                   pthread_barrier_init(&client->done, NULL, (unsigned)client->threads) == 0,
               "a barrier");
    for (size_t i = 0; i < client->threads; i++) {
        const size_t share = client->bytes / client->threads;
        const size_t bytes = i + 1 < client->threads ? share : client->bytes - i * share;
        const size_t span = client->span > 0 ? client->span : bytes;
        const size_t begin = i * (client->span > 0 ? span : share);
        struct end *end = &client->ends[i];
        *end = (struct end){
            .client = client, .out = client->out + begin, .in = client->in + begin, .bytes = bytes, .span = span};
        end->descriptor = limit_connect(port, client->congestion);
        limit_must(fcntl(end->descriptor, F_SETFL, O_NONBLOCK) == 0, "O_NONBLOCK");
        if (i > 0)
            limit_must(pthread_create(&end->thread, NULL, drive, end) == 0, "a thread");
    }
}

static void client_close(struct client *client) {
    client->stop = 1;
    pthread_barrier_wait(&client->start);
    for (size_t i = 0; i < client->threads; i++) {
        if (i > 0)
            pthread_join(client->ends[i].thread, NULL);
        close(client->ends[i].descriptor);
    }
    limit_must(waitpid(client->server, NULL, 0) == client->server, "the server's end");
    pthread_barrier_destroy(&client->start);
    pthread_barrier_destroy(&client->done);
}

static void round_trip(void *user, double *figures) {
    struct client *client = user;
    const uint64_t processor = limit_cpu_of(client->server_clock), begin = limit_now();
    pthread_barrier_wait(&client->start);
    exchange(&client->ends[0], client->variant.chunk);
    pthread_barrier_wait(&client->done);
    figures[0] = (double)(limit_now() - begin);
    figures[1] = (double)(limit_cpu_of(client->server_clock) - processor);
}

/* By the fastest of a few trials each, which other work on the machine disturbs the least. */
static struct variant best(struct client *client) {
    struct variant winner = {NULL, 0, 0};
    double least = 0;
    for (size_t v = 0; v < VARIANTS; v++) {
        const struct variant variant = {modes[v / 6], buffers[v / 2 % 3], chunks[v % 2]};
        client_open(client, &variant);
        for (size_t i = 0; i < TRIALS; i++) {
            double figures[LIMIT_FIGURES];
            round_trip(client, figures);
            if (i >= TRIALS_WARM && (winner.mode == NULL || figures[0] < least)) {
                winner = variant;
                least = figures[0];
            }
        }
        client_close(client);
    }
    return winner;
}

static struct variant given(const char *mode, size_t buffer, size_t chunk) {
    if (strcmp(mode, "blocking") != 0 && strcmp(mode, "epoll") != 0) {
        fprintf(stderr, "limit_echo: --mode %s: best, blocking or epoll\n", mode);
        exit(2);
    }
    return (struct variant){mode, buffer, chunk};
}

int main(int argc, char **argv) {
    enum { THREADS, BYTES, SPAN, CONGESTION, MODE, BUFFER, CHUNK, SERVER_CORE, CLIENT_CORE, ROUNDS, OPTIONS };
    struct limit_option options[OPTIONS] = {
        [THREADS] = {"threads", "1", "threads of the server, connections, threads of the client"},
        [BYTES] = {"bytes", "67108864", "echoed in a round, by all connections together"},
        [SPAN] = {"span", "0", "bytes of each buffer of a client's thread, used over and over; 0: its share"},
        [CONGESTION] = {"congestion", limit_congestion_default(), "of TCP, on both ends"},
        [MODE] = {"mode", "best", "the server's: blocking, epoll, or best: the fastest of all modes and buffers"},
        [BUFFER] = {"buffer", "262144", "bytes of a server thread's buffer, where a mode is given"},
        [CHUNK] = {"chunk", "262144", "most bytes that the client moves at once, where a mode is given"},
        [SERVER_CORE] = {"server-core", "", "core to pin the server's first thread to, the next ones to the next"},
        [CLIENT_CORE] = {"client-core", "", "the same of the client"},
        [ROUNDS] = {"rounds", "0", "rounds to do"},
    };
    static struct client client;
    static const char *const names[] = {"round", "server CPU"};
    limit_options(options, OPTIONS, argc, argv, "limit_echo: bytes echoed over loopback TCP, both ways at once");
    client.threads = limit_number(&options[THREADS], 1, MOST_THREADS);
    client.bytes = limit_number(&options[BYTES], client.threads, (uint64_t)1 << 34);
    client.span = limit_number(&options[SPAN], 0, (uint64_t)1 << 34);
    client.server_core = limit_core(&options[SERVER_CORE]);
    client.client_core = limit_core(&options[CLIENT_CORE]);
    limit_pin(client.client_core, 0);
    client.congestion = options[CONGESTION].value;
    if (client.span >= client.bytes / client.threads)
        client.span = 0;
    const size_t memory = client.span > 0 ? client.span * client.threads : client.bytes;
    client.out = limit_memory(memory);
    client.in = limit_memory(memory);
    memset(client.out, 1, memory);
    memset(client.in, 2, memory);
    const struct variant chosen = strcmp(options[MODE].value, "best") == 0
                                      ? best(&client)
                                      : given(options[MODE].value, limit_number(&options[BUFFER], 1, 1u << 30),
                                              limit_number(&options[CHUNK], 1, 1u << 30));
    client_open(&client, &chosen);
    printf("ready %s server, buffer %zu KiB, client's chunk %zu KiB, %s, %zu bytes each way, %zu of memory each way\n",
           chosen.mode, chosen.buffer / KIB, chosen.chunk / KIB, client.congestion, client.bytes, memory);
    limit_serve(round_trip, &client, names, 2, limit_number(&options[ROUNDS], 0, LIMIT_ROUNDS));
    const int same = memcmp(client.out, client.in, memory) == 0;
    client_close(&client);
    if (!same)
        limit_fail("what came back is not what was sent");
    return 0;
}
