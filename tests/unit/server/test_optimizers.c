/* Every optimizer's descriptor is sound, its loop is element-wise to the bit, and its first two steps are what the
 * formulas in its file give by hand (in double). tests/golden compares long runs with PyTorch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "common/limits.h"
#include "server/optimizers/optimizer.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define ELEMENTS        1031 /* a prime: no vector width divides it */

/* State of one block under one optimizer at its defaults. */
struct block {
    const struct optimizer *optimizer;
    double hyper[OPTIMIZER_HYPERPARAMETERS];
    double scalars[OPTIMIZER_SCALARS];
    float weights[ELEMENTS];
    float slots[OPTIMIZER_SLOTS][ELEMENTS];
    uint64_t step, kept;
};

static uint64_t random_state;

/* SplitMix64. */
static uint64_t random_next(void) {
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static float random_float(void) {
    return (float)((double)(random_next() >> 40) / 0x1p23 - 1.0);
}

static void block_begin(struct block *block, const struct optimizer *optimizer) {
    memset(block, 0, sizeof *block);
    block->optimizer = optimizer;
    for (size_t i = 0; i < optimizer->hyperparameter_count; i++)
        block->hyper[i] = optimizer->hyperparameters[i].fallback;
    memcpy(block->scalars, optimizer->scalar_initial, sizeof block->scalars);
    for (size_t s = 0; s < optimizer->slot_count; s++) {
        for (size_t i = 0; i < ELEMENTS; i++)
            block->slots[s][i] = optimizer->slot_initial == NULL ? 0.0f : optimizer->slot_initial(block->hyper, s);
    }
}

static void block_set(struct block *block, const char *name, double value) {
    const size_t index = optimizer_hyperparameter_index(block->optimizer, name);
    assert_true(index < block->optimizer->hyperparameter_count);
    block->hyper[index] = value;
}

static void block_set_if_there(struct block *block, const char *name, double value) {
    const size_t index = optimizer_hyperparameter_index(block->optimizer, name);
    if (index < block->optimizer->hyperparameter_count)
        block->hyper[index] = value;
}

/* One update of elements [first, first + count). */
static void block_update(struct block *block, const float *prepared, const float *gradients, size_t first,
                         size_t count) {
    float *slots[OPTIMIZER_SLOTS];
    for (size_t s = 0; s < OPTIMIZER_SLOTS; s++)
        slots[s] = block->slots[s] + first;
    block->kept += optimizer_apply(block->optimizer, prepared, count, gradients + first, block->weights + first, slots);
}

static void block_step(struct block *block, const float *gradients, size_t count) {
    float prepared[OPTIMIZER_PREPARED];
    block->optimizer->prepare(block->hyper, ++block->step, block->scalars, prepared);
    block_update(block, prepared, gradients, 0, count);
}

static void names_are_those_of_the_documentation(void **state) {
    (void)state;
    static const char *const names[] = {"sgd",  "momentum",  "nag",     "adagrad", "adadelta", "rmsprop",
                                        "adam", "adamw",     "amsgrad", "adamax",  "nadam",    "radam",
                                        "yogi", "adabelief", "rprop",   "lion",    "ftrl",     "rowwise_adagrad"};
    assert_int_equal(optimizer_count(), COUNT_OF(names));
    assert_true(optimizer_count() <= LIMIT_OPTIMIZERS);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_string_equal(optimizer_at(i)->name, names[i]);
        assert_ptr_equal(optimizer_find(names[i]), optimizer_at(i));
    }
    assert_null(optimizer_find("Adam"));
    assert_null(optimizer_find(""));
    assert_null(optimizer_find("adamant"));
}

static void assert_text(const char *text, size_t room) {
    assert_non_null(text);
    assert_in_range(strlen(text), 1, room - 1);
    for (const char *c = text; *c != '\0'; c++)
        assert_true(*c >= ' ' && *c <= '~');
}

