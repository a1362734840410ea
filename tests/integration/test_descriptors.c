#define _GNU_SOURCE /* prlimit */
/* A server that runs out of descriptors: the clients it has notice nothing, newcomers are turned away soon, and when
 * others have gone there is room again. Encrypted, with real clients. */
#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>

#include "tests/integration/harness.h"

#define ELEMENTS 64u
#define ROOM     12u /* descriptors beyond those in use */
#define CROWD    32u

static unsigned descriptors_of(pid_t process) {
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)process);
    DIR *directory = opendir(path);
    check(directory != NULL);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 2; /* . and .. */
}

static enum canyon_status try_connect(const struct cluster *cluster, uint32_t connect_ms, canyon_client **client) {
    struct canyon_options options;
    *client = NULL;
    cluster_client(cluster, &options);
    options.connect_ms = connect_ms;
    return canyon_connect(&options, client);
}

static void those_inside_do_not_notice(void **state) {
    (void)state;
    canyon_client *crowd[CROWD] = {NULL}, *late = NULL;
    float gradient[ELEMENTS], weights[ELEMENTS];
    unsigned inside = 0, shed = 0, pushes = 0;
    struct cluster *cluster = cluster_start(NULL);
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "t", ELEMENTS, "sgd:lr=1");
    for (unsigned i = 0; i < ELEMENTS; i++)
        gradient[i] = 1.0f;
    const rlim_t most = descriptors_of(cluster_pid(cluster, 0)) + ROOM;
    const struct rlimit limit = {.rlim_cur = most, .rlim_max = most};
    check(prlimit(cluster_pid(cluster, 0), RLIMIT_NOFILE, &limit, NULL) == 0);
    for (unsigned i = 0; i < CROWD; i++) {
        uint64_t begun = now_ms();
        enum canyon_status status = try_connect(cluster, shed == 0 ? 2000 : 300, &crowd[i]);
        if (status != CANYON_OK) {
            check(status == CANYON_UNAVAILABLE || status == CANYON_TIMEOUT || status == CANYON_UNAUTHENTICATED);
            check(now_ms() - begun < 2000 + SLACK_MS);
        }
        inside += status == CANYON_OK;
        shed += status != CANYON_OK;
        check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
        pushes++;
    }
    print_message("%u descriptors: %u of %u newcomers came in, %u were turned away\n", (unsigned)most, inside, CROWD,
                  shed);
    check(inside > 0 && shed > 0);
    check(cluster_logged(cluster, 0, "shed", PATIENCE_MS));
    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
    for (unsigned i = 0; i < ELEMENTS; i++)
        check(weights[i] == -(float)pushes);
    for (unsigned i = 0; i < CROWD; i++) {
        struct canyon_server_statistics *all = NULL;
        size_t count = 0;
        if (crowd[i])
            check_ok(canyon_statistics(crowd[i], PATIENCE_MS, &all, &count));
        canyon_free(all);
        canyon_close(crowd[i]);
    }
    /* The server learns of it in its own time. */
    enum canyon_status status = CANYON_UNAVAILABLE;
    for (uint64_t end = now_ms() + PATIENCE_MS; status != CANYON_OK && now_ms() < end; sleep_ms(10))
        status = try_connect(cluster, 1000, &late);
    check_status(status, CANYON_OK);
    canyon_close(late);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {integration_test(those_inside_do_not_notice)};
    return cmocka_run_group_tests_name("descriptors", tests, NULL, NULL);
}
