/* What the client does to gradients before it sends them: the norm of a whole step, clipping to it, and the refusal of
 * a step whose gradients are not finite. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/harness.h"
#include "tests/unit/common/seed.h"

#define LONG  20001 /* 20 blocks, the last of them short; not a multiple of any vector's width */
#define SHORT 3

static float long_gradient[LONG], long_weights[LONG], short_gradient[SHORT], short_weights[SHORT];

/* Two servers, a client, and a long and a short tensor of zeros that sgd with lr 1 makes the negative of a gradient. */
struct stage {
    struct cluster *cluster;
    canyon_client *client;
    canyon_tensor *tensors[2];
    struct canyon_item items[2];
    struct canyon_step_options options;
};

static void stage_open(struct stage *stage) {
    stage->cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 2});
    stage->client = client_connect(cluster_servers(stage->cluster));
    stage->tensors[0] = client_vector(stage->client, "long", LONG, "sgd:lr=1");
    stage->tensors[1] = client_vector(stage->client, "short", SHORT, "sgd:lr=1");
    stage->items[0] = (struct canyon_item){stage->tensors[0], long_gradient, long_weights, 0, 0, 0, 0};
    stage->items[1] = (struct canyon_item){stage->tensors[1], short_gradient, short_weights, 0, 0, 0, 0};
    canyon_step_options_init(&stage->options);
    memset(long_gradient, 0, sizeof long_gradient);
    memset(short_gradient, 0, sizeof short_gradient);
}

static void stage_close(struct stage *stage) {
    canyon_tensor_close(stage->tensors[0]);
    canyon_tensor_close(stage->tensors[1]);
    canyon_close(stage->client);
    cluster_stop(stage->cluster);
}

static enum canyon_status stage_step(struct stage *stage) {
    return canyon_step_with(stage->client, stage->items, 2, &stage->options, PATIENCE_MS);
}

static void stage_zero(struct stage *stage) {
    static const float zeros[LONG];
    check_ok(canyon_assign(stage->tensors[0], zeros, PATIENCE_MS));
    check_ok(canyon_assign(stage->tensors[1], zeros, PATIENCE_MS));
}

static void check_counters(const struct stage *stage, uint64_t checked, uint64_t clipped, uint64_t not_finite) {
    struct canyon_client_counters counters;
    check_ok(canyon_client_counters(stage->client, &counters));
    check(counters.checked == checked && counters.clipped == clipped && counters.not_finite == not_finite);
}

/* 3 in one tensor and 4 in the other: of length 5, whatever the order of addition. */
static void a_long_step_is_shortened(void **state) {
    struct stage stage;
    (void)state;
    stage_open(&stage);
    long_gradient[LONG - 1] = 3;
    short_gradient[1] = -4;
    stage.options.clip_norm = 2.5;
    check_ok(stage_step(&stage));
    check(stage.options.norm == 5 && stage.options.clipped == 1);
    check(long_weights[LONG - 1] == -1.5f && short_weights[1] == 2 && long_weights[0] == 0 && short_weights[0] == 0);
    check(long_gradient[LONG - 1] == 3 && short_gradient[1] == -4); /* they are the caller's */
    check(stage.items[0].version == 1 && stage.items[1].refused == 0);
    check_counters(&stage, 1, 1, 0);
    /* Just as long as allowed, and measured only. */
    stage_zero(&stage);
    stage.options.clip_norm = 5;
    check_ok(stage_step(&stage));
    check(stage.options.norm == 5 && stage.options.clipped == 0 && long_weights[LONG - 1] == -3);
    stage.options.clip_norm = (double)INFINITY;
    check_ok(stage_step(&stage));
    check(stage.options.norm == 5 && stage.options.clipped == 0 && short_weights[1] == 8);
    check_counters(&stage, 3, 1, 0);
    /* Not asked for: no look. */
    canyon_step_options_init(&stage.options);
    check_ok(stage_step(&stage));
    check(stage.options.norm == 0 && stage.options.clipped == 0);
    check_ok(canyon_step_with(stage.client, stage.items, 2, NULL, PATIENCE_MS));
    check_counters(&stage, 3, 1, 0);
    /* Pulls have no gradient. */
    stage.items[0].gradient = stage.items[1].gradient = NULL;
    stage.options.clip_norm = 1;
    check_ok(stage_step(&stage));
    check(stage.options.norm == 0 && stage.options.clipped == 0);
    stage_close(&stage);
}

