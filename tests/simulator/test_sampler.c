/* Random numbers without a state, and the order in which workers see their images. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/simulator/counter.h"
#include "client/simulator/sampler.h"

/* Image i of the training set is 10 i: nothing here needs the digits. */
static struct split split;
static struct sampler sampler, other;

static int make_split(void **state) {
    (void)state;
    for (uint32_t i = 0; i < SPLIT_TRAIN; i++) {
        split.train[i] = 10 * i;
    }
    return 0;
}

/* SplitMix64 of Vigna's public splitmix64.c: from state 0 its first output is 0xe220a8397b1dcdaf. */
static void mixing_is_splitmix64(void **state) {
    (void)state;
    const uint64_t first = 0xe220a8397b1dcdafu;
    /* bits(s, t, i) = mix(mix(mix(s) ^ t) ^ i): with t = mix(0), i = mix(0) every argument of mix is 0 */
    assert_true(counter_bits(0, first, first) == first);
}

static void numbers_differ_by_each_argument(void **state) {
    (void)state;
    uint64_t base = counter_bits(1, 2, 3);
    assert_true(base == counter_bits(1, 2, 3));
    assert_true(base != counter_bits(2, 2, 3));
    assert_true(base != counter_bits(1, 3, 3));
    assert_true(base != counter_bits(1, 2, 4));
    assert_true(counter_bits(1, 2, 3) != counter_bits(2, 1, 3));
}

static void bounded_numbers_are_bounded_and_even(void **state) {
    unsigned counts[7] = {0};
    double sum = 0.0;
    (void)state;
    for (uint64_t i = 0; i < 70000; i++) {
        uint32_t value = counter_below(9, 9, i, 7);
        float unit = counter_sign_unit(9, 9, i);
        assert_true(value < 7);
        assert_true(unit >= -1.0f && unit < 1.0f);
        counts[value]++;
        sum += (double)unit;
    }
    for (size_t i = 0; i < 7; i++) {
        assert_in_range(counts[i], 9600, 10400); /* four standard deviations of 93 */
    }
    assert_true(sum / 70000.0 > -0.01 && sum / 70000.0 < 0.01);
    assert_int_equal(counter_below(1, 2, 3, 1), 0);
}

static void a_shuffle_is_a_permutation_and_each_is_as_likely(void **state) {
    unsigned counts[6] = {0};
    (void)state;
    for (uint64_t stream = 0; stream < 6000; stream++) {
        uint32_t entries[3] = {0, 1, 2};
        counter_shuffle(5, stream, entries, 3);
        assert_int_equal(entries[0] + entries[1] + entries[2], 3);
        assert_true(entries[0] != entries[1] && entries[1] != entries[2] && entries[0] != entries[2]);
        counts[entries[0] * 2 + (entries[1] > entries[2])]++;
    }
    for (size_t i = 0; i < 6; i++) {
        assert_in_range(counts[i], 880, 1120); /* four standard deviations of 29 */
    }
    counter_shuffle(1, 1, NULL, 0);
}

/* All workers of one epoch together see every image once. */
static void shares_partition_the_images(void **state) {
    (void)state;
    for (uint32_t workers = 1; workers <= 7; workers++) {
        unsigned char seen[SPLIT_TRAIN] = {0};
        size_t total = 0;
        for (uint32_t worker = 0; worker < workers; worker++) {
            const uint32_t *indices = NULL;
            size_t count = 0;
            uint64_t steps = 0;
            sampler_init(&sampler, &split, worker, workers, 32, 1, 3);
            while ((count = sampler_next(&sampler, &indices)) > 0) {
                assert_true(count <= 32);
                for (size_t i = 0; i < count; i++) {
                    assert_int_equal(indices[i] / 10 % workers, worker);
                    assert_int_equal(seen[indices[i] / 10]++, 0);
                }
                total += count;
                steps++;
            }
            assert_int_equal(steps, sampler_steps(worker, workers, 32, 1));
            assert_int_equal(sampler_next(&sampler, &indices), 0);
        }
        assert_int_equal(total, SPLIT_TRAIN);
    }
}

