/* Servers that are not there, die, stall, come back empty or are configured differently: always a clear error, in time.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/integration/harness.h"
#include "tests/integration/process.h"

#define ELEMENTS 20000
#define LOAD_MS  1500u /* of each call under load */

static enum canyon_status connect_within(const char *servers, const char *job, uint32_t connect_ms,
                                         canyon_client **client) {
    struct canyon_options options;
    canyon_options_init(&options);
    options.servers = servers;
    options.job = job;
    options.connect_ms = connect_ms;
    options.timeout_ms = connect_ms;
    *client = NULL;
    return canyon_connect(&options, client);
}

/* ---- Nobody there ---------------------------------------------------------------------------------------------- */

static void nobody_listens(void **state) {
    (void)state;
    char address[CLUSTER_ADDRESS_BYTES];
    int port = port_dead(address);
    canyon_client *client;
    uint64_t begun = now_ms();
    check_status(connect_within(address, NULL, 10000, &client), CANYON_UNAVAILABLE);
    check(now_ms() - begun < SLACK_MS); /* refused at once, not after the deadline */
    check_text(address);
    check(client == NULL);
    close(port);
}

static void nobody_answers(void **state) {
    (void)state;
    char silent[CLUSTER_ADDRESS_BYTES], dead[CLUSTER_ADDRESS_BYTES], both[2 * CLUSTER_ADDRESS_BYTES + 2];
    int port = port_silent(silent), other = port_dead(dead);
    canyon_client *client;
    uint64_t begun = now_ms();
    check_status(connect_within(silent, NULL, 500, &client), CANYON_UNAVAILABLE);
    check_text(silent);
    check(now_ms() - begun >= 450 && now_ms() - begun < 500 + SLACK_MS);
    /* Each server's reason is in the text. */
    snprintf(both, sizeof both, "%s,%s", silent, dead);
    check_status(connect_within(both, NULL, 300, &client), CANYON_UNAVAILABLE);
    check_text(silent);
    check_text(dead);
    /* A silent one before a good one only costs its time. */
    struct cluster *cluster = cluster_start(NULL);
    snprintf(both, sizeof both, "%s,%s", silent, cluster_servers(cluster));
    check_ok(connect_within(both, NULL, 3000, &client));
    canyon_close(client);
    close(port);
    close(other);
    cluster_stop(cluster);
}

static void one_of_three_is_missing(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 3});
    cluster_kill(cluster, 1);
    canyon_client *client;
    uint64_t begun = now_ms();
    check_status(connect_within(cluster_servers(cluster), NULL, 2000, &client), CANYON_UNAVAILABLE);
    check_text(cluster_address(cluster, 1));
    check(now_ms() - begun < 3 * 2000 + SLACK_MS);
    cluster_stop(cluster);
}

static void nonsense_addresses(void **state) {
    (void)state;
    static const char *const texts[] = {"",          ",",        "127.0.0.1",  "127.0.0.1:", "127.0.0.1:70000",
                                        "[::1:7077", "::1:7077", "127.0.0.1:x"};
    canyon_client *client;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        check_status(connect_within(texts[i], NULL, 1000, &client), CANYON_INVALID_ARGUMENT);
    check_status(connect_within(NULL, NULL, 1000, &client), CANYON_INVALID_ARGUMENT);
}

/* ---- Configured differently ------------------------------------------------------------------------------------ */

static void differing(const struct cluster_options *other, const char *one_text, const char *other_text) {
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 1});
    cluster_kill(cluster, 1);
    cluster_restart(cluster, 1, other);
    canyon_client *client;
    check_status(connect_within(cluster_servers(cluster), NULL, PATIENCE_MS, &client), CANYON_CONFIGURATION);
    check_text(cluster_address(cluster, 0));
    check_text(cluster_address(cluster, 1));
    check_text(one_text);
    check_text(other_text);
    cluster_stop(cluster);
}

