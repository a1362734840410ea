/* The optimizers that PyTorch lacks against their papers' formulas, written here in double: the same gradients, then
 * |ours - the reference| <= 1e-5 * max(1, |the reference|) at every one of 300 steps. The bound is wider than the one
 * towards PyTorch because only one side rounds to float: 300 steps of a weight of size 1 may come to 300 * 2^-24
 * = 1.8e-5 at worst.
 *
 * An element is left out from the step where the reference leaves float's range, or where a sign that decides about a
 * whole step hangs on the last bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>

#include "server/optimizers/optimizer.h"
#include "tests/golden/gradients.h"

#define ELEMENTS        40
#define STEPS           300
#define TOLERANCE       1e-5
#define SETTINGS        6
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct setting {
    const char *name;
    double value;
};

/* One element: weight and states, all zero but the weight at first. */
struct reference {
    double w, a, b;
    const char *left_out; /* why */
};

struct run {
    const struct optimizer *optimizer;
    const char *label;
    double hyper[OPTIMIZER_HYPERPARAMETERS];
    double scalars[OPTIMIZER_SCALARS];
    struct generator generator;
    float weights[ELEMENTS];
    float slots[OPTIMIZER_SLOTS][ELEMENTS];
    struct reference references[ELEMENTS];
    double worst;
};

static double setting(const struct run *run, const char *name) {
    const size_t index = optimizer_hyperparameter_index(run->optimizer, name);
    assert_true(index < run->optimizer->hyperparameter_count);
    return run->hyper[index];
}

static double sign_of(double x) {
    return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0;
}

/* Float rounding may turn the sign of a sum of two terms that is this small beside them, or beside float's smallest
 * number as often as an average may have rounded to it. */
static bool hangs_on_bits(double sum, double one, double other) {
    return sum != 0.0 && fabs(sum) <= 4e-6 * (fabs(one) + fabs(other)) + 100.0 * 0x1p-149;
}

/* Shrinks the weight, or gives the gradient its L2 part. */
static double decayed(const struct run *run, struct reference *r, double g) {
    const double decay = setting(run, "weight_decay"), w = r->w;
    if (setting(run, "decoupled_weight_decay") > 0.0) {
        r->w -= setting(run, "lr") * decay * w;
        return g;
    }
    return g + decay * w;
}

/* Zaheer et al. 2018, algorithm 2. a: m, b: v. */
static void yogi(const struct run *run, struct reference *r, double g, int step) {
    const double beta1 = setting(run, "beta1"), beta2 = setting(run, "beta2");
    if (step == 1)
        r->b = setting(run, "initial_accumulator_value");
    g = decayed(run, r, g);
    if (hangs_on_bits(r->b - g * g, r->b, g * g))
        r->left_out = "the sign of v - g^2 hangs on the last bits";
    r->a = beta1 * r->a + (1.0 - beta1) * g;
    r->b = r->b - (1.0 - beta2) * sign_of(r->b - g * g) * g * g;
    r->w -= setting(run, "lr") * r->a / (sqrt(r->b) + setting(run, "eps"));
}

/* Zhuang et al. 2020, algorithm 2. a: m, b: s. */
static void adabelief(const struct run *run, struct reference *r, double g, int step) {
    const double beta1 = setting(run, "beta1"), beta2 = setting(run, "beta2"), eps = setting(run, "eps");
    g = decayed(run, r, g);
    r->a = beta1 * r->a + (1.0 - beta1) * g;
    r->b = beta2 * r->b + (1.0 - beta2) * (g - r->a) * (g - r->a) + eps;
    const double m = r->a / (1.0 - pow(beta1, step)), s = r->b / (1.0 - pow(beta2, step));
    r->w -= setting(run, "lr") * m / (sqrt(s) + eps);
}

/* Chen et al. 2023, algorithm 2. a: m. */
static void lion(const struct run *run, struct reference *r, double g, int step) {
    const double beta1 = setting(run, "beta1"), beta2 = setting(run, "beta2");
    (void)step;
    g = decayed(run, r, g);
    const double c = beta1 * r->a + (1.0 - beta1) * g;
    if (hangs_on_bits(c, beta1 * r->a, (1.0 - beta1) * g))
        r->left_out = "the sign of a step hangs on the last bits";
    r->a = beta2 * r->a + (1.0 - beta2) * g;
    r->w -= setting(run, "lr") * sign_of(c);
}

