/* The optimizers' update loops: equal bits on every instruction set, elements that keep their values, the options all
 * optimizers share, and runs that are saved and continued. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>

#include "server/optimizers/optimizer.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define ELEMENTS        4099 /* a prime: no vector width divides it */

/* One block under one optimizer. A row's slots have one element each. */
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

static double random_number(void) {
    return (double)(random_next() >> 11) / 0x1p53;
}

static float random_float(void) {
    return (float)(2.0 * random_number() - 1.0);
}

/* Any bits, often extreme ones: zeros, subnormals, the largest, powers of two, and whatever else there is. */
static float random_special(bool finite) {
    static const float specials[] = {0.0f,    -0.0f,    0x1p-149f, -0x1p-149f, 0x1p-126f, -0x1p-126f,
                                     FLT_MAX, -FLT_MAX, 1.0f,      -1.0f,      0x1p64f,   -0x1p64f,
                                     1e-20f,  1e20f,    NAN,       INFINITY,   -INFINITY};
    float value;
    do {
        const uint64_t kind = random_next();
        const uint32_t bits = (uint32_t)random_next();
        if (kind % 4 == 0)
            value = specials[(kind >> 8) % COUNT_OF(specials)];
        else if (kind % 4 == 1)
            memcpy(&value, &bits, sizeof value);
        else
            value = random_float() * (kind % 8 < 4 ? 1.0f : 1e-3f);
    } while (finite && !isfinite(value));
    return value;
}

static int seeded(void **state) {
    (void)state;
    const char *seed = getenv("CANYON_SEED");
    random_state = seed != NULL ? strtoull(seed, NULL, 10) : 20u;
    printf("CANYON_SEED=%llu\n", (unsigned long long)random_state);
    return 0;
}

static void block_begin(struct block *block, const struct optimizer *optimizer) {
    memset(block, 0, sizeof *block);
    block->optimizer = optimizer;
    for (size_t i = 0; i < optimizer->hyperparameter_count; i++)
        block->hyper[i] = optimizer->hyperparameters[i].fallback;
    memcpy(block->scalars, optimizer->scalar_initial, sizeof block->scalars);
    for (size_t i = 0; i < ELEMENTS; i++)
        block->weights[i] = random_float();
}

static void block_slots(struct block *block) {
    const struct optimizer *optimizer = block->optimizer;
    for (size_t s = 0; s < optimizer->slot_count; s++) {
        for (size_t i = 0; i < ELEMENTS; i++)
            block->slots[s][i] = optimizer->slot_initial == NULL ? 0.0f : optimizer->slot_initial(block->hyper, s);
    }
}

/* False when the optimizer has no such setting. */
static bool block_set(struct block *block, const char *name, double value) {
    const size_t index = optimizer_hyperparameter_index(block->optimizer, name);
    const bool there = index < block->optimizer->hyperparameter_count;
    if (there) {
        assert_true(optimizer_hyperparameter_valid(&block->optimizer->hyperparameters[index], value));
        block->hyper[index] = value;
    }
    return there;
}

/* Settings from useful ranges, each at its default half of the time. */
static void block_random_settings(struct block *block) {
    for (size_t h = 0; h < block->optimizer->hyperparameter_count; h++) {
        const struct optimizer_hyperparameter *p = &block->optimizer->hyperparameters[h];
        const double value =
            p->flag ? (double)(random_next() % 2) : p->low + (fmin(p->high, 2.0) - p->low) * random_number();
        if (random_next() % 2 == 0 && optimizer_hyperparameter_valid(p, value))
            block->hyper[h] = value;
    }
}

static void block_update(struct block *block, enum optimizer_set set, const float *prepared, const float *gradients,
                         size_t first, size_t count) {
    float *slots[OPTIMIZER_SLOTS];
    for (size_t s = 0; s < OPTIMIZER_SLOTS; s++)
        slots[s] = block->slots[s] + (block->optimizer->rows_only ? 0 : first);
    block->kept += block->optimizer->update[set](prepared, count, gradients + first, block->weights + first, slots);
}

static void block_prepare(struct block *block, float *prepared) {
    memset(prepared, 0, OPTIMIZER_PREPARED * sizeof prepared[0]);
    block->optimizer->prepare(block->hyper, ++block->step, block->scalars, prepared);
}

static void block_step(struct block *block, const float *gradients) {
    float prepared[OPTIMIZER_PREPARED];
    block_prepare(block, prepared);
    block_update(block, optimizer_set_chosen(), prepared, gradients, 0, ELEMENTS);
}

