/* Pushing the last layer's gradient while the first one's is computed changes nothing: a lone worker ends, to the bit,
 * where one that pushes everything at the end of each step does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/simulator/news.h"
#include "client/simulator/parameters.h"
#include "client/simulator/sampler.h"
#include "client/simulator/worker.h"
#include "servers.h"

#define BATCH  32
#define EPOCHS 3
#define STEPS  (EPOCHS * ((SPLIT_TRAIN + BATCH - 1) / BATCH))

static struct local *local;
static struct digits digits;
static struct split split;

static int start(void **state) {
    char text[DIGITS_TEXT_BYTES];
    (void)state;
    if (!digits_load(&digits, text, sizeof text)) {
        return -1;
    }
    split_make(&digits, &split);
    return servers_start(2, &local);
}

static int stop(void **state) {
    (void)state;
    digits_finish(&digits);
    return local_stop(local) ? 0 : -1;
}

static struct plan plan_of(const char *prefix, const char *optimizer, enum model_kind kind, double clip_norm) {
    struct plan plan = {.digits = &digits,
                        .split = &split,
                        .servers = local_servers(local),
                        .prefix = prefix,
                        .optimizer = optimizer,
                        .workers = 1,
                        .batch = BATCH,
                        .epochs = EPOCHS,
                        .seed = 1,
                        .clip_norm = clip_norm,
                        .coding = {"f32", "f32"},
                        .timeout_ms = 10000};
    model_init(&plan.model, kind, 40);
    return plan;
}

/* The plain way: the whole gradient, then one blocking step. */
static void train_step_by_step(const struct plan *plan) {
    struct parameters parameters;
    static struct sampler sampler;
    const uint32_t *indices = NULL;
    size_t count = 0;
    float *dhidden = calloc(model_pass_floats(&plan->model, BATCH) + 1, sizeof *dhidden);
    assert_non_null(dhidden);
    assert_int_equal(parameters_connect(&parameters, plan, "plain", NULL), CANYON_OK);
    assert_int_equal(parameters_create(&parameters), CANYON_OK);
    assert_int_equal(parameters_pull(&parameters), CANYON_OK);
    sampler_init(&sampler, &split, 0, 1, plan->batch, plan->epochs, plan->seed);
    while ((count = sampler_next(&sampler, &indices)) > 0) {
        struct model_pass pass;
        model_pass_begin(&pass, &plan->model, parameters.weights, &digits, indices, count, parameters.gradient,
                         dhidden);
        while (model_pass_next(&pass)) {
        }
        assert_int_equal(parameters_step(&parameters), CANYON_OK);
    }
    parameters_close(&parameters);
    free(dhidden);
}

/* The worker's way; its news go to a file, which is as good as a pipe. */
static void train_as_worker(struct plan *plan) {
    FILE *file = tmpfile();
    struct news_reader reader = {.have = 0};
    struct news news;
    size_t steps = 0;
    assert_non_null(file);
    assert_int_equal(worker_task(plan, 0, fileno(file), -1), 0);
    rewind(file);
    while (news_read(&reader, fileno(file), &news) == NEWS_READ) {
        assert_int_not_equal(news.kind, NEWS_FAILED);
        assert_int_equal(news.staleness_max, 0);
        steps += news.kind == NEWS_STEP;
    }
    assert_int_equal(steps, STEPS);
    fclose(file);
}

/* Weights and optimizer state of all tensors, one after another; owned. */
static float *state_of(const struct plan *plan, const char *slot, size_t *bytes) {
    struct parameters parameters;
    size_t parameter_count = plan->model.parameters;
    float *state = calloc(2 * parameter_count, sizeof *state);
    assert_non_null(state);
    assert_int_equal(parameters_connect(&parameters, plan, "reader", NULL), CANYON_OK);
    assert_int_equal(parameters_create(&parameters), CANYON_OK);
    assert_int_equal(parameters_pull(&parameters), CANYON_OK);
    memcpy(state, parameters.weights, parameter_count * sizeof *state);
    for (size_t t = 0; t < plan->model.tensor_count; t++) {
        double steps[64];
        struct canyon_tensor_info info;
        float *values = state + parameter_count + plan->model.tensors[t].offset;
        assert_int_equal(canyon_pull_slot(parameters.tensors[t], slot, values, 0), CANYON_OK);
        assert_int_equal(canyon_tensor_describe(parameters.tensors[t], &info), CANYON_OK);
        assert_true(info.blocks <= 64);
        assert_int_equal(canyon_pull_numbers(parameters.tensors[t], "step", steps, 0), CANYON_OK);
        for (size_t b = 0; b < info.blocks; b++) {
            assert_true(steps[b] == STEPS);
        }
    }
    assert_int_equal(parameters_drop(&parameters), CANYON_OK);
    parameters_close(&parameters);
    *bytes = 2 * parameter_count * sizeof *state;
    return state;
}

static void check_equal(const char *optimizer, const char *slot, enum model_kind kind, double clip_norm) {
    struct plan plain = plan_of("plain/", optimizer, kind, clip_norm);
    struct plan layers = plan_of("layers/", optimizer, kind, clip_norm);
    size_t bytes = 0;
    train_step_by_step(&plain);
    train_as_worker(&layers);
    float *one = state_of(&plain, slot, &bytes), *other = state_of(&layers, slot, &bytes);
    assert_memory_equal(one, other, bytes);
    free(other);
    free(one);
}

static void layers_under_way_end_where_whole_steps_do(void **state) {
    (void)state;
    check_equal("adam", "exp_avg_sq", MODEL_MLP, 0.0);
    check_equal("momentum", "momentum_buffer", MODEL_MLP, 0.0);
    check_equal("adam", "exp_avg", MODEL_SOFTMAX, 0.0);
}

/* Clipped gradients go together, and are as long as they may be. */
static void clipped_steps_are_whole(void **state) {
    (void)state;
    check_equal("adam", "exp_avg", MODEL_MLP, 0.05);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_under_way_end_where_whole_steps_do),
        cmocka_unit_test(clipped_steps_are_whole),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
