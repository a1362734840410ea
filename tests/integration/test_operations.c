/* Every operation of the public API, over one and three servers, one and four threads each, IPv4 and IPv6. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/integration/harness.h"

#define LARGEST 5000

struct size {
    const char *name;
    uint32_t rank;
    uint64_t dims[CANYON_MAX_RANK];
    uint64_t elements, blocks; /* of 1,024 */
};

static const struct size sizes[] = {
    {"empty", 1, {0}, 0, 0},          {"empty/matrix", 2, {3, 0}, 0, 0},
    {"scalar", 0, {0}, 1, 1},         {"one", 1, {1}, 1, 1},
    {"below", 1, {1023}, 1023, 1},    {"exactly", 1, {1024}, 1024, 1},
    {"above", 1, {1025}, 1025, 2},    {"several", 1, {LARGEST}, LARGEST, 5},
    {"matrix", 2, {70, 70}, 4900, 5}, {"rank.8", 8, {2, 1, 3, 1, 2, 1, 2, 5}, 120, 1},
};
#define SIZES (sizeof sizes / sizeof sizes[0])

static float ramp(uint64_t i) {
    return (float)(i % 1000) * 0.25f - 100.0f;
}

static float slope(uint64_t i) {
    return (float)(i % 7) - 3.0f;
}

static canyon_tensor *create(canyon_client *client, const struct size *size) {
    struct canyon_tensor_spec spec;
    canyon_tensor_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "%s", size->name);
    spec.rank = size->rank;
    memcpy(spec.dims, size->dims, sizeof spec.dims);
    check_ok(canyon_tensor_spec_optimizer(&spec, "sgd:lr=0.5"));
    spec.initializer = CANYON_UNIFORM;
    spec.seed = 7;
    spec.a = -1.0;
    spec.b = 2.0;
    canyon_tensor *tensor = NULL;
    check_ok(canyon_tensor_create(client, &spec, PATIENCE_MS, &tensor));
    return tensor;
}

static void check_description(const struct canyon_tensor_info *info, const struct size *size) {
    check(strcmp(info->name, size->name) == 0);
    check(info->rank == size->rank);
    for (uint32_t d = 0; d < size->rank; d++)
        check(info->dims[d] == size->dims[d]);
    check(info->elements == size->elements);
    check(info->blocks == size->blocks);
    check(strcmp(info->optimizer, "sgd") == 0);
    bool found = false;
    for (uint32_t s = 0; s < info->setting_count; s++) {
        if (strcmp(info->settings[s].name, "lr") == 0) {
            found = true;
            check(info->settings[s].value == 0.5);
        }
    }
    check(found);
    check(info->initializer == CANYON_UNIFORM);
    check(info->seed == 7);
    check(info->a == -1.0 && info->b == 2.0);
    check(info->complete == 1);
}

/* create, describe, pull, assign, push, push_pull of one tensor; all numbers are exact in float32. */
static void values_of_one(canyon_client *client, const struct size *size) {
    static float weights[LARGEST], gradient[LARGEST];
    canyon_tensor *tensor = create(client, size);
    struct canyon_tensor_info info;
    check_ok(canyon_tensor_describe(tensor, &info));
    check_description(&info, size);

    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
    for (uint64_t i = 0; i < size->elements; i++)
        check(weights[i] >= -1.0f && weights[i] < 2.0f);
    for (uint64_t i = 0; i < size->elements; i++)
        weights[i] = ramp(i);
    check_ok(canyon_assign(tensor, weights, PATIENCE_MS));
    memset(weights, 0, sizeof weights);
    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
    for (uint64_t i = 0; i < size->elements; i++)
        check(weights[i] == ramp(i));

    for (uint64_t i = 0; i < size->elements; i++)
        gradient[i] = slope(i);
    check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
    for (uint64_t i = 0; i < size->elements; i++)
        check(weights[i] == ramp(i) - 0.5f * slope(i));
    check_ok(canyon_push_pull(tensor, gradient, weights, PATIENCE_MS));
    for (uint64_t i = 0; i < size->elements; i++)
        check(weights[i] == ramp(i) - slope(i) && gradient[i] == slope(i));
    /* The same memory for gradient and weights. */
    check_ok(canyon_push_pull(tensor, gradient, gradient, PATIENCE_MS));
    for (uint64_t i = 0; i < size->elements; i++)
        check(gradient[i] == ramp(i) - 1.5f * slope(i));
    canyon_tensor_close(tensor);
}