static bool usable(enum optimizer_set set) {
    const bool supported = optimizer_set_supported(set);
    if (!supported)
        printf("SKIPPED: %s, which this CPU lacks\n", optimizer_set_name(set));
    return supported;
}

static void the_choice_is_the_best_there_is(void **state) {
    (void)state;
    assert_int_equal(optimizer_set_chosen(), OPTIMIZER_BASELINE);
    optimizer_start();
    assert_true(optimizer_set_supported(OPTIMIZER_BASELINE));
    assert_true(optimizer_set_supported(optimizer_set_chosen()));
    for (int set = (int)optimizer_set_chosen() + 1; set < OPTIMIZER_SETS; set++)
        assert_false(optimizer_set_supported((enum optimizer_set)set));
    assert_string_equal(optimizer_set_name(OPTIMIZER_BASELINE), "baseline");
    assert_string_equal(optimizer_set_name(OPTIMIZER_AVX2), "AVX2");
    assert_string_equal(optimizer_set_name(OPTIMIZER_AVX512), "AVX-512");
    printf("chosen: %s\n", optimizer_set_name(optimizer_set_chosen()));
}

static void equal_bits(const struct block *one, const struct block *other, const char *set) {
    for (size_t i = 0; i < ELEMENTS; i++) {
        bool same = memcmp(&one->weights[i], &other->weights[i], sizeof(float)) == 0;
        for (size_t s = 0; s < one->optimizer->slot_count; s++)
            same = same && memcmp(&one->slots[s][i], &other->slots[s][i], sizeof(float)) == 0;
        if (!same)
            fail_msg("%s: element %zu is %a with baseline, %a with %s", one->optimizer->name, i,
                     (double)one->weights[i], (double)other->weights[i], set);
    }
    assert_int_equal(one->kept, other->kept);
}

static void random_round(enum optimizer_set set, const struct optimizer *optimizer, bool special) {
    static struct block one, other;
    static float gradients[ELEMENTS];
    float prepared[OPTIMIZER_PREPARED];
    block_begin(&one, optimizer);
    block_random_settings(&one);
    block_slots(&one);
    one.step = random_next() % 3 == 0 ? 0 : random_next() % 5000;
    for (size_t i = 0; i < ELEMENTS; i++) {
        gradients[i] = special ? random_special(false) : random_float();
        one.weights[i] = special ? random_special(true) : random_float();
        for (size_t s = 0; s < optimizer->slot_count; s++)
            one.slots[s][i] = special ? random_special(true) : fabsf(random_float());
    }
    block_prepare(&one, prepared);
    other = one;
    const size_t first = random_next() % 20, count = ELEMENTS - first - random_next() % 40;
    block_update(&one, OPTIMIZER_BASELINE, prepared, gradients, first, count);
    block_update(&other, set, prepared, gradients, first, count);
    equal_bits(&one, &other, optimizer_set_name(set));
}

/* Ten million elements for each set, a third of them of plain values. */
static void every_instruction_set_gives_the_same_bits(void **state) {
    (void)state;
    enum { ROUNDS = 136 };
    for (int set = OPTIMIZER_AVX2; set < OPTIMIZER_SETS; set++) {
        for (size_t i = 0; usable((enum optimizer_set)set) && i < optimizer_count(); i++) {
            for (int round = 0; round < ROUNDS; round++)
                random_round((enum optimizer_set)set, optimizer_at(i), round % 3 != 0);
        }
    }
}

/* The same updates on a whole block and on random pieces of it, down to single elements. */
static void updates_are_element_wise(void **state) {
    (void)state;
    static struct block whole, pieces;
    static float gradients[ELEMENTS];
    for (size_t i = 0; i < optimizer_count() * OPTIMIZER_SETS; i++) {
        const struct optimizer *optimizer = optimizer_at(i / OPTIMIZER_SETS);
        const enum optimizer_set set = (enum optimizer_set)(i % OPTIMIZER_SETS);
        if (optimizer->rows_only || !optimizer_set_supported(set))
            continue;
        block_begin(&whole, optimizer);
        block_random_settings(&whole);
        block_slots(&whole);
        pieces = whole;
        for (int step = 0; step < 20; step++) {
            float prepared[OPTIMIZER_PREPARED];
            for (size_t e = 0; e < ELEMENTS; e++)
                gradients[e] = step % 2 == 0 ? random_float() : random_special(false);
            block_prepare(&whole, prepared);
            block_update(&whole, set, prepared, gradients, 0, ELEMENTS);
            block_prepare(&pieces, prepared);
            for (size_t first = 0, count; first < ELEMENTS; first += count) {
                count = 1 + random_next() % 40;
                count = count < ELEMENTS - first ? count : ELEMENTS - first;
                block_update(&pieces, set, prepared, gradients, first, count);
            }
        }
        assert_memory_equal(&whole, &pieces, sizeof whole);
    }
}

