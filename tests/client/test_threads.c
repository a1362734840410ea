/* One client used by many threads at once: every way to call, all on the same handles. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/integration/harness.h"

enum { THREADS = 4, ROUNDS = 60, LARGE = 40000, SMALL = 5, CLOSINGS = 15, STEPS = 8 };

/* What all threads share. */
struct stage {
    canyon_client *client;
    canyon_tensor *large, *small;
    _Atomic uint32_t pushes;    /* of both tensors, that were applied */
    _Atomic uint32_t callbacks; /* expected less run */
};

struct hand {
    struct stage *stage;
    unsigned seed;
    pthread_t thread;
};

static unsigned pick(struct hand *hand, unsigned below) {
    hand->seed = hand->seed * 1103515245u + 12345u;
    return (hand->seed >> 16) % below;
}

static float *ones(size_t count) {
    float *values = malloc(count * sizeof *values);
    check(values != NULL);
    for (size_t i = 0; i < count; i++)
        values[i] = 1.0f;
    return values;
}

/* Every element of a block got the same gradients, whatever their order. */
static void check_blocks(const float *weights, size_t count) {
    for (size_t i = 0; i < count; i++)
        check(weights[i] == weights[i / 1024 * 1024]);
}

static void note_callback(void *user, enum canyon_status status, const char *text) {
    struct stage *stage = user;
    if (status != CANYON_OK)
        check_fail("a callback was told %s: %s", canyon_status_name(status), text);
    atomic_fetch_sub(&stage->callbacks, 1);
}

/* An asynchronous step, ended in one of three ways. */
static void step_later(struct hand *hand, struct canyon_item *items) {
    struct stage *stage = hand->stage;
    canyon_future *future = NULL;
    check_ok(canyon_step_async(stage->client, items, 2, PATIENCE_MS, &future));
    unsigned way = pick(hand, 3);
    if (way == 0) {
        atomic_fetch_add(&stage->callbacks, 1);
        check_ok(canyon_future_then(future, note_callback, stage));
    }
    if (way == 1)
        while (!canyon_future_done(future))
            check(canyon_future_wait(future, 1) != CANYON_REFUSED);
    check_ok(canyon_future_wait(future, UINT32_MAX));
    canyon_future_release(future);
    atomic_fetch_add(&stage->pushes, 1);
}

static void *act(void *user) {
    struct hand *hand = user;
    struct stage *stage = hand->stage;
    float *gradient = ones(LARGE), *weights = ones(LARGE), small[SMALL];
    for (int round = 0; round < ROUNDS; round++) {
        struct canyon_item items[] = {{.tensor = stage->large, .gradient = gradient, .weights = weights},
                                      {.tensor = stage->small, .gradient = gradient, .weights = small}};
        struct canyon_server_statistics *servers = NULL;
        size_t count = 0;
        switch (pick(hand, 5)) {
        case 0:
            check_ok(canyon_step(stage->client, items, 2, PATIENCE_MS));
            check_blocks(weights, LARGE);
            atomic_fetch_add(&stage->pushes, 1);
            break;
        case 1:
            check_ok(canyon_push(stage->large, gradient, PATIENCE_MS));
            check_ok(canyon_push_pull(stage->small, gradient, small, PATIENCE_MS));
            atomic_fetch_add(&stage->pushes, 1);
            break;
        case 2:
            check_ok(canyon_pull(stage->large, weights, PATIENCE_MS));
            check_blocks(weights, LARGE);
            break;
        case 3:
            check_ok(canyon_statistics(stage->client, PATIENCE_MS, &servers, &count));
            canyon_free(servers);
            break;
        default:
            step_later(hand, items);
            break;
        }
    }
    free(gradient);
    free(weights);
    return NULL;
}