static void check_list(canyon_client *client, size_t expected) {
    struct canyon_tensor_info *infos = NULL;
    size_t count = 0;
    check_ok(canyon_tensor_list(client, PATIENCE_MS, &infos, &count));
    check(count == expected);
    for (size_t i = 0; i < count; i++) {
        check(i == 0 || strcmp(infos[i - 1].name, infos[i].name) < 0);
        size_t s = 0;
        while (s < SIZES && strcmp(sizes[s].name, infos[i].name) != 0)
            s++;
        check(s < SIZES);
        check_description(&infos[i], &sizes[s]);
    }
    canyon_free(infos);
}

/* One step over all tensors: every third is pushed and pulled, pushed only, pulled only. */
static void step_of_all(canyon_client *client) {
    static float before[SIZES][LARGEST], gradients[SIZES][LARGEST], weights[SIZES][LARGEST];
    struct canyon_item items[SIZES];
    memset(items, 0, sizeof items);
    for (size_t s = 0; s < SIZES; s++) {
        check_ok(canyon_tensor_open(client, sizes[s].name, PATIENCE_MS, &items[s].tensor));
        check_ok(canyon_pull(items[s].tensor, before[s], PATIENCE_MS));
        for (uint64_t i = 0; i < sizes[s].elements; i++)
            gradients[s][i] = slope(i);
        items[s].gradient = s % 3 == 2 ? NULL : gradients[s];
        items[s].weights = s % 3 == 1 ? NULL : weights[s];
    }
    check_ok(canyon_step(client, items, SIZES, PATIENCE_MS));
    for (size_t s = 0; s < SIZES; s++) {
        bool pushed = items[s].gradient != NULL;
        /* An assign and three pushes went before. */
        if (sizes[s].elements > 0)
            check(items[s].version == (pushed ? 5 : 4));
        check(items[s].staleness == 0);
        check(items[s].refused == 0);
        if (!items[s].weights)
            check_ok(canyon_pull(items[s].tensor, weights[s], PATIENCE_MS));
        for (uint64_t i = 0; i < sizes[s].elements; i++)
            check(weights[s][i] == before[s][i] - (pushed ? 0.5f * slope(i) : 0.0f));
        canyon_tensor_close(items[s].tensor);
    }
    check_ok(canyon_step(client, NULL, 0, PATIENCE_MS));
}

static void drop_one(canyon_client *client) {
    float weights[1025];
    canyon_tensor *tensor = NULL, *other = NULL;
    check_ok(canyon_tensor_open(client, "above", PATIENCE_MS, &tensor));
    check_ok(canyon_tensor_drop(client, "above", PATIENCE_MS));
    check_status(canyon_pull(tensor, weights, PATIENCE_MS), CANYON_NOT_FOUND);
    canyon_tensor_close(tensor);
    check_status(canyon_tensor_drop(client, "above", PATIENCE_MS), CANYON_NOT_FOUND);
    check_text("above");
    check_status(canyon_tensor_open(client, "above", 200, &other), CANYON_TIMEOUT);
    check_status(canyon_tensor_open(client, "above", 1, &other), CANYON_TIMEOUT); /* however short */
    check_text("above");
    check_list(client, SIZES - 1);
    /* Its name is free for another shape. */
    other = client_vector(client, "above", 3, "adam");
    check_ok(canyon_pull(other, weights, PATIENCE_MS));
    check(weights[0] == 0.0f && weights[2] == 0.0f);
    canyon_tensor_close(other);
}

static void check_statistics(canyon_client *client, const struct cluster *cluster,
                             const struct cluster_options *options) {
    struct canyon_server_statistics *servers = NULL;
    size_t count = 0;
    uint64_t shards = 0, parameters = 0, pushes = 0, elements = 0, blocks = 0;
    check_ok(canyon_statistics(client, PATIENCE_MS, &servers, &count));
    check(count == options->servers);
    for (size_t s = 0; s < count; s++) {
        check(servers[s].reachable == 1);
        check(strcmp(servers[s].address, cluster_address(cluster, (unsigned)s)) == 0);
        check(servers[s].threads == options->threads);
        check(servers[s].connections >= options->threads);
        check(servers[s].version[0] != '\0');
        check(servers[s].frames > 0 && servers[s].bytes_in > 0 && servers[s].bytes_out > 0);
        check(servers[s].staleness_max == 0);
        shards += servers[s].shards;
        parameters += servers[s].parameters;
        pushes += servers[s].pushes;
    }
    for (size_t s = 0; s < SIZES; s++) {
        elements += sizes[s].elements;
        blocks += sizes[s].blocks;
    }
    check(shards == 16);
    check(parameters == elements);
    check(pushes == 3 * blocks);
    canyon_free(servers);
}

