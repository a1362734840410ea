/* The client library against real servers, with every allocation of its own failing once, on whichever thread: the call
 * that met it fails with NO_MEMORY or as a lost connection would make it fail, the same call then succeeds, the client
 * can be closed at any time, and nothing leaks. What libuv allocates is not counted: it ends the process itself. */
#include "tests/allocation/fail.h"
#include "tests/integration/harness.h"

#include <stdio.h>
#include <string.h>

#define ELEMENTS 10000
#define SMALL    5

static struct cluster *cluster;
static float gradient[ELEMENTS], weights[ELEMENTS], small_weights[SMALL];
static unsigned refused; /* calls of this run that failed */

/* A call, armed. True: it succeeded. */
static bool good(enum canyon_status status, const char *what) {
    fail_disarm();
    if (status == CANYON_OK) {
        return true;
    }
    if (!fail_happened() || refused++ > 0) {
        check_fail("%s: %s: %s (%s)", what, canyon_status_name(status), canyon_error_text(), fail_place());
    }
    switch (status) {
    case CANYON_NO_MEMORY:       /* the call itself */
    case CANYON_UNAVAILABLE:     /* its connection */
    case CANYON_OUTCOME_UNKNOWN: /* its connection, once the request was on its way */
        check(canyon_error_text()[0] != '\0');
        return false;
    default:
        check_fail("%s: %s: %s (%s)", what, canyon_status_name(status), canyon_error_text(), fail_place());
    }
}

#define TRY(call) (fail_arm(), good((call), #call))

static canyon_client *connect_once_more(void) {
    struct canyon_options options;
    canyon_client *client = NULL;
    canyon_options_init(&options);
    options.servers = cluster_servers(cluster);
    options.timeout_ms = PATIENCE_MS;
    options.connect_ms = PATIENCE_MS;
    while (!TRY(canyon_connect(&options, &client))) {
        check(client == NULL);
    }
    return client;
}

static canyon_tensor *create(canyon_client *client, const char *name, uint64_t elements, const float *values) {
    struct canyon_tensor_spec spec;
    canyon_tensor *tensor = NULL;
    canyon_tensor_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "%s", name);
    spec.rank = 1;
    spec.dims[0] = elements;
    spec.initializer = values != NULL ? CANYON_VALUES : CANYON_ZEROS;
    spec.values = values;
    while (!TRY(canyon_tensor_create(client, &spec, 0, &tensor))) {
        check(tensor == NULL);
    }
    return tensor;
}

/* A push whose outcome is unknown may count once more than it was asked for, and no more than that. */
static void train(canyon_client *client, canyon_tensor *large, canyon_tensor *small) {
    struct canyon_item items[] = {{.tensor = large, .gradient = gradient, .weights = weights},
                                  {.tensor = small, .gradient = gradient, .weights = small_weights}};
    struct canyon_step_options options;
    canyon_future *future = NULL;
    canyon_step_options_init(&options);
    options.clip_norm = 1e9;
    while (!TRY(canyon_assign(large, gradient, 0))) {
    }
    while (!TRY(canyon_push(large, gradient, 0))) {
    }
    while (!TRY(canyon_push_pull(large, gradient, weights, 0))) {
    }
    while (!TRY(canyon_pull(large, weights, 0))) {
    }
    check(memcmp(weights, gradient, sizeof weights) != 0);
    while (!TRY(canyon_step_with(client, items, 2, &options, 0))) {
    }
    while (!TRY(canyon_step_async(client, items, 2, 0, &future))) {
        check(future == NULL);
    }
    fail_arm();
    (void)good(canyon_future_wait(future, UINT32_MAX), "canyon_future_wait");
    canyon_future_release(future);
    while (!TRY(canyon_tensor_set_codec(large, "topk:0.25", "int8"))) {
    }
    while (!TRY(canyon_tensor_set_codec(small, "bf16", "f16"))) {
    }
    while (!TRY(canyon_step(client, items, 2, 0))) {
    }
    while (!TRY(canyon_pull(large, weights, 0))) {
    }
}