static void configured_differently(void **state) {
    (void)state;
    differing(&(struct cluster_options){.servers = 2, .shards = 32}, "16", "32");
    differing(&(struct cluster_options){.servers = 2, .block = 2048}, "1024", "2048");
    differing(&(struct cluster_options){.servers = 2, .job = "other"}, "test", "other");
    struct cluster *cluster = cluster_start(NULL);
    canyon_client *client;
    check_status(connect_within(cluster_servers(cluster), "elsewhere", PATIENCE_MS, &client), CANYON_CONFIGURATION);
    check_text("elsewhere");
    check_text("test");
    check_ok(connect_within(cluster_servers(cluster), "test", PATIENCE_MS, &client));
    canyon_close(client);
    cluster_stop(cluster);
}

/* ---- Killed under load ----------------------------------------------------------------------------------------- */

struct load {
    canyon_client *client;
    canyon_tensor *tensor;
    uint32_t timeout_ms;
    _Atomic uint32_t done;    /* calls that succeeded */
    _Atomic uint32_t longest; /* milliseconds */
    _Atomic int stop;
    enum canyon_status status; /* the first failure */
    char text[320];
};

/* Pushes until a call fails or it is told to stop. */
static void *push_on(void *user) {
    struct load *load = user;
    float *gradient = calloc(ELEMENTS, sizeof *gradient), *weights = calloc(ELEMENTS, sizeof *weights);
    load->status = CANYON_OK;
    for (size_t i = 0; i < ELEMENTS; i++)
        gradient[i] = 1.0f;
    while (load->status == CANYON_OK && !atomic_load(&load->stop)) {
        uint64_t begun = now_ms();
        load->status = canyon_push_pull(load->tensor, gradient, weights, load->timeout_ms);
        uint32_t took = (uint32_t)(now_ms() - begun);
        if (took > atomic_load(&load->longest))
            atomic_store(&load->longest, took);
        if (load->status == CANYON_OK) {
            /* Every push that was answered counts: the weights, from zero by -1 a push, hold all of this thread's. */
            uint32_t done = atomic_fetch_add(&load->done, 1) + 1;
            for (size_t i = 0; i < ELEMENTS; i++)
                check(weights[i] <= -(float)done);
        } else
            snprintf(load->text, sizeof load->text, "%s", canyon_error_text());
    }
    free(gradient);
    free(weights);
    return NULL;
}

static void await_load(const struct load *load, uint32_t calls) {
    uint64_t end = now_ms() + PATIENCE_MS;
    while (atomic_load(&load->done) < calls && now_ms() < end)
        sleep_ms(1);
    check(atomic_load(&load->done) >= calls);
}

static void check_gone(enum canyon_status status) {
    if (status != CANYON_UNAVAILABLE && status != CANYON_OUTCOME_UNKNOWN)
        check_fail("%s instead of UNAVAILABLE or OUTCOME_UNKNOWN: %s", canyon_status_name(status), canyon_error_text());
}

