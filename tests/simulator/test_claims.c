/* What lectures say of optimizers, measured through a real server. Where a saying holds under conditions only, the test
 * has both: that it holds under them, and that it does not otherwise. server/optimizers/README.md has the same in
 * prose.
 *
 * Theory used below, for one direction of a quadratic, curvature h, k = lr * h, momentum b:
 *   sgd       the distance to the minimum is multiplied by 1 - k at every step
 *   momentum  by the roots of r^2 - (1 + b - k) r + b: both of size sqrt(b) from (1 - sqrt(b))^2 to (1 + sqrt(b))^2;
 *             stable below k = 2 (1 + b)
 *   nag       by the roots of r^2 - (1 + b)(1 - k) r + b (1 - k): of size sqrt(b (1 - k)) or less for oscillations;
 *             stable below k = 1 + 1 / (1 + 2 b) */
#include "program.h"

#include <math.h>

#include "canyon.h"
#include "client/simulator/descent.h"
#include "client/simulator/parameters.h"
#include "client/simulator/sampler.h"
#include "servers.h"

#define ACROSS 50.0 /* the ravine's curvature along y; along x it is 1 */
#define SERIES 6000

static struct local *local;
static canyon_client *client;

static int set_up(void **state) {
    struct canyon_options connect;
    (void)state;
    if (servers_start(1, &local) != 0) {
        return -1;
    }
    canyon_options_init(&connect);
    connect.servers = local_servers(local);
    return canyon_connect(&connect, &client) == CANYON_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    canyon_close(client);
    return local_stop(local) ? 0 : -1;
}

static void descend(struct descent *descent, const char *function, double x, double y, uint64_t steps,
                    const char *format, ...) __attribute__((format(printf, 6, 7)));

/* The label points to the caller's frame no more: tests do not use it. */
static void descend(struct descent *descent, const char *function, double x, double y, uint64_t steps,
                    const char *format, ...) {
    char optimizer[128], text[512];
    const float start[2] = {(float)x, (float)y};
    va_list values;
    va_start(values, format);
    vsnprintf(optimizer, sizeof optimizer, format, values);
    va_end(values);
    if (descent_run(client, "", landscape_find(function), start, steps, optimizer, descent, text, sizeof text) !=
        CANYON_OK) {
        fail_msg("%s: %s", optimizer, text);
    }
    descent->label = NULL;
}

/* The largest distance from 0 of coordinate i at steps first to last. */
static double amplitude(const struct descent *descent, size_t i, uint64_t first, uint64_t last) {
    double most = 0.0;
    for (uint64_t t = first; t <= last && t <= descent->steps; t++) {
        most = fmax(most, fabs((double)descent->at[t][i]));
    }
    return most;
}

/* Steps that crossed 0 in coordinate i. */
static uint64_t crossings(const struct descent *descent, size_t i, uint64_t steps) {
    uint64_t count = 0;
    for (uint64_t t = 1; t <= steps; t++) {
        count += (double)descent->at[t - 1][i] * (double)descent->at[t][i] < 0.0;
    }
    return count;
}

/* How far it went beyond 0 in coordinate i, as a share of where it began. */
static double overshoot(const struct descent *descent, size_t i) {
    double most = 0.0, start = (double)descent->at[0][i];
    for (uint64_t t = 1; t <= descent->steps; t++) {
        most = fmax(most, -(double)descent->at[t][i] / start);
    }
    return most;
}

/* The weight, of one alone, before and after each of `count` pushes of the given gradients. */
static void follow(const char *optimizer, size_t count, const float *gradients, float *weights) {
    struct canyon_tensor_spec spec;
    canyon_tensor *tensor = NULL;
    canyon_tensor_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "weight");
    assert_int_equal(canyon_tensor_spec_optimizer(&spec, optimizer), CANYON_OK);
    assert_int_equal(canyon_tensor_create(client, &spec, 0, &tensor), CANYON_OK);
    weights[0] = 0.0f;
    for (size_t t = 0; t < count; t++) {
        assert_int_equal(canyon_push_pull(tensor, &gradients[t], &weights[t + 1], 0), CANYON_OK);
    }
    canyon_tensor_close(tensor);
    assert_int_equal(canyon_tensor_drop(client, "weight", 0), CANYON_OK);
}

