/* The area under the curve against counting all pairs, its standard error against many samples; and cosines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "client/simulator/auc.h"
#include "client/simulator/counter.h"
#include "client/simulator/neighbours.h"

/* All pairs, one by one. */
static double counted(const float *positives, size_t positive_count, const float *negatives, size_t negative_count) {
    double wins = 0.0;
    for (size_t i = 0; i < positive_count; i++) {
        for (size_t j = 0; j < negative_count; j++) {
            wins += positives[i] > negatives[j] ? 1.0 : positives[i] == negatives[j] ? 0.5 : 0.0;
        }
    }
    return wins / ((double)positive_count * (double)negative_count);
}

static void it_is_the_count_of_pairs(void **state) {
    (void)state;
    for (uint64_t round = 0; round < 500; round++) {
        float positives[40], negatives[60];
        size_t p = 1 + counter_below(7, round, 0, 40), n = 1 + counter_below(7, round, 1, 60);
        uint32_t values = 1 + counter_below(7, round, 2, 30); /* few different ones: many ties */
        for (size_t i = 0; i < p; i++) {
            positives[i] = (float)counter_below(7, round, 100 + i, values);
        }
        for (size_t i = 0; i < n; i++) {
            negatives[i] = (float)counter_below(7, round, 200 + i, values) - 1.0f;
        }
        double expected = counted(positives, p, negatives, n);
        struct auc auc = auc_of(positives, p, negatives, n);
        if (fabs(auc.area - expected) > 1e-12) {
            fail_msg("round %d: %.17g, but by counting %.17g", (int)round, auc.area, expected);
        }
    }
}

static void known_cases(void **state) {
    (void)state;
    struct auc auc = auc_of((float[]){2, 3}, 2, (float[]){0, 1}, 2);
    assert_true(auc.area == 1.0 && auc.error == 0.0);
    auc = auc_of((float[]){0, 1}, 2, (float[]){2, 3}, 2);
    assert_true(auc.area == 0.0);
    auc = auc_of((float[]){1, 1, 1}, 3, (float[]){1, 1}, 2);
    assert_true(auc.area == 0.5 && auc.error == 0.0);
    auc = auc_of((float[]){1}, 1, (float[]){1}, 1);
    assert_true(auc.area == 0.5 && auc.error == 0.0);
    /* By hand: shares of the positives 0.5, 1 (variance 1/8), of the negatives 0.5, 1 (1/8): sqrt(1/16 + 1/16). */
    auc = auc_of((float[]){1, 3}, 2, (float[]){0, 2}, 2);
    assert_true(auc.area == 0.75 && fabs(auc.error - sqrt(0.125)) < 1e-15);
}

/* The deviation of the area over many samples is what each sample says of itself. */
static void the_error_is_what_samples_deviate(void **state) {
    double sum = 0.0, squares = 0.0, said = 0.0;
    const size_t samples = 2000;
    (void)state;
    for (uint64_t s = 0; s < samples; s++) {
        float positives[100], negatives[300];
        for (size_t i = 0; i < 300; i++) {
            negatives[i] = counter_sign_unit(11, s, i);
        }
        for (size_t i = 0; i < 100; i++) {
            positives[i] = counter_sign_unit(11, s, 1000 + i) + 0.5f;
        }
        struct auc auc = auc_of(positives, 100, negatives, 300);
        sum += auc.area;
        squares += auc.area * auc.area;
        said += auc.error / (double)samples;
    }
    double mean = sum / (double)samples, deviation = sqrt(squares / (double)samples - mean * mean);
    /* Uniform on [-1,1) against the same moved by 1/2: 1 - (3/4)^2 / 2. */
    assert_true(fabs(mean - (1.0 - 0.28125)) < 0.003);
    assert_true(fabs(said - deviation) < 0.1 * deviation);
}

static void cosines(void **state) {
    (void)state;
    assert_true(neighbours_cosine((float[]){1, 0}, (float[]){0, 2}, 2) == 0.0f);
    assert_true(neighbours_cosine((float[]){1, 2}, (float[]){2, 4}, 2) == 1.0f);
    assert_true(neighbours_cosine((float[]){1, 2}, (float[]){-1, -2}, 2) == -1.0f);
    assert_true(fabsf(neighbours_cosine((float[]){3, 4}, (float[]){4, 3}, 2) - 0.96f) < 1e-6f);
    assert_true(neighbours_cosine((float[]){0, 0}, (float[]){4, 3}, 2) == 0.0f);
    assert_true(neighbours_cosine((float[]){NAN, 1}, (float[]){4, 3}, 2) == 0.0f);
    assert_true(neighbours_cosine((float[]){1e-30f, 0}, (float[]){1e30f, 0}, 2) == 1.0f);
}

static void the_nearest_come_first(void **state) {
    const float vectors[] = {1, 0, 0.9f, 0.1f, 0, 1, -1, 0, 0.9f, 0.1f, 0.5f, 0.5f};
    struct neighbour nearest[8];
    (void)state;
    assert_int_equal(neighbours_of(vectors, 2, 6, 0, nearest, 3), 3);
    assert_int_equal(nearest[0].word, 1); /* of equally near ones the lower index */
    assert_int_equal(nearest[1].word, 4);
    assert_int_equal(nearest[2].word, 5);
    assert_int_equal(neighbours_of(vectors, 2, 6, 0, nearest, 8), 5);
    assert_int_equal(nearest[3].word, 2);
    assert_int_equal(nearest[4].word, 3);
    assert_true(nearest[4].cosine == -1.0f);
    assert_int_equal(neighbours_of(vectors, 2, 1, 0, nearest, 8), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_count_of_pairs),
        cmocka_unit_test(known_cases),
        cmocka_unit_test(the_error_is_what_samples_deviate),
        cmocka_unit_test(cosines),
        cmocka_unit_test(the_nearest_come_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