static void steps_are_counted(void **state) {
    (void)state;
    assert_int_equal(sampler_share(0, 4), 325);
    assert_int_equal(sampler_share(3, 4), 324);
    assert_int_equal(sampler_steps(0, 4, 0, 5), 5);       /* full */
    assert_int_equal(sampler_steps(0, 4, 1, 5), 5 * 325); /* stochastic */
    assert_int_equal(sampler_steps(0, 4, 32, 5), 5 * 11); /* ten of 32 and one of 5 */
    assert_int_equal(sampler_steps(3, 4, 324, 5), 5);     /* exactly the share */
    assert_int_equal(sampler_steps(3, 4, 5000, 5), 5);    /* more than the share */
    assert_int_equal(sampler_share(SPLIT_TRAIN - 1, SPLIT_TRAIN), 1);
}

static void orders_depend_on_seed_worker_and_epoch_only(void **state) {
    const uint32_t *indices = NULL;
    uint32_t first[325], second[325];
    (void)state;
    sampler_init(&sampler, &split, 0, 4, 0, 2, 3);
    assert_int_equal(sampler_next(&sampler, &indices), 325);
    memcpy(first, indices, sizeof first);
    assert_int_equal(sampler_next(&sampler, &indices), 325);
    memcpy(second, indices, sizeof second);
    assert_memory_not_equal(first, second, sizeof first);
    /* Another batch size: the same order. */
    sampler_init(&other, &split, 0, 4, 25, 2, 3);
    for (size_t i = 0; i < 650; i += 25) {
        assert_int_equal(sampler_next(&other, &indices), 25);
        assert_memory_equal(indices, i < 325 ? first + i : second + (i - 325), 25 * sizeof *indices);
    }
    assert_int_equal(sampler_next(&other, &indices), 0);
    sampler_init(&other, &split, 0, 4, 0, 2, 4);
    assert_int_equal(sampler_next(&other, &indices), 325);
    assert_memory_not_equal(first, indices, sizeof first);
}

/* Parts of all workers, put together, are the batches of one worker that are as many times as large; 5 does not divide
 * 100, nor 1,297 anything. */
static void together_they_have_the_batches_of_one(void **state) {
    enum { WORKERS = 5 };
    static struct sampler parts[WORKERS];
    static const uint64_t batches[] = {20, 1, 0};
    (void)state;
    for (size_t b = 0; b < 3; b++) {
        const uint32_t *indices = NULL, *part = NULL;
        size_t count = 0, of = 0, whole = 0;
        sampler_init(&sampler, &split, 0, 1, WORKERS * batches[b], 2, 3);
        for (uint32_t w = 0; w < WORKERS; w++) {
            sampler_init_together(&parts[w], &split, w, WORKERS, batches[b], 2, 3);
        }
        while ((count = sampler_next(&sampler, &indices)) > 0) {
            size_t at = 0;
            for (uint32_t w = 0; w < WORKERS; w++) {
                assert_true(sampler_next_part(&parts[w], &part, &of, &whole));
                assert_int_equal(whole, count);
                assert_true(of == count / WORKERS || of == count / WORKERS + 1);
                assert_memory_equal(part, indices + at, of * sizeof *part);
                at += of;
            }
            assert_int_equal(at, count);
        }
        for (uint32_t w = 0; w < WORKERS; w++) {
            assert_false(sampler_next_part(&parts[w], &part, &of, &whole));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mixing_is_splitmix64),
        cmocka_unit_test(numbers_differ_by_each_argument),
        cmocka_unit_test(bounded_numbers_are_bounded_and_even),
        cmocka_unit_test(a_shuffle_is_a_permutation_and_each_is_as_likely),
        cmocka_unit_test(shares_partition_the_images),
        cmocka_unit_test(steps_are_counted),
        cmocka_unit_test(orders_depend_on_seed_worker_and_epoch_only),
        cmocka_unit_test(together_they_have_the_batches_of_one),
    };
    return cmocka_run_group_tests(tests, make_split, NULL);
}