/* Holds near and beyond sgd's bound: while |1 - k| > sqrt(b), that is k > 1 + sqrt(b) = 1.95 at momentum 0.9. */
static void momentum_damps_where_sgd_oscillates(void **state) {
    struct descent sgd, momentum;
    (void)state;
    descend(&sgd, "ravine", -4.0, 0.8, 100, "sgd:lr=0.0398"); /* k = 1.99 */
    descend(&momentum, "ravine", -4.0, 0.8, 100, "momentum:lr=0.0398");
    assert_int_equal(crossings(&sgd, 1, 100), 100); /* from side to side at every step */
    assert_true(crossings(&momentum, 1, 100) < 60);
    /* What is left of the oscillation after 100 steps: 0.8 * 0.99^100 of sgd's. */
    assert_true(fabs(amplitude(&sgd, 1, 100, 100) / (0.8 * pow(0.99, 100.0)) - 1.0) < 1e-3);
    assert_true(amplitude(&momentum, 1, 90, 100) < 0.05 * amplitude(&sgd, 1, 90, 100));
    /* The rate itself, between two windows 50 steps apart: sqrt(0.9) a step, to 2 %. */
    double rate = pow(amplitude(&momentum, 1, 80, 100) / amplitude(&momentum, 1, 30, 50), 1.0 / 50.0);
    assert_true(fabs(rate - sqrt(0.9)) < 0.02);
    descent_finish(&sgd);
    descent_finish(&momentum);
    descend(&sgd, "ravine", -4.0, 0.8, 200, "sgd:lr=0.05"); /* k = 2.5: one is lost, the other arrives */
    descend(&momentum, "ravine", -4.0, 0.8, 200, "momentum:lr=0.05");
    assert_true(sgd.steps < 200 && fabs((double)sgd.at[sgd.steps][1]) > DESCENT_FAR);
    assert_true(descent_loss(&momentum, 200) < 1e-5);
    descent_finish(&sgd);
    descent_finish(&momentum);
}

/* Does not hold inside the bound: momentum is what oscillates there. */
static void momentum_oscillates_where_sgd_does_not(void **state) {
    struct descent sgd, momentum;
    (void)state;
    descend(&sgd, "ravine", -4.0, 0.8, 60, "sgd:lr=0.03"); /* k = 1.5: sgd halves, momentum takes off 5 % */
    descend(&momentum, "ravine", -4.0, 0.8, 60, "momentum:lr=0.03");
    assert_true(amplitude(&sgd, 1, 20, 20) < 1e-5 && amplitude(&momentum, 1, 20, 30) > 0.1);
    descent_finish(&sgd);
    descent_finish(&momentum);
    descend(&sgd, "ravine", -4.0, 0.8, 60, "sgd:lr=0.01"); /* k = 0.5: straight down */
    descend(&momentum, "ravine", -4.0, 0.8, 60, "momentum:lr=0.01");
    assert_true(overshoot(&sgd, 1) <= 0.0 && overshoot(&momentum, 1) > 0.5);
    /* What momentum is for: along the ravine it is far ahead all the same. */
    assert_true(fabs((double)momentum.at[60][0]) < 0.5 * fabs((double)sgd.at[60][0]));
    descent_finish(&sgd);
    descent_finish(&momentum);
}

/* Holds at every k < 1, in both directions of the ravine. */
static void nesterov_overshoots_less(void **state) {
    static const double rates[] = {0.001, 0.004, 0.01, 0.015, 0.019};
    (void)state;
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
        struct descent momentum, nag;
        descend(&momentum, "ravine", -4.0, 0.8, 400, "momentum:lr=%g", rates[r]);
        descend(&nag, "ravine", -4.0, 0.8, 400, "nag:lr=%g", rates[r]);
        for (size_t i = 0; i < 2; i++) {
            print_message("lr %g, %s: momentum overshoots by %.3f, nag by %.3f\n", rates[r],
                          i == 0 ? "along" : "across", overshoot(&momentum, i), overshoot(&nag, i));
            assert_true(overshoot(&nag, i) < overshoot(&momentum, i) ||
                        (overshoot(&nag, i) <= 0.0 && overshoot(&momentum, i) <= 0.0));
        }
        assert_true(overshoot(&momentum, 1) > 0.4);
        descent_finish(&momentum);
        descent_finish(&nag);
    }
}

/* Does not hold beyond: nag is lost from k = 1.357 on, where momentum still arrives. */
static void nesterov_has_the_smaller_bound(void **state) {
    struct descent momentum, nag;
    double bound = (1.0 + 1.0 / 2.8) / ACROSS;
    (void)state;
    descend(&nag, "ravine", -4.0, 0.8, 400, "nag:lr=%.6f", 0.99 * bound);
    assert_true(descent_loss(&nag, 400) < 1e-3);
    descent_finish(&nag);
    descend(&nag, "ravine", -4.0, 0.8, 400, "nag:lr=%.6f", 1.02 * bound);
    descend(&momentum, "ravine", -4.0, 0.8, 400, "momentum:lr=%.6f", 1.02 * bound);
    assert_true(overshoot(&nag, 1) > 10.0 && amplitude(&nag, 1, nag.steps, nag.steps) > 10.0);
    assert_true(descent_loss(&momentum, 400) < 1e-6);
    descent_finish(&momentum);
    descent_finish(&nag);
}