static void check_optimizers(canyon_client *client) {
    static const char *const names[] = {"sgd", "momentum", "nag", "adagrad", "adadelta", "rmsprop", "adam", "nadam"};
    struct canyon_optimizer_info *optimizers = NULL;
    size_t count = 0;
    check_ok(canyon_optimizers(client, PATIENCE_MS, &optimizers, &count));
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        size_t o = 0;
        while (o < count && strcmp(optimizers[o].name, names[n]) != 0)
            o++;
        if (o == count)
            check_fail("the servers do not list %s", names[n]);
        check(optimizers[o].summary[0] != '\0' && optimizers[o].source[0] != '\0');
        check(optimizers[o].hyperparameter_count >= 1);
        for (uint32_t h = 0; h < optimizers[o].hyperparameter_count; h++) {
            const struct canyon_hyperparameter *hyper = &optimizers[o].hyperparameters[h];
            check(hyper->name[0] != '\0' && hyper->meaning[0] != '\0');
            check(hyper->low <= hyper->fallback && hyper->fallback <= hyper->high);
        }
    }
    canyon_free(optimizers);
}

static void all_operations(void **state) {
    const struct cluster_options *options = *state;
    if (options->ipv6 && !ipv6_available())
        skip();
    struct cluster *cluster = cluster_start(options);
    canyon_client *client = client_connect(cluster_servers(cluster));
    struct canyon_job job;
    check_ok(canyon_job(client, &job));
    check(strcmp(job.name, "test") == 0);
    check(job.shards == 16 && job.block_elements == 1024);
    check(job.servers == options->servers && job.threads == options->servers * options->threads);

    check_list(client, 0);
    for (size_t s = 0; s < SIZES; s++)
        values_of_one(client, &sizes[s]);
    check_list(client, SIZES);
    check_statistics(client, cluster, options);
    step_of_all(client);
    drop_one(client);
    check_optimizers(client);

    uint32_t rank = 99, count = 99;
    check_ok(canyon_join(client, PATIENCE_MS, &rank, &count));
    check(rank == 0 && count == 1);
    check_ok(canyon_barrier(client, "alone", 0, PATIENCE_MS));
    check_ok(canyon_barrier(client, "alone", 1, PATIENCE_MS));
    uint8_t one[CANYON_DIGEST_BYTES], other[CANYON_DIGEST_BYTES];
    client_digest(client, one);
    client_digest(client, other);
    check(memcmp(one, other, sizeof one) == 0);
    canyon_close(client);
    cluster_stop(cluster);
}

/* A client given the last server only learns all of them; and a dead address before a living one does no harm. */
static void any_server_will_do(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 3, .threads = 2});
    char dead[CLUSTER_ADDRESS_BYTES], list[2 * CLUSTER_ADDRESS_BYTES + 2];
    int descriptor = port_dead(dead);
    snprintf(list, sizeof list, "%s,%s", dead, cluster_address(cluster, 2));
    canyon_client *client = client_connect(list);
    struct canyon_job job;
    check_ok(canyon_job(client, &job));
    check(job.servers == 3 && job.threads == 6);
    canyon_tensor *tensor = client_vector(client, "t", 20000, "sgd");
    canyon_tensor_close(tensor);
    canyon_close(client);
    close(descriptor);
    cluster_stop(cluster);
}

/* ---- Initializers ---------------------------------------------------------------------------------------------- */

#define ROWS    60
#define COLUMNS 100
#define MADE    (ROWS * COLUMNS)

struct made {
    float values[7][MADE];
};

static const struct {
    enum canyon_initializer kind;
    double a, b;
} initializers[] = {{CANYON_ZEROS, 0, 0},     {CANYON_CONSTANT, 1.5, 0}, {CANYON_UNIFORM, -2, 3},
                    {CANYON_NORMAL, 10, 0.5}, {CANYON_XAVIER, 1, 0},     {CANYON_KAIMING, 1.4142135623730951, 0},
                    {CANYON_VALUES, 0, 0}};
#define INITIALIZERS (sizeof initializers / sizeof initializers[0])