/* Each element is updated alone: it is counted and unchanged, or finite and not counted; and bad gradients never count
 * as good. */
static void elements_are_kept_or_finite(void **state) {
    (void)state;
    static struct block block, before;
    static float gradients[ELEMENTS];
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *optimizer = optimizer_at(i);
        float prepared[OPTIMIZER_PREPARED];
        if (optimizer->rows_only)
            continue;
        block_begin(&block, optimizer);
        block_slots(&block);
        block_prepare(&block, prepared);
        for (size_t e = 0; e < ELEMENTS; e++) {
            gradients[e] = random_special(false);
            block.weights[e] = random_special(true);
            before = block;
            block_update(&block, OPTIMIZER_BASELINE, prepared, gradients, e, 1);
            const bool kept = block.kept > before.kept;
            bool finite = isfinite(block.weights[e]);
            for (size_t s = 0; s < optimizer->slot_count; s++)
                finite = finite && isfinite(block.slots[s][e]);
            assert_true(finite);
            assert_true(kept || isfinite(gradients[e]));
            if (kept) {
                before.kept = block.kept;
                assert_memory_equal(&block, &before, sizeof block);
            }
        }
        assert_true(block.kept > 0 && block.kept < ELEMENTS);
    }
}

/* Plain values never count. One gradient that is not finite costs its element, its neighbours nothing. */
static void one_bad_gradient_costs_one_element(void **state) {
    (void)state;
    static struct block clean, dirty;
    static float gradients[ELEMENTS];
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < optimizer_count(); i++) {
        if (optimizer_at(i)->rows_only)
            continue;
        block_begin(&clean, optimizer_at(i));
        block_slots(&clean);
        block_set(&clean, "clip_value", 0.5); /* which does not make an infinite gradient a good one */
        dirty = clean;
        for (size_t step = 0; step < 6; step++) {
            for (size_t e = 0; e < ELEMENTS; e++)
                gradients[e] = random_float();
            block_step(&clean, gradients);
            assert_int_equal(clean.kept, 0);
            gradients[77] = bad[step % 3];
            block_step(&dirty, gradients);
            assert_int_equal(dirty.kept, step + 1);
            for (size_t e = 0; e < ELEMENTS; e++)
                assert_true(e == 77 || memcmp(&clean.weights[e], &dirty.weights[e], sizeof(float)) == 0);
        }
    }
}

static void two_runs(const struct optimizer *optimizer, const char *name, double value, float factor, float limit) {
    static struct block plain, with;
    static float gradients[ELEMENTS], treated[ELEMENTS];
    block_begin(&plain, optimizer);
    block_slots(&plain);
    with = plain;
    assert_true(block_set(&with, name, value));
    for (int step = 0; step < 8; step++) {
        for (size_t e = 0; e < ELEMENTS; e++) {
            gradients[e] = random_float();
            treated[e] = fmaxf(-limit, fminf(limit, gradients[e] * factor));
        }
        block_step(&plain, treated);
        block_step(&with, gradients);
    }
    assert_memory_equal(plain.weights, with.weights, sizeof plain.weights);
    assert_memory_equal(plain.slots, with.slots, sizeof plain.slots);
}

/* What the options do is what changing the gradients by hand does, to the bit. */
static void options_treat_gradients(void **state) {
    (void)state;
    for (size_t i = 0; i < optimizer_count(); i++) {
        two_runs(optimizer_at(i), "maximize", 1.0, -1.0f, 2.0f);
        two_runs(optimizer_at(i), "loss_scale", 1024.0, 1.0f / 1024.0f, 2.0f);
        two_runs(optimizer_at(i), "clip_value", 0.25, 1.0f, 0.25f);
    }
}

/* Decoupled decay shrinks each weight by lr * weight_decay of itself, beside the step that there is without decay; for
 * Adagrad and its like lr is the step's. */