static void killed_under_load(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 3, .threads = 2});
    canyon_client *client = client_connect(cluster_servers(cluster));
    struct load loads[3];
    pthread_t threads[3];
    memset(loads, 0, sizeof loads);
    for (size_t t = 0; t < 3; t++) {
        loads[t].client = client;
        loads[t].tensor = client_vector(client, "t", ELEMENTS, "sgd:lr=1");
        loads[t].timeout_ms = LOAD_MS;
        check(pthread_create(&threads[t], NULL, push_on, &loads[t]) == 0);
    }
    for (size_t t = 0; t < 3; t++)
        await_load(&loads[t], 5);
    cluster_kill(cluster, 1);
    for (size_t t = 0; t < 3; t++) {
        check(pthread_join(threads[t], NULL) == 0);
        if (loads[t].status != CANYON_UNAVAILABLE && loads[t].status != CANYON_OUTCOME_UNKNOWN)
            check_fail("%s: %s", canyon_status_name(loads[t].status), loads[t].text);
        if (!strstr(loads[t].text, cluster_address(cluster, 1)))
            check_fail("the text does not name %s: %s", cluster_address(cluster, 1), loads[t].text);
        check(atomic_load(&loads[t].longest) < LOAD_MS + SLACK_MS);
    }
    /* Every kind of call ends, and says so. */
    float *weights = calloc(ELEMENTS, sizeof *weights);
    uint64_t begun = now_ms();
    check_gone(canyon_pull(loads[0].tensor, weights, 300));
    check_gone(canyon_push(loads[0].tensor, weights, 300));
    check_gone(canyon_assign(loads[0].tensor, weights, 300));
    uint8_t digest[CANYON_DIGEST_BYTES];
    check_gone(canyon_shard_digest(client, 300, digest));
    check(now_ms() - begun < 4 * (300 + SLACK_MS));
    struct canyon_server_statistics *servers = NULL;
    size_t count = 0;
    check_ok(canyon_statistics(client, 5000, &servers, &count));
    check(count == 3 && servers[0].reachable && !servers[1].reachable && servers[2].reachable);
    check(servers[1].text[0] != '\0');
    canyon_free(servers);
    free(weights);
    for (size_t t = 0; t < 3; t++)
        canyon_tensor_close(loads[t].tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* ---- Back, but empty ------------------------------------------------------------------------------------------- */

/* Which server: 0 has the catalogue, 1 has not. */
static void came_back_empty(void **state) {
    const unsigned which = *(const unsigned *)*state;
    static float weights[ELEMENTS];
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "t", ELEMENTS, "sgd:lr=1");
    check_ok(canyon_push(tensor, weights, PATIENCE_MS));
    cluster_kill(cluster, which);
    cluster_restart(cluster, which, NULL);

    /* An old handle: never zeros made up anew, never a push that silently begins from nothing. */
    enum canyon_status status = canyon_pull(tensor, weights, PATIENCE_MS);
    if (status == CANYON_UNAVAILABLE) /* the first call may be the one that finds the old connection dead */
        status = canyon_pull(tensor, weights, PATIENCE_MS);
    check_status(status, CANYON_STATE_LOST);
    check_text(cluster_address(cluster, which));
    check_status(canyon_push(tensor, weights, PATIENCE_MS), CANYON_STATE_LOST);
    check_text(cluster_address(cluster, which));

    /* A new client. */
    canyon_client *fresh = client_connect(cluster_servers(cluster));
    canyon_tensor *other = NULL;
    struct canyon_tensor_spec spec;
    canyon_tensor_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "t");
    spec.rank = 1;
    spec.dims[0] = ELEMENTS;
    check_ok(canyon_tensor_spec_optimizer(&spec, "sgd:lr=1"));
    if (which == 1) {
        /* The catalogue knows it as complete; its parts are gone. */
        check_status(canyon_tensor_open(fresh, "t", PATIENCE_MS, &other), CANYON_STATE_LOST);
        check_text(cluster_address(cluster, which));
        check_status(canyon_tensor_create(fresh, &spec, PATIENCE_MS, &other), CANYON_STATE_LOST);
        check_text(cluster_address(cluster, which));
        /* Dropped, it can be made anew. */
        check_ok(canyon_tensor_drop(fresh, "t", PATIENCE_MS));
        check_ok(canyon_tensor_create(fresh, &spec, PATIENCE_MS, &other));
        check_ok(canyon_pull(other, weights, PATIENCE_MS));
        canyon_tensor_close(other);
    } else {
        /* The catalogue is gone; the other server still has parts, and says so. */
        check_status(canyon_tensor_create(fresh, &spec, PATIENCE_MS, &other), CANYON_STATE_LOST);
        check(strstr(canyon_error_text(), cluster_address(cluster, 0)) ||
              strstr(canyon_error_text(), cluster_address(cluster, 1)));
    }
    canyon_tensor_close(tensor);
    canyon_close(fresh);
    canyon_close(client);
    cluster_stop(cluster);
}

/* ---- Stalled --------------------------------------------------------------------------------------------------- */