static void hyperparameter_is_sound(const struct optimizer *optimizer, size_t index) {
    const struct optimizer_hyperparameter *h = &optimizer->hyperparameters[index];
    assert_text(h->name, LIMIT_SETTING_BYTES);
    assert_text(h->meaning, 96);
    assert_int_equal(optimizer_hyperparameter_index(optimizer, h->name), index); /* so it is there once */
    assert_true(h->low < h->high);
    assert_true(optimizer_hyperparameter_valid(h, h->fallback));
    assert_int_equal(optimizer_hyperparameter_valid(h, h->low), !h->low_open);
    assert_int_equal(optimizer_hyperparameter_valid(h, h->high), !h->high_open);
    assert_false(optimizer_hyperparameter_valid(h, nextafter(h->low, (double)-INFINITY)));
    assert_false(optimizer_hyperparameter_valid(h, nextafter(h->high, (double)INFINITY)));
    assert_false(optimizer_hyperparameter_valid(h, (double)NAN));
    assert_false(optimizer_hyperparameter_valid(h, (double)INFINITY));
    assert_false(optimizer_hyperparameter_valid(h, (double)-INFINITY));
}

static void descriptors_are_sound(void **state) {
    (void)state;
    assert_true(OPTIMIZER_HYPERPARAMETERS <= LIMIT_HYPERPARAMETERS && OPTIMIZER_SLOTS <= LIMIT_SLOTS);
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *o = optimizer_at(i);
        assert_text(o->name, LIMIT_OPTIMIZER_BYTES);
        assert_text(o->summary, 160);
        assert_text(o->source, 160);
        assert_in_range(o->hyperparameter_count, 1, OPTIMIZER_HYPERPARAMETERS);
        assert_string_equal(o->hyperparameters[0].name, "lr");
        assert_true(optimizer_hyperparameter_index(o, "maximize") < o->hyperparameter_count);
        assert_true(optimizer_hyperparameter_index(o, "clip_value") < o->hyperparameter_count);
        assert_true(optimizer_hyperparameter_index(o, "loss_scale") < o->hyperparameter_count);
        assert_int_equal(optimizer_hyperparameter_index(o, "no_such_setting"), o->hyperparameter_count);
        for (size_t h = 0; h < o->hyperparameter_count; h++)
            hyperparameter_is_sound(o, h);
        assert_true(o->slot_count <= OPTIMIZER_SLOTS && o->scalar_count <= OPTIMIZER_SCALARS);
        for (size_t s = 0; s < OPTIMIZER_SLOTS; s++)
            assert_int_equal(o->slots[s] != NULL, s < o->slot_count);
        for (size_t s = 0; s < OPTIMIZER_SCALARS; s++)
            assert_int_equal(o->scalars[s] != NULL, s < o->scalar_count);
        assert_true(o->prepare != NULL);
        for (size_t set = 0; set < OPTIMIZER_SETS; set++)
            assert_non_null(o->update[set]);
    }
}

/* Bad values that must never be taken, for each optimizer that has the setting. */
static void bad_hyperparameters_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double value;
    } bad[] = {{"lr", 0.0},
               {"lr", -0.1},
               {"beta1", 1.0},
               {"beta1", -0.1},
               {"beta2", 1.0},
               {"beta2", 1.5},
               {"rho", 1.0},
               {"alpha", 1.0},
               {"eps", 0.0},
               {"eps", -1e-8},
               {"momentum", 1.0},
               {"momentum", -1},
               {"weight_decay", -1.0},
               {"dampening", 2},
               {"lr_decay", -1},
               {"maximize", 0.5},
               {"maximize", 2},
               {"decoupled_weight_decay", 0.001},
               {"centered", 0.999},
               {"clip_value", -1},
               {"loss_scale", 0},
               {"etaminus", 0},
               {"etaminus", 1},
               {"etaplus", 1},
               {"step_size_min", -1},
               {"beta", 0},
               {"lambda1", -1},
               {"lambda2", -1},
               {"momentum_decay", -1},
               {"initial_accumulator_value", -0.5}};
    for (size_t b = 0; b < sizeof bad / sizeof bad[0]; b++) {
        size_t found = 0;
        for (size_t i = 0; i < optimizer_count(); i++) {
            const struct optimizer *o = optimizer_at(i);
            const size_t index = optimizer_hyperparameter_index(o, bad[b].name);
            if (index == o->hyperparameter_count)
                continue;
            found++;
            assert_false(optimizer_hyperparameter_valid(&o->hyperparameters[index], bad[b].value));
        }
        assert_true(found > 0);
    }
}

