/* The same commands give the same state to the last bit, however many servers and threads hold it; and what staleness
 * is. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/harness.h"

#define LARGE  10000 /* ten blocks of 1,024 */
#define MIDDLE 1500
#define SMALL  10
#define STEPS  25

static const char *const optimizers[] = {"sgd:lr=0.1",        "momentum:lr=0.05", "nag",  "adagrad",
                                         "adadelta:rho=0.95", "rmsprop",          "adam", "nadam:lr=0.01"};
#define OPTIMIZERS (sizeof optimizers / sizeof optimizers[0])

/* Any fixed numbers of different sizes and signs. */
static float number(uint64_t seed, uint64_t i) {
    uint64_t x = (seed + 1) * 0x9e3779b97f4a7c15u + i * 0xbf58476d1ce4e5b9u;
    x ^= x >> 31;
    x *= 0x94d049bb133111ebu;
    x ^= x >> 29;
    return (float)((double)(x % 2000001) / 1000000.0 - 1.0);
}

static void fill(float *values, size_t count, uint64_t seed) {
    for (size_t i = 0; i < count; i++)
        values[i] = number(seed, i);
}

static canyon_tensor *create(canyon_client *client, const char *name, uint64_t elements, const char *optimizer,
                             const float *values) {
    struct canyon_tensor_spec spec;
    canyon_tensor_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "%s", name);
    spec.rank = 1;
    spec.dims[0] = elements;
    spec.initializer = values ? CANYON_VALUES : CANYON_NORMAL;
    spec.seed = 5;
    spec.b = 1;
    spec.values = values;
    check_ok(canyon_tensor_spec_optimizer(&spec, optimizer));
    canyon_tensor *tensor = NULL;
    check_ok(canyon_tensor_create(client, &spec, PATIENCE_MS, &tensor));
    return tensor;
}

/* Everything that changes state: creating, assigning, single pushes, steps, refused commands, dropping. Returns the
 * digest and leaves the largest tensor's last weights. */
static void run_commands(canyon_client *client, bool one_more, uint8_t digest[CANYON_DIGEST_BYTES], float last[LARGE]) {
    static float gradient[LARGE], weights[LARGE];
    canyon_tensor *tensors[OPTIMIZERS], *middle, *small;
    for (size_t o = 0; o < OPTIMIZERS; o++) {
        char name[32];
        snprintf(name, sizeof name, "large/%zu", o);
        tensors[o] = create(client, name, LARGE, optimizers[o], NULL);
    }
    fill(weights, MIDDLE, 100);
    middle = create(client, "middle", MIDDLE, "adam", weights);
    small = create(client, "small", SMALL, "nadam", NULL);
    canyon_tensor *gone = create(client, "gone", MIDDLE, "momentum", NULL);
    for (uint64_t step = 0; step < STEPS; step++) {
        struct canyon_item items[OPTIMIZERS + 1];
        memset(items, 0, sizeof items);
        fill(gradient, LARGE, step);
        for (size_t o = 0; o < OPTIMIZERS; o++)
            items[o] = (struct canyon_item){
                .tensor = tensors[o], .gradient = gradient, .weights = o == OPTIMIZERS - 1 ? last : NULL};
        items[OPTIMIZERS] = (struct canyon_item){.tensor = small, .gradient = gradient + 7};
        check_ok(canyon_step(client, items, OPTIMIZERS + 1, PATIENCE_MS));
        check_ok(canyon_push_pull(middle, gradient + 100, weights, PATIENCE_MS));
        check_ok(canyon_push(gone, gradient, PATIENCE_MS));
    }
    fill(weights, LARGE, 200);
    check_ok(canyon_assign(tensors[0], weights, PATIENCE_MS));
    gradient[2000] = INFINITY;
    check_status(canyon_push(tensors[1], gradient, PATIENCE_MS), CANYON_NOT_FINITE);
    canyon_tensor_close(gone);
    check_ok(canyon_tensor_drop(client, "gone", PATIENCE_MS));
    if (one_more)
        check_ok(canyon_push(small, weights, PATIENCE_MS));
    client_digest(client, digest);
    for (size_t o = 0; o < OPTIMIZERS; o++)
        canyon_tensor_close(tensors[o]);
    canyon_tensor_close(middle);
    canyon_tensor_close(small);
}

static void run_on(const struct cluster_options *options, bool one_more, uint8_t digest[CANYON_DIGEST_BYTES],
                   float last[LARGE]) {
    struct cluster *cluster = cluster_start(options);
    canyon_client *client = client_connect(cluster_servers(cluster));
    run_commands(client, one_more, digest, last);
    canyon_close(client);
    cluster_stop(cluster);
}

static void same_commands_same_state(void **state) {
    (void)state;
    static float last[4][LARGE];
    uint8_t digests[4][CANYON_DIGEST_BYTES];
    run_on(&(struct cluster_options){.servers = 1, .threads = 1, .shards = 64}, false, digests[0], last[0]);
    run_on(&(struct cluster_options){.servers = 3, .threads = 2, .shards = 64}, false, digests[1], last[1]);
    run_on(&(struct cluster_options){.servers = 1, .threads = 4, .shards = 64}, false, digests[2], last[2]);
    run_on(&(struct cluster_options){.servers = 3, .threads = 2, .shards = 64}, true, digests[3], last[3]);
    check(memcmp(last[0], last[1], sizeof last[0]) == 0);
    check(memcmp(last[0], last[2], sizeof last[0]) == 0);
    check(memcmp(digests[0], digests[1], sizeof digests[0]) == 0);
    check(memcmp(digests[0], digests[2], sizeof digests[0]) == 0);
    check(memcmp(digests[0], digests[3], sizeof digests[0]) != 0);
}

