/* Bits that flip on the way, on encrypted connections: every one is found, the connection ends, nothing of the push is
 * applied and nothing false is believed. (A plaintext connection finds a flip in a header at most.)
 *
 * sgd with lr=1 and gradients of 1: the negated weight counts the pushes that were applied. */
#include <stdio.h>

#include "tests/faults/routes.h"

#define ELEMENTS 64u
#define STRIDE   5u /* bytes between flips: coprime to 8, so that all bits have their turn */
#define FLIPS    60u

static void pull(canyon_tensor *tensor, float *weights) {
    enum canyon_status status = canyon_pull(tensor, weights, PATIENCE_MS);
    if (status != CANYON_OK) /* this may be the call that finds the connection dead */
        status = canyon_pull(tensor, weights, PATIENCE_MS);
    check_status(status, CANYON_OK);
}

/* One way; what a lost answer leaves is a push that counted, what a lost push leaves is none. */
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
        enum canyon_status status = canyon_push(tensor, gradient, 1000);
        if (status != CANYON_OUTCOME_UNKNOWN && status != CANYON_UNAVAILABLE)
            check_fail("%s: %s, %s", faults, canyon_status_name(status), canyon_error_text());
        pull(tensor, after);
        for (unsigned i = 0; i < ELEMENTS; i++)
            check(before[i] - after[i] == (way == PROXY_UP ? 0.0f : 1.0f));
    }
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