static void power_is_power(void **state) {
    (void)state;
    assert_true(optimizer_power(0.9, 0) == 1.0);
    assert_true(optimizer_power(0.0, 0) == 1.0 && optimizer_power(0.0, 5) == 0.0);
    assert_true(optimizer_power(2.0, 100) == 0x1p100 && optimizer_power(-3.0, 3) == -27.0);
    assert_true(optimizer_power(0.999, UINT64_MAX) == 0.0 && optimizer_power(1.0, UINT64_MAX) == 1.0);
    for (uint64_t n = 1; n < 10000; n += 37) {
        const long double expected = powl(0.999L, (long double)n);
        assert_true(fabsl((long double)optimizer_power(0.999, n) - expected) <= (long double)n * 0x1p-51L * expected);
    }
}

static void fill_random(float *values) {
    for (size_t i = 0; i < ELEMENTS; i++)
        values[i] = random_float();
}

/* The same updates on a whole block and on random pieces of it: equal bits in weights and slots. */
static void updates_are_element_wise(void **state) {
    (void)state;
    static struct block whole, pieces;
    static float gradients[ELEMENTS];
    const char *seed = getenv("CANYON_SEED");
    random_state = seed != NULL ? strtoull(seed, NULL, 10) : 1u;
    printf("CANYON_SEED=%llu\n", (unsigned long long)random_state);
    for (size_t i = 0; i < optimizer_count(); i++) {
        if (optimizer_at(i)->rows_only)
            continue;
        block_begin(&whole, optimizer_at(i));
        block_set_if_there(&whole, "weight_decay", 0.01);
        fill_random(whole.weights);
        pieces = whole;
        for (int step = 0; step < 60; step++) {
            float prepared[OPTIMIZER_PREPARED];
            fill_random(gradients);
            block_step(&whole, gradients, ELEMENTS);
            pieces.optimizer->prepare(pieces.hyper, ++pieces.step, pieces.scalars, prepared);
            for (size_t first = 0, count; first < ELEMENTS; first += count) {
                count = 1 + random_next() % 40;
                count = count < ELEMENTS - first ? count : ELEMENTS - first;
                block_update(&pieces, prepared, gradients, first, count);
            }
        }
        assert_memory_equal(&whole, &pieces, sizeof whole);
    }
}

static void no_elements_is_no_update(void **state) {
    (void)state;
    static struct block block, before;
    static const float gradients[ELEMENTS] = {1.0f};
    for (size_t i = 0; i < optimizer_count(); i++) {
        float prepared[OPTIMIZER_PREPARED];
        block_begin(&block, optimizer_at(i));
        block.optimizer->prepare(block.hyper, 1, block.scalars, prepared);
        before = block;
        block_update(&block, prepared, gradients, 0, 0);
        assert_memory_equal(&block, &before, sizeof block);
    }
}

/* A zero gradient without decay and without history moves nothing; no element ever becomes NaN of it. */
static void zero_gradients_rest(void **state) {
    (void)state;
    static struct block block;
    static const float zeros[ELEMENTS];
    for (size_t i = 0; i < optimizer_count(); i++) {
        block_begin(&block, optimizer_at(i));
        block_set_if_there(&block, "weight_decay", 0.0);
        for (size_t e = 0; e < ELEMENTS; e++)
            block.weights[e] = (float)e - 500.0f;
        for (int step = 0; step < 5; step++)
            block_step(&block, zeros, ELEMENTS);
        for (size_t e = 0; e < ELEMENTS; e++)
            assert_true(block.weights[e] == (float)e - 500.0f);
    }
}

