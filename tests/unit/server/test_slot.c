/* A block's state by slot number: what is where, and that a copy of all of it goes on like the original. */
#include "tests/unit/server/fixture.h"

#include <math.h>

#include "server/slot.h"

#define BLOCK 1024
#define STEPS 5

/* Every slot number that a part has, in order; returns how many. */
static size_t numbers_of(const struct dense *dense, uint32_t numbers[2 + OPTIMIZER_SLOTS + OPTIMIZER_SCALARS]) {
    size_t count = 0;
    for (uint32_t slot = 0; slot <= SLOT_HIGH + 1; slot++) {
        if (slot_words(dense, 0, slot) > 0) {
            numbers[count++] = slot;
        }
    }
    return count;
}

static void the_numbers_are_the_descriptors(void **state) {
    (void)state;
    struct job job = fixture_job(1, 1, BLOCK);
    for (size_t o = 0; o < optimizer_count(); o++) {
        const struct optimizer *optimizer = optimizer_at(o);
        uint32_t numbers[2 + OPTIMIZER_SLOTS + OPTIMIZER_SCALARS];
        if (optimizer->rows_only) {
            continue;
        }
        struct tensor_spec spec = fixture_spec("w", BLOCK + 5, optimizer->name);
        struct dense *dense = dense_create(&job, 0, 5, &spec, NULL);
        assert_non_null(dense);
        assert_int_equal(numbers_of(dense, numbers), 2 + optimizer->slot_count + optimizer->scalar_count);
        assert_ptr_equal(slot_values(dense, 1, SLOT_WEIGHTS), dense_weights(dense, 1));
        assert_int_equal(slot_words(dense, 1, SLOT_WEIGHTS), 5);
        for (uint32_t i = 0; i < optimizer->slot_count; i++) {
            assert_ptr_equal(slot_values(dense, 1, SLOT_ARRAYS + i), dense_slot(dense, 1, i));
            assert_int_equal(slot_words(dense, 1, SLOT_ARRAYS + i), 5);
        }
        assert_ptr_equal(slot_values(dense, 1, SLOT_STEP), &dense->blocks[1].step);
        for (uint32_t i = 0; i < optimizer->scalar_count; i++) {
            assert_ptr_equal(slot_values(dense, 1, SLOT_SCALARS + i), &dense->blocks[1].scalars[i]);
        }
        assert_null(slot_values(dense, 1, SLOT_ARRAYS + (uint32_t)optimizer->slot_count));
        assert_null(slot_values(dense, 1, SLOT_SCALARS + (uint32_t)optimizer->scalar_count));
        assert_null(slot_values(dense, 1, UINT32_MAX));
        dense_destroy(dense);
    }
    job_finish(&job);
}

/* What training makes of every slot may be assigned again, and then the copy is the original. */
static void a_copy_goes_on_like_the_original(void **state) {
    (void)state;
    struct job job = fixture_job(1, 1, BLOCK);
    for (size_t o = 0; o < optimizer_count(); o++) {
        const struct optimizer *optimizer = optimizer_at(o);
        uint32_t numbers[2 + OPTIMIZER_SLOTS + OPTIMIZER_SCALARS];
        uint64_t seed = 11 + o;
        static float gradient[BLOCK];
        if (optimizer->rows_only) {
            continue;
        }
        struct tensor_spec spec = fixture_spec("w", BLOCK, optimizer->name);
        struct dense *dense = dense_create(&job, 0, 5, &spec, NULL), *copy = dense_create(&job, 0, 6, &spec, NULL);
        assert_non_null(dense);
        assert_non_null(copy);
        for (int step = 0; step < STEPS; step++) {
            fixture_fill(&seed, gradient, BLOCK);
            dense_push(dense, 0, gradient, 0);
        }
        size_t count = numbers_of(dense, numbers);
        for (size_t i = 0; i < count; i++) {
            const float *values = slot_values(dense, 0, numbers[i]);
            struct error error;
            if (slot_check(copy, 0, numbers[i], values, slot_words(dense, 0, numbers[i]), &error) != CANYON_OK) {
                fail_msg("%s: %s", optimizer->name, error.text);
            }
            slot_assign(copy, 0, numbers[i], values);
        }
        assert_int_equal(copy->blocks[0].version, 1); /* of the weights alone */
        for (int step = 0; step < STEPS; step++) {
            fixture_fill(&seed, gradient, BLOCK);
            dense_push(dense, 0, gradient, 0);
            dense_push(copy, 0, gradient, 0);
        }
        for (size_t i = 0; i < count; i++) {
            size_t bytes = slot_words(dense, 0, numbers[i]) * sizeof(float);
            assert_memory_equal(slot_values(dense, 0, numbers[i]), slot_values(copy, 0, numbers[i]), bytes);
        }
        dense_destroy(dense);
        dense_destroy(copy);
    }
    job_finish(&job);
}

