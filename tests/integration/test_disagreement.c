/* Servers that have different modes for one job: where a mode was set at some of them only, or a server came back
 * without what it knew. Who asks is told which servers, and what to do; and doing it is enough. */
#include <stdio.h>
#include <string.h>

#include "tests/integration/harness.h"
#include "tests/integration/raw.h"

#define ELEMENTS 5000

static canyon_client *connect_asking(const struct cluster *cluster, const char *mode, enum canyon_status expected) {
    struct canyon_options options;
    canyon_client *client = NULL;
    cluster_client(cluster, &options);
    options.consistency = mode;
    check_status(canyon_connect(&options, &client), expected);
    return client;
}

static uint64_t clock_of(canyon_client *client) {
    uint64_t clock = 0;
    check_ok(canyon_clock(client, &clock));
    return clock;
}

static void expect_mode(canyon_client *client, const char *now, const char *next, uint64_t from) {
    struct canyon_consistency mode;
    check_ok(canyon_consistency_get(client, PATIENCE_MS, &mode));
    if (mode.set != 1 || strcmp(mode.mode, now) != 0 || strcmp(mode.next, next) != 0 || mode.from != from)
        check_fail("%s, then \"%s\" from clock %llu on; not %s, then \"%s\" from clock %llu on", mode.mode, mode.next,
                   (unsigned long long)mode.from, now, next, (unsigned long long)from);
}

static void expect_mismatch(canyon_client *client, const struct cluster *cluster) {
    struct canyon_consistency mode;
    check_status(canyon_consistency_get(client, PATIENCE_MS, &mode), CANYON_MISMATCH);
    check_text(cluster_address(cluster, 0));
    check_text(cluster_address(cluster, 1));
}

/* Sets a mode at one thread of one server, as a client does whose other connections end just then. */
static void set_at_one(const struct cluster *cluster, unsigned server, uint32_t thread, struct consistency mode,
                       uint64_t from, uint64_t highest) {
    struct raw raw;
    struct frame frame;
    uint8_t message[LIMIT_MESSAGE_BYTES];
    const struct message_consistency set = {.set = true, .mode = mode, .from = from, .highest = highest};
    raw_open(&raw, cluster_address(cluster, server), thread, NULL);
    uint64_t request = raw_send(&raw, FRAME_CONSISTENCY, message, message_pack_consistency(&set, message), NULL, 0);
    raw_expect(&raw, &frame, FRAME_CONSISTENCY_IS, request);
    raw_close(&raw);
}

static const struct consistency summed = {.mode = CONSISTENCY_SYNC, .combine = CONSISTENCY_SUM};

/* One that is still ahead: nobody is told anything that is not so, and setting it again at the same clock completes it.
 */
static void a_change_that_is_ahead_is_completed(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 2});
    canyon_client *client = connect_asking(cluster, "ssp:1", CANYON_OK);
    check(clock_of(client) == 1);
    set_at_one(cluster, 0, 1, summed, 5, 1);
    struct canyon_consistency mode;
    check_status(canyon_consistency_get(client, PATIENCE_MS, &mode), CANYON_MISMATCH);
    check_text(cluster_address(cluster, 0)); /* of one server, two threads */
    check_text("thread 0 has ssp:1 from clock 1 on");
    check_text("thread 1 ssp:1, then sync:sum from clock 5 on");
    set_at_one(cluster, 0, 0, summed, 5, 1);
    expect_mismatch(client, cluster);
    check_text("set it again");
    (void)connect_asking(cluster, "ssp:1", CANYON_MISMATCH);
    check_text(cluster_address(cluster, 0));
    (void)connect_asking(cluster, "sync:sum", CANYON_MISMATCH);
    check_ok(canyon_consistency_set(client, "sync:sum", 5, PATIENCE_MS));
    expect_mode(client, "ssp:1", "sync:sum", 5);
    canyon_close(connect_asking(cluster, "sync:sum", CANYON_OK));
    canyon_close(client);
    cluster_stop(cluster);
}

/* Of two workers: each looks and pushes -1, and then both go on. */
static void step(canyon_client *const clients[2], canyon_tensor *const tensors[2], uint64_t clock) {
    static float gradient[ELEMENTS], weights[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++)
        gradient[i] = -1.0f;
    for (int w = 0; w < 2; w++) {
        check_ok(canyon_pull(tensors[w], weights, PATIENCE_MS));
        check_ok(canyon_push(tensors[w], gradient, PATIENCE_MS));
    }
    for (int w = 0; w < 2; w++)
        check(clock_of(clients[w]) == clock + 1);
}

