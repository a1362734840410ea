/* Modes, clocks and leases through real servers of several threads: who waits, for whom, and what comes of gradients
 * that are kept until a clock is closed. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/integration/harness.h"
#include "tests/integration/process.h"

#define ELEMENTS 9000 /* nine blocks on four threads */
/* Who lives has to give a sign of life in this time, on a busy machine too. */
#define SHORT_LEASE_MS 2000u

static const struct cluster_options two_by_two = {.servers = 2, .threads = 2};

static canyon_client *connect_as(const struct cluster *cluster, const char *name, const char *mode) {
    struct canyon_options options;
    canyon_client *client = NULL;
    cluster_client(cluster, &options);
    options.name = name;
    options.consistency = mode;
    check_ok(canyon_connect(&options, &client));
    return client;
}

static uint64_t clock_of(canyon_client *client) {
    uint64_t clock = 0;
    check_ok(canyon_clock(client, &clock));
    return clock;
}

static void fill(float *values, float value) {
    for (size_t i = 0; i < ELEMENTS; i++)
        values[i] = value;
}

static void check_all(canyon_tensor *tensor, float expected) {
    static float values[ELEMENTS];
    check_ok(canyon_pull(tensor, values, PATIENCE_MS));
    for (size_t i = 0; i < ELEMENTS; i++)
        if (values[i] != expected)
            check_fail("element %zu is %g instead of %g", i, (double)values[i], (double)expected);
}

static void push_all(canyon_tensor *tensor, float value) {
    static float values[ELEMENTS];
    fill(values, value);
    check_ok(canyon_push(tensor, values, PATIENCE_MS));
}

/* ---- asynchronous ---- */

static void nobody_waits_unless_asked_to(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&two_by_two);
    canyon_client *one = connect_as(cluster, "one", NULL), *two = connect_as(cluster, "two", "async");
    struct canyon_consistency mode;
    check(clock_of(one) == 1 && clock_of(two) == 1);
    for (int i = 0; i < 50; i++)
        (void)clock_of(one);
    canyon_tensor *tensor = client_vector(one, "w", ELEMENTS, "sgd:lr=1");
    push_all(tensor, -1.0f);
    check_all(tensor, 1.0f);
    check_ok(canyon_consistency_get(one, PATIENCE_MS, &mode));
    check(mode.set == 0 && strcmp(mode.mode, "async") == 0 && mode.workers == 2);
    canyon_tensor_close(tensor);
    canyon_close(one);
    canyon_close(two);
    cluster_stop(cluster);
}

struct stepper {
    canyon_client *client;
    enum canyon_status status;
};

static void count_in_callback(void *data, enum canyon_status status, const char *text) {
    struct stepper *stepper = data;
    (void)text;
    const enum canyon_status counted = canyon_clock(stepper->client, NULL);
    if (status != CANYON_OK || (counted != CANYON_OK && counted != CANYON_BUSY))
        stepper->status = status != CANYON_OK ? status : counted;
}

