/* What strangers that say nothing cost a server's memory.
 *
 *     bench_idle [--json]
 *
 * 10,000 connections from this process, in three kinds: silent; having sent half of a first message; having sent a
 * whole one with a right mac1 and noise behind it. For each: how much the server's resident and data memory (VmRSS,
 * VmData: what malloc holds is inside both) grow at the most while they are there, when the last of them was closed,
 * how much is left then, how much there is at the most when as many come to the same server again (what malloc kept
 * serves them), and how long an honest client took to connect while they were there. The limit is 16 MiB.
 *
 * A server keeps a share of its descriptors for strangers and lets the oldest go when there are more: the table shows
 * how many were there at once. */
#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/channel.h"
#include "tests/bench/measure.h"
#include "tests/bench/served.h"

#define PEERS        10000
#define LIMIT_KIB    16384.0
#define PATIENCE     20.0 /* seconds until all must be gone */
#define MARK_BYTES   16
#define HALF         (CHANNEL_FIRST_BYTES / 2)
#define PORTS_OF_ONE 5000 /* connections from one source address */

enum kind { SILENT, HALF_HEARD, MARKED, KINDS };
static const char *const names[KINDS] = {"silent", "half a message", "a right mac1"};

struct outcome {
    double resident, data;           /* KiB more, at the most */
    double left_resident, left_data; /* KiB more, when all are gone */
    double again;                    /* resident at the most, with as many once more */
    double gone;                     /* seconds after the last connected */
    double honest;                   /* seconds that connecting took meanwhile */
    unsigned there;                  /* of them at once, when the last had connected */
};

static int peers[PEERS];

static void make_mark_key(const char *key, uint8_t mark_key[32]) {
    crypto_generichash_state hash;
    struct error error;
    uint8_t public[KEY_BYTES];
    bench_must(key_parse(key, public, &error) == CANYON_OK, "the server's key");
    crypto_generichash_init(&hash, NULL, 0, 32);
    crypto_generichash_update(&hash, (const uint8_t *)"mac1", 4);
    crypto_generichash_update(&hash, public, sizeof public);
    crypto_generichash_final(&hash, mark_key, 32);
}

static int connect_one(const struct served *server, unsigned index) {
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + index / PORTS_OF_ONE)};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(served_port(server)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bench_must(descriptor >= 0 && bind(descriptor, (struct sockaddr *)&from, sizeof from) == 0 &&
                   connect(descriptor, (struct sockaddr *)&to, sizeof to) == 0,
               "a connection");
    return descriptor;
}

static void say(int descriptor, enum kind kind, const uint8_t mark_key[32]) {
    uint8_t message[CHANNEL_FIRST_BYTES];
    const size_t count = kind == SILENT ? 0 : kind == HALF_HEARD ? HALF : sizeof message;
    randombytes_buf(message, sizeof message);
    crypto_generichash(message, MARK_BYTES, message + MARK_BYTES, sizeof message - MARK_BYTES, mark_key, 32);
    (void)send(descriptor, message, count, MSG_NOSIGNAL);
}

/* How many of them the server has closed. */
static unsigned closed_now(void) {
    static struct pollfd polled[PEERS];
    unsigned closed = 0;
    for (size_t i = 0; i < PEERS; i++)
        polled[i] = (struct pollfd){.fd = peers[i], .events = POLLIN};
    bench_must(poll(polled, PEERS, 0) >= 0, "poll");
    for (size_t i = 0; i < PEERS; i++)
        closed += polled[i].revents != 0;
    return closed;
}

static double more(const struct served *server, const char *key, double before) {
    return (double)served_memory_kib(server, key) - before;
}

static void look(const struct served *server, double resident, double data, struct outcome *outcome) {
    const double now_resident = more(server, "VmRSS", resident), now_data = more(server, "VmData", data);
    outcome->resident = now_resident > outcome->resident ? now_resident : outcome->resident;
    outcome->data = now_data > outcome->data ? now_data : outcome->data;
}

static double connect_honestly(const struct served *server) {
    const double begin = measure_now();
    canyon_client *client = served_connect(server, 0);
    const double took = measure_now() - begin;
    canyon_close(client);
    return took;
}