/* Random gradients of all sizes: the norm is that of a plain sum in higher precision, the weights are the product's. */
static void every_element_is_scaled_alike(void **state) {
    struct stage stage;
    (void)state;
    uint64_t seed = seed_begin("every_element_is_scaled_alike");
    stage_open(&stage);
    long double sum = 0;
    for (size_t i = 0; i < LONG; i++) {
        uint64_t bits = seed_next(&seed);
        long_gradient[i] = ldexpf((float)(int64_t)bits, -63 - (int)(bits & 31));
        sum += (long double)long_gradient[i] * (long double)long_gradient[i];
    }
    for (size_t i = 0; i < SHORT; i++) {
        short_gradient[i] = ldexpf(-1.25f, 3 - 60 * (int)i);
        sum += (long double)short_gradient[i] * (long double)short_gradient[i];
    }
    double norm = (double)sqrtl(sum);
    stage.options.clip_norm = 0.37;
    check_ok(stage_step(&stage));
    check(fabs(stage.options.norm - norm) <= 1e-13 * norm && stage.options.clipped == 1);
    double factor = 0.37 / stage.options.norm;
    for (size_t i = 0; i < LONG; i++)
        check(long_weights[i] == -(float)((double)long_gradient[i] * factor));
    for (size_t i = 0; i < SHORT; i++)
        check(short_weights[i] == -(float)((double)short_gradient[i] * factor));
    /* The largest floats that there are: their squares are far inside double's range. The gradient's memory is the
     * weights' too. */
    stage_zero(&stage);
    for (size_t i = 0; i < LONG; i++)
        long_weights[i] = i < 4 ? 0x1p127f : 0;
    memset(short_gradient, 0, sizeof short_gradient);
    stage.items[0].gradient = long_weights;
    stage.options.clip_norm = 1;
    check_ok(stage_step(&stage));
    check(stage.options.norm == 0x1p128 && long_weights[0] == -0.5f && long_weights[4] == 0);
    stage_close(&stage);
}

static void a_step_that_is_not_finite_is_not_sent(void **state) {
    static const struct {
        const char *value, *text;
    } cases[] = {{"nan", "element 20000 of the gradient is NaN"},
                 {"inf", "element 20000 of the gradient is infinity"},
                 {"-inf", "element 20000 of the gradient is -infinity"}};
    struct stage stage;
    uint8_t before[CANYON_DIGEST_BYTES], after[CANYON_DIGEST_BYTES];
    (void)state;
    stage_open(&stage);
    client_digest(stage.client, before);
    for (size_t i = 0; i < 3; i++) {
        long_gradient[LONG - 1] = strtof(cases[i].value, NULL);
        for (int clip = 0; clip < 2; clip++) { /* what has no norm cannot be clipped to one */
            stage.options.check_finite = !clip;
            stage.options.clip_norm = clip ? 1 : 0;
            check_status(stage_step(&stage), CANYON_NOT_FINITE);
            check_text("tensor \"long\"");
            check_text(cases[i].text);
            check(!isfinite(stage.options.norm) && stage.options.clipped == 0);
        }
    }
    client_digest(stage.client, after);
    check(memcmp(before, after, sizeof before) == 0);
    check_counters(&stage, 6, 0, 6);
    /* Without the check every server judges its own blocks: the others are updated. */
    canyon_step_options_init(&stage.options);
    short_gradient[0] = 1;
    check_status(stage_step(&stage), CANYON_NOT_FINITE);
    check(stage.items[0].refused == 1 && stage.items[0].refused_block == LONG / 1024 && short_weights[0] == -1);
    long_gradient[LONG - 1] = 1;
    stage.options.check_finite = 1;
    check_ok(stage_step(&stage));
    check(stage.options.norm == sqrt(2.0) && long_weights[LONG - 1] == -1);
    check_counters(&stage, 7, 0, 6);
    stage_close(&stage);
}

