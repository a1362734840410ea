/* Modes, clocks and leases through real servers of several threads: who waits, for whom, and what comes of gradients
 * that are kept until a clock is closed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/integration/harness.h"
#include "tests/integration/process.h"

#define ELEMENTS 9000 /* nine blocks on four threads */

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
    options.lease_ms = 600;
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
    sleep_ms(1300);
    check_status(canyon_pull(tensor, weights, 200), CANYON_TIMEOUT);
    check_text("'doomed'");
    process_kill(process);
    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
    struct canyon_worker *workers = NULL;
    size_t count = 0;
    check_ok(canyon_worker_list(client, PATIENCE_MS, &workers, &count));
    check(count == 2 && workers[0].live == 1 && strcmp(workers[0].name, "heir") == 0 && workers[0].clock == clock);
    check(workers[1].live == 0 && strcmp(workers[1].name, "doomed") == 0 && workers[1].clock == 1);
    check(workers[1].seen_ms >= 600);
    canyon_free(workers);
    canyon_tensor_close(tensor);
    canyon_close(client);
    shared_free(entered, sizeof *entered);
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        integration_test(nobody_waits_unless_asked_to),
        integration_test(a_pull_waits_for_the_slowest_and_names_it),
        integration_test(a_worker_that_dies_is_waited_for_as_long_as_its_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
