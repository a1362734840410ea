/* A network that becomes slow or stands still for seconds: bounded queues on both sides, no growth, and it goes on. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/faults/routes.h"
#include "tests/integration/raw.h"

#define ELEMENTS (1u << 18) /* 1 MiB */
#define BLOCK    65536u
#define GROWTH   (64u * 1024u) /* kB, of a server under a sanitizer */

static uint64_t resident_kb(const struct routes *routes) {
    return cluster_memory_kb(routes->cluster, 0, "VmRSS");
}

static void check_growth(const struct routes *routes, uint64_t before_kb) {
    uint64_t after_kb = resident_kb(routes);
    print_message("resident before %llu kB, after %llu kB\n", (unsigned long long)before_kb,
                  (unsigned long long)after_kb);
    if (after_kb > before_kb + GROWTH)
        check_fail("the server grew from %llu to %llu kB", (unsigned long long)before_kb, (unsigned long long)after_kb);
}

/* The network stands still for five seconds in the middle of pushes: whoever has the patience gets the answer, whoever
 * has not gets OUTCOME_UNKNOWN in time; each push counts once. */
static void stalls_for_five_seconds(void **state) {
    (void)state;
    struct routes routes;
    static float gradient[ELEMENTS], weights[ELEMENTS];
    routes_start(&routes, &(struct cluster_options){.block = BLOCK}, NULL);
    canyon_client *client = client_connect_window(cluster_servers(routes.cluster), 8u << 20);
    canyon_tensor *tensor = client_vector(client, "t", ELEMENTS, "sgd:lr=1");
    for (uint32_t i = 0; i < ELEMENTS; i++)
        gradient[i] = 1.0f;
    check_ok(canyon_push_pull(tensor, gradient, weights, PATIENCE_MS));
    uint64_t before_kb = resident_kb(&routes);
    canyon_future *future = NULL;
    routes_fault(&routes, PROXY_EVERY, PROXY_UP, "stall=300000");
    routes_fault(&routes, PROXY_EVERY, PROXY_DOWN, "stall=300000");
    uint64_t begun = now_ms();
    struct canyon_item item = {.tensor = tensor, .gradient = gradient, .weights = weights};
    check_ok(canyon_step_async(client, &item, 1, 2 * PATIENCE_MS, &future));
    check_status(canyon_push(tensor, gradient, 1000), CANYON_OUTCOME_UNKNOWN);
    check(now_ms() - begun < 1000 + SLACK_MS);
    while (now_ms() < begun + 5000)
        sleep_ms(50);
    check_growth(&routes, before_kb);
    routes_fault(&routes, PROXY_EVERY, PROXY_UP, "");
    routes_fault(&routes, PROXY_EVERY, PROXY_DOWN, "");
    check_ok(canyon_future_wait(future, UINT32_MAX));
    canyon_future_release(future);
    /* Of the one that was given up each block was sent on, or not begun. */
    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
    for (uint32_t i = 0; i < ELEMENTS; i++) {
        check(weights[i] == -2.0f || weights[i] == -3.0f);
        check(weights[i] == weights[i - i % BLOCK]);
    }
    check_ok(canyon_assign(tensor, gradient, PATIENCE_MS));
    check_ok(canyon_push_pull(tensor, gradient, weights, PATIENCE_MS));
    for (uint32_t i = 0; i < ELEMENTS; i++)
        check(weights[i] == 0.0f);
    canyon_tensor_close(tensor);
    canyon_close(client);
    routes_stop(&routes);
}

struct pusher {
    canyon_tensor *tensor;
    float *gradient;
    _Atomic bool stop;
    _Atomic uint32_t pushes;
    enum canyon_status status;
};

static void *push_on(void *user) {
    struct pusher *pusher = user;
    float *weights = calloc(ELEMENTS, sizeof *weights);
    pusher->status = weights ? CANYON_OK : CANYON_NO_MEMORY;
    while (pusher->status == CANYON_OK && !atomic_load(&pusher->stop)) {
        pusher->status = canyon_push_pull(pusher->tensor, pusher->gradient, weights, 3 * PATIENCE_MS);
        atomic_fetch_add(&pusher->pushes, pusher->status == CANYON_OK);
    }
    free(weights);
    return NULL;
}

/* From loopback speed to 10 Mbit/s and back, under asynchronous pushes and a client that asks for far more than passes.
 */
static void bandwidth_collapses(void **state) {
    (void)state;
    struct routes routes;
    struct pusher pushers[2];
    pthread_t threads[2];
    static float gradient[ELEMENTS];
    routes_start(&routes, &(struct cluster_options){.block = BLOCK}, &(struct proxy_options){.socket_bytes = 65536});
    canyon_client *clients[2];
    for (int i = 0; i < 2; i++) {
        clients[i] = client_connect(cluster_servers(routes.cluster));
        pushers[i] = (struct pusher){.gradient = gradient};
        pushers[i].tensor = client_vector(clients[i], "t", ELEMENTS, "sgd:lr=1");
    }
    struct raw raw;
    raw_open(&raw, cluster_servers(routes.cluster), 0, NULL);
    uint64_t tensor = raw_find(&raw, "t"), before_kb = resident_kb(&routes);
    for (int i = 0; i < 2; i++)
        check(pthread_create(&threads[i], NULL, push_on, &pushers[i]) == 0);
    sleep_ms(300);
    routes_fault(&routes, PROXY_EVERY, PROXY_UP, "rate=1250000");
    routes_fault(&routes, PROXY_EVERY, PROXY_DOWN, "rate=1250000");
    uint64_t begun = now_ms(), asked = 0;
    while (now_ms() < begun + 1500) {
        static struct message_pieces pieces = {.count = 1};
        uint8_t request[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES], message[LIMIT_MESSAGE_BYTES];
        pieces.pieces[0] = (struct message_piece){
            .tensor = tensor, .block = (uint32_t)(asked % (ELEMENTS / BLOCK)), .elements = BLOCK};
        size_t bytes =
            raw_frame(request, FRAME_PULL, 100 + asked, message, message_pack_pieces(&pieces, message), NULL, 0);
        if (asked < 2000) { /* half a gigabyte of answers */
            check(raw_send_bytes(&raw, request, bytes));
            asked++;
        } else {
            sleep_ms(10);
        }
    }
    check_growth(&routes, before_kb);
    proxy_clear(routes.proxies[0]);
    raw_close(&raw);
    uint32_t pushes[2] = {atomic_load(&pushers[0].pushes), atomic_load(&pushers[1].pushes)};
    for (int i = 0; i < 2; i++) {
        for (uint64_t end = now_ms() + PATIENCE_MS; atomic_load(&pushers[i].pushes) == pushes[i] && now_ms() < end;)
            sleep_ms(5);
        atomic_store(&pushers[i].stop, true);
        check(pthread_join(threads[i], NULL) == 0);
        check_status(pushers[i].status, CANYON_OK);
        check(atomic_load(&pushers[i].pushes) > pushes[i]);
        canyon_tensor_close(pushers[i].tensor);
        canyon_close(clients[i]);
    }
    routes_stop(&routes);
}

int main(void) {
    const struct CMUnitTest tests[] = {routes_test(stalls_for_five_seconds), routes_test(bandwidth_collapses)};
    return cmocka_run_group_tests_name("stall", tests, NULL, NULL);
}