static void one_client_for_all(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 2});
    struct stage stage = {.client = client_connect(cluster_servers(cluster))};
    struct hand hands[THREADS];
    stage.large = client_vector(stage.client, "large", LARGE, "sgd:lr=1");
    stage.small = client_vector(stage.client, "small", SMALL, "sgd:lr=1");
    for (unsigned i = 0; i < THREADS; i++) {
        hands[i] = (struct hand){.stage = &stage, .seed = i + 1};
        check(pthread_create(&hands[i].thread, NULL, act, &hands[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        check(pthread_join(hands[i].thread, NULL) == 0);
    float *weights = ones(LARGE);
    check_ok(canyon_pull(stage.large, weights, PATIENCE_MS));
    for (size_t i = 0; i < LARGE; i++)
        check(weights[i] == -(float)atomic_load(&stage.pushes));
    check_ok(canyon_pull(stage.small, weights, PATIENCE_MS));
    for (size_t i = 0; i < SMALL; i++)
        check(weights[i] == -(float)atomic_load(&stage.pushes));
    free(weights);
    canyon_tensor_close(stage.large);
    canyon_tensor_close(stage.small);
    canyon_close(stage.client);
    check(atomic_load(&stage.callbacks) == 0);
    cluster_stop(cluster);
}

/* All push through one handle with error feedback, and change its codec meanwhile. */
static void *push_coded(void *user) {
    struct hand *hand = user;
    static const char *const codecs[] = {"topk:0.25", "topk:0.01", "topk:0.5"};
    float *gradient = ones(LARGE), *weights = ones(LARGE);
    for (int round = 0; round < ROUNDS; round++) {
        if (pick(hand, 3) == 0)
            check_ok(
                canyon_tensor_set_codec(hand->stage->large, codecs[pick(hand, 3)], pick(hand, 2) ? "bf16" : "f32"));
        check_ok(canyon_push_pull(hand->stage->large, gradient, weights, PATIENCE_MS));
        atomic_fetch_add(&hand->stage->pushes, 1);
    }
    free(gradient);
    free(weights);
    return NULL;
}

static void one_residual_for_all(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 2});
    struct stage stage = {.client = client_connect(cluster_servers(cluster))};
    struct hand hands[THREADS];
    stage.large = client_vector(stage.client, "large", LARGE, "sgd:lr=1");
    check_ok(canyon_tensor_set_codec(stage.large, "topk:0.25", "f32"));
    for (unsigned i = 0; i < THREADS; i++) {
        hands[i] = (struct hand){.stage = &stage, .seed = i + 7};
        check(pthread_create(&hands[i].thread, NULL, push_coded, &hands[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        check(pthread_join(hands[i].thread, NULL) == 0);
    /* What was left comes at once; then every element has had every push. */
    float *weights = calloc(LARGE, sizeof *weights);
    check(weights != NULL);
    check_ok(canyon_tensor_set_codec(stage.large, "topk:1", "f32"));
    check_ok(canyon_push_pull(stage.large, weights, weights, PATIENCE_MS));
    for (size_t i = 0; i < LARGE; i++)
        check(weights[i] == -(float)atomic_load(&stage.pushes));
    free(weights);
    canyon_tensor_close(stage.large);
    canyon_close(stage.client);
    cluster_stop(cluster);
}

/* Deadlines far too short, at random: whatever a call answers, its memory is the caller's again. */
static void *hurry(void *user) {
    struct hand *hand = user;
    for (int round = 0; round < ROUNDS; round++) {
        float *gradient = ones(LARGE), *weights = ones(LARGE);
        enum canyon_status status = pick(hand, 2) == 0
                                        ? canyon_push_pull(hand->stage->large, gradient, weights, 1 + pick(hand, 4))
                                        : canyon_pull(hand->stage->large, weights, 1 + pick(hand, 4));
        free(gradient);
        free(weights);
        if (status != CANYON_OK && status != CANYON_TIMEOUT && status != CANYON_OUTCOME_UNKNOWN &&
            status != CANYON_UNAVAILABLE)
            check_fail("a call in a hurry: %s: %s", canyon_status_name(status), canyon_error_text());
    }
    return NULL;
}

static void in_a_hurry(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 1, .threads = 2, .block = 16384});
    struct stage stage = {.client = client_connect(cluster_servers(cluster))};
    struct hand hands[THREADS];
    stage.large = client_vector(stage.client, "large", LARGE, "sgd:lr=1");
    for (unsigned i = 0; i < THREADS; i++) {
        hands[i] = (struct hand){.stage = &stage, .seed = i + 100};
        check(pthread_create(&hands[i].thread, NULL, hurry, &hands[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        check(pthread_join(hands[i].thread, NULL) == 0);
    float *weights = ones(LARGE);
    check_ok(canyon_pull(stage.large, weights, PATIENCE_MS));
    free(weights);
    canyon_tensor_close(stage.large);
    canyon_close(stage.client);
    cluster_stop(cluster);
}

/* The client is closed at any moment of asynchronous steps: each ends, and is told so. */
static void closed_under_way(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 1});
    float *gradient = ones(LARGE), *weights = ones((size_t)STEPS * LARGE);
    for (unsigned round = 0; round < CLOSINGS; round++) {
        struct stage stage = {.client = client_connect(cluster_servers(cluster))};
        canyon_future *futures[STEPS] = {NULL};
        struct canyon_item items[STEPS];
        stage.large = client_vector(stage.client, "large", LARGE, "sgd:lr=1");
        for (size_t i = 0; i < STEPS; i++) {
            items[i] =
                (struct canyon_item){.tensor = stage.large, .gradient = gradient, .weights = weights + i * LARGE};
            check_ok(canyon_step_async(stage.client, &items[i], 1, PATIENCE_MS, &futures[i]));
        }
        sleep_ms(round);
        canyon_close(stage.client);
        for (size_t i = 0; i < STEPS; i++) {
            check(canyon_future_done(futures[i]) == 1);
            enum canyon_status status = canyon_future_wait(futures[i], 0);
            check(status == CANYON_OK || status == CANYON_CLOSED);
            canyon_future_release(futures[i]);
        }
        canyon_tensor_close(stage.large);
    }
    free(gradient);
    free(weights);
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {integration_test(one_client_for_all), integration_test(one_residual_for_all),
                                       integration_test(in_a_hurry), integration_test(closed_under_way)};
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
