/* What many idle clients cost a server, and the one that works beside them.
 *
 *     bench_connections [--json] [--rounds N] [COUNT]
 *
 * COUNT connections (10,000), encrypted and authenticated, are greeted by one server thread and say nothing more.
 * Shown: how much the server's memory (VmRSS, and VmData, in which malloc's is) grew, and the median and 99th
 * percentile of push_pulls of 16 floats by one active client before they came, while they are there, and when they are
 * gone, in N rounds (7) of 1,000 each. The limit of the memory is 100 MiB for 10,000. */
#include <jansson.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/frame.h"
#include "common/key.h"
#include "common/message.h"
#include "tests/bench/measure.h"
#include "tests/bench/served.h"

#define MOST         50000
#define SPARE        200 /* descriptors beside them, on either side */
#define PORTS_OF_ONE 5000
#define BATCH        1000
#define MOST_ROUNDS  100
#define LIMIT_KIB    (100.0 * 1024) /* for 10,000 */
#define PATIENCE_S   20

static int peers[MOST];

/* ---- idle clients ---- */

struct identity {
    struct key_pair *own;
    uint8_t server[KEY_BYTES];
};

static struct identity identity_of(const struct served *server) {
    struct identity identity;
    struct error error;
    char path[SERVED_PATH_BYTES];
    bench_must(key_file_read(served_file(server, "key", path), &identity.own, &error) == CANYON_OK, path);
    bench_must(key_parse(served_key(server), identity.server, &error) == CANYON_OK, "the server's key");
    return identity;
}

static int connect_one(const struct served *server, unsigned index) {
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + index / PORTS_OF_ONE)};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(served_port(server)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bench_must(descriptor >= 0 && bind(descriptor, (struct sockaddr *)&from, sizeof from) == 0 &&
                   setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
                   connect(descriptor, (struct sockaddr *)&to, sizeof to) == 0,
               "a connection");
    return descriptor;
}

static size_t make_hello(unsigned index, uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES]) {
    struct message_hello hello = {.protocol = FRAME_VERSION, .name = "idle"};
    struct frame_header header = {.type = FRAME_HELLO, .request = 1};
    randombytes_buf(hello.session, sizeof hello.session);
    memcpy(hello.session, &index, sizeof index);
    header.message_bytes = (uint32_t)message_pack_hello(&hello, bytes + FRAME_HEADER_BYTES);
    frame_header_encode(&header, bytes);
    return FRAME_HEADER_BYTES + header.message_bytes;
}

/* The server's first frame, which must be a WELCOME. */
static void await_welcome(int descriptor, struct channel *channel) {
    uint8_t plain[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES], *at = NULL;
    size_t have = 0, room = 0;
    struct frame_header header;
    struct error error;
    while (have < FRAME_HEADER_BYTES) {
        size_t got = 0;
        const enum channel_result result = channel_read(channel, plain + have, sizeof plain - have, &got);
        have += got;
        if (result == CHANNEL_BYTES)
            continue;
        channel_space(channel, &at, &room);
        const ssize_t received = recv(descriptor, at, room, 0);
        bench_must(result == CHANNEL_NEEDS_MORE && received > 0, "a welcome");
        channel_received(channel, (size_t)received);
    }
    bench_must(frame_header_decode(plain, FRAME_PAYLOAD_LIMIT, &header, &error) == CANYON_OK &&
                   header.type == FRAME_WELCOME,
               "a welcome");
}

