#define _GNU_SOURCE /* accept4 */
#include "tests/bench/flood.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/channel.h"
#include "tests/bench/measure.h"
#include "tests/bench/served.h"

#define SLOTS       256 /* connections of a fast flood under way */
#define SOURCES     64  /* addresses, 127.0.0.2 and so on: ports of one would run short */
#define TICKS       1000
#define MARK_BYTES  16
#define EVENTS      128
#define IDLE_SECOND 0.002

/* Shared with the process. */
struct flood {
    _Atomic uint32_t order; /* changes with every direction */
    _Atomic uint32_t taken; /* the order that is being carried out */
    _Atomic int kind;
    _Atomic uint16_t port;
    _Atomic uint64_t connects, failures, closes;
    double since;
    unsigned slow_peers;
    bool marks;
    uint8_t mark_key[32];
};

/* Of the flooding process. */
struct flooder {
    struct flood *flood;
    uint32_t order;
    enum flood_kind kind;
    uint16_t port;
    uint32_t sources;
    int *peers;
    uint8_t (*messages)[CHANNEL_FIRST_BYTES]; /* made beforehand, for slow peers */
};

const char *flood_name(enum flood_kind kind) {
    static const char *const names[FLOOD_KINDS] = {"none", "slow", "random", "marked"};
    return names[kind];
}

/* ---- connections ---- */

static bool directed_anew(const struct flooder *flooder) {
    return atomic_load(&flooder->flood->order) != flooder->order;
}

/* -1 when it cannot be; counted either way. */
static int connect_one(struct flooder *flooder) {
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + flooder->sources++ % SOURCES)};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(flooder->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int one = 1;
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bench_must(descriptor >= 0, "a socket for the flood");
    (void)setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(descriptor, (struct sockaddr *)&from, sizeof from) != 0 ||
        (connect(descriptor, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)) {
        atomic_fetch_add(&flooder->flood->failures, 1);
        close(descriptor);
        return -1;
    }
    atomic_fetch_add(&flooder->flood->connects, 1);
    return descriptor;
}

/* What is sent: noise, or noise behind the mark that its 48 bytes need. */
static void make_message(const struct flooder *flooder, bool marked, uint8_t message[CHANNEL_FIRST_BYTES]) {
    randombytes_buf(message, CHANNEL_FIRST_BYTES);
    if (marked)
        crypto_generichash(message, MARK_BYTES, message + MARK_BYTES, CHANNEL_FIRST_BYTES - MARK_BYTES,
                           flooder->flood->mark_key, sizeof flooder->flood->mark_key);
}