/* Whichever thread a callback runs on, in the middle of its own canyon_clock too. */
static void a_program_and_its_callbacks_count_clocks(void **state) {
    (void)state;
    enum { ROUNDS = 2000, CLOCKS = 4 };
    struct cluster *cluster = cluster_start(&two_by_two);
    canyon_client *client = connect_as(cluster, "both", NULL);
    canyon_tensor *tensor = client_vector(client, "w", 16, "sgd:lr=1");
    struct stepper stepper = {.client = client, .status = CANYON_OK};
    float weights[16];
    (void)clock_of(client);
    for (int round = 0; round < ROUNDS; round++) {
        struct canyon_item item = {.tensor = tensor, .weights = weights};
        canyon_future *future = NULL;
        check_ok(canyon_step_async(client, &item, 1, PATIENCE_MS, &future));
        check_ok(canyon_future_then(future, count_in_callback, &stepper));
        for (int i = 0; i < CLOCKS; i++)
            (void)clock_of(client);
        check_ok(canyon_future_wait(future, PATIENCE_MS));
        canyon_future_release(future);
    }
    check_status(stepper.status, CANYON_OK);
    check(clock_of(client) > (uint64_t)ROUNDS * CLOCKS);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* ---- bounded staleness ---- */

static void a_pull_waits_for_the_slowest_and_names_it(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&two_by_two);
    canyon_client *fast = connect_as(cluster, "hare", "ssp:1"), *slow = connect_as(cluster, "tortoise", "ssp:1");
    canyon_tensor *tensor = client_vector(fast, "w", ELEMENTS, "sgd:lr=1"), *other = NULL;
    static float weights[ELEMENTS];
    check(clock_of(fast) == 1 && clock_of(slow) == 1);
    check_all(tensor, 0.0f);
    check(clock_of(fast) == 2);
    check_all(tensor, 0.0f); /* one behind is near enough */
    check(clock_of(fast) == 3);
    check_status(canyon_pull(tensor, weights, 150), CANYON_TIMEOUT);
    check_text("'tortoise' (rank 1)");
    check_text("at clock 1");
    /* It waits again; pushes on the same connections go through meanwhile. */
    struct canyon_item item = {.tensor = tensor, .weights = weights};
    canyon_future *future = NULL;
    check_ok(canyon_step_async(fast, &item, 1, PATIENCE_MS, &future));
    push_all(tensor, -2.0f);
    check(canyon_future_done(future) == 0);
    check_ok(canyon_tensor_open(slow, "w", PATIENCE_MS, &other));
    check_all(other, 2.0f); /* the slow one waits for nobody */
    check(clock_of(slow) == 2);
    check_ok(canyon_future_wait(future, PATIENCE_MS));
    canyon_future_release(future);
    check(weights[0] == 2.0f && weights[ELEMENTS - 1] == 2.0f);
    /* One that comes late begins where the slowest is, and one that leaves holds nobody up. */
    canyon_client *late = connect_as(cluster, "late", NULL);
    check(clock_of(late) == 2);
    canyon_close(late);
    canyon_tensor_close(other);
    canyon_close(slow);
    for (int i = 0; i < 5; i++)
        (void)clock_of(fast);
    check_all(tensor, 2.0f);
    canyon_tensor_close(tensor);
    canyon_close(fast);
    cluster_stop(cluster);
}

/* A step that pushes one tensor and pulls another: what became of the push is known, and for whom the pull waited. */
static void what_is_pushed_with_a_pull_that_waits_is_known(void **state) {
    (void)state;
    static const char *const modes[] = {"ssp:0", "sync"};
    static float weights[ELEMENTS], gradient[ELEMENTS];
    fill(gradient, -3.0f);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        struct cluster *cluster = cluster_start(&two_by_two);
        canyon_client *fast = connect_as(cluster, "hare", modes[i]), *slow = connect_as(cluster, "tortoise", modes[i]);
        canyon_tensor *pushed = client_vector(fast, "pushed", ELEMENTS, "sgd:lr=1");
        canyon_tensor *pulled = client_vector(fast, "pulled", ELEMENTS, "sgd:lr=1");
        check(clock_of(fast) == 1 && clock_of(slow) == 1 && clock_of(fast) == 2);
        struct canyon_item items[] = {{.tensor = pushed, .gradient = gradient}, {.tensor = pulled, .weights = weights}};
        check_status(canyon_step(fast, items, 2, 300), CANYON_TIMEOUT);
        check_text("'tortoise' (rank 1)");
        /* In a synchronous job it was for a clock that is not open yet. */
        check(items[0].refused == (i == 0 ? 0 : 9));
        if (i == 0)
            check_text("what was pushed was answered");
        canyon_close(slow);
        check_all(pushed, i == 0 ? 3.0f : 0.0f); /* once, or not: as it was said */
        canyon_tensor_close(pulled);
        canyon_tensor_close(pushed);
        canyon_close(fast);
        cluster_stop(cluster);
    }
}

struct doomed {
    const struct cluster *cluster;
    struct gate *entered;
};

static int enter_and_hang(void *user) {
    const struct doomed *doomed = user;
    canyon_client *client = connect_as(doomed->cluster, "doomed", NULL);
    check(clock_of(client) == 1);
    gate_arrive(doomed->entered);
    pause();
    return 1;
}

