/* Values in every form the wire has, through real encrypted servers, beside the same made here from the definitions. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/harness.h"
#include "tests/unit/common/codec_reference.h"

#define BLOCK    1024
#define ELEMENTS 5003 /* five blocks, the last one short and odd */
#define BLOCKS   5

static float gradient[ELEMENTS], weights[ELEMENTS], expected[ELEMENTS], sent[ELEMENTS];

/* Numbers of many magnitudes, none of them exact in 16 bits. */
static void fill(float *values, uint64_t n, uint32_t seed) {
    for (uint64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        float size = (float)(seed >> 8) / 8388608.0f - 1.0f;
        values[i] = ldexpf(size, (int)(i % 9) - 4);
    }
}

static size_t block_elements(size_t at, size_t n) {
    return n - at < BLOCK ? n - at : BLOCK;
}

/* What arrives of values that travel in this form, block by block. */
static void travel(const char *codec, const float *values, size_t n, float *there) {
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t count = block_elements(at, n);
        if (strcmp(codec, "int8") == 0) {
            int8_round_trip(values + at, count, there + at);
        } else if (strcmp(codec, "topk:0.25") == 0) {
            top_round_trip(values + at, count, (count + 3) / 4, there + at);
        } else {
            for (size_t i = at; i < at + count; i++)
                there[i] = strcmp(codec, "bf16") == 0  ? half_round_trip(&bf16_form, values[i])
                           : strcmp(codec, "f16") == 0 ? half_round_trip(&f16_form, values[i])
                                                       : values[i];
        }
    }
}

static void check_same(const char *what, const float *got, const float *wanted, uint64_t n) {
    for (uint64_t i = 0; i < n; i++)
        if (got[i] != wanted[i])
            check_fail("%s: element %llu is %a, not %a", what, (unsigned long long)i, (double)got[i],
                       (double)wanted[i]);
}

/* A second handle, through which the same tensor is seen as it is. */
static canyon_tensor *plain_handle(canyon_client *client, const char *name) {
    canyon_tensor *tensor = NULL;
    check_ok(canyon_tensor_open(client, name, PATIENCE_MS, &tensor));
    return tensor;
}

static const char *const gradients[] = {"f32", "bf16", "f16", "int8", "topk:0.25"};
static const char *const replies[] = {"f32", "bf16", "f16", "int8"};

/* sgd with lr 1 on zeros: the weights are what arrived, turned. */
static void one_codec(canyon_client *client, const char *there, const char *back) {
    char name[64];
    snprintf(name, sizeof name, "%c%s-%s", there[0], there[0] == 't' ? "opk" : there + 1, back);
    canyon_tensor *tensor = client_vector(client, name, ELEMENTS, "sgd:lr=1");
    canyon_tensor *plain = plain_handle(client, name);
    check_ok(canyon_tensor_set_codec(tensor, there, back));
    fill(gradient, ELEMENTS, 1);
    travel(there, gradient, ELEMENTS, sent);
    check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
    check_ok(canyon_pull(plain, weights, PATIENCE_MS));
    for (size_t i = 0; i < ELEMENTS; i++)
        expected[i] = 0.0f - sent[i];
    check_same(name, weights, expected, ELEMENTS);

    /* And what comes back of them: by pull, and by push_pull into the gradient's own memory. */
    travel(back, weights, ELEMENTS, expected);
    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
    check_same(name, weights, expected, ELEMENTS);
    memset(gradient, 0, sizeof gradient);
    check_ok(canyon_tensor_set_codec(tensor, "f32", back));
    check_ok(canyon_push_pull(tensor, gradient, gradient, PATIENCE_MS));
    check_same(name, gradient, expected, ELEMENTS);
    canyon_tensor_close(tensor);
    canyon_tensor_close(plain);
}

static void every_codec_both_ways(void **state) {
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 2, .block = BLOCK});
    canyon_client *client = client_connect(cluster_servers(cluster));
    (void)state;
    for (size_t i = 0; i < sizeof gradients / sizeof *gradients; i++)
        for (size_t j = 0; j < sizeof replies / sizeof *replies; j++)
            one_codec(client, gradients[i], replies[j]);
    canyon_close(client);
    cluster_stop(cluster);
}