static void close_all(int *peers, size_t count) {
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    for (size_t i = 0; i < count; i++) {
        if (peers[i] >= 0) {
            (void)setsockopt(peers[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
            close(peers[i]);
        }
        peers[i] = -1;
    }
}

/* ---- slow peers ---- */

/* Its turn, which comes once a second. */
static void trickle(struct flooder *flooder, size_t peer, unsigned turn) {
    uint8_t byte;
    int *descriptor = &flooder->peers[peer];
    if (*descriptor >= 0) {
        ssize_t got = recv(*descriptor, &byte, 1, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != ENOTCONN)) {
            atomic_fetch_add(&flooder->flood->closes, 1);
            close(*descriptor);
            *descriptor = -1;
        }
    }
    if (*descriptor < 0)
        *descriptor = connect_one(flooder);
    byte = flooder->messages[peer][turn % CHANNEL_FIRST_BYTES];
    if (*descriptor >= 0 && send(*descriptor, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EPIPE)
        close_all(descriptor, 1);
}

static void flood_slowly(struct flooder *flooder) {
    const unsigned peers = flooder->flood->slow_peers;
    for (unsigned i = 0; i < peers; i++)
        make_message(flooder, flooder->flood->marks, flooder->messages[i]);
    double next = measure_now();
    for (unsigned tick = 0; !directed_anew(flooder); tick++) {
        const unsigned part = tick % TICKS;
        for (unsigned i = peers * part / TICKS; i < peers * (part + 1) / TICKS; i++)
            trickle(flooder, i, tick / TICKS);
        next += 1.0 / TICKS;
        const double rest = next - measure_now();
        if (rest > 0)
            measure_sleep(rest);
    }
    close_all(flooder->peers, peers);
}

/* ---- fast ones ---- */

static void begin_fast(struct flooder *flooder, int epoll, size_t slot) {
    uint8_t message[CHANNEL_FIRST_BYTES];
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.u64 = slot};
    int descriptor;
    while ((descriptor = connect_one(flooder)) < 0 && !directed_anew(flooder))
        measure_sleep(IDLE_SECOND);
    flooder->peers[slot] = descriptor;
    if (descriptor < 0)
        return;
    make_message(flooder, flooder->kind == FLOOD_MARKED, message);
    /* Over loopback the connection stands by now. One that was reset shows in epoll. */
    (void)send(descriptor, message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL);
    bench_must(epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0, "epoll_ctl");
}

static void flood_fast(struct flooder *flooder) {
    struct epoll_event events[EVENTS];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    bench_must(epoll >= 0, "epoll_create1");
    for (size_t slot = 0; slot < SLOTS; slot++)
        begin_fast(flooder, epoll, slot);
    while (!directed_anew(flooder)) {
        const int ready = epoll_wait(epoll, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) {
            const size_t slot = (size_t)events[i].data.u64;
            atomic_fetch_add(&flooder->flood->closes, 1);
            close(flooder->peers[slot]);
            begin_fast(flooder, epoll, slot);
        }
    }
    close_all(flooder->peers, SLOTS);
    close(epoll);
}

/* ---- the process ---- */

static void obey(struct flood *flood) {
    struct flooder flooder = {.flood = flood};
    const size_t most = flood->slow_peers > SLOTS ? flood->slow_peers : SLOTS;
    flooder.peers = malloc(most * sizeof *flooder.peers);
    flooder.messages = calloc(most, sizeof *flooder.messages);
    bench_must(flooder.peers != NULL && flooder.messages != NULL, "memory for the flood");
    memset(flooder.peers, 0xff, most * sizeof *flooder.peers); /* -1 */
    for (;;) {
        flooder.order = atomic_load(&flood->order);
        flooder.kind = (enum flood_kind)atomic_load(&flood->kind);
        flooder.port = atomic_load(&flood->port);
        atomic_store(&flood->taken, flooder.order);
        if (flooder.kind == FLOOD_SLOW)
            flood_slowly(&flooder);
        else if (flooder.kind != FLOOD_NONE)
            flood_fast(&flooder);
        while (!directed_anew(&flooder))
            measure_sleep(IDLE_SECOND);
    }
}

static void raise_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

struct flood *flood_start(unsigned slow_peers, const char *key) {
    struct flood *flood = mmap(NULL, sizeof *flood, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct error error;
    uint8_t public[KEY_BYTES];
    bench_must(flood != MAP_FAILED && sodium_init() >= 0, "memory for the flood");
    flood->slow_peers = slow_peers;
    flood->marks = key[0] != '\0';
    if (flood->marks) {
        crypto_generichash_state hash;
        bench_must(key_parse(key, public, &error) == CANYON_OK, "the server's key");
        crypto_generichash_init(&hash, NULL, 0, sizeof flood->mark_key);
        crypto_generichash_update(&hash, (const uint8_t *)"mac1", 4);
        crypto_generichash_update(&hash, public, sizeof public);
        crypto_generichash_final(&hash, flood->mark_key, sizeof flood->mark_key);
    }
    fflush(NULL);
    const pid_t child = fork();
    bench_must(child >= 0, "fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        raise_descriptors();
        obey(flood);
    }
    return flood;
}

void flood_direct(struct flood *flood, enum flood_kind kind, uint16_t port) {
    atomic_store(&flood->kind, (int)kind);
    atomic_store(&flood->port, port);
    const uint32_t order = atomic_fetch_add(&flood->order, 1) + 1;
    for (double end = measure_now() + 20; atomic_load(&flood->taken) != order; measure_sleep(IDLE_SECOND))
        bench_must(measure_now() < end, "the flood does not obey");
    atomic_store(&flood->connects, 0);
    atomic_store(&flood->failures, 0);
    atomic_store(&flood->closes, 0);
    flood->since = measure_now();
}

struct flood_count flood_count(const struct flood *flood) {
    return (struct flood_count){.connects = atomic_load(&flood->connects),
                                .failures = atomic_load(&flood->failures),
                                .closes = atomic_load(&flood->closes),
                                .seconds = measure_now() - flood->since};
}

uint16_t flood_start_bare(void) {
    uint16_t port = 0;
    int listening = served_listen(&port);
    fflush(NULL);
    const pid_t child = fork();
    bench_must(child >= 0, "fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            int descriptor = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
            if (descriptor >= 0)
                close(descriptor);
        }
    }
    close(listening);
    return port;
}
