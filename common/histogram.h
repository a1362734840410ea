/* Counts of durations in nanoseconds, for quantiles: high dynamic range, one relative precision, fixed memory.
 *
 * Values below 128 have a bucket each; above, every power of two is cut into 128 equal buckets. A bucket is therefore
 * at most 1/128 (0.8 %) as wide as the values in it, from 1 ns to HISTOGRAM_HIGH, 4.8 hours; what is longer counts in
 * the last bucket, though `max` stays exact. (The layout is that of G. Tene's HdrHistogram, with 7 bits.)
 *
 * A struct histogram is plain memory without pointers, 38 KiB, all zeros when empty: it can lie in memory that
 * processes share, be copied with memcpy, or be written to a file. One thread records at a time; others, of other
 * processes too, may read meanwhile: every number they see is whole, though not all of them of one moment. */
#ifndef CANYON_COMMON_HISTOGRAM_H
#define CANYON_COMMON_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BITS    7  /* a power of two is cut into 2^7 buckets */
#define HISTOGRAM_OCTAVES 44 /* bits of the longest duration */
#define HISTOGRAM_BUCKETS ((HISTOGRAM_OCTAVES - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS)
#define HISTOGRAM_HIGH    ((UINT64_C(1) << HISTOGRAM_OCTAVES) - 1) /* ns: 17,592 s */

struct histogram {
    uint64_t count; /* of all values */
    uint64_t sum;   /* ns; exact until it passes 2^64 ns, 584 years */
    uint64_t max;   /* ns; exact, 0 when empty */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_init(struct histogram *histogram);

/* Counts a duration, or `times` equal ones. No loop, no allocation. */
void histogram_record(struct histogram *histogram, uint64_t nanoseconds);
void histogram_record_many(struct histogram *histogram, uint64_t nanoseconds, uint64_t times);

/* Adds the counts of `from`, which somebody may be recording to. */
void histogram_merge(struct histogram *into, const struct histogram *from);

/* Takes off the counts of `before`, an earlier copy of the same histogram: what is left was recorded since then. Its
 * max is then known to the precision of a bucket only. */
void histogram_subtract(struct histogram *from, const struct histogram *before);

/* The smallest duration that at least a share `quantile` (cut to 0..1) of all values does not exceed: exactly the
 * ceil(quantile * count)-th smallest value, at least the first, seen through its bucket. It is the bucket's upper end,
 * or max if that is less; so never below the true value, and above it by less than a part in 128. 0 when empty. */
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);

/* The mean in nanoseconds; exact. 0 when empty. */
double histogram_mean(const struct histogram *histogram);

/* The bucket of a duration, and the least and the largest duration of a bucket. */
size_t histogram_bucket(uint64_t nanoseconds);
uint64_t histogram_bucket_low(size_t bucket);
uint64_t histogram_bucket_high(size_t bucket);

#endif
