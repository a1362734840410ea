/* Settings that change while training runs: what they do to the weights, that they arrive everywhere, and what happens
 * when they do not. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/harness.h"

#define ELEMENTS 20000 /* 20 blocks, on every thread of every server */

static float weights[ELEMENTS], gradient[ELEMENTS];

static void ones(void) {
    for (size_t i = 0; i < ELEMENTS; i++)
        gradient[i] = 1.0f;
}

static void check_all(canyon_tensor *tensor, float expected) {
    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
    for (size_t i = 0; i < ELEMENTS; i++)
        check(weights[i] == expected);
}

static void settings_take_effect_everywhere(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 3, .threads = 2});
    canyon_client *client = client_connect(cluster_servers(cluster)), *other = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "w", ELEMENTS, "sgd:lr=0.5"), *again = NULL;
    struct canyon_tensor_info info;
    ones();
    check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
    check_ok(canyon_tensor_set(other, "w", "lr=0.25", PATIENCE_MS, &info));
    check(info.epoch == 1 && info.settings[0].value == 0.25 && strcmp(info.name, "w") == 0);
    check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
    check_all(tensor, -0.75f);
    /* The same again is no change. */
    check_ok(canyon_tensor_set(client, "w", "lr=0.25,weight_decay=0", PATIENCE_MS, &info));
    check(info.epoch == 1);
    check_ok(canyon_tensor_set(client, "w", "lr=1", PATIENCE_MS, NULL));
    check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
    check_all(tensor, -1.75f);
    /* With what it was created with, and with what it has, it is opened; with anything else it is not. */
    again = client_vector(other, "w", ELEMENTS, "sgd:lr=0.5");
    check_ok(canyon_tensor_describe(again, &info));
    check(info.epoch == 2 && info.settings[0].value == 1.0);
    canyon_tensor_close(again);
    canyon_tensor_close(client_vector(other, "w", ELEMENTS, "sgd:lr=1"));
    struct canyon_tensor_spec spec;
    canyon_tensor_spec_init(&spec);
    strcpy(spec.name, "w");
    spec.rank = 1;
    spec.dims[0] = ELEMENTS;
    check_ok(canyon_tensor_spec_optimizer(&spec, "sgd:lr=0.25"));
    check_status(canyon_tensor_create(other, &spec, PATIENCE_MS, &again), CANYON_MISMATCH);
    canyon_tensor_close(tensor);
    canyon_close(client);
    canyon_close(other);
    cluster_stop(cluster);
}

static void what_cannot_be_set(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "w", 5000, "adam:lr=0.5");
    uint8_t before[CANYON_DIGEST_BYTES], after[CANYON_DIGEST_BYTES];
    static const struct {
        const char *name, *settings;
        enum canyon_status status;
        const char *text;
    } wrong[] = {{"w", "lr=-1", CANYON_INVALID_ARGUMENT, "lr=-1 is outside"},
                 {"w", "beta1=0.5,beta2=1", CANYON_INVALID_ARGUMENT, "beta2=1 is outside"},
                 {"w", "momentum=0.5", CANYON_INVALID_ARGUMENT, "adam has no setting 'momentum'"},
                 {"w", "lr", CANYON_INVALID_ARGUMENT, "name=value"},
                 {"w", "lr=fast", CANYON_INVALID_ARGUMENT, "not a number"},
                 {"w", "lr=0.1,lr=0.2", CANYON_INVALID_ARGUMENT, "twice"},
                 {"w", "lr=nan", CANYON_INVALID_ARGUMENT, "lr"},
                 {"w", "", CANYON_INVALID_ARGUMENT, "name=value"},
                 {"v", "lr=0.1", CANYON_NOT_FOUND, "'v'"},
                 {"v w", "lr=0.1", CANYON_INVALID_ARGUMENT, "v w"}};
    client_digest(client, before);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        check_status(canyon_tensor_set(client, wrong[i].name, wrong[i].settings, PATIENCE_MS, NULL), wrong[i].status);
        check_text(wrong[i].text);
    }
    check_status(canyon_tensor_set(client, NULL, "lr=1", 0, NULL), CANYON_INVALID_ARGUMENT);
    check_status(canyon_tensor_set(client, "w", NULL, 0, NULL), CANYON_INVALID_ARGUMENT);
    check_status(canyon_tensor_set(NULL, "w", "lr=1", 0, NULL), CANYON_INVALID_ARGUMENT);
    client_digest(client, after);
    check(memcmp(before, after, sizeof before) == 0);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* One server stands still while the settings change: the call says so, and whoever opens the tensor next finishes it.
 */