/* A step of many tensors, of each length and codec, that share frames with others. */
static void a_step_of_many_forms(void **state) {
    enum { COUNT = 40 };
    static float there[COUNT][200], back[COUNT][200];
    struct cluster *cluster = cluster_start(&(struct cluster_options){.threads = 2, .block = BLOCK});
    canyon_client *client = client_connect(cluster_servers(cluster));
    struct canyon_item items[COUNT];
    memset(items, 0, sizeof items);
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        char name[32];
        snprintf(name, sizeof name, "t%zu", i);
        items[i].tensor = client_vector(client, name, i * 5, "sgd:lr=1");
        check_ok(canyon_tensor_set_codec(items[i].tensor, gradients[i % 5], replies[i % 4]));
        fill(there[i], i * 5, (uint32_t)i);
        items[i].gradient = there[i];
        items[i].weights = back[i];
    }
    check_ok(canyon_step(client, items, COUNT, PATIENCE_MS));
    for (size_t i = 0; i < COUNT; i++) {
        travel(gradients[i % 5], there[i], i * 5, sent);
        for (size_t k = 0; k < i * 5; k++)
            sent[k] = 0.0f - sent[k];
        travel(replies[i % 4], sent, i * 5, expected);
        check_same(gradients[i % 5], back[i], expected, i * 5);
        canyon_tensor_close(items[i].tensor);
    }
    canyon_close(client);
    cluster_stop(cluster);
}

/* Weights rounded at random: within a step of what they are, one version always alike, the next one otherwise. */
static void stochastic_weights_belong_to_a_version(void **state) {
    static float again[ELEMENTS], exact[ELEMENTS];
    struct cluster *cluster = cluster_start(&(struct cluster_options){.block = BLOCK});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "w", ELEMENTS, "sgd:lr=1"), *plain = plain_handle(client, "w");
    size_t differ = 0;
    (void)state;
    check_ok(canyon_tensor_set_codec(tensor, "int8:stochastic", "int8:stochastic"));
    fill(gradient, ELEMENTS, 3);
    check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
    check_ok(canyon_push(plain, gradient, PATIENCE_MS)); /* so that the weights lie between the steps of int8 */
    check_ok(canyon_pull(plain, exact, PATIENCE_MS));
    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
    check_ok(canyon_pull(tensor, again, PATIENCE_MS));
    check(memcmp(weights, again, sizeof again) == 0);
    for (size_t i = 0; i < ELEMENTS; i++) {
        size_t group = i / BLOCK * BLOCK + i % BLOCK / 64 * 64, last = i / BLOCK * BLOCK + BLOCK;
        last = last < ELEMENTS ? last : ELEMENTS;
        size_t count = last - group < 64 ? last - group : 64;
        double of_gradient = (double)int8_scale(gradient + group, count);
        double of_weights = (double)int8_scale(exact + group, count);
        check(fabs((double)exact[i] + 2.0 * (double)gradient[i]) <= of_gradient * 1.0001);
        check(fabs((double)weights[i] - (double)exact[i]) <= of_weights * 1.0001);
    }
    /* Another version of the same weights. */
    memset(gradient, 0, sizeof gradient);
    check_ok(canyon_push_pull(tensor, gradient, again, PATIENCE_MS));
    for (size_t i = 0; i < ELEMENTS; i++)
        differ += weights[i] != again[i];
    check(differ > 100);
    canyon_tensor_close(tensor);
    canyon_tensor_close(plain);
    canyon_close(client);
    cluster_stop(cluster);
}

/* topk with its residual, beside the same done here: integers, so that every sum is exact. */
static void feedback_over_many_pushes(void **state) {
    static float residual[ELEMENTS];
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .block = BLOCK});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "w", ELEMENTS, "sgd:lr=1");
    uint32_t seed = 5;
    (void)state;
    check_ok(canyon_tensor_set_codec(tensor, "topk:0.25", NULL));
    memset(expected, 0, sizeof expected);
    for (int step = 0; step < 30; step++) {
        for (size_t i = 0; i < ELEMENTS; i++) {
            seed = seed * 1664525u + 1013904223u;
            gradient[i] = (float)(int)(seed >> 24) - 128.0f;
            residual[i] += gradient[i];
        }
        travel("topk:0.25", residual, ELEMENTS, sent);
        check_ok(canyon_push_pull(tensor, gradient, weights, PATIENCE_MS));
        for (size_t i = 0; i < ELEMENTS; i++) {
            expected[i] -= sent[i];
            residual[i] -= sent[i];
        }
        check_same("feedback", weights, expected, ELEMENTS);
    }
    /* Choosing another codec with feedback takes the residual along: all of it arrives. */
    check_ok(canyon_tensor_set_codec(tensor, "topk:1", NULL));
    memset(gradient, 0, sizeof gradient);
    check_ok(canyon_push_pull(tensor, gradient, weights, PATIENCE_MS));
    for (size_t i = 0; i < ELEMENTS; i++)
        expected[i] -= residual[i];
    check_same("the rest", weights, expected, ELEMENTS);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* More than sockets take at once: blocks that are offered to them again are not encoded again. */
