/* A connection that ends at any byte of a push or of its answer: the caller does not notice, and each block has the
 * push once.
 *
 * sgd with lr=1 and gradients of 1: the negated weight counts the pushes that were applied. */
#include <stdio.h>

#include "tests/faults/routes.h"

#define MOST 2048u /* elements */

struct bench {
    struct routes routes;
    canyon_client *client;
    canyon_tensor *tensor;
    uint32_t elements, block;
    float gradient[MOST], before[MOST], after[MOST];
    unsigned pushes;     /* by cut_everywhere */
    uint64_t duplicates; /* of these */
};

static void pull(struct bench *bench, float *weights) {
    check_ok(canyon_pull(bench->tensor, weights, PATIENCE_MS));
}

static struct canyon_client_counters counters_of(const struct bench *bench) {
    struct canyon_client_counters counters;
    check_ok(canyon_client_counters(bench->client, &counters));
    return counters;
}

static void bench_start(struct bench *bench, uint32_t elements) {
    *bench = (struct bench){.elements = elements, .block = 1024};
    routes_start(&bench->routes, NULL, NULL);
    bench->client = client_connect(cluster_servers(bench->routes.cluster));
    bench->tensor = client_vector(bench->client, "t", elements, "sgd:lr=1");
    for (uint32_t i = 0; i < elements; i++)
        bench->gradient[i] = 1.0f;
    /* A push of weights of version 0 would be shorter than the others. */
    check_ok(canyon_push(bench->tensor, bench->gradient, PATIENCE_MS));
    pull(bench, bench->before);
}

static void bench_stop(struct bench *bench) {
    canyon_tensor_close(bench->tensor);
    canyon_close(bench->client);
    routes_stop(&bench->routes);
}

/* The state after one push: every element has moved by it. */
static void judge(struct bench *bench) {
    pull(bench, bench->after);
    for (uint32_t i = 0; i < bench->elements; i++)
        if (bench->before[i] - bench->after[i] != 1.0f)
            check_fail("element %u moved by %g in one push", i, (double)(bench->before[i] - bench->after[i]));
}

/* Pushes with the connection ending after `offset` bytes from now on; whether it did. */
static bool push_cut(struct bench *bench, enum proxy_way way, uint64_t offset, bool reset) {
    char faults[64];
    pull(bench, bench->before);
    const uint64_t reconnects = counters_of(bench).reconnects;
    snprintf(faults, sizeof faults, "cut=%llu,end=%s", (unsigned long long)offset, reset ? "rst" : "fin");
    routes_fault(&bench->routes, PROXY_LIVE, way, faults);
    enum canyon_status status = canyon_push(bench->tensor, bench->gradient, PATIENCE_MS);
    if (status != CANYON_OK)
        check_fail("cut at %llu: %s, %s", (unsigned long long)offset, canyon_status_name(status), canyon_error_text());
    routes_fault(&bench->routes, PROXY_LIVE, way, "");
    const bool cut = counters_of(bench).reconnects > reconnects;
    judge(bench);
    return cut;
}

/* From the first byte to the one behind the last. Returns how long the push, or its answer, is. */
static uint64_t cut_everywhere(struct bench *bench, enum proxy_way way, bool reset, uint64_t stride) {
    uint64_t offset = 1;
    const uint64_t duplicates = counters_of(bench).duplicates;
    bench->pushes = 1;
    for (; push_cut(bench, way, offset, reset); offset += stride)
        bench->pushes++;
    bench->duplicates = counters_of(bench).duplicates - duplicates;
    return offset - 1;
}

