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

/* ---- Tables ---- */

#define DIM   6
#define KEYS  4000 /* different ids */
#define BATCH 700

static const char *const sparse[] = {"adam:lr=0.01,schedule=exponential,gamma=0.99",
                                     "nadam:steps=shard",
                                     "ftrl",
                                     "rowwise_adagrad",
                                     "adagrad:nonfinite=skip",
                                     "momentum:weight_decay=0.01"};
#define TABLES (sizeof sparse / sizeof sparse[0])

static canyon_table *create_table(canyon_client *client, size_t number) {
    struct canyon_table_spec spec;
    canyon_table *table = NULL;
    canyon_table_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "table/%zu", number);
    spec.dim = DIM;
    spec.initializer = CANYON_NORMAL;
    spec.seed = number;
    spec.b = 0.1;
    spec.row_cap = number == 3 ? 2000 : 0; /* which is met */
    check_ok(canyon_table_spec_optimizer(&spec, sparse[number]));
    check_ok(canyon_table_create(client, &spec, PATIENCE_MS, &table));
    return table;
}

/* A batch of ids, some of them several times. */
static void draw_ids(uint64_t step, uint64_t *ids) {
    for (size_t i = 0; i < BATCH; i++)
        ids[i] = (uint64_t)((double)(number(step, i) + 1.0f) * KEYS / 2) * 0x9e3779b97f4a7c15u;
}

/* Everything that changes a table: pushes in two forms, reads that make rows, erasing, batches that are refused in
 * part. Leaves some rows' weights of each. */
static void run_tables(canyon_client *client, float last[TABLES][BATCH * DIM]) {
    static float gradients[BATCH * DIM];
    uint64_t ids[BATCH];
    for (size_t t = 0; t < TABLES; t++) {
        canyon_table *table = create_table(client, t);
        for (uint64_t step = 1; step <= STEPS; step++) {
            struct canyon_batch batch;
            draw_ids(step + t, ids);
            fill(gradients, BATCH * DIM, step);
            if (step == 7) /* of all rows in one shard */
                gradients[77] = INFINITY;
            canyon_batch_init(&batch);
            batch.ids = ids;
            batch.count = BATCH;
            batch.gradients = step % 8 == 5 ? NULL : gradients;
            batch.weights = last[t];
            batch.create = step % 8 == 5;
            batch.clock = 10 * step;
            check_ok(canyon_table_set_codec(table, step % 3 == 1 ? "int8" : NULL, NULL));
            const enum canyon_status status = canyon_table_step(table, &batch, PATIENCE_MS);
            check(status == CANYON_OK || status == CANYON_TOO_LARGE || (step == 7 && status == CANYON_NOT_FINITE));
            check(status != CANYON_TOO_LARGE || t == 3);
            check(batch.refused < BATCH);
            if (step % 6 == 0)
                check_ok(canyon_table_erase(table, ids, BATCH / 3, PATIENCE_MS, NULL));
        }
        draw_ids(1, ids);
        check_ok(canyon_table_pull(table, ids, BATCH, last[t], PATIENCE_MS));
        canyon_table_close(table);
    }
    check_ok(canyon_tensor_drop(client, "table/0", PATIENCE_MS));
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

/* What comes out of it. */
struct outcome {
    uint8_t digest[CANYON_DIGEST_BYTES];
    float last[LARGE], rows[TABLES][BATCH * DIM];
};

static void run_on(unsigned servers, unsigned threads, bool one_more, struct outcome *outcome) {
    struct cluster *cluster =
        cluster_start(&(struct cluster_options){.servers = servers, .threads = threads, .shards = 64});
    canyon_client *client = client_connect(cluster_servers(cluster));
    memset(outcome, 0, sizeof *outcome);
    run_tables(client, outcome->rows);
    run_commands(client, one_more, outcome->digest, outcome->last);
    canyon_close(client);
    cluster_stop(cluster);
}

/* The index of a table's rows stands under a secret that each server draws when it starts: no two runs here have the
 * same one, nor have two threads. */
static void same_commands_same_state(void **state) {
    (void)state;
    static const unsigned layouts[][2] = {{3, 2}, {1, 4}, {1, 1}};
    static struct outcome first, other;
    run_on(1, 1, false, &first);
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        run_on(layouts[i][0], layouts[i][1], false, &other);
        check(memcmp(first.last, other.last, sizeof first.last) == 0);
        check(memcmp(first.rows, other.rows, sizeof first.rows) == 0);
        check(memcmp(first.digest, other.digest, sizeof first.digest) == 0);
    }
    run_on(3, 2, true, &other);
    check(memcmp(first.digest, other.digest, sizeof first.digest) != 0);
}

/* One row more, or one push more of one row, is another state. */
static void every_row_is_in_the_state(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 2, .shards = 64});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_table *table = create_table(client, 0);
    uint8_t digests[4][CANYON_DIGEST_BYTES];
    uint64_t ids[BATCH];
    float gradients[BATCH * DIM];
    draw_ids(1, ids);
    fill(gradients, BATCH * DIM, 1);
    for (size_t i = 0; i < 4; i++) {
        check_ok(canyon_table_push(table, ids, i == 0 ? BATCH : 1, gradients, PATIENCE_MS));
        client_digest(client, digests[i]);
        for (size_t j = 0; j < i; j++)
            check(memcmp(digests[i], digests[j], sizeof digests[0]) != 0);
    }
    canyon_table_close(table);
    canyon_close(client);
    cluster_stop(cluster);
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
        integration_test(same_commands_same_state),     integration_test(every_row_is_in_the_state),
        integration_test(a_lone_worker_is_never_stale), integration_test(two_in_turn),
        integration_test(first_values_are_not_stale),
    };
    return cmocka_run_group_tests_name("equality", tests, NULL, NULL);
}