static void feedback_of_large_pushes(void **state) {
    enum { LARGE = 3000000, PUSHES = 3 };
    struct cluster *cluster = cluster_start(&(struct cluster_options){.threads = 2, .block = 65536});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "w", LARGE, "sgd:lr=1");
    float *ones = malloc(LARGE * sizeof *ones);
    (void)state;
    check(ones != NULL);
    for (size_t i = 0; i < LARGE; i++)
        ones[i] = 1.0f;
    check_ok(canyon_tensor_set_codec(tensor, "topk:0.5", NULL));
    for (int i = 0; i < PUSHES; i++)
        check_ok(canyon_push(tensor, ones, PATIENCE_MS));
    memset(ones, 0, LARGE * sizeof *ones);
    check_ok(canyon_tensor_set_codec(tensor, "topk:1", NULL));
    check_ok(canyon_push_pull(tensor, ones, ones, PATIENCE_MS));
    for (size_t i = 0; i < LARGE; i++)
        check(ones[i] == -(float)PUSHES);
    free(ones);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* A push that is refused has sent what it sent; the rest is in the residual and comes with the next ones. */
static void a_refused_push_leaves_its_rest(void **state) {
    const float poisoned[8] = {5.0f, NAN, 3.0f, 1.0f, 2.0f, 4.0f, 0.0f, 0.0f}, none[8] = {0};
    /* Two of eight travel: the NaN and the 5 are gone with the refused push, the others come two by two. */
    const float first[8] = {0, 0, -3.0f, 0, 0, -4.0f, 0, 0}, second[8] = {0, 0, -3.0f, -1.0f, -2.0f, -4.0f, 0, 0};
    struct cluster *cluster = cluster_start(NULL);
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "w", 8, "sgd:lr=1");
    (void)state;
    check_ok(canyon_tensor_set_codec(tensor, "topk:0.25", "f32"));
    check_status(canyon_push_pull(tensor, poisoned, weights, PATIENCE_MS), CANYON_NOT_FINITE);
    check_text("index 1 is nan");
    check_ok(canyon_push_pull(tensor, none, weights, PATIENCE_MS));
    check_same("after one", weights, first, 8);
    check_ok(canyon_push_pull(tensor, none, weights, PATIENCE_MS));
    check_same("after two", weights, second, 8);
    check_ok(canyon_push_pull(tensor, none, weights, PATIENCE_MS));
    check_same("after three", weights, second, 8);
    /* Without feedback nothing is remembered. */
    check_ok(canyon_tensor_set_codec(tensor, "bf16", "bf16"));
    check_status(canyon_push(tensor, poisoned, PATIENCE_MS), CANYON_NOT_FINITE);
    check_ok(canyon_push_pull(tensor, none, weights, PATIENCE_MS));
    check_same("at the end", weights, second, 8);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* Of a push whose outcome is not known, what was sent is applied once or not at all, and the rest comes once. */
