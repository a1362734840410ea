/* The histogram against sorted arrays, which know the exact answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/histogram.h"
#include "seed.h"

static int uint64_order(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The definition, without buckets: the least value that at least `per_mille` thousandths of all do not exceed. */
static uint64_t exact_quantile(const uint64_t *sorted, size_t count, unsigned per_mille) {
    size_t rank = (count * per_mille + 999) / 1000;
    return sorted[rank == 0 ? 0 : rank - 1];
}

static void expect_near(uint64_t found, uint64_t exact) {
    if (found < exact || (double)(found - exact) > 0.0079 * (double)exact) {
        fail_msg("%llu where %llu is exact", (unsigned long long)found, (unsigned long long)exact);
    }
}

static void expect_like_sorted(const struct histogram *histogram, uint64_t *values, size_t count) {
    static const unsigned per_mille[] = {0, 1, 10, 250, 500, 900, 990, 999, 1000};
    double sum = 0.0;
    qsort(values, count, sizeof *values, uint64_order);
    assert_int_equal(histogram->count, count);
    assert_int_equal(histogram->max, values[count - 1]);
    for (size_t i = 0; i < sizeof per_mille / sizeof *per_mille; i++) {
        uint64_t exact = exact_quantile(values, count, per_mille[i]);
        expect_near(histogram_quantile(histogram, per_mille[i] / 1000.0), exact);
    }
    assert_int_equal(histogram_quantile(histogram, 1.0), values[count - 1]);
    for (size_t i = 0; i < count; i++) {
        sum += (double)values[i];
    }
    assert_true(histogram_mean(histogram) >= 0.999999 * sum / (double)count);
    assert_true(histogram_mean(histogram) <= 1.000001 * sum / (double)count);
}

static void buckets_are_narrow_and_without_gaps(void **state) {
    (void)state;
    assert_int_equal(histogram_bucket_low(0), 0);
    for (size_t b = 0; b < HISTOGRAM_BUCKETS; b++) {
        uint64_t low = histogram_bucket_low(b), high = histogram_bucket_high(b);
        assert_true(low <= high);
        assert_int_equal(histogram_bucket(low), b);
        assert_int_equal(histogram_bucket(high), b);
        assert_true((double)(high - low) < 0.0079 * (double)(low + 1));
        if (b + 1 < HISTOGRAM_BUCKETS) {
            assert_int_equal(histogram_bucket_low(b + 1), high + 1);
        }
    }
    assert_int_equal(histogram_bucket_high(HISTOGRAM_BUCKETS - 1), HISTOGRAM_HIGH);
    assert_true(HISTOGRAM_HIGH >= 4ull * 3600 * 1000000000);
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void quantiles_are_those_of_sorted_arrays(void **state) {
    static struct histogram histogram;
    uint64_t random = seed_begin("test_histogram"), *values = calloc(20000, sizeof *values);
    (void)state;
    assert_non_null(values);
    for (unsigned round = 0; round < 30; round++) {
        size_t count = 1 + (size_t)seed_below(&random, round < 10 ? 20 : 20000);
        unsigned bits = 1 + (unsigned)seed_below(&random, HISTOGRAM_OCTAVES);
        histogram_init(&histogram);
        for (size_t i = 0; i < count; i++) {
            /* Of all magnitudes up to `bits`, or (in odd rounds) many around one. */
            unsigned shift = 64 - (round % 2 == 1 ? bits : 1 + (unsigned)seed_below(&random, bits));
            values[i] = seed_next(&random) >> shift;
            histogram_record(&histogram, values[i]);
        }
        expect_like_sorted(&histogram, values, count);
    }
    free(values);
}

static void small_values_and_edges_are_exact(void **state) {
    static struct histogram histogram;
    (void)state;
    histogram_init(&histogram);
    assert_int_equal(histogram_quantile(&histogram, 0.5), 0);
    assert_true(histogram_mean(&histogram) <= 0.0);
    for (uint64_t v = 1; v <= 100; v++) {
        histogram_record(&histogram, v);
    }
    assert_int_equal(histogram_quantile(&histogram, 0.5), 50);
    assert_int_equal(histogram_quantile(&histogram, 0.9), 90);
    assert_int_equal(histogram_quantile(&histogram, 0.99), 99);
    assert_int_equal(histogram_quantile(&histogram, 0.991), 100);
    assert_int_equal(histogram_quantile(&histogram, 0.07), 7);
    assert_int_equal(histogram_quantile(&histogram, 0.0), 1);
    assert_int_equal(histogram_quantile(&histogram, -3.0), 1);
    assert_int_equal(histogram_quantile(&histogram, 7.0), 100);
    histogram_record(&histogram, UINT64_MAX / 2); /* longer than the range: the maximum stays exact */
    assert_int_equal(histogram_quantile(&histogram, 1.0), UINT64_MAX / 2);
    assert_int_equal(histogram.count, 101);
    histogram_record_many(&histogram, 7, 0);
    assert_int_equal(histogram.count, 101);
    histogram_record_many(&histogram, 7, 899);
    assert_int_equal(histogram_quantile(&histogram, 0.9), 7);
}

static void parts_are_merged_and_taken_apart(void **state) {
    static struct histogram parts[3], whole, earlier;
    uint64_t random = seed_begin("test_histogram"), values[3000];
    (void)state;
    for (size_t i = 0; i < 3000; i++) {
        values[i] = seed_next(&random) >> (20 + seed_below(&random, 40));
        histogram_record(&parts[i % 3], values[i]);
    }
    histogram_merge(&whole, &parts[0]);
    histogram_merge(&whole, &parts[1]);
    memcpy(&earlier, &whole, sizeof whole);
    histogram_merge(&whole, &parts[2]);
    expect_like_sorted(&whole, values, 3000);
    histogram_subtract(&whole, &earlier);
    assert_int_equal(whole.count, 1000);
    assert_int_equal(whole.sum, parts[2].sum);
    assert_memory_equal(whole.buckets, parts[2].buckets, sizeof whole.buckets);
    expect_near(whole.max, parts[2].max);
    histogram_subtract(&whole, &parts[2]);
    assert_int_equal(whole.count, 0);
    assert_int_equal(histogram_quantile(&whole, 0.99), 0);
}

/* It is plain memory: what one process records in shared memory, another reads. */
static void another_process_reads_it(void **state) {
    int status = 0;
    (void)state;
    struct histogram *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        for (uint64_t v = 0; v < 1000; v++) {
            histogram_record(shared, 1000 + v);
        }
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(shared->count, 1000);
    assert_int_equal(shared->max, 1999);
    expect_near(histogram_quantile(shared, 0.5), 1499);
    munmap(shared, sizeof *shared);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_are_narrow_and_without_gaps),
        cmocka_unit_test(quantiles_are_those_of_sorted_arrays),
        cmocka_unit_test(small_values_and_edges_are_exact),
        cmocka_unit_test(parts_are_merged_and_taken_apart),
        cmocka_unit_test(another_process_reads_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