static void decoupled_decay_shrinks(void **state) {
    (void)state;
    static struct block plain, with;
    static float gradients[ELEMENTS];
    size_t tried = 0;
    for (size_t i = 0; i < optimizer_count(); i++) {
        block_begin(&plain, optimizer_at(i));
        block_slots(&plain);
        with = plain;
        if (!block_set(&plain, "weight_decay", 0.0))
            continue;
        tried++;
        block_set(&with, "weight_decay", 0.5);
        block_set(&with, "decoupled_weight_decay", 1.0);
        for (size_t e = 0; e < ELEMENTS; e++)
            gradients[e] = random_float();
        static float before[ELEMENTS];
        memcpy(before, plain.weights, sizeof before);
        block_step(&plain, gradients);
        block_step(&with, gradients);
        assert_memory_equal(plain.slots, with.slots, sizeof plain.slots);
        for (size_t e = 0; e < ELEMENTS; e++) {
            const double expected = (double)plain.weights[e] - plain.hyper[OPTIMIZER_LR] * 0.5 * (double)before[e];
            assert_true(fabs((double)with.weights[e] - expected) <= 4e-7);
        }
    }
    assert_int_equal(tried, optimizer_count() - 2); /* rprop and ftrl have none */
}

/* Forty steps in one go, and with everything written out and read into a new block at the seventeenth. */
static void a_saved_run_continues_alike(void **state) {
    (void)state;
    static struct block whole, part, next;
    static float gradients[ELEMENTS];
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *optimizer = optimizer_at(i);
        block_begin(&whole, optimizer);
        block_random_settings(&whole);
        block_slots(&whole);
        part = whole;
        for (int step = 1; step <= 40; step++) {
            for (size_t e = 0; e < ELEMENTS; e++)
                gradients[e] = random_float();
            block_step(&whole, gradients);
            block_step(&part, gradients);
            if (step == 17) {
                block_begin(&next, optimizer);
                memcpy(next.hyper, part.hyper, sizeof part.hyper);
                block_slots(&next);
                memcpy(next.weights, part.weights, sizeof part.weights);
                for (size_t s = 0; s < optimizer->slot_count; s++)
                    memcpy(next.slots[s], part.slots[s], sizeof part.slots[s]);
                for (size_t s = 0; s < optimizer->scalar_count; s++)
                    next.scalars[s] = part.scalars[s];
                next.step = part.step;
                next.kept = part.kept;
                part = next;
            }
        }
        assert_memory_equal(&whole, &part, sizeof whole);
    }
}

/* The SGD family's steps round once, as the C library's fmaf does: where a sum in double would end between two floats
 * and round to the wrong one. A weight of odd last bit, a step of nearly half a bit, and neighbours of both. */
static void fused_steps_round_once(void **state) {
    (void)state;
    static struct block block, before;
    static float gradients[ELEMENTS];
    size_t ties = 0;
    for (int set = 0; set < OPTIMIZER_SETS; set++) {
        for (int round = 0; usable((enum optimizer_set)set) && round < 50; round++) {
            float prepared[OPTIMIZER_PREPARED];
            const double lr = 1.0 + (double)(random_next() % 16) * 0x1p-20;
            block_begin(&block, optimizer_find("sgd"));
            block_set(&block, "lr", lr);
            block_prepare(&block, prepared);
            for (size_t e = 0; e < ELEMENTS; e++) {
                const int exponent = (int)(random_next() % 280) - 150;
                const double unit = (1.0 + (double)(random_next() % 8) * 0x1p-23) * (random_next() % 2 ? 1.0 : -1.0);
                const double step = (1.0 + ((double)(random_next() % 33) - 16.0) * 0x1p-20) * 0x1p-24;
                block.weights[e] = (float)ldexp(unit, exponent);
                gradients[e] = (float)ldexp(random_next() % 2 ? step : -step, exponent);
            }
            before = block;
            block_update(&block, (enum optimizer_set)set, prepared, gradients, 0, ELEMENTS);
            for (size_t e = 0; e < ELEMENTS; e++) {
                const float w = before.weights[e], rate = (float)lr, expected = fmaf(-rate, gradients[e], w);
                ties += expected != (float)(-(double)rate * (double)gradients[e] + (double)w);
                if (memcmp(&block.weights[e], &expected, sizeof expected) != 0)
                    fail_msg("%s: %a, fmaf gives %a", optimizer_set_name((enum optimizer_set)set),
                             (double)block.weights[e], (double)expected);
            }
        }
    }
    assert_true(ties > 1000);
}

