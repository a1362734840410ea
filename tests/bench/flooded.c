/* How a server's honest clients fare while it is flooded by strangers.
 *
 *     bench_flood [--json] [--rounds N] [--seconds S] [slow] [random] [marked]
 *
 * Two clients, connected before, push_pull 16 floats (then 64 KiB) in closed loops. Meanwhile one process floods: 5,000
 * slow peers that send one byte of a first message a second each and connect anew when they find themselves closed; or,
 * as fast as that process can, connections with 64 bytes of noise, or with noise behind a right mac1. Each flood is
 * aimed, in turns, at the server and at a process on the same machine that accepts and closes and does nothing else.
 * What the latter costs the clients is no server's doing: flooder, kernel and a listener take processor time whoever is
 * flooded. So it is the limit: the p99 under the one beside the p99 under the other, round by round; medians. On a
 * machine with other work most windows have some of that: "quiet" compares the lower quartiles of the p99s instead. A
 * window without a flood stands beside them.
 *
 * CANYON_BENCH_PLAINTEXT=1 floods a plaintext server. */
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/flood.h"
#include "tests/bench/measure.h"
#include "tests/bench/served.h"

#define CLIENTS     2
#define SIZES       2
#define LARGE       16384u /* elements: 64 KiB */
#define SMALL       16u
#define SLOW_PEERS  5000
#define SLOW_WARM   6.0 /* seconds: the first of them have come to their end */
#define FAST_WARM   0.3
#define MOST_ROUNDS 100
#define SAMPLES     (1u << 20)
#define TARGETS     3

static const char *const usage = "usage: bench_flood [--json] [--rounds N] [--seconds S] [slow] [random] [marked]";
static const char *const targets[TARGETS] = {"server", "bare", "none"};
static const uint32_t sizes[SIZES] = {SMALL, LARGE};

/* An honest client's thread: works while `size` is not 0. */
struct honest {
    canyon_tensor *tensors[SIZES];
    pthread_t thread;
    _Atomic int working; /* 0: rests; 1 + size; -1: end */
    _Atomic int resting;
    double *took; /* seconds */
    size_t count;
};

/* What one flood came to, round by round. */
struct outcome {
    double p50[SIZES][TARGETS][MOST_ROUNDS], p99[SIZES][TARGETS][MOST_ROUNDS];
    double ratios[SIZES][MOST_ROUNDS];
    double connects[TARGETS][MOST_ROUNDS], closes[TARGETS][MOST_ROUNDS], failures;
    double cpu[TARGETS][MOST_ROUNDS], pushes[SIZES][TARGETS];
    unsigned rounds;
};

static void *work(void *user) {
    static const float gradient[LARGE];
    struct honest *honest = user;
    float *weights = malloc(LARGE * sizeof(float));
    int size;
    bench_must(weights != NULL, "memory");
    while ((size = atomic_load(&honest->working)) >= 0) {
        if (size == 0) {
            atomic_store(&honest->resting, 1);
            measure_sleep(0.001);
            continue;
        }
        const double begin = measure_now();
        bench_must_ok(canyon_push_pull(honest->tensors[size - 1], gradient, weights, 0), "push_pull");
        if (honest->count < SAMPLES)
            honest->took[honest->count++] = measure_now() - begin;
    }
    free(weights);
    return NULL;
}

/* All clients at work on one size for so long. */
static size_t window(struct honest *clients, int size, double seconds, double *took) {
    size_t count = 0;
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i].count = 0;
        atomic_store(&clients[i].resting, 0);
        atomic_store(&clients[i].working, 1 + size);
    }
    measure_sleep(seconds);
    for (size_t i = 0; i < CLIENTS; i++)
        atomic_store(&clients[i].working, 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        while (!atomic_load(&clients[i].resting))
            measure_sleep(0.001);
        memcpy(took + count, clients[i].took, clients[i].count * sizeof took[0]);
        count += clients[i].count;
    }
    return count;
}

/* One target in one round. */
static void measure(const struct bench_words *words, struct honest *clients, struct served *server, struct flood *flood,
                    enum flood_kind kind, size_t target, uint16_t bare, double *took, struct outcome *outcome) {
    const unsigned round = outcome->rounds;
    flood_direct(flood, target == 2 ? FLOOD_NONE : kind, target == 0 ? served_port(server) : bare);
    measure_sleep(kind == FLOOD_SLOW && target != 2 ? SLOW_WARM : FAST_WARM);
    const struct flood_count before = flood_count(flood);
    const double cpu = served_cpu(server);
    for (size_t size = 0; size < SIZES; size++) {
        const size_t count = window(clients, (int)size, words->seconds, took);
        outcome->pushes[size][target] += (double)count;
        outcome->p50[size][target][round] = measure_median(took, count);
        outcome->p99[size][target][round] = measure_quantile(took, count, 0.99);
    }
    const struct flood_count after = flood_count(flood);
    const double seconds = after.seconds - before.seconds;
    outcome->connects[target][round] = (double)(after.connects - before.connects) / seconds;
    outcome->closes[target][round] = (double)(after.closes - before.closes) / seconds;
    outcome->cpu[target][round] = (served_cpu(server) - cpu) / seconds;
    outcome->failures += (double)after.failures;
}

