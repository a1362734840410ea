/* One client pulls everything, again and again, as fast as it can read; ten others want small things from the same
 * server thread, and get them: turns are bounded, so between two answers to one of them the greedy one gets so much at
 * most.
 *
 * Latencies are printed; what must hold is counted in answers, not in time. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/integration/harness.h"
#include "tests/integration/raw.h"

#define BLOCK    65536u
#define BLOCKS   64u /* 16 MiB */
#define NORMAL   10u
#define STEPS    150u
#define ANSWERS  64u /* frames of one turn of a connection */
#define PATIENT  4u  /* turns that a small request may wait, on average */
#define PIPELINE 512u

struct greedy {
    struct raw raw;
    uint64_t tensor;
    _Atomic bool stop;
    _Atomic uint64_t answers;
};

static void ask(struct greedy *greedy, uint32_t block) {
    static struct message_pieces pieces = {.count = 1};
    uint8_t message[LIMIT_MESSAGE_BYTES];
    pieces.pieces[0] = (struct message_piece){.tensor = greedy->tensor, .block = block % BLOCKS, .elements = BLOCK};
    raw_send(&greedy->raw, FRAME_PULL, message, message_pack_pieces(&pieces, message), NULL, 0);
}

/* Always has many requests waiting at the server. */
static void *pull_everything(void *user) {
    struct greedy *greedy = user;
    for (uint32_t i = 0; i < PIPELINE; i++)
        ask(greedy, i);
    for (uint32_t i = 0; !atomic_load(&greedy->stop); i++) {
        struct frame frame;
        check(raw_receive(&greedy->raw, &frame, 0, PATIENCE_MS) == RAW_FRAME && frame.header.type == FRAME_PULLED);
        atomic_fetch_add(&greedy->answers, 1);
        ask(greedy, i);
    }
    return NULL;
}

struct normal {
    const char *servers;
    unsigned number;
    const struct greedy *greedy; /* NULL before it comes */
    double took[STEPS];          /* ms */
    uint64_t most;               /* answers to the greedy one during one step */
};

static void *work(void *user) {
    struct normal *normal = user;
    char name[16];
    float gradient[256] = {0}, weights[256];
    canyon_client *client = client_connect(normal->servers);
    snprintf(name, sizeof name, "small-%u", normal->number);
    canyon_tensor *tensor = client_vector(client, name, 256, "sgd");
    for (unsigned i = 0; i < STEPS; i++) {
        struct timespec a, b;
        uint64_t before = normal->greedy ? atomic_load(&normal->greedy->answers) : 0;
        clock_gettime(CLOCK_MONOTONIC, &a);
        check_ok(canyon_push_pull(tensor, gradient, weights, PATIENCE_MS));
        clock_gettime(CLOCK_MONOTONIC, &b);
        uint64_t between = normal->greedy ? atomic_load(&normal->greedy->answers) - before : 0;
        normal->took[i] = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) * 1e-6;
        normal->most = between > normal->most ? between : normal->most;
    }
    canyon_tensor_close(tensor);
    canyon_close(client);
    return NULL;
}

static int ascending(const void *a, const void *b) {
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* The ten at work together; prints how it was for them. */
static void work_all(const char *servers, const struct greedy *greedy, const char *title) {
    static struct normal normals[NORMAL];
    static double all[NORMAL * STEPS];
    pthread_t threads[NORMAL];
    uint64_t most = 0;
    for (unsigned n = 0; n < NORMAL; n++) {
        normals[n] = (struct normal){.servers = servers, .number = n, .greedy = greedy};
        check(pthread_create(&threads[n], NULL, work, &normals[n]) == 0);
    }
    for (unsigned n = 0; n < NORMAL; n++) {
        check(pthread_join(threads[n], NULL) == 0);
        memcpy(all + (size_t)n * STEPS, normals[n].took, sizeof normals[n].took);
        most = normals[n].most > most ? normals[n].most : most;
    }
    qsort(all, NORMAL * STEPS, sizeof all[0], ascending);
    print_message(
        "%s: %u steps of each of %u: p50 %.2f ms, p99 %.2f ms, most %.2f ms; at most %llu answers to the greedy "
        "one during one step\n",
        title, STEPS, NORMAL, all[NORMAL * STEPS / 2], all[NORMAL * STEPS * 99 / 100], all[NORMAL * STEPS - 1],
        (unsigned long long)most);
}

static void one_greedy_among_ten(void **state) {
    (void)state;
    static struct greedy greedy;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.block = BLOCK});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "large", (uint64_t)BLOCK * BLOCKS, "sgd");
    work_all(cluster_servers(cluster), NULL, "alone");

    raw_open(&greedy.raw, cluster_servers(cluster), 0, NULL);
    greedy.tensor = raw_find(&greedy.raw, "large");
    pthread_t thread;
    check(pthread_create(&thread, NULL, pull_everything, &greedy) == 0);
    for (uint64_t end = now_ms() + PATIENCE_MS; atomic_load(&greedy.answers) < PIPELINE && now_ms() < end;)
        sleep_ms(1);
    uint64_t before = atomic_load(&greedy.answers);
    work_all(cluster_servers(cluster), &greedy, "beside the greedy one");
    uint64_t answers = atomic_load(&greedy.answers) - before;
    print_message("the greedy one got %llu answers of 256 KiB meanwhile\n", (unsigned long long)answers);
    /* Each of the ten had STEPS answers, and more for connecting and creating. */
    check(answers <= (uint64_t)STEPS * ANSWERS * PATIENT);
    check(answers > 0); /* and is not starved either */
    atomic_store(&greedy.stop, true);
    check(pthread_join(thread, NULL) == 0);
    raw_close(&greedy.raw);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {integration_test(one_greedy_among_ten)};
    return cmocka_run_group_tests_name("greedy", tests, NULL, NULL);
}
