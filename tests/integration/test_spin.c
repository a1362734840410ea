/* Clients and servers that look for bytes before they sleep: the same results, the same errors in the same time. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/harness.h"

#define ELEMENTS 20000
#define STEPS    50
#define SPIN_US  2000

static canyon_client *spinning_client(const struct cluster *cluster) {
    struct canyon_options options;
    canyon_client *client = NULL;
    canyon_options_init(&options);
    cluster_client(cluster, &options);
    options.spin_us = SPIN_US;
    check_ok(canyon_connect(&options, &client));
    return client;
}

struct pusher {
    canyon_tensor *tensor;
    pthread_t thread;
};

static void *push_ones(void *user) {
    struct pusher *pusher = user;
    float *ones = malloc(ELEMENTS * sizeof *ones), *weights = malloc(ELEMENTS * sizeof *weights);
    check(ones != NULL && weights != NULL);
    for (size_t i = 0; i < ELEMENTS; i++)
        ones[i] = -1.0f;
    for (int step = 0; step < STEPS; step++)
        check_ok(canyon_push_pull(pusher->tensor, ones, weights, 0));
    free(ones);
    free(weights);
    return NULL;
}

/* Several threads of one client, on servers that spin and on servers that do not. */
static void sums_are_exact(void **state) {
    const bool servers_spin = *(const bool *)*state;
    struct cluster *cluster =
        cluster_start(&(struct cluster_options){.servers = 2, .threads = 2, .spin_us = servers_spin ? SPIN_US : 0});
    canyon_client *client = spinning_client(cluster);
    struct pusher pushers[3];
    float *weights = malloc(ELEMENTS * sizeof *weights);
    check(weights != NULL);
    canyon_tensor *tensor = client_vector(client, "t", ELEMENTS, "sgd:lr=1");
    for (size_t i = 0; i < 3; i++) {
        pushers[i].tensor = tensor;
        check(pthread_create(&pushers[i].thread, NULL, push_ones, &pushers[i]) == 0);
    }
    for (size_t i = 0; i < 3; i++)
        check(pthread_join(pushers[i].thread, NULL) == 0);
    check_ok(canyon_pull(tensor, weights, 0));
    for (size_t i = 0; i < ELEMENTS; i++)
        check(weights[i] == 3.0f * STEPS);
    free(weights);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

static void deadlines_and_losses_are_seen(void **state) {
    (void)state;
    static float gradient[ELEMENTS], weights[ELEMENTS];
    struct cluster *cluster = cluster_start(&(struct cluster_options){.spin_us = SPIN_US});
    canyon_client *client = spinning_client(cluster);
    canyon_tensor *tensor = client_vector(client, "t", ELEMENTS, "sgd:lr=1");
    check_ok(canyon_push_pull(tensor, gradient, weights, 0));
    cluster_pause(cluster, 0);
    check_status(canyon_pull(tensor, weights, 100), CANYON_TIMEOUT);
    cluster_resume(cluster, 0);
    check_ok(canyon_pull(tensor, weights, 0));
    cluster_kill(cluster, 0);
    check_status(canyon_pull(tensor, weights, 1000), CANYON_UNAVAILABLE);
    cluster_restart(cluster, 0, NULL);
    check_status(canyon_pull(tensor, weights, 0), CANYON_STATE_LOST);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* A thread spins for an answer that does not come while another closes the client. */
static void closing_ends_who_spins(void **state) {
    (void)state;
    static float gradient[ELEMENTS];
    struct cluster *cluster = cluster_start(NULL);
    canyon_client *client = spinning_client(cluster);
    canyon_tensor *tensor = client_vector(client, "t", ELEMENTS, "sgd:lr=1");
    canyon_future *futures[8];
    struct canyon_item items[8];
    cluster_pause(cluster, 0);
    for (size_t i = 0; i < 8; i++) {
        items[i] = (struct canyon_item){.tensor = tensor, .gradient = gradient};
        check_ok(canyon_step_async(client, &items[i], 1, 0, &futures[i]));
    }
    canyon_close(client);
    for (size_t i = 0; i < 8; i++) {
        check_status(canyon_future_wait(futures[i], 0), CANYON_CLOSED);
        canyon_future_release(futures[i]);
    }
    canyon_tensor_close(tensor);
    cluster_resume(cluster, 0);
    cluster_stop(cluster);
}

int main(void) {
    static const bool yes = true, no = false;
    const struct CMUnitTest tests[] = {
        integration_case("spinning servers", sums_are_exact, &yes),
        integration_case("sleeping servers", sums_are_exact, &no),
        integration_test(deadlines_and_losses_are_seen),
        integration_test(closing_ends_who_spins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