static void make_all(const struct cluster_options *options, struct made *made) {
    struct cluster *cluster = cluster_start(options);
    canyon_client *client = client_connect(cluster_servers(cluster));
    static float values[MADE];
    for (uint64_t i = 0; i < MADE; i++)
        values[i] = ramp(i);
    for (size_t k = 0; k < INITIALIZERS; k++) {
        struct canyon_tensor_spec spec;
        canyon_tensor_spec_init(&spec);
        snprintf(spec.name, sizeof spec.name, "layer/%zu", k);
        spec.rank = 2;
        spec.dims[0] = ROWS;
        spec.dims[1] = COLUMNS;
        spec.initializer = initializers[k].kind;
        spec.seed = 42;
        spec.a = initializers[k].a;
        spec.b = initializers[k].b;
        spec.values = spec.initializer == CANYON_VALUES ? values : NULL;
        canyon_tensor *tensor = NULL;
        check_ok(canyon_tensor_create(client, &spec, PATIENCE_MS, &tensor));
        check_ok(canyon_pull(tensor, made->values[k], PATIENCE_MS));
        canyon_tensor_close(tensor);
    }
    canyon_close(client);
    cluster_stop(cluster);
}

static void moments(const float *values, double *mean, double *deviation) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < MADE; i++)
        sum += (double)values[i];
    *mean = sum / MADE;
    for (size_t i = 0; i < MADE; i++)
        squares += ((double)values[i] - *mean) * ((double)values[i] - *mean);
    *deviation = sqrt(squares / MADE);
}

static void check_near(double value, double expected, double tolerance) {
    if (!(fabs(value - expected) <= tolerance))
        check_fail("%g is not within %g of %g", value, tolerance, expected);
}

static void initializers_do_not_depend_on_servers(void **state) {
    (void)state;
    static struct made one, three;
    make_all(&(struct cluster_options){.servers = 1}, &one);
    make_all(&(struct cluster_options){.servers = 3, .threads = 4, .shards = 64, .block = 2048}, &three);
    check(memcmp(&one, &three, sizeof one) == 0);

    double mean, deviation;
    double xavier = sqrt(6.0 / (ROWS + COLUMNS));
    for (size_t i = 0; i < MADE; i++) {
        check(one.values[0][i] == 0.0f);
        check(one.values[1][i] == 1.5f);
        check(one.values[2][i] >= -2.0f && one.values[2][i] < 3.0f);
        check(fabs((double)one.values[4][i]) <= xavier * (1 + 1e-6));
        check(one.values[6][i] == ramp(i));
    }
    /* Six standard errors of 6,000 samples. */
    double root = sqrt((double)MADE);
    moments(one.values[2], &mean, &deviation);
    check_near(mean, 0.5, 6 * 5 / sqrt(12) / root);
    moments(one.values[3], &mean, &deviation);
    check_near(mean, 10, 6 * 0.5 / root);
    check_near(deviation, 0.5, 6 * 0.5 / sqrt(2.0 * MADE));
    moments(one.values[4], &mean, &deviation);
    check_near(deviation, xavier / sqrt(3), 6 * xavier / root);
    moments(one.values[5], &mean, &deviation);
    double kaiming = sqrt(2.0 / COLUMNS);
    check_near(mean, 0, 6 * kaiming / root);
    check_near(deviation, kaiming, 6 * kaiming / sqrt(2.0 * MADE));
}

int main(void) {
    static const struct cluster_options one = {.servers = 1, .threads = 1}, one_four = {.servers = 1, .threads = 4},
                                        three = {.servers = 3, .threads = 1}, three_four = {.servers = 3, .threads = 4},
                                        one_6 = {.servers = 1, .threads = 1, .ipv6 = true},
                                        one_four_6 = {.servers = 1, .threads = 4, .ipv6 = true},
                                        three_6 = {.servers = 3, .threads = 1, .ipv6 = true},
                                        three_four_6 = {.servers = 3, .threads = 4, .ipv6 = true},
                                        plain = {.servers = 2, .threads = 2, .plaintext = true};
    const struct CMUnitTest tests[] = {
        integration_case("1 server x 1 thread, IPv4", all_operations, &one),
        integration_case("1 server x 4 threads, IPv4", all_operations, &one_four),
        integration_case("3 servers x 1 thread, IPv4", all_operations, &three),
        integration_case("3 servers x 4 threads, IPv4", all_operations, &three_four),
        integration_case("1 server x 1 thread, IPv6", all_operations, &one_6),
        integration_case("1 server x 4 threads, IPv6", all_operations, &one_four_6),
        integration_case("3 servers x 1 thread, IPv6", all_operations, &three_6),
        integration_case("3 servers x 4 threads, IPv6", all_operations, &three_four_6),
        integration_case("2 servers x 2 threads, plaintext", all_operations, &plain),
        integration_test(any_server_will_do),
        integration_test(initializers_do_not_depend_on_servers),
    };
    return cmocka_run_group_tests_name("operations", tests, NULL, NULL);
}