/* ---- Staleness ------------------------------------------------------------------------------------------------- */

static uint64_t staleness_of_step(canyon_client *client, canyon_tensor *tensor, bool pull, uint64_t version) {
    static float gradient[MIDDLE], weights[MIDDLE];
    struct canyon_item item = {.tensor = tensor, .gradient = gradient, .weights = pull ? weights : NULL};
    check_ok(canyon_step(client, &item, 1, PATIENCE_MS));
    if (item.version != version)
        check_fail("version %llu, not %llu", (unsigned long long)item.version, (unsigned long long)version);
    return item.staleness;
}

static void statistics_staleness(canyon_client *client, uint64_t *sum, uint64_t *max) {
    struct canyon_server_statistics *servers = NULL;
    size_t count = 0;
    check_ok(canyon_statistics(client, PATIENCE_MS, &servers, &count));
    *sum = *max = 0;
    for (size_t s = 0; s < count; s++) {
        *sum += servers[s].staleness_sum;
        *max = servers[s].staleness_max > *max ? servers[s].staleness_max : *max;
    }
    canyon_free(servers);
}

static void a_lone_worker_is_never_stale(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 3, .threads = 2});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "t", MIDDLE, "adam");
    for (uint64_t step = 1; step <= 20; step++)
        check(staleness_of_step(client, tensor, true, step) == 0);
    uint64_t sum, max;
    statistics_staleness(client, &sum, &max);
    check(sum == 0 && max == 0);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* Two workers in turn: each pushes onto weights that the other has changed once since. */
static void two_in_turn(void **state) {
    (void)state;
    static float weights[MIDDLE];
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 1});
    canyon_client *one = client_connect(cluster_servers(cluster));
    canyon_client *two = client_connect(cluster_servers(cluster));
    canyon_tensor *of_one = client_vector(one, "t", MIDDLE, "sgd");
    canyon_tensor *of_two = client_vector(two, "t", MIDDLE, "sgd");
    check_ok(canyon_pull(of_one, weights, PATIENCE_MS));
    check_ok(canyon_pull(of_two, weights, PATIENCE_MS));
    check(staleness_of_step(one, of_one, true, 1) == 0);
    for (uint64_t turn = 1; turn <= 5; turn++) {
        check(staleness_of_step(two, of_two, true, 2 * turn) == 1);
        check(staleness_of_step(one, of_one, true, 2 * turn + 1) == 1);
    }
    uint64_t sum, max;
    statistics_staleness(one, &sum, &max);
    check(sum == 2 * 10 && max == 1); /* ten stale pushes of two blocks */
    /* Version 11 stands. Two pushes blindly: its weights are of version 10, and stay so. */
    check(staleness_of_step(two, of_two, false, 12) == 1);
    check(staleness_of_step(two, of_two, false, 13) == 2);
    check(staleness_of_step(two, of_two, false, 14) == 3);
    check_ok(canyon_pull(of_two, weights, PATIENCE_MS));
    check(staleness_of_step(two, of_two, false, 15) == 0);
    /* One still has version 11. */
    check(staleness_of_step(one, of_one, true, 16) == 4);
    check(staleness_of_step(one, of_one, true, 17) == 0);
    canyon_tensor_close(of_one);
    canyon_tensor_close(of_two);
    canyon_close(one);
    canyon_close(two);
    cluster_stop(cluster);
}

static canyon_tensor *create_with_values(canyon_client *client) {
    static const float values[3000];
    struct canyon_tensor_spec spec;
    canyon_tensor *tensor = NULL;
    canyon_tensor_spec_init(&spec);
    strcpy(spec.name, "values");
    spec.rank = 1;
    spec.dims[0] = 3000;
    spec.initializer = CANYON_VALUES;
    spec.values = values;
    check_ok(canyon_tensor_create(client, &spec, PATIENCE_MS, &tensor));
    return tensor;
}

/* Values that were given are a tensor's first: a gradient computed from them is not stale, whoever pushes it. */
static void first_values_are_not_stale(void **state) {
    (void)state;
    static const float gradient[3000];
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2});
    canyon_client *clients[2];
    canyon_tensor *tensors[2];
    for (int i = 0; i < 2; i++) {
        clients[i] = client_connect(cluster_servers(cluster));
        tensors[i] = create_with_values(clients[i]);
    }
    for (int i = 0; i < 2; i++) {
        struct canyon_item item = {.tensor = tensors[i], .gradient = gradient};
        check_ok(canyon_step(clients[i], &item, 1, PATIENCE_MS));
        check(item.staleness == (uint64_t)i); /* the second one's is behind the first one's push, not more */
        canyon_tensor_close(tensors[i]);
        canyon_close(clients[i]);
    }
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        integration_test(same_commands_same_state),
        integration_test(a_lone_worker_is_never_stale),
        integration_test(two_in_turn),
        integration_test(first_values_are_not_stale),
    };
    return cmocka_run_group_tests_name("equality", tests, NULL, NULL);
}