static void a_worker_that_dies_is_waited_for_as_long_as_its_lease(void **state) {
    (void)state;
    struct cluster_options options = two_by_two;
    options.lease_ms = SHORT_LEASE_MS;
    struct cluster *cluster = cluster_start(&options);
    struct gate *entered = shared_alloc(sizeof *entered);
    struct doomed doomed = {.cluster = cluster, .entered = entered};
    pid_t process = process_start(enter_and_hang, &doomed);
    gate_wait(entered, 1);
    canyon_client *client = connect_as(cluster, "heir", "ssp:0");
    canyon_tensor *tensor = client_vector(client, "w", ELEMENTS, "sgd");
    static float weights[ELEMENTS];
    uint64_t clock = clock_of(client);
    /* The mode is for clocks that nobody had reached; and signs of life keep the other in, though it does nothing. */
    while (clock < 4)
        clock = clock_of(client);
    sleep_ms(2 * SHORT_LEASE_MS + 100);
    check_status(canyon_pull(tensor, weights, 200), CANYON_TIMEOUT);
    check_text("'doomed'");
    process_kill(process);
    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
    struct canyon_worker *workers = NULL;
    size_t count = 0;
    check_ok(canyon_worker_list(client, PATIENCE_MS, &workers, &count));
    check(count == 2 && workers[0].live == 1 && strcmp(workers[0].name, "heir") == 0 && workers[0].clock == clock);
    check(workers[1].live == 0 && strcmp(workers[1].name, "doomed") == 0 && workers[1].clock == 1);
    check(workers[1].seen_ms >= SHORT_LEASE_MS);
    canyon_free(workers);
    canyon_tensor_close(tensor);
    canyon_close(client);
    shared_free(entered, sizeof *entered);
    cluster_stop(cluster);
}

/* ---- synchronous ---- */

#define CREW 3

/* Gradients whose sums are not exact, so that their order shows. */
static float noise(unsigned worker, uint64_t step, size_t i) {
    uint32_t x = (uint32_t)(i * 2654435761u + worker * 40503u + step * 97u + 1u);
    x ^= x >> 15;
    x *= 2246822519u;
    x ^= x >> 13;
    return ((float)(x % 20001u) - 10000.0f) * (worker == 1 ? 1e4f : 1e-3f);
}

/* Three workers in turns that differ from step to step; returns the weights. */
static void train_together(const char *mode, bool backwards, float (*gradient)(unsigned, uint64_t, size_t),
                           float *weights) {
    struct cluster *cluster = cluster_start(&two_by_two);
    canyon_client *clients[CREW];
    canyon_tensor *tensors[CREW];
    static float values[ELEMENTS];
    char name[16];
    for (unsigned w = 0; w < CREW; w++) {
        snprintf(name, sizeof name, "w%u", w);
        clients[w] = connect_as(cluster, name, mode);
        tensors[w] = client_vector(clients[w], "w", ELEMENTS, "adam:lr=0.1");
        uint32_t rank = 9;
        check(clock_of(clients[w]) == 1);
        check_ok(canyon_rank(clients[w], &rank));
        check(rank == w);
    }
    for (uint64_t step = 1; step <= 4; step++) {
        for (unsigned turn = 0; turn < CREW; turn++) {
            unsigned w = backwards ? CREW - 1 - turn : turn;
            check_ok(canyon_pull(tensors[w], weights, PATIENCE_MS));
            for (size_t i = 0; i < ELEMENTS; i++)
                values[i] = gradient(w, step, i);
            check_ok(canyon_push(tensors[w], values, PATIENCE_MS));
        }
        for (unsigned w = 0; w < CREW; w++)
            check(clock_of(clients[w]) == step + 1);
    }
    check_ok(canyon_pull(tensors[0], weights, PATIENCE_MS));
    for (unsigned w = 0; w < CREW; w++) {
        canyon_tensor_close(tensors[w]);
        canyon_close(clients[w]);
    }
    cluster_stop(cluster);
}

/* One worker, whose gradient is all of theirs, added up and divided here. */
static void train_alone(bool mean, float (*gradient)(unsigned, uint64_t, size_t), float *weights) {
    struct cluster *cluster = cluster_start(&two_by_two);
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "w", ELEMENTS, "adam:lr=0.1");
    static float values[ELEMENTS];
    for (uint64_t step = 1; step <= 4; step++) {
        for (size_t i = 0; i < ELEMENTS; i++) {
            float sum = gradient(0, step, i);
            for (unsigned w = 1; w < CREW; w++)
                sum += gradient(w, step, i);
            values[i] = mean ? sum / (float)CREW : sum;
        }
        check_ok(canyon_push(tensor, values, PATIENCE_MS));
    }
    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

