/* Pushes of several processes and threads at once: none is lost, doubled or torn.
 *
 * Plain sgd with lr=1 and integer gradients: the sums stay below 2^24, so they are exact in float32 in any order, and
 * the final weights must be the negated sum of all gradients to the last bit. */
#include <pthread.h>
#include <string.h>

#include "tests/integration/harness.h"
#include "tests/integration/process.h"

#define WORKERS 4
#define THREADS 2
#define STEPS   30
#define LARGE   9000
#define SMALL   3

/* -4 to 4, different for every worker, thread, step and element. */
static float gradient_at(unsigned worker, unsigned step, uint64_t i) {
    uint64_t x = (uint64_t)worker * 2654435761u + (uint64_t)step * 40503u + i * 2246822519u;
    x ^= x >> 29;
    x *= 0x9e3779b97f4a7c15u;
    x ^= x >> 32;
    return (float)(x % 9) - 4.0f;
}

struct hands {
    canyon_client *client;
    unsigned worker; /* counts the threads of all processes */
};

/* One thread's pushes, in turn by each of the four ways to push. */
static void *push_all(void *user) {
    const struct hands *hands = user;
    canyon_tensor *large = NULL, *small = NULL;
    check_ok(canyon_tensor_open(hands->client, "large", PATIENCE_MS, &large));
    check_ok(canyon_tensor_open(hands->client, "small", PATIENCE_MS, &small));
    float g[LARGE], w[LARGE], g_small[SMALL], w_small[SMALL];
    for (unsigned step = 0; step < STEPS; step++) {
        for (uint64_t i = 0; i < LARGE; i++)
            g[i] = gradient_at(hands->worker, step, i);
        for (uint64_t i = 0; i < SMALL; i++)
            g_small[i] = gradient_at(hands->worker, step, i + LARGE);
        struct canyon_item items[] = {{.tensor = large, .gradient = g, .weights = step % 2 ? w : NULL},
                                      {.tensor = small, .gradient = g_small, .weights = w_small}};
        if (step % 4 == 0) {
            check_ok(canyon_push(large, g, PATIENCE_MS));
            check_ok(canyon_push_pull(small, g_small, w_small, PATIENCE_MS));
        } else if (step % 4 == 1) {
            check_ok(canyon_push_pull(large, g, g, PATIENCE_MS));
            check_ok(canyon_push(small, g_small, PATIENCE_MS));
        } else if (step % 4 == 2) {
            check_ok(canyon_step(hands->client, items, 2, PATIENCE_MS));
        } else {
            canyon_future *future = NULL;
            check_ok(canyon_step_async(hands->client, items, 2, PATIENCE_MS, &future));
            check_ok(canyon_future_wait(future, UINT32_MAX));
            canyon_future_release(future);
        }
    }
    canyon_tensor_close(large);
    canyon_tensor_close(small);
    return NULL;
}

struct work {
    const char *servers;
    unsigned worker;
    struct gate *ready;
};

static int worker_body(void *user) {
    const struct work *work = user;
    canyon_client *client = client_connect(work->servers);
    gate_arrive(work->ready);
    gate_wait(work->ready, WORKERS);
    /* Whoever comes first creates them. */
    canyon_tensor_close(client_vector(client, "large", LARGE, "sgd:lr=1"));
    canyon_tensor_close(client_vector(client, "small", SMALL, "sgd:lr=1"));
    pthread_t threads[THREADS];
    struct hands hands[THREADS];
    for (unsigned t = 0; t < THREADS; t++) {
        hands[t] = (struct hands){.client = client, .worker = work->worker * THREADS + t};
        check(pthread_create(&threads[t], NULL, push_all, &hands[t]) == 0);
    }
    for (unsigned t = 0; t < THREADS; t++)
        check(pthread_join(threads[t], NULL) == 0);
    canyon_close(client);
    return 0;
}

static void check_sums(canyon_client *client) {
    static float large[LARGE], small[SMALL];
    canyon_tensor *tensor = NULL;
    check_ok(canyon_tensor_open(client, "large", PATIENCE_MS, &tensor));
    check_ok(canyon_pull(tensor, large, PATIENCE_MS));
    canyon_tensor_close(tensor);
    check_ok(canyon_tensor_open(client, "small", PATIENCE_MS, &tensor));
    check_ok(canyon_pull(tensor, small, PATIENCE_MS));
    canyon_tensor_close(tensor);
    for (uint64_t i = 0; i < LARGE + SMALL; i++) {
        float sum = 0;
        for (unsigned w = 0; w < WORKERS * THREADS; w++) {
            for (unsigned step = 0; step < STEPS; step++)
                sum += gradient_at(w, step, i);
        }
        float got = i < LARGE ? large[i] : small[i - LARGE];
        if (got != -sum)
            check_fail("element %llu is %g, not %g", (unsigned long long)i, (double)got, (double)-sum);
    }
}

static void sums_are_exact(void **state) {
    const struct cluster_options *options = *state;
    struct cluster *cluster = cluster_start(options);
    struct gate *ready = shared_alloc(sizeof *ready);
    pid_t workers[WORKERS];
    struct work work[WORKERS];
    for (unsigned w = 0; w < WORKERS; w++) {
        work[w] = (struct work){.servers = cluster_servers(cluster), .worker = w, .ready = ready};
        workers[w] = process_start(worker_body, &work[w]);
    }
    for (unsigned w = 0; w < WORKERS; w++)
        check(process_wait(workers[w], 3 * PATIENCE_MS) == 0);

    canyon_client *client = client_connect(cluster_servers(cluster));
    check_sums(client);
    struct canyon_server_statistics *servers = NULL;
    size_t count = 0;
    uint64_t pushes = 0, refused = 0;
    check_ok(canyon_statistics(client, PATIENCE_MS, &servers, &count));
    for (size_t s = 0; s < count; s++) {
        pushes += servers[s].pushes;
        refused += servers[s].refused;
    }
    canyon_free(servers);
    check(pushes == (uint64_t)WORKERS * THREADS * STEPS * ((LARGE + 1023) / 1024 + 1));
    check(refused == 0);
    canyon_close(client);
    shared_free(ready, sizeof *ready);
    cluster_stop(cluster);
}

int main(void) {
    static const struct cluster_options one = {.servers = 1, .threads = 1}, three = {.servers = 3, .threads = 2},
                                        plain = {.servers = 3, .threads = 2, .plaintext = true};
    const struct CMUnitTest tests[] = {
        integration_case("1 server x 1 thread", sums_are_exact, &one),
        integration_case("3 servers x 2 threads", sums_are_exact, &three),
        integration_case("3 servers x 2 threads, plaintext", sums_are_exact, &plain),
    };
    return cmocka_run_group_tests_name("sums", tests, NULL, NULL);
}