/* Batches with ids that come twice, on all connections, in every form. */
static void rows(canyon_client *client) {
    enum { IDS = 200, DIM = 4 };
    static uint64_t ids[IDS];
    static float values[IDS * DIM], out[IDS * DIM];
    struct canyon_table_spec spec;
    struct canyon_table_totals totals;
    struct canyon_batch batch;
    struct canyon_page page;
    canyon_table *table = NULL, *again = NULL;
    canyon_future *future = NULL;
    canyon_cursor *cursor = NULL;
    uint8_t digest[CANYON_DIGEST_BYTES];
    size_t count = 0;
    for (size_t i = 0; i < IDS; i++) {
        ids[i] = i % 150;
        values[i * DIM] = 1;
    }
    canyon_table_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "table");
    spec.dim = DIM;
    canyon_batch_init(&batch);
    batch.ids = ids;
    batch.count = IDS;
    batch.gradients = values;
    batch.weights = out;
    while (!TRY(canyon_table_create(client, &spec, 0, &table))) {
        check(table == NULL);
    }
    while (!TRY(canyon_table_open(client, "table", 0, &again))) {
        check(again == NULL);
    }
    while (!TRY(canyon_table_step(table, &batch, 0))) {
    }
    while (!TRY(canyon_table_set_codec(table, "int8", "bf16"))) {
    }
    while (!TRY(canyon_table_step_async(table, &batch, 0, &future))) {
        check(future == NULL);
    }
    fail_arm();
    (void)good(canyon_future_wait(future, UINT32_MAX), "canyon_future_wait");
    canyon_future_release(future);
    while (!TRY(canyon_table_pull(again, ids, IDS, out, 0))) {
    }
    while (!TRY(canyon_table_erase(again, ids, 10, 0, NULL))) {
    }
    while (!TRY(canyon_table_totals(table, 0, &totals))) {
    }
    check(totals.rows == 140);
    while (!TRY(canyon_table_digest(table, 0, digest))) {
    }
    while (!TRY(canyon_table_rows(table, 0, IDS, 0, ids, out, &count))) {
    }
    check(count == 140);
    while (!TRY(canyon_table_cursor(table, 1, &cursor))) {
        check(cursor == NULL);
    }
    for (count = 0, page.count = 1; page.count > 0; count += page.count) {
        while (!TRY(canyon_cursor_next(cursor, 0, &page))) {
        }
    }
    check(count == 140);
    canyon_cursor_close(cursor);
    canyon_table_close(again);
    canyon_table_close(table);
    while (!TRY(canyon_tensor_drop(client, "table", 0))) {
    }
}

static void look(canyon_client *client) {
    struct canyon_tensor_info *infos = NULL, info;
    struct canyon_server_statistics *statistics = NULL;
    struct canyon_optimizer_info *optimizers = NULL;
    uint8_t digest[CANYON_DIGEST_BYTES];
    size_t count = 0;
    uint32_t rank, workers;
    while (!TRY(canyon_tensor_list(client, 0, &infos, &count))) {
        check(infos == NULL);
    }
    check(count == 2);
    canyon_free(infos);
    while (!TRY(canyon_tensor_set(client, "large", "lr=0.5", 0, &info))) {
    }
    while (!TRY(canyon_join(client, 0, &rank, &workers))) {
    }
    while (!TRY(canyon_barrier(client, "b", 1, 0))) {
    }
    while (!TRY(canyon_statistics(client, 0, &statistics, &count))) {
        check(statistics == NULL);
    }
    canyon_free(statistics);
    while (!TRY(canyon_shard_digest(client, 0, digest))) {
    }
    while (!TRY(canyon_optimizers(client, 0, &optimizers, &count))) {
        check(optimizers == NULL);
    }
    canyon_free(optimizers);
}

static void scenario(size_t nth) {
    canyon_tensor *again = NULL;
    refused = 0;
    fail_begin(nth);
    canyon_client *client = connect_once_more();
    canyon_tensor *large = create(client, "large", ELEMENTS, NULL);
    canyon_tensor *small = create(client, "small", SMALL, gradient);
    while (!TRY(canyon_tensor_open(client, "large", 0, &again))) {
        check(again == NULL);
    }
    train(client, large, small);
    rows(client);
    look(client);
    canyon_tensor_close(again);
    canyon_tensor_close(small);
    canyon_tensor_close(large);
    while (!TRY(canyon_tensor_drop(client, "large", 0))) {
    }
    while (!TRY(canyon_tensor_drop(client, "small", 0))) {
    }
    fail_arm();
    canyon_close(client);
    fail_disarm();
}

static void each_allocation_fails_once(void **state) {
    (void)state;
    struct cluster_options options = {.servers = 2};
    for (size_t i = 0; i < ELEMENTS; i++) {
        gradient[i] = (float)(1 + i % 7);
    }
    cluster = cluster_start(&options);
    fail_each("client", scenario, 5000);
    cluster_stop(cluster);
}

/* A client whose connecting failed leaves nothing behind, and one that failed later can be closed at once. */
static void give_up(size_t nth) {
    struct canyon_options options;
    canyon_client *client = NULL;
    canyon_tensor *tensor = NULL;
    canyon_options_init(&options);
    options.servers = cluster_servers(cluster);
    struct canyon_tensor_spec spec;
    canyon_tensor_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "t");
    fail_begin(nth);
    refused = 0;
    if (TRY(canyon_connect(&options, &client)) && TRY(canyon_tensor_create(client, &spec, 0, &tensor))) {
        (void)TRY(canyon_push_pull(tensor, gradient, weights, 0));
    }
    canyon_tensor_close(tensor);
    canyon_close(client);
    check(refused > 0 || client != NULL);
}

static void whoever_gives_up_leaves_nothing(void **state) {
    (void)state;
    cluster = cluster_start(NULL);
    fail_each("client that gives up", give_up, 2000);
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        integration_test(each_allocation_fails_once),
        integration_test(whoever_gives_up_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