static void by_rank_the_weights_are_those_of_one_worker_with_the_big_batch(void **state) {
    (void)state;
    static float alone[ELEMENTS], forwards[ELEMENTS], backwards[ELEMENTS];
    static const struct {
        const char *mode;
        bool mean;
    } cases[] = {{"sync:rank", true}, {"sync:sum,rank", false}};
    for (size_t i = 0; i < 2; i++) {
        train_alone(cases[i].mean, noise, alone);
        train_together(cases[i].mode, false, noise, forwards);
        train_together(cases[i].mode, true, noise, backwards);
        check(memcmp(alone, forwards, sizeof alone) == 0);
        check(memcmp(alone, backwards, sizeof alone) == 0);
    }
    /* As they arrive, the order of such gradients is seen in the result: the test above can fail. */
    train_together("sync", true, noise, backwards);
    check(memcmp(forwards, backwards, sizeof alone) != 0);
}

static void late_gradients_are_refused_and_the_next_clock_is_the_open_one(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&two_by_two);
    canyon_client *fast = connect_as(cluster, "fast", "sync:sum,minimum=1"), *slow = connect_as(cluster, "slow", NULL);
    canyon_tensor *one = client_vector(fast, "w", ELEMENTS, "sgd:lr=1"), *two = NULL;
    static float values[ELEMENTS];
    check_ok(canyon_tensor_open(slow, "w", PATIENCE_MS, &two));
    check(clock_of(fast) == 1 && clock_of(slow) == 1);
    for (uint64_t step = 1; step <= 3; step++) {
        push_all(one, -1.0f);
        check(clock_of(fast) == step + 1);
        check_all(one, (float)step);
    }
    fill(values, -100.0f);
    check_status(canyon_push(two, values, PATIENCE_MS), CANYON_LATE);
    check_text("clock 1 is closed");
    check_text("clock 4 is open");
    check(clock_of(slow) == 4);
    push_all(two, -1.0f);
    push_all(one, -1.0f);
    check(clock_of(fast) == 5);
    check_all(one, 5.0f);
    /* Who does not count clocks cannot contribute, but look. */
    canyon_client *guest = client_connect(cluster_servers(cluster));
    canyon_tensor *three = NULL;
    check_ok(canyon_tensor_open(guest, "w", PATIENCE_MS, &three));
    check_status(canyon_push(three, values, PATIENCE_MS), CANYON_CONFLICT);
    check_text("canyon_clock");
    check_all(three, 5.0f);
    canyon_tensor_close(one);
    canyon_tensor_close(two);
    canyon_tensor_close(three);
    canyon_close(guest);
    canyon_close(fast);
    canyon_close(slow);
    cluster_stop(cluster);
}

/* ---- the same of a table's rows ---- */

#define KEYS 700 /* of each worker */
#define DIM  6
#define ALL  1200 /* rows there may be */

/* Of the same size for all, and with all their digits: nearly every sum of three depends on the order. */
static float rough(unsigned worker, uint64_t step, size_t i) {
    return noise(worker, step, i) / (worker == 1 ? 7e4f : 7e-3f);
}

static canyon_table *table_of(canyon_client *client, const char *optimizer) {
    struct canyon_table_spec spec;
    canyon_table *table = NULL;
    canyon_table_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "t");
    spec.dim = DIM;
    check_ok(canyon_table_spec_optimizer(&spec, optimizer));
    check_ok(canyon_table_create(client, &spec, PATIENCE_MS, &table));
    return table;
}

/* Some rows are of one worker, some of two, some of all. */
static uint64_t key(unsigned worker, uint64_t step, size_t i) {
    return (i * 7 + worker * 300 + step * 13) % ALL;
}

static void take_rows(canyon_table *table, float *weights) {
    static uint64_t ids[ALL];
    for (uint64_t i = 0; i < ALL; i++)
        ids[i] = i;
    check_ok(canyon_table_pull(table, ids, ALL, weights, PATIENCE_MS));
}

static void give_rows(canyon_table *table, const uint64_t *ids, size_t count, const float *gradients) {
    check_ok(canyon_table_push(table, ids, count, gradients, PATIENCE_MS));
}