/* All of them come, and are gone when it returns. Memory is counted from `resident` and `data` on. */
static struct outcome crowd(const struct served *server, enum kind kind, const uint8_t mark_key[32], double resident,
                            double data) {
    struct outcome outcome = {.resident = 0};
    for (unsigned i = 0; i < PEERS; i++) {
        peers[i] = connect_one(server, i);
        say(peers[i], kind, mark_key);
    }
    const double last = measure_now();
    while (served_queue(server) > 0 && measure_now() - last < PATIENCE)
        look(server, resident, data, &outcome);
    outcome.there = PEERS - closed_now();
    outcome.honest = connect_honestly(server);
    while (closed_now() < PEERS && measure_now() - last < PATIENCE) {
        look(server, resident, data, &outcome);
        measure_sleep(0.01);
    }
    outcome.gone = measure_now() - last;
    bench_must(closed_now() == PEERS, "not all of them were closed");
    measure_sleep(0.2);
    outcome.left_resident = more(server, "VmRSS", resident);
    outcome.left_data = more(server, "VmData", data);
    for (unsigned i = 0; i < PEERS; i++)
        close(peers[i]);
    return outcome;
}

static struct outcome crowd_twice(enum served_channel channel, enum kind kind) {
    uint8_t mark_key[32] = {0};
    struct served *server = served_start(channel, 1, 65536);
    if (channel != SERVED_PLAINTEXT)
        make_mark_key(served_key(server), mark_key);
    (void)connect_honestly(server); /* so that what the first one costs is not counted */
    const double resident = more(server, "VmRSS", 0), data = more(server, "VmData", 0);
    struct outcome outcome = crowd(server, kind, mark_key, resident, data);
    outcome.again = crowd(server, kind, mark_key, resident, data).resident;
    served_stop(server);
    return outcome;
}

static void raise_descriptors(void) {
    struct rlimit limit;
    bench_must(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < PEERS + 100) {
        printf("SKIPPED: %d descriptors are needed, %llu allowed (ulimit -Hn)\n", PEERS + 100,
               (unsigned long long)limit.rlim_cur);
        exit(0);
    }
}

int main(int argc, char **argv) {
    struct bench_words words = {.rounds = 1};
    bench_words_read(&words, argc, argv, "usage: bench_idle [--json]");
    raise_descriptors();
    const enum served_channel channel =
        getenv("CANYON_BENCH_PLAINTEXT") != NULL ? SERVED_PLAINTEXT : SERVED_CHACHA20POLY1305;
    json_t *rows = json_array();
    bench_must(rows != NULL && sodium_init() >= 0, "memory");
    if (!words.json)
        printf(
            "%d connections, %s; MiB more than before them (limit %.0f)\n\n%-15s %8s %8s %10s %10s %8s %8s %8s %8s\n",
            PEERS, served_channel_name(channel), LIMIT_KIB / 1024, "", "VmRSS", "VmData", "left RSS", "left data",
            "again", "gone s", "at once", "honest s");
    for (enum kind kind = SILENT; kind < KINDS; kind++) {
        if (kind == MARKED && channel == SERVED_PLAINTEXT)
            continue;
        const struct outcome o = crowd_twice(channel, kind);
        if (words.json)
            bench_must(json_array_append_new(rows, json_pack("{s:s,s:f,s:f,s:f,s:f,s:f,s:f,s:i,s:f}", "kind",
                                                             names[kind], "rss_mib", o.resident / 1024, "data_mib",
                                                             o.data / 1024, "left_rss_mib", o.left_resident / 1024,
                                                             "left_data_mib", o.left_data / 1024, "again_rss_mib",
                                                             o.again / 1024, "gone_seconds", o.gone, "at_once",
                                                             (int)o.there, "honest_seconds", o.honest)) == 0,
                       "memory");
        else
            printf("%-15s %8.2f %8.2f %10.2f %10.2f %8.2f %8.2f %8u %8.3f\n", names[kind], o.resident / 1024,
                   o.data / 1024, o.left_resident / 1024, o.left_data / 1024, o.again / 1024, o.gone, o.there,
                   o.honest);
        fflush(stdout);
    }
    if (words.json)
        bench_must(json_dumpf(rows, stdout, JSON_INDENT(1)) == 0 && puts("") >= 0, "printing");
    json_decref(rows);
    return 0;
}