/* The first step with |y| >= 1 on the saddle; UINT64_MAX when there is none. */
static uint64_t leaves(double y, uint64_t steps, const char *optimizer) {
    struct descent descent;
    uint64_t left = UINT64_MAX;
    descend(&descent, "saddle", -1.0, y, steps, "%s", optimizer);
    for (uint64_t t = descent.steps + 1; t-- > 0;) {
        left = fabs((double)descent.at[t][1]) >= 1.0 ? t : left;
    }
    descent_finish(&descent);
    return left;
}

/* Holds from close beside the saddle (y = 0.001), at the landscape's rates: each weight's step is in units of its own
 * gradients, so that the tiny slope along y counts for as much as the large one along x. */
static void adaptive_ones_leave_the_saddle_sooner(void **state) {
    static const char *const adaptive[] = {"adagrad", "adadelta", "rmsprop", "adam", "nadam"};
    uint64_t sgd = leaves(0.001, 1000, "sgd");
    (void)state;
    print_message("sgd leaves the saddle at step %llu\n", (unsigned long long)sgd);
    for (size_t i = 0; i < sizeof adaptive / sizeof *adaptive; i++) {
        struct descent descent;
        uint64_t left = leaves(0.001, 1000, adaptive[i]);
        print_message("%s at step %llu\n", adaptive[i], (unsigned long long)left);
        assert_true(left < sgd);
        /* From the first step on: as far along y as along x; sgd's first step is a thousandth of it. Adadelta's epsilon
         * is of the size of the slope along y, which holds it back a little. */
        descend(&descent, "saddle", -1.0, 0.001, 1, "%s", adaptive[i]);
        double ratio = fabs(((double)descent.at[1][1] - 0.001) / ((double)descent.at[1][0] + 1.0));
        assert_true(ratio > (strcmp(adaptive[i], "adadelta") == 0 ? 0.4 : 0.99) && ratio < 1.01);
        descent_finish(&descent);
    }
}

/* It is about the rates too. With one lr for all, Adam's 1 / lr steps are fewer than sgd's ln(1 / y) / (2 lr) only when
 * y < e^-2 = 0.135; and with the defaults of the servers sgd, whose lr is a hundred times Adam's, is the sooner. */
static void at_other_rates_and_places_sgd_leaves_sooner(void **state) {
    static const char *const one_rate[] = {"rmsprop:lr=0.02", "adam:lr=0.02", "nadam:lr=0.02"};
    (void)state;
    uint64_t near = leaves(0.001, 2000, "sgd:lr=0.02"), far = leaves(0.4, 2000, "sgd:lr=0.02");
    for (size_t i = 0; i < 3; i++) {
        uint64_t left_near = leaves(0.001, 2000, one_rate[i]), left_far = leaves(0.4, 2000, one_rate[i]);
        print_message("%s: %llu from 0.001, %llu from 0.4; sgd %llu and %llu\n", one_rate[i],
                      (unsigned long long)left_near, (unsigned long long)left_far, (unsigned long long)near,
                      (unsigned long long)far);
        assert_true(left_near < near);
    }
    assert_true(leaves(0.4, 2000, "adam:lr=0.02") > far);
    assert_true(leaves(0.001, 2000, "sgd:lr=0.1") < leaves(0.001, 2000, "adam:lr=0.001"));
    assert_true(leaves(0.001, 2000, "sgd:lr=0.1") < leaves(0.001, 2000, "adagrad:lr=0.01"));
}

/* Holds for every single weight. What rounding the weight to float32 adds to a step over a gradient is allowed for. */
static void adagrads_steps_only_shrink(void **state) {
    (void)state;
    for (size_t f = 0; f < LANDSCAPES; f++) {
        struct descent descent;
        const struct landscape *landscape = landscape_at(f);
        descend(&descent, landscape->name, landscape->start[0], landscape->start[1], 1000, "adagrad");
        for (size_t i = 0; i < 2; i++) {
            double least = HUGE_VAL;
            for (uint64_t t = 1; t <= descent.steps; t++) {
                double effective = descent_effective_of(&descent, t, i);
                double gradient = fabs((double)descent.gradient[t - 1][i]);
                double rounding = 1.2e-7 * (fabs((double)descent.at[t][i]) + fabs((double)descent.at[t - 1][i]));
                if (gradient > 1e-6) {
                    assert_true(effective <= least * (1.0 + 1e-6) + rounding / gradient);
                    least = fmin(least, effective);
                }
            }
        }
        assert_true(descent_effective_of(&descent, descent.steps, 0) < descent_effective_of(&descent, 1, 0));
        descent_finish(&descent);
    }
}