static void wrong_options_are_refused(void **state) {
    struct stage stage;
    (void)state;
    stage_open(&stage);
    stage.options.clip_norm = -1;
    check_status(stage_step(&stage), CANYON_INVALID_ARGUMENT);
    check_text("clip_norm is -1");
    stage.options.clip_norm = (double)NAN;
    check_status(stage_step(&stage), CANYON_INVALID_ARGUMENT);
    stage.options = (struct canyon_step_options){.clip_norm = 1};
    check_status(stage_step(&stage), CANYON_INVALID_ARGUMENT);
    check_text("canyon_step_options_init");
    check_status(canyon_client_counters(NULL, NULL), CANYON_INVALID_ARGUMENT);
    check_status(canyon_client_counters(stage.client, NULL), CANYON_INVALID_ARGUMENT);
    /* Refused after the copy was made: the same tensor twice. */
    long_gradient[0] = 1;
    canyon_step_options_init(&stage.options);
    stage.options.clip_norm = 0.5;
    stage.items[1] = stage.items[0];
    check_status(stage_step(&stage), CANYON_INVALID_ARGUMENT);
    check_status(canyon_step_with_async(stage.client, stage.items, 2, &stage.options, PATIENCE_MS, NULL),
                 CANYON_INVALID_ARGUMENT);
    stage_close(&stage);
}

#define ROUNDS 20

/* Several at once, each with its copy; the options are the caller's again when the call returns, and a future may
 * outlive the client. */
static void steps_under_way_have_their_own_copies(void **state) {
    struct stage stage;
    canyon_future *futures[ROUNDS];
    struct canyon_item items[ROUNDS];
    (void)state;
    stage_open(&stage);
    for (size_t i = 0; i < LONG; i++)
        long_gradient[i] = 2; /* clipped to 1 each */
    for (int i = 0; i < ROUNDS; i++) {
        canyon_step_options_init(&stage.options);
        stage.options.clip_norm = sqrt((double)LONG);
        items[i] = (struct canyon_item){stage.tensors[0], long_gradient, NULL, 0, 0, 0, 0};
        check_ok(canyon_step_with_async(stage.client, &items[i], 1, &stage.options, PATIENCE_MS, &futures[i]));
        check(stage.options.clipped == 1 && fabs(stage.options.norm - 2 * sqrt((double)LONG)) < 1e-9);
        memset(&stage.options, 0xff, sizeof stage.options);
    }
    for (int i = 0; i < ROUNDS; i++)
        check_ok(canyon_future_wait(futures[i], UINT32_MAX));
    check_ok(canyon_pull(stage.tensors[0], long_weights, PATIENCE_MS));
    for (size_t i = 0; i < LONG; i++)
        check(fabsf(long_weights[i] + ROUNDS) <= 1e-5f);
    check_counters(&stage, ROUNDS, ROUNDS, 0);
    /* One that is cut off by the end of its client. */
    canyon_step_options_init(&stage.options);
    stage.options.clip_norm = 1;
    cluster_pause(stage.cluster, 1);
    canyon_future *last = NULL;
    check_ok(canyon_step_with_async(stage.client, &items[0], 1, &stage.options, PATIENCE_MS, &last));
    canyon_close(stage.client);
    stage.client = NULL;
    check_status(canyon_future_wait(last, UINT32_MAX), CANYON_CLOSED);
    canyon_future_release(last);
    cluster_resume(stage.cluster, 1);
    for (int i = 0; i < ROUNDS; i++)
        canyon_future_release(futures[i]);
    stage_close(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        integration_test(a_long_step_is_shortened),
        integration_test(every_element_is_scaled_alike),
        integration_test(a_step_that_is_not_finite_is_not_sent),
        integration_test(wrong_options_are_refused),
        integration_test(steps_under_way_have_their_own_copies),
    };
    return cmocka_run_group_tests_name("gradients", tests, NULL, NULL);
}