static void rows_together(const char *mode, bool backwards, float *weights) {
    struct cluster *cluster = cluster_start(&two_by_two);
    canyon_client *clients[CREW];
    canyon_table *tables[CREW];
    static uint64_t ids[KEYS];
    static float gradients[KEYS * DIM];
    char name[16];
    for (unsigned w = 0; w < CREW; w++) {
        snprintf(name, sizeof name, "w%u", w);
        clients[w] = connect_as(cluster, name, mode);
        tables[w] = table_of(clients[w], "adam:lr=0.1");
        check(clock_of(clients[w]) == 1);
    }
    for (uint64_t step = 1; step <= 3; step++) {
        for (unsigned turn = 0; turn < CREW; turn++) {
            const unsigned w = backwards ? CREW - 1 - turn : turn;
            take_rows(tables[w], weights); /* which waits for the clock before */
            for (size_t i = 0; i < KEYS; i++)
                ids[i] = key(w, step, i);
            for (size_t i = 0; i < (size_t)KEYS * DIM; i++)
                gradients[i] = rough(w, step, i);
            /* In two halves, of which a row has at most one. */
            give_rows(tables[w], ids, KEYS / 2, gradients);
            give_rows(tables[w], ids + KEYS / 2, KEYS - KEYS / 2, gradients + KEYS / 2 * DIM);
        }
        for (unsigned w = 0; w < CREW; w++)
            check(clock_of(clients[w]) == step + 1);
    }
    take_rows(tables[0], weights);
    for (unsigned w = 0; w < CREW; w++) {
        canyon_table_close(tables[w]);
        canyon_close(clients[w]);
    }
    cluster_stop(cluster);
}

/* One worker, who pushes each row once with what all had of it, in the order of ranks. */
static void rows_alone(bool mean, float *weights) {
    struct cluster *cluster = cluster_start(&two_by_two);
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_table *table = table_of(client, "adam:lr=0.1");
    static uint64_t ids[ALL];
    static float sums[ALL * DIM];
    for (uint64_t step = 1; step <= 3; step++) {
        unsigned givers[ALL] = {0};
        size_t count = 0;
        for (unsigned w = 0; w < CREW; w++)
            for (size_t i = 0; i < KEYS; i++) {
                const uint64_t id = key(w, step, i);
                for (size_t k = 0; k < DIM; k++) {
                    const float g = rough(w, step, i * DIM + k);
                    sums[id * DIM + k] = givers[id] == 0 ? g : sums[id * DIM + k] + g;
                }
                givers[id]++;
            }
        for (uint64_t id = 0; id < ALL; id++) {
            if (givers[id] == 0)
                continue;
            for (size_t k = 0; k < DIM; k++)
                sums[count * DIM + k] = mean ? sums[id * DIM + k] / (float)givers[id] : sums[id * DIM + k];
            ids[count++] = id;
        }
        check(count > KEYS);
        give_rows(table, ids, count, sums);
    }
    take_rows(table, weights);
    canyon_table_close(table);
    canyon_close(client);
    cluster_stop(cluster);
}

static void rows_pushed_together_are_those_of_one_worker(void **state) {
    (void)state;
    static float alone[ALL * DIM], forwards[ALL * DIM], backwards[ALL * DIM];
    rows_alone(true, alone);
    rows_together("sync:rank", false, forwards);
    rows_together("sync:rank", true, backwards);
    check(memcmp(alone, forwards, sizeof alone) == 0);
    check(memcmp(alone, backwards, sizeof alone) == 0);
    rows_alone(false, alone);
    rows_together("sync:sum", false, backwards); /* which arrive in the order of ranks */
    check(memcmp(alone, backwards, sizeof alone) == 0);
    rows_together("sync:sum", true, backwards); /* and which do not */
    check(memcmp(alone, backwards, sizeof alone) != 0);
}