static void an_unknown_outcome_leaves_its_rest(void **state) {
    const float first[4] = {8.0f, 4.0f, 2.0f, 1.0f}, none[4] = {0};
    struct cluster *cluster = cluster_start(NULL);
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "w", 4, "sgd:lr=1");
    (void)state;
    check_ok(canyon_tensor_set_codec(tensor, "topk:0.5", NULL));
    cluster_pause(cluster, 0);
    check_status(canyon_push(tensor, first, 1000), CANYON_OUTCOME_UNKNOWN);
    cluster_resume(cluster, 0);
    check_ok(canyon_push(tensor, none, PATIENCE_MS));
    check_ok(canyon_push_pull(tensor, none, weights, PATIENCE_MS));
    check(weights[2] == -2.0f && weights[3] == -1.0f);
    check((weights[0] == -8.0f && weights[1] == -4.0f) || (weights[0] == 0.0f && weights[1] == 0.0f));
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* Nor does one that had its place in the window, behind much that the server does not read. */
static void a_push_that_was_next_leaves_nothing(void **state) {
    enum { LONG = 28 * 65536 };
    static float much[LONG];
    const float late[4] = {8.0f, 4.0f, 2.0f, 1.0f}, none[4] = {0};
    struct cluster *cluster = cluster_start(&(struct cluster_options){.block = 65536});
    canyon_client *client = client_connect_window(cluster_servers(cluster), 8u << 20);
    canyon_future *future = NULL;
    (void)state;
    canyon_tensor *large = client_vector(client, "large", LONG, "sgd:lr=1"),
                  *tensor = client_vector(client, "w", 4, "sgd:lr=1");
    check_ok(canyon_tensor_set_codec(tensor, "topk:0.5", NULL));
    cluster_pause(cluster, 0);
    struct canyon_item item = {.tensor = large, .gradient = much};
    check_ok(canyon_step_async(client, &item, 1, PATIENCE_MS, &future));
    check_status(canyon_push(tensor, late, 300), CANYON_TIMEOUT);
    cluster_resume(cluster, 0);
    check_ok(canyon_future_wait(future, UINT32_MAX));
    canyon_future_release(future);
    for (int i = 0; i < 2; i++)
        check_ok(canyon_push_pull(tensor, none, weights, PATIENCE_MS));
    check_same("nothing of what was not sent", weights, none, 4);
    canyon_tensor_close(large);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* Long blocks have room for half of their values with topk: what is beyond comes with the next push. */
static void topk_of_long_blocks_fits(void **state) {
    enum { LONG = 262144 };
    static float ones[LONG], none[LONG], got[LONG];
    struct cluster *cluster = cluster_start(&(struct cluster_options){.block = LONG});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "w", LONG, "sgd:lr=1");
    (void)state;
    for (size_t i = 0; i < LONG; i++)
        ones[i] = -1.0f;
    check_ok(canyon_tensor_set_codec(tensor, "topk:1", NULL));
    check_ok(canyon_push(tensor, ones, PATIENCE_MS));
    check_ok(canyon_push_pull(tensor, none, got, PATIENCE_MS));
    for (size_t i = 0; i < LONG; i++)
        check(got[i] == 1.0f);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* A push that is not sent before its deadline leaves no trace: its window is taken by one that waits for its answer. */
static void a_push_that_was_not_sent_leaves_nothing(void **state) {
    const float first[4] = {8.0f, 4.0f, 2.0f, 1.0f}, late[4] = {100.0f, 100.0f, 100.0f, 100.0f}, none[4] = {0};
    const float sum[4] = {-8.0f, -4.0f, -2.0f, -1.0f};
    struct cluster *cluster = cluster_start(NULL);
    struct canyon_options options;
    canyon_client *client = NULL;
    canyon_future *future = NULL;
    (void)state;
    cluster_client(cluster, &options);
    options.window_bytes = 1; /* one request at a time */
    check_ok(canyon_connect(&options, &client));
    canyon_tensor *tensor = client_vector(client, "w", 4, "sgd:lr=1");
    check_ok(canyon_tensor_set_codec(tensor, "topk:0.5", NULL));
    cluster_pause(cluster, 0);
    struct canyon_item item = {.tensor = tensor, .gradient = first};
    check_ok(canyon_step_async(client, &item, 1, PATIENCE_MS, &future));
    check_status(canyon_push(tensor, late, 200), CANYON_TIMEOUT);
    cluster_resume(cluster, 0);
    check_ok(canyon_future_wait(future, UINT32_MAX));
    canyon_future_release(future);
    check_ok(canyon_push_pull(tensor, none, weights, PATIENCE_MS));
    check_same("all but what was not sent", weights, sum, 4);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* Both sides count the same bytes. */
static void bytes_are_counted(void **state) {
    enum { N = 3 * BLOCK };
    struct cluster *cluster = cluster_start(&(struct cluster_options){.block = BLOCK});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "w", N, "sgd");
    struct canyon_client_counters counters;
    struct canyon_server_statistics *servers = NULL;
    size_t count = 0;
    (void)state;
    memset(gradient, 0, sizeof gradient);
    check_ok(canyon_tensor_set_codec(tensor, "int8", "bf16"));
    for (int i = 0; i < 5; i++)
        check_ok(canyon_push_pull(tensor, gradient, weights, PATIENCE_MS));
    check_ok(canyon_tensor_set_codec(tensor, "topk:0.25", "f32"));
    check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
    const uint64_t in = 5 * (N + N / 64 * 4) + N / 4 * 8, in_single = 6 * N * 4;
    const uint64_t out = 5 * N * 2 + N * 4, out_single = 6 * N * 4;
    check_ok(canyon_client_counters(client, &counters));
    check(counters.sent == in && counters.sent_single == in_single);
    check(counters.received == out && counters.received_single == out_single);
    check_ok(canyon_statistics(client, PATIENCE_MS, &servers, &count));
    check(count == 1);
    check(servers[0].values_in == in && servers[0].values_in_single == in_single);
    check(servers[0].values_out == out && servers[0].values_out_single == out_single);
    canyon_free(servers);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* What is assigned, and optimizer state, is exact whatever was chosen. */
static void state_is_exact(void **state) {
    struct cluster *cluster = cluster_start(&(struct cluster_options){.block = BLOCK});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "w", ELEMENTS, "momentum"), *plain = plain_handle(client, "w");
    (void)state;
    check_ok(canyon_tensor_set_codec(tensor, "int8:feedback", "int8"));
    fill(gradient, ELEMENTS, 11);
    check_ok(canyon_assign(tensor, gradient, PATIENCE_MS));
    check_ok(canyon_pull(plain, weights, PATIENCE_MS));
    check_same("assigned", weights, gradient, ELEMENTS);
    check_ok(canyon_assign_slot(tensor, "momentum_buffer", gradient, PATIENCE_MS));
    check_ok(canyon_pull_slot(tensor, "momentum_buffer", weights, PATIENCE_MS));
    check_same("slot", weights, gradient, ELEMENTS);
    canyon_tensor_close(tensor);
    canyon_tensor_close(plain);
    canyon_close(client);
    cluster_stop(cluster);
}

static void choices_that_are_none(void **state) {
    struct cluster *cluster = cluster_start(NULL);
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "w", 4, "sgd:lr=1");
    const float values[4] = {1.001f, 2.0f, 3.0f, 4.0f};
    (void)state;
    check_status(canyon_tensor_set_codec(NULL, "f32", "f32"), CANYON_INVALID_ARGUMENT);
    check_ok(canyon_codec_check("topk:0.5", NULL));
    check_ok(canyon_codec_check(NULL, "int8:stochastic"));
    check_status(canyon_codec_check("bf16", "zip"), CANYON_INVALID_ARGUMENT);
    check_text("'zip' is no codec of weights");
    check_status(canyon_tensor_set_codec(tensor, "f64", "f32"), CANYON_INVALID_ARGUMENT);
    check_text("tensor \"w\": 'f64' is no codec of gradients");
    check_status(canyon_tensor_set_codec(tensor, "bf16", "topk:0.1"), CANYON_INVALID_ARGUMENT);
    check_text("'topk:0.1' is no codec of weights");
    check_status(canyon_tensor_set_codec(tensor, "topk:2", NULL), CANYON_INVALID_ARGUMENT);
    /* Nothing was changed by them. */
    check_ok(canyon_push_pull(tensor, values, weights, PATIENCE_MS));
    for (int i = 0; i < 4; i++)
        check(weights[i] == -values[i]);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        integration_test(every_codec_both_ways),
        integration_test(a_step_of_many_forms),
        integration_test(stochastic_weights_belong_to_a_version),
        integration_test(feedback_over_many_pushes),
        integration_test(feedback_of_large_pushes),
        integration_test(a_refused_push_leaves_its_rest),
        integration_test(an_unknown_outcome_leaves_its_rest),
        integration_test(a_push_that_was_not_sent_leaves_nothing),
        integration_test(a_push_that_was_next_leaves_nothing),
        integration_test(topk_of_long_blocks_fits),
        integration_test(bytes_are_counted),
        integration_test(state_is_exact),
        integration_test(choices_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
