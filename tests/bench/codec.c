/* How fast values are encoded and decoded, beside memcpy of the same values as float32.
 *
 *     bench_codec [CODEC ...]         all without arguments
 *
 * For each codec and instruction set: gigabytes of float32 per second on one core, with everything in the cache of the
 * second level (a block of 32,768 values) and with everything in memory. A codec can be faster than the memcpy, since
 * it moves fewer bytes. The machine may have other work: time is the thread's own, memcpy is measured before and after
 * every measurement, ratios are taken round by round against the mean of the two, and figures are medians. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/codec.h"

#define ROUNDS      11
#define IN_CACHE    32768
#define FROM_MEMORY (1u << 24) /* values: 64 MiB */
#define BLOCK       65536u
#define FRACTION    0.01
#define PAGE        4096

struct subject {
    enum codec codec;
    bool feedback, decodes;
};

struct arrays {
    size_t elements, block;
    float *values, *residual, *there;
    uint8_t *bytes; /* room for memcpy's copy */
};

typedef void work(const struct subject *subject, const struct arrays *arrays);

static double seconds_now(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0)
        abort();
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void *take(size_t bytes) {
    void *memory = aligned_alloc(PAGE, (bytes + PAGE - 1) / PAGE * PAGE);
    if (memory == NULL) {
        fprintf(stderr, "bench_codec: no memory for %zu bytes\n", bytes);
        exit(EXIT_FAILURE);
    }
    memset(memory, 0, bytes);
    return memory;
}

static void arrays_make(struct arrays *arrays, size_t elements) {
    uint32_t state = 1;
    *arrays = (struct arrays){.elements = elements, .block = elements < BLOCK ? elements : BLOCK};
    arrays->values = take(elements * sizeof(float));
    arrays->residual = take(elements * sizeof(float));
    arrays->there = take(elements * sizeof(float));
    arrays->bytes = take(elements * sizeof(float));
    for (size_t i = 0; i < elements; i++) {
        /* Sums of three draws, so that sizes differ as a gradient's do. */
        float sum = 0.0f;
        for (int k = 0; k < 3; k++) {
            state = state * 1664525u + 1013904223u;
            sum += (float)(state >> 8) / 0x1p24f - 0.5f;
        }
        arrays->values[i] = sum;
    }
}

static void arrays_free(struct arrays *arrays) {
    free(arrays->values);
    free(arrays->residual);
    free(arrays->there);
    free(arrays->bytes);
}

/* A block at a time, as they are sent; each to its own place. */
static void run_codec(const struct subject *subject, const struct arrays *arrays) {
    const size_t kept = codec_kept(FRACTION, arrays->block), each = codec_bytes(subject->codec, arrays->block, kept);
    for (size_t at = 0; at < arrays->elements; at += arrays->block) {
        uint8_t *bytes = arrays->bytes + at / arrays->block * each;
        if (subject->decodes) {
            if (codec_decode(subject->codec, bytes, each, arrays->block, kept, arrays->there + at, NULL) != CANYON_OK)
                abort();
        } else {
            codec_encode_feedback(subject->codec, arrays->values + at, subject->feedback ? arrays->residual + at : NULL,
                                  arrays->block, kept, at, bytes);
        }
    }
}

static void run_memcpy(const struct subject *subject, const struct arrays *arrays) {
    (void)subject;
    for (size_t at = 0; at < arrays->elements; at += arrays->block)
        memcpy(arrays->there + at, arrays->values + at, arrays->block * sizeof(float));
}

static int compare(const void *left, const void *right) {
    const double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static double median(double *values) {
    qsort(values, ROUNDS, sizeof values[0], compare);
    return values[ROUNDS / 2];
}

static double time_once(work *run, const struct subject *subject, const struct arrays *arrays, size_t repeat) {
    const double begin = seconds_now();
    for (size_t i = 0; i < repeat; i++)
        run(subject, arrays);
    return (seconds_now() - begin) / (double)repeat;
}

struct figure {
    double gigabytes, copied, ratio;
};

static struct figure measure(const struct subject *subject, const struct arrays *arrays, size_t repeat) {
    double times[ROUNDS], copies[ROUNDS], ratios[ROUNDS];
    const double size = 1e-9 * (double)arrays->elements * sizeof(float);
    struct subject encodes = {.codec = subject->codec};
    run_codec(&encodes, arrays); /* bytes to decode */
    (void)time_once(run_codec, subject, arrays, 1);
    double before = time_once(run_memcpy, subject, arrays, repeat);
    for (size_t round = 0; round < ROUNDS; round++) {
        times[round] = time_once(run_codec, subject, arrays, repeat);
        const double after = time_once(run_memcpy, subject, arrays, repeat);
        copies[round] = (before + after) / 2.0;
        ratios[round] = copies[round] / times[round];
        before = after;
    }
    return (struct figure){size / median(times), size / median(copies), median(ratios)};
}

static void report(const struct subject *subject, const struct arrays *cached, const struct arrays *stored) {
    for (enum codec_set set = CODEC_BASELINE; set < CODEC_SETS; set++) {
        if (!codec_set_supported(set))
            continue;
        codec_set_choose(set);
        const struct figure near = measure(subject, cached, 100), far = measure(subject, stored, 1);
        printf("%-16s %-6s %-9s %5.3f  %7.1f %7.1f %5.2f  %7.1f %7.1f %5.2f\n", codec_name(subject->codec),
               subject->decodes    ? "decode"
               : subject->feedback ? "feed"
                                   : "encode",
               codec_set_name(set),
               (double)codec_bytes(subject->codec, BLOCK, codec_kept(FRACTION, BLOCK)) / (BLOCK * sizeof(float)),
               near.gigabytes, near.copied, near.ratio, far.gigabytes, far.copied, far.ratio);
        fflush(stdout);
    }
}

static bool asked(int argc, char **argv, enum codec codec) {
    bool found = argc == 1;
    for (int i = 1; i < argc; i++)
        found = found || strcmp(argv[i], codec_name(codec)) == 0;
    return found;
}

int main(int argc, char **argv) {
    struct arrays cached, stored;
    arrays_make(&cached, IN_CACHE);
    arrays_make(&stored, FROM_MEMORY);
    printf("one core; medians of %d; GB/s of float32; topk keeps %g; feed: encoding with error feedback\n\n", ROUNDS,
           FRACTION);
    printf("%-16s %-6s %-9s %5s  %7s %7s %5s  %7s %7s %5s\n", "", "", "", "of", "cache", "memcpy", "", "memory",
           "memcpy", "");
    printf("%-16s %-6s %-9s %5s  %7s %7s %5s  %7s %7s %5s\n", "codec", "", "set", "f32", "GB/s", "GB/s", "ratio",
           "GB/s", "GB/s", "ratio");
    for (enum codec codec = CODEC_F32; codec <= CODEC_LAST; codec++) {
        if (!asked(argc, argv, codec))
            continue;
        report(&(struct subject){.codec = codec}, &cached, &stored);
        if (codec != CODEC_F32)
            report(&(struct subject){.codec = codec, .feedback = true}, &cached, &stored);
        report(&(struct subject){.codec = codec, .decodes = true}, &cached, &stored);
    }
    arrays_free(&cached);
    arrays_free(&stored);
    return EXIT_SUCCESS;
}