static void late_rows_are_refused_and_the_next_clock_is_the_open_one(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&two_by_two);
    canyon_client *fast = connect_as(cluster, "fast", "sync:sum,minimum=1"), *slow = connect_as(cluster, "slow", NULL);
    canyon_table *one = table_of(fast, "sgd:lr=1"), *two = table_of(slow, "sgd:lr=1");
    const uint64_t ids[2] = {3, 4};
    const float ones[2 * DIM] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    check(clock_of(fast) == 1 && clock_of(slow) == 1);
    for (uint64_t step = 1; step <= 3; step++) {
        give_rows(one, ids, 2, ones);
        check(clock_of(fast) == step + 1);
    }
    check_status(canyon_table_push(two, ids, 2, ones, PATIENCE_MS), CANYON_LATE);
    check_text("clock 1 is closed");
    check(clock_of(slow) == 4);
    give_rows(two, ids, 2, ones);
    canyon_table_close(one);
    canyon_table_close(two);
    canyon_close(fast);
    canyon_close(slow);
    cluster_stop(cluster);
}

struct contributor {
    const struct cluster *cluster;
    struct gate *pushed;
};

static int push_and_hang(void *user) {
    const struct contributor *contributor = user;
    canyon_client *client = connect_as(contributor->cluster, "doomed", "sync");
    canyon_tensor *tensor = client_vector(client, "w", ELEMENTS, "sgd:lr=1");
    check(clock_of(client) == 1);
    push_all(tensor, -3.0f);
    gate_arrive(contributor->pushed);
    pause();
    return 1;
}

static void what_a_dead_worker_pushed_whole_counts(void **state) {
    (void)state;
    struct cluster_options options = two_by_two;
    options.lease_ms = SHORT_LEASE_MS;
    struct cluster *cluster = cluster_start(&options);
    struct gate *pushed = shared_alloc(sizeof *pushed);
    struct contributor contributor = {.cluster = cluster, .pushed = pushed};
    pid_t process = process_start(push_and_hang, &contributor);
    gate_wait(pushed, 1);
    canyon_client *client = connect_as(cluster, "heir", "sync");
    canyon_tensor *tensor = NULL;
    check_ok(canyon_tensor_open(client, "w", PATIENCE_MS, &tensor));
    check(clock_of(client) == 1);
    push_all(tensor, -1.0f);
    check(clock_of(client) == 2);
    process_kill(process);
    check_all(tensor, 2.0f); /* the mean of both */
    push_all(tensor, -1.0f);
    check(clock_of(client) == 3);
    check_all(tensor, 3.0f); /* of one alone */
    canyon_tensor_close(tensor);
    canyon_close(client);
    shared_free(pushed, sizeof *pushed);
    cluster_stop(cluster);
}

/* ---- the mode ---- */

static void modes_change_from_a_clock_on_and_are_compared(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&two_by_two);
    canyon_client *client = connect_as(cluster, "w", "ssp:2"), *other = NULL;
    struct canyon_consistency mode;
    struct canyon_options options;
    cluster_client(cluster, &options);
    options.consistency = "sync";
    check_status(canyon_connect(&options, &other), CANYON_MISMATCH);
    check_text("sync");
    check_text("ssp:2");
    options.consistency = "nonsense";
    check_status(canyon_connect(&options, &other), CANYON_INVALID_ARGUMENT);
    for (uint64_t clock = 1; clock <= 5; clock++)
        check(clock_of(client) == clock);
    check_status(canyon_consistency_set(client, "sync", 5, PATIENCE_MS), CANYON_CONFLICT);
    check_text("sync from clock 5 on");
    check_ok(canyon_consistency_set(client, "sync", 10, PATIENCE_MS));
    check_ok(canyon_consistency_set(client, "sync", 10, PATIENCE_MS));
    check_ok(canyon_consistency_get(client, PATIENCE_MS, &mode));
    check(mode.set == 1 && strcmp(mode.mode, "ssp:2") == 0 && strcmp(mode.next, "sync") == 0 && mode.from == 10);
    check(mode.highest == 5 && mode.workers == 1 && mode.lease_ms == 10000);
    check_ok(canyon_consistency_set(client, "sync:sum", 8, PATIENCE_MS)); /* instead of that which was ahead */
    canyon_tensor *tensor = client_vector(client, "w", ELEMENTS, "sgd:lr=1");
    for (uint64_t clock = 6; clock <= 8; clock++)
        check(clock_of(client) == clock);
    static float values[ELEMENTS];
    fill(values, -1.0f);
    check_ok(canyon_push(tensor, values, PATIENCE_MS));
    check_all(tensor, 0.0f);
    check_ok(canyon_consistency_set(client, "async", 9, PATIENCE_MS));
    check(clock_of(client) == 9);
    check_all(tensor, 1.0f);
    check_ok(canyon_push(tensor, values, PATIENCE_MS));
    check_all(tensor, 2.0f);
    check_ok(canyon_consistency_get(client, PATIENCE_MS, &mode));
    check(strcmp(mode.mode, "async") == 0 && mode.next[0] == '\0');
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* ---- staleness ---- */

