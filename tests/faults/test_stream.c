/* However the network cuts the stream into pieces, the results are the same. */
#include <stdio.h>
#include <string.h>

#include "tests/faults/routes.h"

#define ELEMENTS 3000u
#define STEPS    4u

/* What a short training leaves: weights of the last step, slots included by way of the second tensor's momentum. */
struct outcome {
    float weights[ELEMENTS], momentum[ELEMENTS];
    uint64_t pushes;
};

static void train(canyon_client *client, struct outcome *outcome) {
    static float gradient[ELEMENTS];
    canyon_tensor *plain = client_vector(client, "plain", ELEMENTS, "sgd:lr=0.25");
    canyon_tensor *heavy = client_vector(client, "heavy", ELEMENTS, "adam:lr=0.1");
    for (unsigned step = 0; step < STEPS; step++) {
        for (unsigned i = 0; i < ELEMENTS; i++)
            gradient[i] = (float)((i * 7 + step * 13) % 17) - 8.0f;
        struct canyon_item items[] = {{.tensor = plain, .gradient = gradient, .weights = outcome->weights},
                                      {.tensor = heavy, .gradient = gradient, .weights = outcome->momentum}};
        check_ok(canyon_step(client, items, 2, 3 * PATIENCE_MS));
    }
    struct canyon_server_statistics *servers = NULL;
    size_t count = 0;
    check_ok(canyon_statistics(client, PATIENCE_MS, &servers, &count));
    outcome->pushes = servers[0].pushes;
    canyon_free(servers);
    canyon_tensor_close(plain);
    canyon_tensor_close(heavy);
}

/* One training; *state names what the network does, both ways. */
static void run(const char *faults, struct outcome *outcome) {
    struct routes routes;
    routes_start(&routes, &(struct cluster_options){.threads = 2}, NULL);
    routes_fault(&routes, PROXY_EVERY, PROXY_UP, faults);
    routes_fault(&routes, PROXY_EVERY, PROXY_DOWN, faults);
    canyon_client *client = client_connect(cluster_servers(routes.cluster));
    train(client, outcome);
    canyon_close(client);
    check(proxy_count(routes.proxies[0]) >= 2); /* all of it came this way */
    routes_stop(&routes);
}

static void pieces_change_nothing(void **state) {
    (void)state;
    static struct outcome smooth, cut;
    static const char *const faults[] = {"piece=1", "piece=2,gap_us=1", "piece=7", "piece=4099"};
    run("", &smooth);
    check(smooth.pushes == (uint64_t)STEPS * 2 * 3);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        memset(&cut, 0, sizeof cut);
        run(faults[i], &cut);
        check(memcmp(&cut, &smooth, sizeof cut) == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {routes_test(pieces_change_nothing)};
    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
