/* Whether one greedy client makes others wait longer than clients that take turns.
 *
 *     bench_greedy [--json] [--rounds N] [--seconds S]
 *
 * Ten normal clients push_pull 256 floats and rest a millisecond, again and again. Beside them, in turns: nobody; one
 * greedy client that pulls a tensor of 64 blocks of 256 KiB, always with eight such pulls (512 requests) under way; or
 * as many polite clients as it takes to pull about as much, four, each of which asks for one block and waits for it.
 * The server thread has the same work then, but nobody has more than one request waiting. So that is the limit: the p99
 * of the normal ones beside the greedy one, divided by their p99 beside the polite ones, round by round; medians. */
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/measure.h"
#include "tests/bench/served.h"

#define BLOCK       65536u
#define BLOCKS      64u
#define DEPTH       8u /* pulls of the greedy one under way */
#define NORMAL      10u
#define POLITE      4u
#define SMALL       256u
#define REST        0.001
#define SAMPLES     100000u
#define MOST_ROUNDS 100
#define WINDOW      (1ull << 30)

enum company { ALONE, GREEDY, POLITES, COMPANIES };
static const char *const names[COMPANIES] = {"nobody", "greedy", "polite"};

/* All threads look at this: which company is at work, whether the normal ones are, and whether all is over. */
static _Atomic int company;
static _Atomic bool measuring, over;
static _Atomic uint64_t pulled; /* blocks */

struct normal {
    canyon_client *client;
    canyon_tensor *tensor;
    pthread_t thread;
    double *took;
    _Atomic size_t count;
};

static void *work_normally(void *user) {
    static const float gradient[SMALL];
    struct normal *normal = user;
    float weights[SMALL];
    while (!atomic_load(&over)) {
        const double begin = measure_now();
        bench_must_ok(canyon_push_pull(normal->tensor, gradient, weights, 0), "push_pull");
        const size_t count = atomic_load(&normal->count);
        if (atomic_load(&measuring) && count < SAMPLES) {
            normal->took[count] = measure_now() - begin;
            atomic_store(&normal->count, count + 1);
        }
        measure_sleep(REST);
    }
    return NULL;
}

/* ---- company ---- */

struct puller {
    canyon_client *client;
    canyon_tensor *tensor;
    float *weights; /* DEPTH times BLOCKS blocks, or one block */
    pthread_t thread;
};

static canyon_future *pull_all(const struct puller *puller, struct canyon_item *item, size_t slot) {
    canyon_future *future = NULL;
    *item = (struct canyon_item){.tensor = puller->tensor, .weights = puller->weights + slot * BLOCKS * BLOCK};
    bench_must_ok(canyon_step_async(puller->client, item, 1, 0, &future), "a pull");
    return future;
}

static void *pull_greedily(void *user) {
    const struct puller *puller = user;
    struct canyon_item items[DEPTH];
    canyon_future *futures[DEPTH] = {NULL};
    for (size_t slot = 0; !atomic_load(&over); slot = (slot + 1) % DEPTH) {
        if (futures[slot] != NULL) {
            bench_must_ok(canyon_future_wait(futures[slot], UINT32_MAX), "a pull");
            canyon_future_release(futures[slot]);
            futures[slot] = NULL;
            atomic_fetch_add(&pulled, BLOCKS);
        }
        if (atomic_load(&company) == GREEDY)
            futures[slot] = pull_all(puller, &items[slot], slot);
        else
            measure_sleep(REST);
    }
    for (size_t slot = 0; slot < DEPTH; slot++) {
        if (futures[slot] != NULL) {
            (void)canyon_future_wait(futures[slot], UINT32_MAX);
            canyon_future_release(futures[slot]);
        }
    }
    return NULL;
}

static void *pull_politely(void *user) {
    const struct puller *puller = user;
    while (!atomic_load(&over)) {
        if (atomic_load(&company) == POLITES) {
            bench_must_ok(canyon_pull(puller->tensor, puller->weights, 0), "a pull");
            atomic_fetch_add(&pulled, 1);
        } else {
            measure_sleep(REST);
        }
    }
    return NULL;
}

/* ---- rounds ---- */

struct outcome {
    double p50[COMPANIES][MOST_ROUNDS], p99[COMPANIES][MOST_ROUNDS], rate[COMPANIES][MOST_ROUNDS];
    double ratios[MOST_ROUNDS];
};

static void measure(struct normal *normals, enum company with, unsigned round, double seconds, double *took,
                    struct outcome *outcome) {
    size_t count = 0;
    atomic_store(&company, (int)with);
    measure_sleep(0.5);
    for (size_t i = 0; i < NORMAL; i++)
        atomic_store(&normals[i].count, 0);
    const uint64_t before = atomic_load(&pulled);
    const double begin = measure_now();
    atomic_store(&measuring, true);
    measure_sleep(seconds);
    atomic_store(&measuring, false);
    outcome->rate[with][round] =
        (double)(atomic_load(&pulled) - before) * BLOCK * sizeof(float) * 1e-9 / (measure_now() - begin);
    for (size_t i = 0; i < NORMAL; i++) {
        const size_t own = atomic_load(&normals[i].count);
        memcpy(took + count, normals[i].took, own * sizeof took[0]);
        count += own;
    }
    outcome->p50[with][round] = measure_median(took, count);
    outcome->p99[with][round] = measure_quantile(took, count, 0.99);
}