/* McMahan et al. 2013, algorithm 1. a: z, b: n. The first z is the one whose solution is the first weight. */
static void ftrl(const struct run *run, struct reference *r, double g, int step) {
    const double alpha = setting(run, "lr"), beta = setting(run, "beta");
    const double l1 = setting(run, "lambda1"), l2 = setting(run, "lambda2");
    if (step == 1)
        r->a = -r->w * (beta / alpha + l2) - sign_of(r->w) * l1;
    if (g == 0.0)
        return; /* the algorithm looks at coordinates that have a gradient */
    const double sigma = (sqrt(r->b + g * g) - sqrt(r->b)) / alpha;
    r->a += g - sigma * r->w;
    r->b += g * g;
    r->w = fabs(r->a) <= l1 ? 0.0 : -(r->a - sign_of(r->a) * l1) / ((beta + sqrt(r->b)) / alpha + l2);
}

typedef void reference_step(const struct run *run, struct reference *r, double g, int step);

static void run_begin(struct run *run, const char *name, const char *label, const struct setting *settings,
                      uint64_t seed) {
    const struct optimizer *optimizer = optimizer_find(name);
    assert_non_null(optimizer);
    *run = (struct run){.optimizer = optimizer, .label = label, .generator = {seed}};
    for (size_t i = 0; i < optimizer->hyperparameter_count; i++)
        run->hyper[i] = optimizer->hyperparameters[i].fallback;
    for (size_t i = 0; i < SETTINGS && settings[i].name != NULL; i++) {
        const size_t index = optimizer_hyperparameter_index(optimizer, settings[i].name);
        assert_true(index < optimizer->hyperparameter_count);
        run->hyper[index] = settings[i].value;
    }
    for (size_t i = 0; i < ELEMENTS; i++) {
        run->weights[i] = (float)generator_number(&run->generator);
        run->references[i].w = (double)run->weights[i];
        for (size_t s = 0; s < optimizer->slot_count; s++)
            run->slots[s][i] = optimizer->slot_initial == NULL ? 0.0f : optimizer->slot_initial(run->hyper, s);
    }
}

static void run_compare(struct run *run, int step) {
    for (size_t i = 0; i < ELEMENTS; i++) {
        struct reference *r = &run->references[i];
        if (r->left_out == NULL && (fabs(r->b) > (double)FLT_MAX || fabs(r->a) > (double)FLT_MAX))
            r->left_out = "its state is beyond float's range";
        const double error = fabs((double)run->weights[i] - r->w) / fmax(1.0, fabs(r->w));
        if (r->left_out == NULL && !(error <= TOLERANCE))
            fail_msg("%s %s: step %d, element %zu is %.9g, the reference %.9g (%.2g)", run->optimizer->name, run->label,
                     step, i, (double)run->weights[i], r->w, error);
        if (r->left_out == NULL)
            run->worst = fmax(run->worst, error);
    }
}

static void run_step(struct run *run, reference_step *reference, int step) {
    float gradients[ELEMENTS], prepared[OPTIMIZER_PREPARED], *slots[OPTIMIZER_SLOTS];
    const char *before[ELEMENTS];
    for (size_t s = 0; s < OPTIMIZER_SLOTS; s++)
        slots[s] = run->slots[s];
    for (size_t i = 0; i < ELEMENTS; i++) {
        gradients[i] = generator_gradient(&run->generator, i);
        before[i] = run->references[i].left_out;
        if ((double)gradients[i] * (double)gradients[i] > (double)FLT_MAX && before[i] == NULL)
            run->references[i].left_out = "its gradient's square is beyond float's range";
        reference(run, &run->references[i], (double)gradients[i], step);
    }
    run->optimizer->prepare(run->hyper, (uint64_t)step, run->scalars, prepared);
    (void)optimizer_apply(run->optimizer, prepared, ELEMENTS, gradients, run->weights, slots);
    run_compare(run, step);
    for (size_t i = 0; i < ELEMENTS; i++) {
        if (before[i] == NULL && run->references[i].left_out != NULL)
            printf("%s %s: from step %d, element %zu is left out: %s\n", run->optimizer->name, run->label, step, i,
                   run->references[i].left_out);
    }
}