static void every_byte_of_a_small_push(void **state) {
    (void)state;
    static struct bench bench;
    for (int reset = 0; reset < 2; reset++) {
        bench_start(&bench, 6);
        uint64_t bytes = cut_everywhere(&bench, PROXY_UP, reset != 0, 1);
        print_message("a push of 6 elements is %llu bytes; of %u cut ones %llu had arrived\n",
                      (unsigned long long)bytes, bench.pushes - 1, (unsigned long long)bench.duplicates);
        check(bytes >= 6 * sizeof(float) && bytes < 4096);
        /* Without its last byte none has arrived. */
        check(bench.duplicates <= 1 && bench.pushes >= bytes);
        bytes = cut_everywhere(&bench, PROXY_DOWN, reset != 0, 1);
        print_message("its answer is %llu bytes; of %u cut ones %llu had arrived\n", (unsigned long long)bytes,
                      bench.pushes - 1, (unsigned long long)bench.duplicates);
        check(bench.duplicates >= bytes - 1 && bench.duplicates <= bench.pushes);
        bench_stop(&bench);
    }
}

static void strides_of_a_push_of_two_blocks(void **state) {
    (void)state;
    static struct bench bench;
    bench_start(&bench, MOST);
    uint64_t bytes = cut_everywhere(&bench, PROXY_UP, false, 61);
    check(bytes > MOST * sizeof(float) - 61 && bench.pushes > MOST * sizeof(float) / 61);
    cut_everywhere(&bench, PROXY_UP, true, 211);
    bench_stop(&bench);
}

/* The connection was dead before the push began. */
static void before_the_first_byte(void **state) {
    (void)state;
    static struct bench bench;
    bench_start(&bench, 6);
    push_cut(&bench, PROXY_UP, 0, false);
    push_cut(&bench, PROXY_DOWN, 0, true);
    bench_stop(&bench);
}

/* The answer is lost, the connection is not: the deadline says so, and the push counted. */
static void the_answer_is_swallowed(void **state) {
    (void)state;
    static struct bench bench;
    bench_start(&bench, 6);
    pull(&bench, bench.before);
    routes_fault(&bench.routes, PROXY_LIVE, PROXY_DOWN, "swallow=0");
    check_status(canyon_push(bench.tensor, bench.gradient, 300), CANYON_OUTCOME_UNKNOWN);
    /* A stream with a hole is of no use: this connection is to end. */
    proxy_end(bench.routes.proxies[0], PROXY_LIVE, PROXY_CLIENT, PROXY_RST);
    judge(&bench);
    bench_stop(&bench);
}

/* A push held by the network arrives after its client has sent it again by another connection: it has counted then,
 * though nobody waits for it any more, and does not count again. */
static void held_beyond_a_reconnect(void **state) {
    (void)state;
    static struct bench bench;
    bench_start(&bench, MOST);
    pull(&bench, bench.before);
    unsigned old = proxy_count(bench.routes.proxies[0]) - 1;
    routes_fault(&bench.routes, (int)old, PROXY_UP, "hold");
    check_status(canyon_push(bench.tensor, bench.gradient, 300), CANYON_OUTCOME_UNKNOWN);
    proxy_end(bench.routes.proxies[0], (int)old, PROXY_CLIENT, PROXY_FIN);
    pull(&bench, bench.after);
    for (uint32_t i = 0; i < MOST; i++)
        check(bench.after[i] == bench.before[i] - 1.0f);
    check(proxy_count(bench.routes.proxies[0]) > old + 1);
    routes_fault(&bench.routes, (int)old, PROXY_UP, "");
    struct proxy_view view = {.live = true};
    for (uint64_t end = now_ms() + PATIENCE_MS; view.live && now_ms() < end; sleep_ms(2))
        check(proxy_look(bench.routes.proxies[0], (int)old, &view));
    check(!view.live);
    judge(&bench);
    bench_stop(&bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        routes_test(every_byte_of_a_small_push), routes_test(strides_of_a_push_of_two_blocks),
        routes_test(before_the_first_byte),      routes_test(the_answer_is_swallowed),
        routes_test(held_beyond_a_reconnect),
    };
    return cmocka_run_group_tests_name("cut", tests, NULL, NULL);
}
