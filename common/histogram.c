#include "common/histogram.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define SUBS (UINT64_C(1) << HISTOGRAM_BITS)

_Static_assert(sizeof(struct histogram) == (3 + HISTOGRAM_BUCKETS) * sizeof(uint64_t), "no padding");

/* There is one writer, so a load and a store do; being atomic, no reader sees half a number. */
static uint64_t look(const uint64_t *number) {
    return __atomic_load_n(number, __ATOMIC_RELAXED);
}

static void put(uint64_t *number, uint64_t value) {
    __atomic_store_n(number, value, __ATOMIC_RELAXED);
}

void histogram_init(struct histogram *histogram) {
    memset(histogram, 0, sizeof *histogram);
}

/* Bucket b of the first 2 * SUBS holds the one value b; from there on SUBS buckets share each power of two. */
size_t histogram_bucket(uint64_t nanoseconds) {
    if (nanoseconds > HISTOGRAM_HIGH) {
        return HISTOGRAM_BUCKETS - 1;
    }
    if (nanoseconds < SUBS) {
        return (size_t)nanoseconds;
    }
    unsigned shift = 63u - (unsigned)__builtin_clzll(nanoseconds) - HISTOGRAM_BITS;
    return (size_t)(shift * SUBS + (nanoseconds >> shift));
}

uint64_t histogram_bucket_low(size_t bucket) {
    assert(bucket < HISTOGRAM_BUCKETS);
    if (bucket < SUBS) {
        return bucket;
    }
    unsigned shift = (unsigned)(bucket / SUBS) - 1;
    return (bucket % SUBS + SUBS) << shift;
}

uint64_t histogram_bucket_high(size_t bucket) {
    return bucket + 1 == HISTOGRAM_BUCKETS ? HISTOGRAM_HIGH : histogram_bucket_low(bucket + 1) - 1;
}

void histogram_record(struct histogram *histogram, uint64_t nanoseconds) {
    histogram_record_many(histogram, nanoseconds, 1);
}

void histogram_record_many(struct histogram *histogram, uint64_t nanoseconds, uint64_t times) {
    if (times == 0) {
        return;
    }
    uint64_t *bucket = &histogram->buckets[histogram_bucket(nanoseconds)];
    put(bucket, *bucket + times);
    put(&histogram->count, histogram->count + times);
    put(&histogram->sum, histogram->sum + nanoseconds * times);
    if (nanoseconds > histogram->max) {
        put(&histogram->max, nanoseconds);
    }
}

void histogram_merge(struct histogram *into, const struct histogram *from) {
    uint64_t count = 0, max = look(&from->max);
    for (size_t b = 0; b < HISTOGRAM_BUCKETS; b++) {
        uint64_t more = look(&from->buckets[b]);
        into->buckets[b] += more;
        count += more;
    }
    into->count += count; /* of what was copied, so that the two agree whoever records meanwhile */
    into->sum += look(&from->sum);
    into->max = max > into->max ? max : into->max;
}

void histogram_subtract(struct histogram *from, const struct histogram *before) {
    uint64_t highest = 0;
    from->count = 0;
    for (size_t b = 0; b < HISTOGRAM_BUCKETS; b++) {
        assert(from->buckets[b] >= before->buckets[b]);
        from->buckets[b] -= before->buckets[b];
        from->count += from->buckets[b];
        highest = from->buckets[b] > 0 ? histogram_bucket_high(b) : highest;
    }
    from->sum -= before->sum;
    from->max = highest < from->max ? highest : from->max;
}

uint64_t histogram_quantile(const struct histogram *histogram, double quantile) {
    uint64_t seen = 0;
    if (histogram->count == 0) {
        return 0;
    }
    quantile = !(quantile > 0.0) ? 0.0 : quantile > 1.0 ? 1.0 : quantile;
    /* 0.99 and its kin are no doubles: 0.07 of 100 values are 7, though the product is a little more. */
    double exact = ceil(quantile * (double)histogram->count * (1.0 - 1e-12));
    uint64_t rank = exact < 1.0 ? 1 : exact >= (double)histogram->count ? histogram->count : (uint64_t)exact;
    for (size_t b = 0; b < HISTOGRAM_BUCKETS; b++) {
        seen += histogram->buckets[b];
        if (seen >= rank) {
            uint64_t high = histogram_bucket_high(b);
            return b + 1 == HISTOGRAM_BUCKETS || high > histogram->max ? histogram->max : high;
        }
    }
    return histogram->max;
}

double histogram_mean(const struct histogram *histogram) {
    return histogram->count == 0 ? 0.0 : (double)histogram->sum / (double)histogram->count;
}