/* Extremes of every range leave finite constants, at the first step and very late. */
static void prepared_constants_are_finite(void **state) {
    (void)state;
    static const uint64_t steps[] = {1, 2, 1000, UINT64_C(1) << 40, UINT64_MAX};
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *o = optimizer_at(i);
        for (unsigned corner = 0; corner < 1u << o->hyperparameter_count; corner++) {
            double hyper[OPTIMIZER_HYPERPARAMETERS];
            for (size_t h = 0; h < o->hyperparameter_count; h++) {
                const struct optimizer_hyperparameter *p = &o->hyperparameters[h];
                const double low = p->low_open ? nextafter(p->low, p->high) : p->low;
                const double high = p->high_open ? nextafter(p->high, p->low) : p->high;
                hyper[h] = corner >> h & 1 ? high : low;
            }
            for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
                float prepared[OPTIMIZER_PREPARED] = {0.0f};
                double scalars[OPTIMIZER_SCALARS];
                memcpy(scalars, o->scalar_initial, sizeof scalars);
                o->prepare(hyper, steps[s], scalars, prepared);
                for (size_t p = 0; p < OPTIMIZER_PREPARED; p++)
                    assert_true(isfinite(prepared[p]) || (p == 1 && prepared[p] > 0.0f)); /* 1: no limit to cut at */
                assert_true(isfinite(scalars[0]));
            }
        }
    }
}

/* Two steps of one weight, 0.5, under gradients 0.2 and -0.1 with weight decay 0.1, and the weights the formulas give.
 */
static void two_steps(const char *name, const char *setting, double value, double first, double second) {
    static struct block block;
    block_begin(&block, optimizer_find(name));
    block_set(&block, "weight_decay", 0.1);
    if (setting != NULL)
        block_set(&block, setting, value);
    block.weights[0] = 0.5f;
    const float gradients[] = {0.2f, -0.1f};
    const double expected[] = {first, second};
    for (size_t step = 0; step < 2; step++) {
        block_step(&block, gradients + step, 1);
        if (!(fabs((double)block.weights[0] - expected[step]) <= 1.5e-7))
            fail_msg("%s: %.9g after step %zu, by hand it is %.9g", name, (double)block.weights[0], step + 1,
                     expected[step]);
    }
}

static void first_steps_by_hand(void **state) {
    (void)state;
    const double g1 = 0.2 + 0.1 * 0.5; /* 0.25 */
    double lr, w, g2;

    lr = optimizer_find("sgd")->hyperparameters[0].fallback;
    w = 0.5 - lr * g1;
    two_steps("sgd", NULL, 0, w, w - lr * (-0.1 + 0.1 * w));

    lr = optimizer_find("momentum")->hyperparameters[0].fallback;
    w = 0.5 - lr * g1; /* the first step knows no dampening */
    two_steps("momentum", "dampening", 0.5, w, w - lr * (0.9 * g1 + 0.5 * (-0.1 + 0.1 * w)));
    two_steps("momentum", NULL, 0, w, w - lr * (0.9 * g1 + (-0.1 + 0.1 * w)));

    lr = optimizer_find("nag")->hyperparameters[0].fallback;
    w = 0.5 - lr * (g1 + 0.9 * g1);
    g2 = -0.1 + 0.1 * w;
    two_steps("nag", NULL, 0, w, w - lr * (g2 + 0.9 * (0.9 * g1 + g2)));

    w = 0.5 - 0.01; /* g / sqrt(g^2) */
    g2 = -0.1 + 0.1 * w;
    two_steps("adagrad", "lr_decay", 0.5, w, w - 0.01 / 1.5 * g2 / sqrt(g1 * g1 + g2 * g2));

    const double v1 = 0.1 * g1 * g1, d1 = sqrt(1e-6 / (v1 + 1e-6)) * g1, u1 = 0.1 * d1 * d1;
    w = 0.5 - d1;
    g2 = -0.1 + 0.1 * w;
    two_steps("adadelta", NULL, 0, w, w - sqrt((u1 + 1e-6) / (0.9 * v1 + 0.1 * g2 * g2 + 1e-6)) * g2);

    w = 0.5 - 0.01 / sqrt(0.01);
    g2 = -0.1 + 0.1 * w;
    two_steps("rmsprop", NULL, 0, w, w - 0.01 * g2 / sqrt(0.99 * 0.01 * g1 * g1 + 0.01 * g2 * g2));

    w = 0.5 - 0.001; /* both corrections undo their averages */
    g2 = -0.1 + 0.1 * w;
    const double m2 = (0.09 * g1 + 0.1 * g2) / (1.0 - 0.81);
    const double root2 = sqrt((0.000999 * g1 * g1 + 0.001 * g2 * g2) / (1.0 - 0.998001));
    two_steps("adam", NULL, 0, w, w - 0.001 * m2 / root2);

    /* momentum_decay 0: mu is 0.45 throughout. */
    w = 0.5 - 0.002 * (1.0 + 0.45 * 0.1 / (1.0 - 0.45 * 0.45 * 0.45));
    g2 = -0.1 + 0.1 * w;
    const double square2 = sqrt((0.000999 * g1 * g1 + 0.001 * g2 * g2) / (1.0 - 0.998001));
    const double ahead2 =
        0.55 * g2 / (1.0 - 0.2025) + 0.45 * (0.09 * g1 + 0.1 * g2) / (1.0 - 0.45 * 0.45 * 0.45 * 0.45);
    two_steps("nadam", "momentum_decay", 0.0, w, w - 0.002 * ahead2 / square2);
}

