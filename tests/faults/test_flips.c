/* Bits that flip on the way, on encrypted connections: every one is found, the connection ends, nothing false is
 * believed, and over the next connection the push counts, once. (A plaintext connection finds a flip in a header at
 * most.)
 *
 * sgd with lr=1 and gradients of 1: the negated weight counts the pushes that were applied. */
#include <stdio.h>

#include "tests/faults/routes.h"

#define ELEMENTS 64u
#define STRIDE   5u /* bytes between flips: coprime to 8, so that all bits have their turn */
#define FLIPS    60u

static void pull(canyon_tensor *tensor, float *weights) {
    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
}

static struct canyon_client_counters counters_of(canyon_client *client) {
    struct canyon_client_counters counters;
    check_ok(canyon_client_counters(client, &counters));
    return counters;
}

/* One way; where it was the answer that was lost, the push had counted, and is a duplicate when it comes again. */
static void flip_all(enum proxy_way way) {
    struct routes routes;
    float gradient[ELEMENTS], before[ELEMENTS], after[ELEMENTS];
    routes_start(&routes, NULL, NULL);
    canyon_client *client = client_connect(cluster_servers(routes.cluster));
    canyon_tensor *tensor = client_vector(client, "t", ELEMENTS, "sgd:lr=1");
    for (unsigned i = 0; i < ELEMENTS; i++)
        gradient[i] = 1.0f;
    for (unsigned n = 0; n < FLIPS; n++) {
        char faults[32];
        pull(tensor, before);
        snprintf(faults, sizeof faults, "flip=%u.%u", way == PROXY_UP ? n * STRIDE : n % 40u, n % 8u);
        routes_fault(&routes, PROXY_LIVE, way, faults);
        /* A length that was flipped makes its receiver wait, until the deadline or more to come. */
        const enum canyon_status status = canyon_push(tensor, gradient, 1000);
        if (status != CANYON_OK && status != CANYON_OUTCOME_UNKNOWN)
            check_fail("%s: %s, %s", faults, canyon_status_name(status), canyon_error_text());
        pull(tensor, after);
        check(counters_of(client).reconnects == n + 1);
        for (unsigned i = 0; i < ELEMENTS; i++)
            check(before[i] - after[i] == 1.0f);
    }
    check(counters_of(client).duplicates == (way == PROXY_UP ? 0 : FLIPS));
    canyon_tensor_close(tensor);
    canyon_close(client);
    routes_stop(&routes);
}

static void every_flip_is_found(void **state) {
    (void)state;
    flip_all(PROXY_UP);
    flip_all(PROXY_DOWN);
}

int main(void) {
    const struct CMUnitTest tests[] = {routes_test(every_flip_is_found)};
    return cmocka_run_group_tests_name("flips", tests, NULL, NULL);
}