/* Does not hold for the way as a whole: when it turns from the ravine's wall into its bed, a weight that has seen small
 * gradients, and kept its large steps, takes over. */
static void adagrads_way_as_a_whole_may_step_larger(void **state) {
    struct descent descent;
    (void)state;
    descend(&descent, "ravine", -4.0, 0.8, 200, "adagrad");
    assert_true(descent_effective(&descent, 100) > 2.0 * descent_effective(&descent, 1));
    descent_finish(&descent);
}

/* Under a gradient that never changes Adagrad's steps go to 0 as lr / sqrt(t); Adadelta's grow, as
 * sqrt((1 - rho) * eps * t), at its defaults sqrt(1e-7 t). */
static void adadeltas_steps_do_not_vanish(void **state) {
    static float gradients[SERIES], adagrad[SERIES + 1], adadelta[SERIES + 1];
    const size_t n = 4000;
    (void)state;
    for (size_t t = 0; t < n; t++) {
        gradients[t] = 1.0f;
    }
    follow("adagrad", n, gradients, adagrad);
    follow("adadelta", n, gradients, adadelta);
    double shrunk = (double)(adagrad[n - 1] - adagrad[n]), grown = (double)(adadelta[n - 1] - adadelta[n]);
    assert_true(fabs(shrunk / (0.01 / sqrt((double)n)) - 1.0) < 0.01);
    assert_true(fabs(grown / sqrt(1e-7 * (double)n) - 1.0) < 0.05);
    for (size_t t = 200; t < n; t += 200) {
        assert_true(adadelta[t - 1] - adadelta[t] < adadelta[t + 199] - adadelta[t + 200]);
    }
}

/* The other side of it: at a minimum nothing makes them small, so with a large lr it does not settle. */
static void adadelta_does_not_settle(void **state) {
    struct descent descent;
    (void)state;
    descend(&descent, "ravine", -4.0, 0.8, 2000, "adadelta:lr=10");
    double most = 0.0;
    for (uint64_t t = 1000; t <= 2000; t++) {
        most = fmax(most, descent_loss(&descent, t));
    }
    assert_true(most > 1e-3);
    descent_finish(&descent);
}

/* About lr while gradients are alike; and at most (1 - beta1) / sqrt(1 - beta2) * lr, 3.16 lr at the defaults, which is
 * nearly reached by one gradient after a long time of none (Kingma and Ba 2015, section 2.1). */
static void adams_steps_are_bounded(void **state) {
    static float gradients[SERIES], weights[SERIES + 1];
    const double bound = 0.1 / sqrt(0.001);
    (void)state;
    for (size_t f = 0; f < LANDSCAPES; f++) {
        struct descent descent;
        const struct landscape *landscape = landscape_at(f);
        double most = 0.0;
        descend(&descent, landscape->name, landscape->start[0], landscape->start[1], 1000, "adam:lr=0.05");
        for (uint64_t t = 1; t <= descent.steps; t++) {
            for (size_t i = 0; i < 2; i++) {
                most = fmax(most, fabs((double)descent.at[t][i] - (double)descent.at[t - 1][i]));
            }
        }
        print_message("%s: Adam's longest step of a weight is %.3f lr\n", landscape->name, most / 0.05);
        assert_true(most <= bound * 0.05);
        /* Longer than lr where gradients grow for long, as down from the saddle. */
        assert_true(strcmp(landscape->name, "saddle") == 0 ? most > 1.5 * 0.05 : most < 1.1 * 0.05);
        descent_finish(&descent);
    }
    gradients[SERIES - 1] = 1.0f; /* after 5,999 of 0 */
    follow("adam:lr=0.05", SERIES, gradients, weights);
    double step = -(double)weights[SERIES] / 0.05;
    print_message("after 5,999 gradients of 0: %.3f lr\n", step);
    assert_true(step > 3.1 && step <= bound * (1.0 + 1e-6));
}

/* How restless the loss of all training images is on the way of plain gradient descent. */
struct noise {
    double rises; /* share of the steps after which it was higher */
    double rough; /* mean |second difference| of the last 60: 0 for a straight line, small for a smooth one */
    double last;
};