static void report(const struct bench_words *words, struct outcome *outcome) {
    const double ratio = measure_median(outcome->ratios, words->rounds);
    json_t *rows = json_array();
    bench_must(rows != NULL, "memory");
    if (!words->json)
        printf("%u normal clients, medians of %u rounds of %.1f s\n\n%-8s %9s %9s %9s %9s\n", NORMAL, words->rounds,
               words->seconds, "beside", "p50 us", "p99 us", "GB/s", "of polite");
    for (size_t with = 0; with < COMPANIES; with++) {
        const double p50 = 1e6 * measure_median(outcome->p50[with], words->rounds);
        const double p99 = 1e6 * measure_median(outcome->p99[with], words->rounds);
        const double rate = measure_median(outcome->rate[with], words->rounds);
        json_t *row =
            json_pack("{s:s,s:f,s:f,s:f}", "beside", names[with], "p50_us", p50, "p99_us", p99, "gb_per_second", rate);
        if (with == GREEDY)
            json_object_set_new(row, "ratio", json_real(ratio));
        json_array_append_new(rows, row);
        if (!words->json) {
            printf("%-8s %9.0f %9.0f %9.2f", names[with], p50, p99, rate);
            printf(with == GREEDY ? " %9.2f\n" : "\n", ratio);
        }
    }
    if (words->json)
        bench_must(json_dumpf(rows, stdout, JSON_INDENT(1)) == 0 && puts("") >= 0, "printing");
    json_decref(rows);
}

static void start_puller(struct puller *puller, const struct served *server, const char *name, unsigned blocks,
                         unsigned depth, void *(*body)(void *)) {
    puller->client = served_connect(server, WINDOW);
    puller->tensor = served_tensor(puller->client, name, (uint64_t)blocks * BLOCK, "sgd");
    puller->weights = malloc((size_t)blocks * depth * BLOCK * sizeof(float));
    bench_must(puller->weights != NULL && pthread_create(&puller->thread, NULL, body, puller) == 0, "a client");
}

static void stop_puller(struct puller *puller) {
    pthread_join(puller->thread, NULL);
    canyon_tensor_close(puller->tensor);
    canyon_close(puller->client);
    free(puller->weights);
}

static void start_normal(struct normal *normal, const struct served *server, size_t number) {
    char name[16];
    snprintf(name, sizeof name, "small-%zu", number);
    normal->client = served_connect(server, 0);
    normal->tensor = served_tensor(normal->client, name, SMALL, "adam");
    normal->took = malloc(SAMPLES * sizeof(double));
    bench_must(normal->took != NULL && pthread_create(&normal->thread, NULL, work_normally, normal) == 0, "a client");
}

static void stop_normal(struct normal *normal) {
    pthread_join(normal->thread, NULL);
    canyon_tensor_close(normal->tensor);
    canyon_close(normal->client);
    free(normal->took);
}

int main(int argc, char **argv) {
    static struct normal normals[NORMAL];
    static struct outcome outcome;
    struct puller greedy, polites[POLITE];
    struct bench_words words = {.rounds = 9, .seconds = 2};
    bench_words_read(&words, argc, argv, "usage: bench_greedy [--json] [--rounds N] [--seconds S]");
    double *took = malloc((size_t)NORMAL * SAMPLES * sizeof(double));
    bench_must(words.rounds <= MOST_ROUNDS && took != NULL, "memory");
    struct served *server = served_start(SERVED_CHACHA20POLY1305, 1, BLOCK);
    for (size_t i = 0; i < NORMAL; i++)
        start_normal(&normals[i], server, i);
    start_puller(&greedy, server, "large", BLOCKS, DEPTH, pull_greedily);
    for (size_t i = 0; i < POLITE; i++) {
        char name[16];
        snprintf(name, sizeof name, "block-%zu", i);
        start_puller(&polites[i], server, name, 1, 1, pull_politely);
    }
    for (unsigned round = 0; round < words.rounds; round++) {
        for (unsigned turn = 0; turn < COMPANIES; turn++)
            measure(normals, (enum company)(round % 2 ? COMPANIES - 1 - turn : turn), round, words.seconds, took,
                    &outcome);
        outcome.ratios[round] = outcome.p99[GREEDY][round] / outcome.p99[POLITES][round];
    }
    report(&words, &outcome);
    atomic_store(&over, true);
    stop_puller(&greedy);
    for (size_t i = 0; i < POLITE; i++)
        stop_puller(&polites[i]);
    for (size_t i = 0; i < NORMAL; i++)
        stop_normal(&normals[i]);
    served_stop(server);
    free(took);
    return 0;
}