/* Whatever slot_check lets through, an update afterwards leaves nothing that is not finite, and does not stop. */
static void nothing_that_is_taken_spoils_an_update(void **state) {
    (void)state;
    static const float extremes[] = {0.0f, -0.0f, 1e-45f, -1e-45f, 1.0f, -1.0f, 3.4e38f, -3.4e38f, 1e-38f};
    static const uint64_t steps[] = {0, 1, 2, 1000000, LIMIT_STEP - 1, LIMIT_STEP};
    static const double scalars[] = {0.0, 5e-324, 0.5, 1.0};
    enum { LENGTH = 90 };
    struct job job = fixture_job(1, 1, BLOCK);
    for (size_t o = 0; o < optimizer_count(); o++) {
        const struct optimizer *optimizer = optimizer_at(o);
        uint64_t seed = 5 + o;
        if (optimizer->rows_only) {
            continue;
        }
        struct tensor_spec spec = fixture_spec("w", LENGTH, optimizer->name);
        struct dense *dense = dense_create(&job, 0, 5, &spec, NULL);
        assert_non_null(dense);
        for (int round = 0; round < 200; round++) {
            uint32_t numbers[2 + OPTIMIZER_SLOTS + OPTIMIZER_SCALARS];
            size_t count = numbers_of(dense, numbers);
            float values[LENGTH], gradient[LENGTH];
            for (size_t n = 0; n < count; n++) {
                for (size_t i = 0; i < LENGTH; i++) {
                    values[i] = extremes[seed_below(&seed, sizeof extremes / sizeof extremes[0])];
                }
                if (numbers[n] == SLOT_STEP) {
                    memcpy(values, &steps[seed_below(&seed, sizeof steps / sizeof steps[0])], 8);
                } else if (numbers[n] > SLOT_STEP) {
                    memcpy(values, &scalars[seed_below(&seed, sizeof scalars / sizeof scalars[0])], 8);
                }
                size_t words = slot_words(dense, 0, numbers[n]);
                if (slot_check(dense, 0, numbers[n], values, words, NULL) != CANYON_OK) {
                    for (size_t i = 0; i < LENGTH; i++) {
                        values[i] = fabsf(values[i]);
                    }
                }
                assert_int_equal(slot_check(dense, 0, numbers[n], values, words, NULL), CANYON_OK);
                slot_assign(dense, 0, numbers[n], values);
            }
            fixture_fill(&seed, gradient, LENGTH);
            dense_push(dense, 0, gradient, 0);
            for (size_t n = 0; n < count && numbers[n] < SLOT_STEP; n++) {
                assert_int_equal(optimizer_first_not_finite(slot_values(dense, 0, numbers[n]), LENGTH), LENGTH);
            }
        }
        dense_destroy(dense);
    }
    job_finish(&job);
}

/* Of every optimizer, which of its slots take a value below zero. */
static void sizes_are_never_negative(void **state) {
    (void)state;
    static const char *const signed_slots[] = {"momentum_buffer", "exp_avg", "grad_avg", "prev", "z"};
    const float minus = -1;
    struct job job = fixture_job(1, 1, BLOCK);
    for (size_t o = 0; o < optimizer_count(); o++) {
        const struct optimizer *optimizer = optimizer_at(o);
        if (optimizer->rows_only) {
            continue;
        }
        struct tensor_spec spec = fixture_spec("w", 1, optimizer->name);
        struct dense *dense = dense_create(&job, 0, 5, &spec, NULL);
        assert_non_null(dense);
        for (uint32_t i = 0; i < optimizer->slot_count; i++) {
            bool has_sign = false;
            for (size_t n = 0; n < sizeof signed_slots / sizeof signed_slots[0]; n++) {
                has_sign = has_sign || strcmp(optimizer->slots[i], signed_slots[n]) == 0;
            }
            assert_int_equal(slot_check(dense, 0, SLOT_ARRAYS + i, &minus, 1, NULL),
                             has_sign ? CANYON_OK : CANYON_INVALID_ARGUMENT);
        }
        dense_destroy(dense);
    }
    job_finish(&job);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_numbers_are_the_descriptors),
        cmocka_unit_test(a_copy_goes_on_like_the_original),
        cmocka_unit_test(nothing_that_is_taken_spoils_an_update),
        cmocka_unit_test(sizes_are_never_negative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