static void papers_are_followed(void **state) {
    (void)state;
    static const struct {
        const char *name;
        reference_step *reference;
        const char *label;
        struct setting settings[SETTINGS];
    } cases[] = {
        {"yogi", yogi, "defaults", {{NULL, 0}}},
        {"yogi", yogi, "fast", {{"lr", 0.1}}},
        {"yogi", yogi, "betas", {{"beta1", 0.5}, {"beta2", 0.9}}},
        {"yogi", yogi, "short", {{"beta1", 0.0}, {"beta2", 0.5}}},
        {"yogi", yogi, "start", {{"initial_accumulator_value", 0.5}, {"eps", 1e-2}}},
        {"yogi", yogi, "from-zero", {{"initial_accumulator_value", 0.0}, {"lr", 0.001}}},
        {"yogi", yogi, "decay", {{"weight_decay", 0.01}}},
        {"yogi", yogi, "decoupled", {{"weight_decay", 0.1}, {"decoupled_weight_decay", 1}}},
        {"adabelief", adabelief, "defaults", {{NULL, 0}}},
        {"adabelief", adabelief, "fast", {{"lr", 0.02}}},
        {"adabelief", adabelief, "betas", {{"beta1", 0.5}, {"beta2", 0.9}}},
        {"adabelief", adabelief, "paper-eps", {{"eps", 1e-8}}},
        {"adabelief", adabelief, "large-eps", {{"eps", 1e-4}}},
        {"adabelief", adabelief, "decay", {{"weight_decay", 0.01}, {"eps", 1e-8}}},
        {"adabelief", adabelief, "decoupled", {{"weight_decay", 0.1}, {"decoupled_weight_decay", 1}}},
        {"lion", lion, "defaults", {{NULL, 0}}},
        {"lion", lion, "fast", {{"lr", 0.01}}},
        {"lion", lion, "betas", {{"beta1", 0.5}, {"beta2", 0.8}}},
        {"lion", lion, "no-averages", {{"beta1", 0.0}, {"beta2", 0.0}}},
        {"lion", lion, "decay", {{"lr", 0.003}, {"weight_decay", 0.5}}},
        {"lion", lion, "l2", {{"weight_decay", 0.01}, {"decoupled_weight_decay", 0}}},
        {"ftrl", ftrl, "defaults", {{NULL, 0}}},
        {"ftrl", ftrl, "fast", {{"lr", 2.0}}},
        {"ftrl", ftrl, "slow", {{"lr", 0.001}}},
        {"ftrl", ftrl, "l1", {{"lambda1", 0.5}}},
        {"ftrl", ftrl, "l2", {{"lambda2", 3.0}}},
        {"ftrl", ftrl, "beta", {{"beta", 1e-3}}},
        {"ftrl", ftrl, "all", {{"lr", 0.5}, {"beta", 0.1}, {"lambda1", 2.0}, {"lambda2", 0.1}}},
    };
    static struct run run;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t left = 0;
        run_begin(&run, cases[i].name, cases[i].label, cases[i].settings, 1000 + i);
        for (int step = 1; step <= STEPS; step++)
            run_step(&run, cases[i].reference, step);
        for (size_t e = 0; e < ELEMENTS; e++)
            left += run.references[e].left_out == NULL;
        printf("%-10s %-12s %d steps, %zu elements to the end, largest error %.2g\n", cases[i].name, cases[i].label,
               STEPS, left, run.worst);
        assert_true(left >= ELEMENTS / 2);
    }
}

/* What an L1 penalty is for: weights that matter little are exactly zero. */
static void l1_makes_zeros(void **state) {
    (void)state;
    static struct run run;
    static const struct setting settings[SETTINGS] = {{"lambda1", 50.0}};
    size_t zeros = 0;
    run_begin(&run, "ftrl", "sparse", settings, 5);
    for (int step = 1; step <= STEPS; step++)
        run_step(&run, ftrl, step);
    for (size_t i = 0; i < ELEMENTS; i++) {
        const bool zero = run.weights[i] == 0.0f;
        assert_true(run.references[i].left_out != NULL || zero == (run.references[i].w == 0.0));
        zeros += zero;
    }
    assert_in_range(zeros, 3, ELEMENTS / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(papers_are_followed),
        cmocka_unit_test(l1_makes_zeros),
    };
    return cmocka_run_group_tests_name("golden references", tests, NULL, NULL);
}