static void stalled_server(void **state) {
    (void)state;
    static float gradient[ELEMENTS], weights[ELEMENTS];
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 2});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "t", ELEMENTS, "sgd:lr=1");
    for (size_t i = 0; i < ELEMENTS; i++)
        gradient[i] = 1.0f;
    cluster_pause(cluster, 1);
    uint64_t begun = now_ms();
    check_status(canyon_pull(tensor, weights, 400), CANYON_TIMEOUT);
    check_text(cluster_address(cluster, 1));
    check(now_ms() - begun >= 390 && now_ms() - begun < 400 + SLACK_MS);
    begun = now_ms();
    /* Long enough to be begun. */
    check_status(canyon_push(tensor, gradient, 2000), CANYON_OUTCOME_UNKNOWN);
    check_text(cluster_address(cluster, 1));
    check(now_ms() - begun < 2000 + SLACK_MS);
    canyon_client *other;
    begun = now_ms();
    check_status(connect_within(cluster_servers(cluster), NULL, 400, &other), CANYON_UNAVAILABLE);
    check_text(cluster_address(cluster, 1));
    check(now_ms() - begun < 2 * 400 + SLACK_MS);
    cluster_resume(cluster, 1);

    /* The same client works on. The push that nobody waited for any more was sent on, before all that came later. */
    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
    for (size_t i = 0; i < ELEMENTS; i++)
        check(weights[i] == -1.0f);
    check_ok(canyon_assign(tensor, gradient, PATIENCE_MS));
    check_ok(canyon_push_pull(tensor, gradient, weights, PATIENCE_MS));
    for (size_t i = 0; i < ELEMENTS; i++)
        check(weights[i] == 0.0f);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* ---- Asked to end ---------------------------------------------------------------------------------------------- */

/* What is in flight is answered or ends in a clear error, and the server ends in time with exit code 0. */
static void terminated_under_load(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 1, .threads = 2});
    canyon_client *client = client_connect(cluster_servers(cluster));
    struct load loads[2];
    pthread_t threads[2];
    memset(loads, 0, sizeof loads);
    for (size_t t = 0; t < 2; t++) {
        loads[t].client = client;
        loads[t].tensor = client_vector(client, "t", ELEMENTS, "sgd:lr=1");
        loads[t].timeout_ms = LOAD_MS;
        check(pthread_create(&threads[t], NULL, push_on, &loads[t]) == 0);
    }
    for (size_t t = 0; t < 2; t++)
        await_load(&loads[t], 10);
    check(cluster_terminate(cluster, 0, 10000) == 0);
    for (size_t t = 0; t < 2; t++) {
        check(pthread_join(threads[t], NULL) == 0);
        if (loads[t].status != CANYON_UNAVAILABLE && loads[t].status != CANYON_OUTCOME_UNKNOWN)
            check_fail("%s: %s", canyon_status_name(loads[t].status), loads[t].text);
        canyon_tensor_close(loads[t].tensor);
    }
    canyon_close(client);
    cluster_stop(cluster);
}

/* Idle clients and waiting calls do not keep a server from ending. */
static void *wait_for_nothing(void *user) {
    struct load *load = user;
    canyon_tensor *tensor = NULL;
    load->status = canyon_tensor_open(load->client, "never", PATIENCE_MS, &tensor);
    return NULL;
}

static void terminated_while_waited_for(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 1, .threads = 2});
    canyon_client *idle = client_connect(cluster_servers(cluster));
    struct load load = {.client = client_connect(cluster_servers(cluster))};
    pthread_t thread;
    check(pthread_create(&thread, NULL, wait_for_nothing, &load) == 0);
    sleep_ms(200);
    uint64_t begun = now_ms();
    check(cluster_terminate(cluster, 0, 10000) == 0);
    check(pthread_join(thread, NULL) == 0);
    check(now_ms() - begun < 10000);
    check(load.status == CANYON_UNAVAILABLE || load.status == CANYON_OUTCOME_UNKNOWN);
    canyon_close(load.client);
    canyon_close(idle);
    cluster_stop(cluster);
}

int main(void) {
    static const unsigned zero = 0, one = 1;
    const struct CMUnitTest tests[] = {
        integration_test(nobody_listens),
        integration_test(nobody_answers),
        integration_test(one_of_three_is_missing),
        integration_test(nonsense_addresses),
        integration_test(configured_differently),
        integration_test(killed_under_load),
        integration_case("the server with the catalogue", came_back_empty, &zero),
        integration_case("another server", came_back_empty, &one),
        integration_test(stalled_server),
        integration_test(terminated_under_load),
        integration_test(terminated_while_waited_for),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