/* 120 updates of a softmax regression from the same weights, by gradients of `batch` images. */
static struct noise noise_of(const struct digits *digits, const struct split *split, const char *optimizer,
                             uint64_t batch) {
    enum { STEPS = 120, ROUGH = 60 };
    struct plan plan = {.digits = digits,
                        .split = split,
                        .servers = local_servers(local),
                        .prefix = "noise/",
                        .optimizer = optimizer,
                        .workers = 1,
                        .batch = batch,
                        .epochs = STEPS,
                        .seed = 1,
                        .timeout_ms = 10000};
    struct parameters parameters;
    struct noise noise = {0};
    double losses[STEPS + 1];
    static struct sampler sampler;
    model_init(&plan.model, MODEL_SOFTMAX, 0);
    sampler_init(&sampler, split, 0, 1, batch, STEPS, 1);
    assert_int_equal(parameters_connect(&parameters, &plan, "noise", NULL), CANYON_OK);
    assert_int_equal(parameters_create(&parameters), CANYON_OK);
    assert_int_equal(parameters_pull(&parameters), CANYON_OK);
    losses[0] = model_evaluate(&plan.model, parameters.weights, digits, split->train, SPLIT_TRAIN).loss;
    for (size_t t = 1; t <= STEPS; t++) {
        const uint32_t *indices = NULL;
        size_t count = sampler_next(&sampler, &indices);
        struct model_pass pass; /* softmax: of one layer */
        model_pass_begin(&pass, &plan.model, parameters.weights, digits, indices, count, parameters.gradient, NULL);
        assert_int_equal(parameters_step(&parameters), CANYON_OK);
        losses[t] = model_evaluate(&plan.model, parameters.weights, digits, split->train, SPLIT_TRAIN).loss;
        noise.rises += losses[t] > losses[t - 1] ? 1.0 / STEPS : 0.0;
        noise.rough += t > STEPS - ROUGH ? fabs(losses[t] - 2.0 * losses[t - 1] + losses[t - 2]) / ROUGH : 0.0;
    }
    noise.last = losses[STEPS];
    assert_int_equal(parameters_drop(&parameters), CANYON_OK);
    parameters_close(&parameters);
    print_message("%s, batch %llu: the loss rose after %.0f %% of the steps; roughness %.2g; at last %.3f\n", optimizer,
                  (unsigned long long)batch, 100.0 * noise.rises, noise.rough, noise.last);
    return noise;
}

/* Holds for equal rates and equal numbers of updates. Noise is not rising: at a small rate batches of 32 go down at
 * every step too, only less evenly; at a large one they rise now and then. */
static void smaller_batches_are_noisier(void **state) {
    static const char *const optimizers[] = {"sgd:lr=0.1", "sgd:lr=0.5"};
    struct digits digits;
    static struct split split;
    struct noise noise[2][3]; /* one image, 32, all */
    char text[DIGITS_TEXT_BYTES];
    (void)state;
    assert_true(digits_load(&digits, text, sizeof text));
    split_make(&digits, &split);
    for (size_t i = 0; i < 2; i++) {
        noise[i][0] = noise_of(&digits, &split, optimizers[i], 1);
        noise[i][1] = noise_of(&digits, &split, optimizers[i], 32);
        noise[i][2] = noise_of(&digits, &split, optimizers[i], 0);
    }
    digits_finish(&digits);
    for (size_t i = 0; i < 2; i++) {
        assert_true(noise[i][0].rough > 5.0 * noise[i][1].rough && noise[i][1].rough > 5.0 * noise[i][2].rough);
        assert_true(noise[i][0].rises > 0.4 && noise[i][2].rises <= 0.0);
        assert_true(noise[i][2].last < noise[i][0].last);
    }
    assert_true(noise[0][1].rises < 0.01 && noise[1][1].rises > 0.1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(momentum_damps_where_sgd_oscillates),
        cmocka_unit_test(momentum_oscillates_where_sgd_does_not),
        cmocka_unit_test(nesterov_overshoots_less),
        cmocka_unit_test(nesterov_has_the_smaller_bound),
        cmocka_unit_test(adaptive_ones_leave_the_saddle_sooner),
        cmocka_unit_test(at_other_rates_and_places_sgd_leaves_sooner),
        cmocka_unit_test(adagrads_steps_only_shrink),
        cmocka_unit_test(adagrads_way_as_a_whole_may_step_larger),
        cmocka_unit_test(adadeltas_steps_do_not_vanish),
        cmocka_unit_test(adadelta_does_not_settle),
        cmocka_unit_test(adams_steps_are_bounded),
        cmocka_unit_test(smaller_batches_are_noisier),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