static void an_unfinished_change_is_finished_by_who_opens(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2});
    canyon_client *client = client_connect(cluster_servers(cluster)), *next = NULL;
    canyon_tensor *tensor = client_vector(client, "w", ELEMENTS, "sgd:lr=0.5"), *opened = NULL;
    struct canyon_tensor_info info;
    ones();
    cluster_kill(cluster, 1);
    check(canyon_tensor_set(client, "w", "lr=0.25", 2000, &info) != CANYON_OK);
    check_text("not everywhere yet");
    canyon_tensor_close(tensor);
    canyon_close(client);
    /* The killed server comes back empty: what is left is dropped and made anew, on which epochs begin again. */
    cluster_restart(cluster, 1, NULL);
    next = client_connect(cluster_servers(cluster));
    check_status(canyon_tensor_open(next, "w", PATIENCE_MS, &opened), CANYON_STATE_LOST);
    check_ok(canyon_tensor_drop(next, "w", PATIENCE_MS));
    tensor = client_vector(next, "w", ELEMENTS, "sgd:lr=0.5");
    check_ok(canyon_tensor_describe(tensor, &info));
    check(info.epoch == 0);

    cluster_pause(cluster, 1);
    check(canyon_tensor_set(next, "w", "lr=0.25", 500, &info) == CANYON_OUTCOME_UNKNOWN);
    check_text("set or open it again");
    cluster_resume(cluster, 1);
    check_ok(canyon_tensor_open(next, "w", PATIENCE_MS, &opened));
    check_ok(canyon_tensor_describe(opened, &info));
    check(info.epoch == 1 && info.settings[0].value == 0.25);
    check_ok(canyon_push(opened, gradient, PATIENCE_MS));
    check_all(opened, -0.25f);
    check_ok(canyon_tensor_set(next, "w", "lr=0.25", PATIENCE_MS, &info));
    check(info.epoch == 1);
    canyon_tensor_close(opened);
    canyon_tensor_close(tensor);
    canyon_close(next);
    cluster_stop(cluster);
}

/* Every server follows the schedule by its blocks' updates; the rates are exact powers of two. */
static void schedules_run_on_the_servers(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 2});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "w", ELEMENTS, "sgd:lr=1,schedule=step,step_size=2,gamma=0.5");
    struct canyon_tensor_info info;
    char text[32];
    float expected = 0;
    ones();
    check_ok(canyon_tensor_describe(tensor, &info));
    uint32_t at = 0;
    while (at < info.setting_count && strcmp(info.settings[at].name, "schedule") != 0)
        at++;
    check(at < info.setting_count && strcmp(canyon_setting_text(&info.settings[at], text, sizeof text), "step") == 0);
    static const float rates[] = {1, 1, 0.5f, 0.5f, 0.25f};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
        expected -= rates[i];
    }
    check_all(tensor, expected);
    /* In the middle of it another one, which counts from the first update as well: 1 - 5 / 8. */
    check_ok(canyon_tensor_set(client, "w", "schedule=polynomial,total_iters=8", PATIENCE_MS, NULL));
    check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
    check_all(tensor, expected - 0.375f);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* Under skip the sound elements of a gradient are applied, and the statistics tell of the others. */
static void gradients_that_are_not_finite(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "w", ELEMENTS, "sgd:lr=0.5");
    struct canyon_server_statistics *servers = NULL;
    size_t count = 0;
    ones();
    gradient[7] = gradient[ELEMENTS - 1] = strtof("nan", NULL);
    check_status(canyon_push(tensor, gradient, PATIENCE_MS), CANYON_NOT_FINITE);
    memset(weights, 0, sizeof weights);
    check_ok(canyon_assign(tensor, weights, PATIENCE_MS));
    check_ok(canyon_tensor_set(client, "w", "nonfinite=skip", PATIENCE_MS, NULL));
    check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
    for (size_t i = 0; i < ELEMENTS; i++)
        check(weights[i] == (i == 7 || i == ELEMENTS - 1 ? 0.0f : -0.5f));
    check_ok(canyon_statistics(client, PATIENCE_MS, &servers, &count));
    check(count == 2 && servers[0].not_finite + servers[1].not_finite == 2);
    check(servers[0].skipped + servers[1].skipped == 2 && servers[0].clipped + servers[1].clipped == 0);
    canyon_free(servers);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

struct setter {
    canyon_client *client;
    const char *settings;
};

static void *set_often(void *argument) {
    const struct setter *setter = argument;
    for (int i = 0; i < 50; i++)
        check_ok(canyon_tensor_set(setter->client, "w", i % 2 == 0 ? setter->settings : "lr=1", PATIENCE_MS, NULL));
    return NULL;
}

/* Two who set at once while a third pushes: afterwards every block has the same settings, those of the catalogue. */
static void setters_race(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 3, .threads = 2});
    canyon_client *clients[3];
    pthread_t threads[2];
    for (int i = 0; i < 3; i++)
        clients[i] = client_connect(cluster_servers(cluster));
    struct setter setters[2] = {{clients[0], "lr=0.5"}, {clients[1], "lr=0.25"}};
    canyon_tensor *tensor = client_vector(clients[2], "w", ELEMENTS, "sgd:lr=2"), *opened = NULL;
    struct canyon_tensor_info info;
    ones();
    for (int i = 0; i < 2; i++)
        check(pthread_create(&threads[i], NULL, set_often, &setters[i]) == 0);
    for (int i = 0; i < 50; i++)
        check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
    for (int i = 0; i < 2; i++)
        check(pthread_join(threads[i], NULL) == 0);
    check_ok(canyon_tensor_open(clients[2], "w", PATIENCE_MS, &opened));
    check_ok(canyon_tensor_describe(opened, &info));
    memset(weights, 0, sizeof weights);
    check_ok(canyon_assign(opened, weights, PATIENCE_MS));
    check_ok(canyon_push(opened, gradient, PATIENCE_MS));
    check_all(opened, -(float)info.settings[0].value);
    canyon_tensor_close(opened);
    canyon_tensor_close(tensor);
    for (int i = 0; i < 3; i++)
        canyon_close(clients[i]);
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        integration_test(settings_take_effect_everywhere),
        integration_test(what_cannot_be_set),
        integration_test(an_unfinished_change_is_finished_by_who_opens),
        integration_test(schedules_run_on_the_servers),
        integration_test(gradients_that_are_not_finite),
        integration_test(setters_race),
    };
    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