/* One that workers have come to meanwhile: it is set again from a later clock on, named or not, and the sums are exact
 * from there on. */
static void a_change_that_has_begun_is_made_again_later(bool named) {
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 2});
    static float weights[ELEMENTS];
    canyon_client *clients[2] = {connect_asking(cluster, "ssp:1", CANYON_OK),
                                 connect_asking(cluster, "ssp:1", CANYON_OK)};
    canyon_tensor *tensors[2] = {client_vector(clients[0], "w", ELEMENTS, "sgd:lr=1"),
                                 client_vector(clients[1], "w", ELEMENTS, "sgd:lr=1")};
    uint64_t clock = 0;
    for (int w = 0; w < 2; w++)
        check(clock_of(clients[w]) == 1);
    set_at_one(cluster, 1, 0, summed, 3, 1);
    for (clock = 1; clock < 4; clock++)
        step(clients, tensors, clock);
    expect_mismatch(clients[0], cluster);
    check_text("set it again");
    if (named) {
        check_status(canyon_consistency_set(clients[0], "sync:sum", 3, PATIENCE_MS), CANYON_CONFLICT);
        check_text("name a later clock");
    }
    check_ok(canyon_consistency_set(clients[0], "sync:sum", named ? 6 : 0, PATIENCE_MS));
    expect_mismatch(clients[0], cluster); /* for two clocks more, and nothing is to be done */
    check_text("different modes until clock 6, and then the same");
    for (; clock < 9; clock++) {
        if (clock == 6)
            expect_mode(clients[0], "sync:sum", "", 6);
        step(clients, tensors, clock);
    }
    check_ok(canyon_pull(tensors[0], weights, PATIENCE_MS));
    for (int i = 0; i < ELEMENTS; i++)
        check(weights[i] == 16.0f); /* two workers, eight clocks */
    for (int w = 0; w < 2; w++) {
        canyon_tensor_close(tensors[w]);
        canyon_close(clients[w]);
    }
    cluster_stop(cluster);
}

static void a_change_that_has_begun_is_made_again_from_a_named_clock(void **state) {
    (void)state;
    a_change_that_has_begun_is_made_again_later(true);
}

static void a_change_that_has_begun_is_made_again_from_the_next_clock(void **state) {
    (void)state;
    a_change_that_has_begun_is_made_again_later(false);
}

/* A server that was started anew knows no mode, and would apply gradients at once where the others keep them. */
static void a_server_without_its_state_is_told(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2});
    canyon_close(connect_asking(cluster, "sync:sum", CANYON_OK));
    cluster_kill(cluster, 1);
    cluster_restart(cluster, 1, NULL);
    canyon_client *client = client_connect(cluster_servers(cluster));
    expect_mismatch(client, cluster);
    check_text("set it again");
    check_text("sync:sum from clock 1 on");
    check_text("none");
    /* Another mode is refused for what it is. */
    (void)connect_asking(cluster, "ssp:2", CANYON_MISMATCH);
    check_text("this job is sync:sum");
    /* Who asks for the one there is has it set there. */
    canyon_close(connect_asking(cluster, "sync:sum", CANYON_OK));
    expect_mode(client, "sync:sum", "", 1);
    /* And so it is with a clock that was reached. */
    check(clock_of(client) == 1);
    check(clock_of(client) == 2);
    cluster_kill(cluster, 1);
    cluster_restart(cluster, 1, NULL);
    canyon_client *other = client_connect(cluster_servers(cluster));
    expect_mismatch(other, cluster);
    check_ok(canyon_consistency_set(other, "sync:sum", 0, PATIENCE_MS));
    canyon_close(other);
    canyon_close(client);
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        integration_test(a_change_that_is_ahead_is_completed),
        integration_test(a_change_that_has_begun_is_made_again_from_a_named_clock),
        integration_test(a_change_that_has_begun_is_made_again_from_the_next_clock),
        integration_test(a_server_without_its_state_is_told),
    };
    return cmocka_run_group_tests_name("disagreement", tests, NULL, NULL);
}
