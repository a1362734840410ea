/* A server dies under a thousand clients, comes back, and they all come at once: all are served, a worker that trains
 * meanwhile goes on, and nothing is left behind.
 *
 * The clients are raw connections, opened from a few threads as fast as the server answers. */
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/integration/harness.h"
#include "tests/integration/raw.h"

#define HERD     1000u
#define THREADS  8u
#define SAMPLES  20000u
#define ELEMENTS 4096u

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED 0
#endif

struct herd {
    const char *address;
    struct raw *clients; /* this thread's */
    unsigned count;
    _Atomic unsigned *served;
};

/* Each says hello, and asks for something. */
static void *come(void *user) {
    struct herd *herd = user;
    for (unsigned i = 0; i < herd->count; i++) {
        raw_open(&herd->clients[i], herd->address, i % 2, NULL);
        struct frame frame;
        uint64_t request = raw_send(&herd->clients[i], FRAME_STATISTICS, NULL, 0, NULL, 0);
        raw_expect(&herd->clients[i], &frame, FRAME_STATISTICS_ARE, request);
        atomic_fetch_add(herd->served, 1);
    }
    return NULL;
}

/* All of them at once; the milliseconds until the last was served. */
static uint64_t come_all(const char *address, struct raw clients[HERD]) {
    pthread_t threads[THREADS];
    struct herd herds[THREADS];
    _Atomic unsigned served = 0;
    uint64_t begun = now_ms();
    for (unsigned t = 0; t < THREADS; t++) {
        herds[t] = (struct herd){.address = address,
                                 .clients = clients + (size_t)t * (HERD / THREADS),
                                 .count = HERD / THREADS,
                                 .served = &served};
        check(pthread_create(&threads[t], NULL, come, &herds[t]) == 0);
    }
    for (unsigned t = 0; t < THREADS; t++)
        check(pthread_join(threads[t], NULL) == 0);
    check(atomic_load(&served) == HERD);
    return now_ms() - begun;
}

static unsigned descriptors(pid_t pid) {
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    check(directory != NULL);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* Waits until the server has no more descriptors than it had. */
static void await_descriptors(struct cluster *cluster, unsigned most) {
    uint64_t end = now_ms() + PATIENCE_MS;
    while (descriptors(cluster_pid(cluster, 0)) > most && now_ms() < end)
        sleep_ms(10);
    if (descriptors(cluster_pid(cluster, 0)) > most)
        check_fail("%u descriptors are left of %u", descriptors(cluster_pid(cluster, 0)), most);
}

/* ---- A worker meanwhile ------------------------------------------------------------------------------------------ */

struct worker {
    canyon_tensor *tensor;
    _Atomic bool stop;
    uint32_t count;
    double took[SAMPLES]; /* ms */
};

static int ascending(const void *a, const void *b) {
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static void *train(void *user) {
    struct worker *worker = user;
    static float gradient[ELEMENTS], weights[ELEMENTS];
    while (!atomic_load(&worker->stop) && worker->count < SAMPLES) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        check_ok(canyon_push_pull(worker->tensor, gradient, weights, PATIENCE_MS));
        clock_gettime(CLOCK_MONOTONIC, &b);
        worker->took[worker->count++] = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) * 1e-6;
    }
    return NULL;
}

static void a_herd_comes_back(void **state) {
    (void)state;
    static struct raw clients[HERD];
    static struct worker worker;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.threads = 2});
    uint64_t took = come_all(cluster_address(cluster, 0), clients);
    print_message("%u clients were served in %llu ms\n", HERD, (unsigned long long)took);
    cluster_kill(cluster, 0);
    for (unsigned i = 0; i < HERD; i++)
        raw_close(&clients[i]);

    cluster_restart(cluster, 0, NULL);
    canyon_client *client = client_connect(cluster_servers(cluster));
    worker.tensor = client_vector(client, "t", ELEMENTS, "sgd");
    unsigned few = descriptors(cluster_pid(cluster, 0));
    pthread_t thread;
    check(pthread_create(&thread, NULL, train, &worker) == 0);
    took = come_all(cluster_address(cluster, 0), clients);
    atomic_store(&worker.stop, true);
    check(pthread_join(thread, NULL) == 0);
    check(worker.count > 0);
    qsort(worker.took, worker.count, sizeof worker.took[0], ascending);
    print_message("after the restart in %llu ms; the worker's %u steps meanwhile took p50 %.2f p99 %.2f most %.2f ms\n",
                  (unsigned long long)took, worker.count, worker.took[worker.count / 2],
                  worker.took[worker.count * 99 / 100], worker.took[worker.count - 1]);
    for (unsigned i = 0; i < HERD; i++)
        raw_close(&clients[i]);
    await_descriptors(cluster, few);

    /* A second and third herd find the room of the first: what a thousand clients took is given back or used again. */
    uint64_t kb = cluster_memory_kb(cluster, 0, "VmRSS");
    for (int again = 0; again < 2; again++) {
        come_all(cluster_address(cluster, 0), clients);
        for (unsigned i = 0; i < HERD; i++)
            raw_close(&clients[i]);
        await_descriptors(cluster, few);
    }
    uint64_t now_kb = cluster_memory_kb(cluster, 0, "VmRSS");
    print_message("resident after one herd %llu kB, after three %llu kB\n", (unsigned long long)kb,
                  (unsigned long long)now_kb);
    /* A sanitizer keeps what was freed for a while, and says itself at the end what leaked. */
    if (!SANITIZED)
        check(now_kb < kb + 4096u);
    canyon_tensor_close(worker.tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {integration_test(a_herd_comes_back)};
    return cmocka_run_group_tests_name("herd", tests, NULL, NULL);
}
