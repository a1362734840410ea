/* A client that asks for much and reads nothing of it is cut off after 20 seconds; one that is only idle is not. */
#include <stdlib.h>

#include "tests/faults/routes.h"
#include "tests/integration/raw.h"

#define BLOCK    65536u
#define ELEMENTS (16u * BLOCK)

static void who_never_reads_is_cut_off(void **state) {
    (void)state;
    struct routes routes;
    struct raw deaf, idle;
    static struct message_pieces pieces = {.count = 1};
    routes_start(&routes, &(struct cluster_options){.block = BLOCK}, NULL);
    canyon_client *client = client_connect(cluster_servers(routes.cluster));
    canyon_tensor *tensor = client_vector(client, "t", ELEMENTS, "sgd:lr=1");
    raw_open(&deaf, cluster_servers(routes.cluster), 0, NULL);
    uint64_t id = raw_find(&deaf, "t");
    unsigned number = proxy_count(routes.proxies[0]) - 1;
    raw_open(&idle, cluster_servers(routes.cluster), 0, NULL);
    routes_fault(&routes, (int)number, PROXY_DOWN, "stall=0");
    uint64_t begun = now_ms();
    for (uint32_t i = 0; i < 512; i++) { /* 128 MiB */
        uint8_t message[LIMIT_MESSAGE_BYTES];
        pieces.pieces[0] = (struct message_piece){.tensor = id, .block = i % 16, .elements = BLOCK};
        raw_send(&deaf, FRAME_PULL, message, message_pack_pieces(&pieces, message), NULL, 0);
    }
    struct proxy_view view = {.live = true};
    while (view.live && now_ms() < begun + 40000) {
        sleep_ms(50);
        check(proxy_look(routes.proxies[0], (int)number, &view));
        view.live = view.open[PROXY_SERVER];
    }
    print_message("cut off after %llu ms\n", (unsigned long long)(now_ms() - begun));
    check(!view.live);
    check(now_ms() - begun >= 19000);
    check(cluster_logged(routes.cluster, 0, "it read nothing for 20 seconds", PATIENCE_MS));
    check(proxy_look(routes.proxies[0], (int)number + 1, &view) && view.open[PROXY_SERVER]);
    raw_find(&idle, "t");
    float *weights = calloc(ELEMENTS, sizeof *weights);
    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
    free(weights);
    raw_close(&deaf);
    raw_close(&idle);
    canyon_tensor_close(tensor);
    canyon_close(client);
    routes_stop(&routes);
}

int main(void) {
    const struct CMUnitTest tests[] = {routes_test(who_never_reads_is_cut_off)};
    return cmocka_run_group_tests_name("unread", tests, NULL, NULL);
}