static void flood_in_turns(const struct bench_words *words, struct honest *clients, struct served *server,
                           struct flood *flood, enum flood_kind kind, uint16_t bare, double *took,
                           struct outcome *outcome) {
    for (outcome->rounds = 0; outcome->rounds < words->rounds; outcome->rounds++) {
        for (size_t turn = 0; turn < TARGETS; turn++) /* the other order in every other round */
            measure(words, clients, server, flood, kind, outcome->rounds % 2 ? TARGETS - 1 - turn : turn, bare, took,
                    outcome);
        for (size_t size = 0; size < SIZES; size++)
            outcome->ratios[size][outcome->rounds] =
                outcome->p99[size][0][outcome->rounds] / outcome->p99[size][1][outcome->rounds];
    }
    flood_direct(flood, FLOOD_NONE, bare);
}

static void report(const struct bench_words *words, enum flood_kind kind, struct outcome *o, json_t *rows) {
    for (size_t size = 0; size < SIZES; size++) {
        const double ratio = measure_median(o->ratios[size], o->rounds);
        const double quiet =
            measure_quantile(o->p99[size][0], o->rounds, 0.25) / measure_quantile(o->p99[size][1], o->rounds, 0.25);
        for (size_t target = 0; target < TARGETS; target++) {
            const double p50 = 1e6 * measure_median(o->p50[size][target], o->rounds);
            const double p99 = 1e6 * measure_median(o->p99[size][target], o->rounds);
            const double connects = measure_median(o->connects[target], o->rounds);
            const double cpu = measure_median(o->cpu[target], o->rounds);
            if (words->json) {
                bench_must(json_array_append_new(
                               rows, json_pack("{s:s,s:i,s:s,s:f,s:f,s:f,s:f,s:f}", "flood", flood_name(kind),
                                               "elements", (int)sizes[size], "at", targets[target], "p50_us", p50,
                                               "p99_us", p99, "pushes", o->pushes[size][target], "connects_per_second",
                                               connects, "server_cpu", cpu)) == 0,
                           "memory");
                if (target == 0) {
                    json_t *row = json_array_get(rows, json_array_size(rows) - 1);
                    json_object_set_new(row, "ratio", json_real(ratio));
                    json_object_set_new(row, "ratio_quiet", json_real(quiet));
                }
                continue;
            }
            printf("%-7s %6u  %-7s %9.0f %9.0f %9.0f %10.0f %8.2f", flood_name(kind), sizes[size], targets[target], p50,
                   p99, o->pushes[size][target], connects, cpu);
            if (target == 0)
                printf(" %7.2f %7.2f", ratio, quiet);
            printf("\n");
        }
    }
    if (o->failures > 0)
        fprintf(stderr, "bench_flood: %.0f connections of the flood could not be made\n", o->failures);
    fflush(stdout);
}

static void begin(struct honest *clients, canyon_client *const *connected) {
    for (size_t i = 0; i < CLIENTS; i++) {
        for (size_t size = 0; size < SIZES; size++) {
            char name[32];
            snprintf(name, sizeof name, "honest-%zu-%u", i, sizes[size]);
            clients[i].tensors[size] = served_tensor(connected[i], name, sizes[size], "adam");
        }
        clients[i].took = malloc(SAMPLES * sizeof(double));
        bench_must(clients[i].took != NULL && pthread_create(&clients[i].thread, NULL, work, &clients[i]) == 0,
                   "a client's thread");
    }
}

static void end(struct honest *clients, canyon_client *const *connected) {
    for (size_t i = 0; i < CLIENTS; i++) {
        atomic_store(&clients[i].working, -1);
        pthread_join(clients[i].thread, NULL);
        for (size_t size = 0; size < SIZES; size++)
            canyon_tensor_close(clients[i].tensors[size]);
        canyon_close(connected[i]);
        free(clients[i].took);
    }
}

int main(int argc, char **argv) {
    static struct honest clients[CLIENTS];
    static struct outcome outcome;
    struct bench_words words = {.rounds = 9, .seconds = 2};
    canyon_client *connected[CLIENTS];
    bench_words_read(&words, argc, argv, usage);
    bench_must(words.rounds <= MOST_ROUNDS, "too many rounds");
    const enum served_channel channel =
        getenv("CANYON_BENCH_PLAINTEXT") != NULL ? SERVED_PLAINTEXT : SERVED_CHACHA20POLY1305;
    struct served *server = served_start(channel, 1, 65536);
    struct flood *flood = flood_start(SLOW_PEERS, served_key(server));
    const uint16_t bare = flood_start_bare();
    double *took = malloc(CLIENTS * (size_t)SAMPLES * sizeof(double));
    json_t *rows = json_array();
    bench_must(took != NULL && rows != NULL, "memory");
    for (size_t i = 0; i < CLIENTS; i++)
        connected[i] = served_connect(server, 0);
    begin(clients, connected);
    if (!words.json)
        printf("%u honest clients, %s; medians of %u rounds of %.1f s for each size and target\n\n%-7s %6s  %-7s %9s "
               "%9s %9s %10s %8s %7s %7s\n",
               CLIENTS, served_channel_name(channel), words.rounds, words.seconds, "flood", "floats", "at", "p50 us",
               "p99 us", "pushes", "connects/s", "srv CPU", "of bare", "quiet");
    for (enum flood_kind kind = FLOOD_SLOW; kind < FLOOD_KINDS; kind++) {
        if (!bench_words_ask(&words, flood_name(kind)) || (kind == FLOOD_MARKED && channel == SERVED_PLAINTEXT))
            continue;
        memset(&outcome, 0, sizeof outcome);
        flood_in_turns(&words, clients, server, flood, kind, bare, took, &outcome);
        report(&words, kind, &outcome, rows);
    }
    if (words.json)
        bench_must(json_dumpf(rows, stdout, JSON_INDENT(1)) == 0 && puts("") >= 0, "printing");
    end(clients, connected);
    served_stop(server);
    json_decref(rows);
    free(took);
    return 0;
}