static void introduce(const struct identity *identity, int descriptor, unsigned index) {
    uint8_t seed[KEY_BYTES], first[CHANNEL_FIRST_BYTES], second[CHANNEL_SECOND_BYTES], third[CHANNEL_THIRD_LIMIT_BYTES];
    uint8_t hello[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    size_t third_bytes = 0;
    const size_t hello_bytes = make_hello(index, hello);
    randombytes_buf(seed, sizeof seed);
    struct channel_handshake *handshake =
        channel_initiate(CHANNEL_CHACHA20POLY1305, identity->own, identity->server, seed);
    bench_must(handshake != NULL && channel_write_first(handshake, first) == CANYON_OK &&
                   send(descriptor, first, sizeof first, MSG_NOSIGNAL) == (ssize_t)sizeof first &&
                   recv(descriptor, second, sizeof second, MSG_WAITALL) == (ssize_t)sizeof second &&
                   channel_read_second(handshake, second) == CANYON_OK &&
                   channel_write_third(handshake, hello, hello_bytes, third, &third_bytes) == CANYON_OK &&
                   send(descriptor, third, third_bytes, MSG_NOSIGNAL) == (ssize_t)third_bytes,
               "a handshake");
    struct channel *channel = channel_establish(handshake);
    bench_must(channel != NULL, "a channel");
    await_welcome(descriptor, channel);
    channel_destroy(channel); /* it will say nothing more */
    channel_handshake_destroy(handshake);
}

static double crowd_come(const struct served *server, unsigned count) {
    struct identity identity = identity_of(server);
    const double begin = measure_now();
    for (unsigned i = 0; i < count; i++) {
        peers[i] = connect_one(server, i);
        introduce(&identity, peers[i], i);
    }
    key_pair_destroy(identity.own);
    return measure_now() - begin;
}

/* How many of them the server has not closed. */
static unsigned crowd_there(unsigned count) {
    unsigned there = 0;
    for (unsigned i = 0; i < count; i++) {
        uint8_t byte;
        there += recv(peers[i], &byte, 1, MSG_DONTWAIT | MSG_PEEK) != 0;
    }
    return there;
}

static void crowd_go(unsigned count) {
    for (unsigned i = 0; i < count; i++)
        close(peers[i]);
    measure_sleep(1.0); /* the server notices */
}

/* ---- the active client ---- */

struct latency {
    double p50, p99; /* seconds: medians over the rounds */
};

static struct latency work(canyon_tensor *tensor, unsigned rounds) {
    static double times[BATCH], p50[MOST_ROUNDS], p99[MOST_ROUNDS];
    float gradient[16], weights[16];
    for (size_t i = 0; i < 16; i++)
        gradient[i] = weights[i] = 0.01f;
    for (unsigned round = 0; round < rounds; round++) {
        for (size_t i = 0; i < BATCH; i++) {
            const double begin = measure_now();
            bench_must_ok(canyon_push_pull(tensor, gradient, weights, 0), "push_pull");
            times[i] = measure_now() - begin;
        }
        p50[round] = measure_median(times, BATCH);
        p99[round] = measure_quantile(times, BATCH, 0.99);
    }
    return (struct latency){measure_median(p50, rounds), measure_median(p99, rounds)};
}

/* ---- the comparison ---- */

struct outcome {
    unsigned count, there;
    double seconds;        /* that their coming took */
    double resident, data; /* KiB more than before */
    double left;           /* resident, when they are gone */
    struct latency before, with, after;
};

static struct outcome measure(unsigned count, unsigned rounds) {
    static const char *const words[] = {"--connections-per-key", "65536", NULL};
    struct outcome outcome = {.count = count};
    struct served *server = served_start_with(SERVED_CHACHA20POLY1305, 1, 65536, words);
    canyon_client *client = served_connect(server, 0);
    canyon_tensor *tensor = served_tensor(client, "w", 16, "adam");
    outcome.before = work(tensor, rounds);
    const double resident = (double)served_memory_kib(server, "VmRSS");
    const double data = (double)served_memory_kib(server, "VmData");
    outcome.seconds = crowd_come(server, count);
    outcome.with = work(tensor, rounds);
    outcome.resident = (double)served_memory_kib(server, "VmRSS") - resident;
    outcome.data = (double)served_memory_kib(server, "VmData") - data;
    outcome.there = crowd_there(count);
    crowd_go(count);
    outcome.after = work(tensor, rounds);
    outcome.left = (double)served_memory_kib(server, "VmRSS") - resident;
    canyon_tensor_close(tensor);
    canyon_close(client);
    served_stop(server);
    return outcome;
}

/* With them, over the mean of before and after. */
static double ratio(double before, double with, double after) {
    return 2 * with / (before + after);
}

static void print_table(const struct outcome *o) {
    printf("%u of %u connections are there, which came in %.1f s\n\n", o->there, o->count, o->seconds);
    printf("memory: VmRSS %+.1f MiB (limit %.1f: %s), %.2f KiB each; VmData %+.1f MiB; VmRSS when they are gone %+.1f "
           "MiB\n\n",
           o->resident / 1024, LIMIT_KIB / 1024 * o->count / 10000,
           o->resident <= LIMIT_KIB * o->count / 10000 ? "kept" : "EXCEEDED", o->resident / o->count, o->data / 1024,
           o->left / 1024);
    printf("push_pull  %10s %10s %10s %8s\n", "before us", "with us", "after us", "ratio");
    printf("p50        %10.1f %10.1f %10.1f %8.3f\n", 1e6 * o->before.p50, 1e6 * o->with.p50, 1e6 * o->after.p50,
           ratio(o->before.p50, o->with.p50, o->after.p50));
    printf("p99        %10.1f %10.1f %10.1f %8.3f\n", 1e6 * o->before.p99, 1e6 * o->with.p99, 1e6 * o->after.p99,
           ratio(o->before.p99, o->with.p99, o->after.p99));
}

static void print_json(const struct outcome *o) {
    json_t *json = json_pack("{s:i,s:i,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "connections", (int)o->count,
                             "there", (int)o->there, "seconds_to_come", o->seconds, "rss_mib", o->resident / 1024,
                             "data_mib", o->data / 1024, "left_rss_mib", o->left / 1024, "before_p50_us",
                             1e6 * o->before.p50, "with_p50_us", 1e6 * o->with.p50, "after_p50_us", 1e6 * o->after.p50,
                             "before_p99_us", 1e6 * o->before.p99, "with_p99_us", 1e6 * o->with.p99, "after_p99_us",
                             1e6 * o->after.p99, "p50_ratio", ratio(o->before.p50, o->with.p50, o->after.p50),
                             "p99_ratio", ratio(o->before.p99, o->with.p99, o->after.p99));
    bench_must(json != NULL && json_dumpf(json, stdout, JSON_INDENT(1)) == 0 && puts("") >= 0, "printing");
    json_decref(json);
}

static void raise_descriptors(unsigned count) {
    struct rlimit limit;
    bench_must(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < count + SPARE) {
        printf("SKIPPED: %u descriptors are needed, %llu allowed (ulimit -Hn)\n", count + SPARE,
               (unsigned long long)limit.rlim_cur);
        exit(0);
    }
}

int main(int argc, char **argv) {
    static const char usage[] = "usage: bench_connections [--json] [--rounds N] [COUNT]";
    struct bench_words words = {.rounds = 7};
    bench_words_read(&words, argc, argv, usage);
    const unsigned long count = words.count > 0 ? strtoul(words.words[0], NULL, 10) : 10000;
    if (count == 0 || count > MOST || words.count > 1 || words.rounds > MOST_ROUNDS)
        bench_fail("a number is out of range\n%s", usage);
    bench_must(sodium_init() >= 0, "libsodium");
    raise_descriptors((unsigned)count);
    const struct outcome outcome = measure((unsigned)count, words.rounds);
    (words.json ? print_json : print_table)(&outcome);
    return 0;
}