/* A row's sum: the mean of squares in any precision, whatever the row's length; and a row whose sum overflows stays. */
static void row_wise_adagrad_sums_rows(void **state) {
    (void)state;
    static struct block block;
    static float gradients[ELEMENTS];
    const struct optimizer *optimizer = optimizer_find("rowwise_adagrad");
    float prepared[OPTIMIZER_PREPARED];
    assert_true(optimizer->rows_only);
    for (size_t length = 1; length <= 200; length++) {
        double sum = 0.0;
        block_begin(&block, optimizer);
        block_slots(&block);
        for (int step = 0; step < 3; step++) {
            const float before = block.weights[length - 1];
            double squares = 0.0;
            for (size_t e = 0; e < length; e++) {
                gradients[e] = random_float();
                squares += (double)gradients[e] * (double)gradients[e];
            }
            block_prepare(&block, prepared);
            block_update(&block, optimizer_set_chosen(), prepared, gradients, 0, length);
            sum += squares / (double)length;
            assert_true(fabs((double)block.slots[0][0] - sum) <= 1e-6 * sum);
            const double expected = (double)before - 0.01 * (double)gradients[length - 1] / (sqrt(sum) + 1e-8);
            assert_true(fabs((double)block.weights[length - 1] - expected) <= 1e-6);
        }
        const struct block saved = block;
        gradients[length / 2] = 3e38f;
        block_update(&block, optimizer_set_chosen(), prepared, gradients, 0, length);
        assert_int_equal(block.kept, length);
        block.kept = 0;
        assert_memory_equal(&block, &saved, sizeof block);
    }
}

/* Rows of any length, some with a number that is not finite: what a loop over rows makes of them is what the loop over
 * blocks makes of each, on every instruction set. */
static void rows_are_small_blocks(void **state) {
    (void)state;
    enum { ROWS = 7, LONGEST = 70, FLOATS = ROWS * LONGEST * (1 + OPTIMIZER_SLOTS) };
    static float memory[2][FLOATS], gradients[ROWS * LONGEST];
    size_t loops = 0;
    for (size_t o = 0; o < optimizer_count(); o++) {
        const struct optimizer *optimizer = optimizer_at(o);
        for (int set = 0; set < OPTIMIZER_SETS && optimizer->rows[set] != NULL; set++) {
            for (size_t round = 0; usable((enum optimizer_set)set) && round < 200; round++) {
                static struct block block;
                const size_t dim = round < LONGEST ? round + 1 : 16 * (1 + random_next() % 4);
                float prepared[ROWS][OPTIMIZER_PREPARED] = {{0.0f}};
                float *rows[ROWS];
                uint64_t kept = 0;
                const bool special = round % 4 == 3;
                block_begin(&block, optimizer);
                block_random_settings(&block);
                for (size_t i = 0; i < FLOATS; i++)
                    memory[0][i] = memory[1][i] = special ? random_special(true) : fabsf(random_float());
                for (size_t i = 0; i < ROWS * LONGEST; i++)
                    gradients[i] = special ? random_special(false) : random_float();
                for (size_t row = 0; row < ROWS; row++) {
                    float *at = memory[1] + row * LONGEST * (1 + OPTIMIZER_SLOTS), *slots[OPTIMIZER_SLOTS];
                    double scalars[OPTIMIZER_SCALARS];
                    memcpy(scalars, optimizer->scalar_initial, sizeof scalars);
                    optimizer->prepare(block.hyper, 1 + random_next() % 1000, scalars, prepared[row]);
                    rows[row] = memory[0] + (at - memory[1]);
                    for (size_t s = 0; s < OPTIMIZER_SLOTS; s++)
                        slots[s] = at + (1 + s) * dim;
                    kept += optimizer->update[set](prepared[row], dim, gradients + row * dim, at, slots);
                }
                assert_int_equal(
                    optimizer->rows[set]((const float(*)[OPTIMIZER_PREPARED])prepared, ROWS, dim, gradients, rows),
                    kept);
                assert_memory_equal(memory[0], memory[1], sizeof memory[0]);
                assert_int_equal(
                    optimizer->rows[set]((const float(*)[OPTIMIZER_PREPARED])prepared, 0, dim, gradients, rows), 0);
                loops++;
            }
        }
    }
    assert_true(loops >= 16 * 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {

        cmocka_unit_test(the_choice_is_the_best_there_is), cmocka_unit_test(every_instruction_set_gives_the_same_bits),
        cmocka_unit_test(fused_steps_round_once),          cmocka_unit_test(updates_are_element_wise),
        cmocka_unit_test(elements_are_kept_or_finite),     cmocka_unit_test(one_bad_gradient_costs_one_element),
        cmocka_unit_test(options_treat_gradients),         cmocka_unit_test(decoupled_decay_shrinks),
        cmocka_unit_test(a_saved_run_continues_alike),     cmocka_unit_test(row_wise_adagrad_sums_rows),
        cmocka_unit_test(rows_are_small_blocks),
    };
    return cmocka_run_group_tests_name("kernels", tests, seeded, NULL);
}