static void stale_gradients_are_counted_scaled_and_refused(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&two_by_two);
    canyon_client *one = connect_as(cluster, "one", NULL), *two = connect_as(cluster, "two", NULL);
    canyon_tensor *mine = client_vector(one, "refuse", ELEMENTS, "sgd:lr=1,staleness=refuse,staleness_bound=1"),
                  *yours = NULL;
    static float values[ELEMENTS];
    check(clock_of(one) == 1 && clock_of(two) == 1);
    check_ok(canyon_tensor_open(two, "refuse", PATIENCE_MS, &yours));
    check_all(mine, 0.0f);
    check_all(yours, 0.0f);
    push_all(mine, -1.0f);
    push_all(yours, -1.0f); /* one behind */
    check_all(mine, 2.0f);
    push_all(mine, -1.0f);
    fill(values, -1.0f);
    check_status(canyon_push(yours, values, PATIENCE_MS), CANYON_STALE);
    check_text("staleness_bound is 1");
    check_text("pull, compute, push again");
    check_all(yours, 3.0f);
    push_all(yours, -1.0f);
    check_all(yours, 4.0f);
    canyon_tensor_close(mine);
    canyon_tensor_close(yours);
    mine = client_vector(one, "scale", ELEMENTS, "sgd:lr=1,staleness=scale");
    check_ok(canyon_tensor_open(two, "scale", PATIENCE_MS, &yours));
    check_all(mine, 0.0f);
    check_all(yours, 0.0f);
    push_all(mine, -1.0f);
    check_all(mine, 1.0f);
    push_all(mine, -1.0f);
    check_all(mine, 2.0f);
    push_all(mine, -1.0f);
    push_all(yours, -1.0f); /* three behind: a quarter of a step */
    check_all(yours, 3.25f);
    struct canyon_staleness counts;
    check_ok(canyon_staleness_of(one, "scale", 0, PATIENCE_MS, &counts));
    check(counts.pushes == 4 * 9 && counts.max == 3 && counts.sum == 3 * 9);
    check(counts.counts[0] == 3 * 9 && counts.counts[2] == 9);
    struct canyon_worker *workers = NULL;
    size_t count = 0;
    check_ok(canyon_worker_list(one, PATIENCE_MS, &workers, &count));
    check(count == 2 && strcmp(workers[1].name, "two") == 0 && workers[1].staleness_max == 3);
    check_ok(canyon_staleness_of(one, NULL, workers[1].tag, PATIENCE_MS, &counts));
    check(counts.pushes == workers[1].pushes && counts.counts[2] == 9 && counts.sum == workers[1].staleness_sum);
    check_status(canyon_staleness_of(one, "nothing", 0, PATIENCE_MS, &counts), CANYON_NOT_FOUND);
    canyon_free(workers);
    canyon_tensor_close(mine);
    canyon_tensor_close(yours);
    canyon_close(one);
    canyon_close(two);
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        integration_test(nobody_waits_unless_asked_to),
        integration_test(a_program_and_its_callbacks_count_clocks),
        integration_test(a_pull_waits_for_the_slowest_and_names_it),
        integration_test(what_is_pushed_with_a_pull_that_waits_is_known),
        integration_test(a_worker_that_dies_is_waited_for_as_long_as_its_lease),
        integration_test(by_rank_the_weights_are_those_of_one_worker_with_the_big_batch),
        integration_test(late_gradients_are_refused_and_the_next_clock_is_the_open_one),
        integration_test(rows_pushed_together_are_those_of_one_worker),
        integration_test(late_rows_are_refused_and_the_next_clock_is_the_open_one),
        integration_test(what_a_dead_worker_pushed_whole_counts),
        integration_test(modes_change_from_a_clock_on_and_are_compared),
        integration_test(stale_gradients_are_counted_scaled_and_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