/* What was moved in from elsewhere, without a count of the steps there, counts from the first step here on. */
static void an_assigned_velocity_counts_at_once(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double velocity, step; /* after a gradient of 0.25, from a velocity of 2 */
    } cases[] = {{"momentum", 0.5 * 2 + 0.25, 0.5 * 2 + 0.25}, {"nag", 0.5 * 2 + 0.25, 0.25 + 0.5 * (0.5 * 2 + 0.25)}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        static struct block block;
        const float gradient = 0.25f;
        block_begin(&block, optimizer_find(cases[i].name));
        block_set(&block, "momentum", 0.5);
        block_set(&block, "lr", 0.5);
        block.weights[0] = 8.0f;
        block.slots[0][0] = 2.0f;
        block_step(&block, &gradient, 1);
        assert_true((double)block.slots[0][0] == cases[i].velocity); /* all of it is exact in float */
        assert_true((double)block.weights[0] == 8.0 - 0.5 * cases[i].step);
    }
}

/* The schedule of Nadam's momentum, seen through its running product, against pow. */
static void nadam_follows_its_schedule(void **state) {
    (void)state;
    static const double decays[] = {0.0, 0.004, 0.3, 1.0, 7.7, 19999.5, 1e6};
    for (size_t d = 0; d < sizeof decays / sizeof decays[0]; d++) {
        static struct block block;
        float prepared[OPTIMIZER_PREPARED];
        double expected = 1.0;
        block_begin(&block, optimizer_find("nadam"));
        block_set(&block, "momentum_decay", decays[d]);
        for (uint64_t step = 1; step <= 300; step++) {
            expected *= 0.9 * (1.0 - 0.5 * pow(0.96, (double)step * decays[d]));
            block.optimizer->prepare(block.hyper, step, block.scalars, prepared);
            assert_true(fabs(block.scalars[0] - expected) <= 1e-13 * expected);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_those_of_the_documentation),
        cmocka_unit_test(descriptors_are_sound),
        cmocka_unit_test(bad_hyperparameters_are_refused),
        cmocka_unit_test(power_is_power),
        cmocka_unit_test(updates_are_element_wise),
        cmocka_unit_test(no_elements_is_no_update),
        cmocka_unit_test(zero_gradients_rest),
        cmocka_unit_test(prepared_constants_are_finite),
        cmocka_unit_test(first_steps_by_hand),
        cmocka_unit_test(an_assigned_velocity_counts_at_once),
        cmocka_unit_test(nadam_follows_its_schedule),
    };
    return cmocka_run_group_tests_name("optimizers", tests, NULL, NULL);
}
