/* A client that connects although one of the servers is down: what it can do, and what it says about the rest. */
#include <stdlib.h>
#include <string.h>

#include "tests/integration/harness.h"

#define ELEMENTS 20000 /* twenty blocks: some on every server */

static enum canyon_status connect_partial(const struct cluster *cluster, int partial, canyon_client **client) {
    struct canyon_options options;
    canyon_options_init(&options);
    options.servers = cluster_servers(cluster);
    options.partial = partial;
    *client = NULL;
    return canyon_connect(&options, client);
}

/* A cluster with the tensor "large" on all servers and "small0".."small7" of one block each; server `down` is killed.
 */
static struct cluster *start_and_kill(unsigned servers, unsigned down) {
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = servers, .threads = 2});
    canyon_client *client = client_connect(cluster_servers(cluster));
    char name[] = "small0";
    canyon_tensor_close(client_vector(client, "large", ELEMENTS, "sgd:lr=1"));
    for (; name[5] < '8'; name[5]++)
        canyon_tensor_close(client_vector(client, name, 3, "sgd:lr=1"));
    canyon_close(client);
    cluster_kill(cluster, down);
    return cluster;
}

static void strict_is_the_default(void **state) {
    (void)state;
    struct cluster *cluster = start_and_kill(2, 1);
    canyon_client *client;
    check_status(connect_partial(cluster, 0, &client), CANYON_UNAVAILABLE);
    check_text(cluster_address(cluster, 1));
    cluster_stop(cluster);
}

static void statistics_show_who_is_down(void **state) {
    (void)state;
    struct cluster *cluster = start_and_kill(3, 1);
    canyon_client *client;
    struct canyon_server_statistics *servers = NULL;
    struct canyon_job job;
    size_t count = 0;
    check_ok(connect_partial(cluster, 1, &client));
    check_ok(canyon_job(client, &job));
    check(job.servers == 3 && job.threads == 4);
    check_ok(canyon_statistics(client, PATIENCE_MS, &servers, &count));
    check(count == 3);
    for (unsigned i = 0; i < 3; i++) {
        check(strcmp(servers[i].address, cluster_address(cluster, i)) == 0);
        check(servers[i].reachable == (i != 1));
        check(servers[i].threads == (i == 1 ? 0 : 2));
        check(i == 1 ? servers[i].parts == 0 : servers[i].parts >= 2);
        check((strstr(servers[i].text, cluster_address(cluster, i)) != NULL) == (i == 1));
    }
    canyon_free(servers);
    canyon_close(client);
    cluster_stop(cluster);
}

/* A tensor whose blocks are all on servers that answer is pulled and pushed; of another, the call names who is missing.
 */
static void values_of_what_is_left(void **state) {
    (void)state;
    static float weights[ELEMENTS];
    struct cluster *cluster = start_and_kill(2, 1);
    canyon_client *client;
    canyon_tensor *tensor;
    struct canyon_tensor_info *infos = NULL;
    size_t count = 0;
    unsigned pulled = 0;
    char name[] = "small0";
    check_ok(connect_partial(cluster, 1, &client));
    check_ok(canyon_tensor_list(client, PATIENCE_MS, &infos, &count));
    check(count == 9);
    canyon_free(infos);
    for (; name[5] < '8'; name[5]++) {
        check_ok(canyon_tensor_open(client, name, PATIENCE_MS, &tensor));
        enum canyon_status status = canyon_pull(tensor, weights, PATIENCE_MS);
        if (status != CANYON_OK) {
            check_status(status, CANYON_UNAVAILABLE);
            check_text(cluster_address(cluster, 1));
        } else {
            check_ok(canyon_push_pull(tensor, weights, weights, PATIENCE_MS));
            pulled++;
        }
        canyon_tensor_close(tensor);
    }
    check(pulled > 0 && pulled < 8);
    check_ok(canyon_tensor_open(client, "large", PATIENCE_MS, &tensor));
    check_status(canyon_pull(tensor, weights, PATIENCE_MS), CANYON_UNAVAILABLE);
    check_text(cluster_address(cluster, 1));
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* What needs every server, or the one with the catalogue, says so at once. */
static void calls_that_need_who_is_down(void **state) {
    (void)state;
    for (unsigned down = 0; down < 2; down++) {
        struct cluster *cluster = start_and_kill(2, down);
        canyon_client *client;
        canyon_tensor *tensor = NULL;
        struct canyon_tensor_spec spec;
        uint8_t digest[CANYON_DIGEST_BYTES];
        canyon_tensor_spec_init(&spec);
        strcpy(spec.name, "new");
        check_ok(connect_partial(cluster, 1, &client));
        uint64_t begun = now_ms();
        check_status(canyon_tensor_create(client, &spec, PATIENCE_MS, &tensor), CANYON_UNAVAILABLE);
        check_text(cluster_address(cluster, down));
        check(tensor == NULL);
        check_status(canyon_shard_digest(client, PATIENCE_MS, digest), CANYON_UNAVAILABLE);
        check_text(cluster_address(cluster, down));
        if (down == 0) {
            check_status(canyon_tensor_open(client, "large", PATIENCE_MS, &tensor), CANYON_UNAVAILABLE);
            check_text(cluster_address(cluster, down));
        }
        check(now_ms() - begun < SLACK_MS);
        canyon_close(client);
        cluster_stop(cluster);
    }
}

/* A server that comes after all may have other threads than thought: this client leaves it alone, a new one does not.
 */
static void coming_back(void **state) {
    (void)state;
    static float weights[ELEMENTS];
    struct cluster *cluster = start_and_kill(2, 1);
    canyon_client *client, *fresh;
    canyon_tensor *tensor;
    struct canyon_server_statistics *servers = NULL;
    size_t count = 0;
    check_ok(connect_partial(cluster, 1, &client));
    check_ok(canyon_tensor_open(client, "large", PATIENCE_MS, &tensor));
    cluster_restart(cluster, 1, &(struct cluster_options){.servers = 2, .threads = 3});
    check_status(canyon_pull(tensor, weights, PATIENCE_MS), CANYON_UNAVAILABLE);
    check_text(cluster_address(cluster, 1));
    check_text("connect anew");
    check_ok(connect_partial(cluster, 1, &fresh));
    check_ok(canyon_statistics(fresh, PATIENCE_MS, &servers, &count));
    check(count == 2 && servers[0].reachable && servers[1].reachable && servers[1].threads == 3);
    canyon_free(servers);
    canyon_tensor_close(tensor);
    canyon_close(fresh);
    canyon_close(client);
    cluster_stop(cluster);
}

/* Servers that disagree are not excused: the values might be anywhere. */
static void disagreement_is_no_absence(void **state) {
    (void)state;
    struct cluster *cluster = start_and_kill(2, 1);
    canyon_client *client;
    cluster_restart(cluster, 1, &(struct cluster_options){.servers = 2, .shards = 32});
    check_status(connect_partial(cluster, 1, &client), CANYON_CONFIGURATION);
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        integration_test(strict_is_the_default),
        integration_test(statistics_show_who_is_down),
        integration_test(values_of_what_is_left),
        integration_test(calls_that_need_who_is_down),
        integration_test(coming_back),
        integration_test(disagreement_is_no_absence),
    };
    return cmocka_run_group_tests_name("partial", tests, NULL, NULL);
}
