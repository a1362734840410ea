/* How fast the optimizers' loops are, beside the limit that memory sets.
 *
 *     bench_kernels [OPTIMIZER ...]         all dense ones without arguments
 *
 * PyTorch's step on as many parameters, on one thread, follows where /usr/bin/python3 has it (torch_step.py).
 *
 * For each optimizer and instruction set: parameters and bytes per second on one core, with all arrays in the first
 * cache and with all of them in memory. An update reads the gradient and reads and writes the weights and every slot.
 * Its limit from memory is a loop that does the same reads and writes of the same arrays with one multiplication and
 * addition for each (a triad over as many arrays), compiled for the instruction set that runs it fastest here.
 *
 * The machine may have other work. So time is the thread's own, not the clock's; the limit is measured before and after
 * every measurement of an update, and the ratio is taken round by round against the mean of the two; and figures are
 * medians of the rounds. The arrays begin on pages of their own, each at another place within its page: a store and a
 * load 4 KiB apart would wait for each other. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/optimizers/kernel.h"

#define ROUNDS       15
#define IN_CACHE     1024       /* elements: five arrays of them are 20 KiB */
#define FROM_MEMORY  (1u << 24) /* elements: 64 MiB an array */
#define CACHE_REPEAT 2000       /* updates of the small arrays in one measurement */
#define ARRAYS       (2 + OPTIMIZER_SLOTS)
#define PAGE         4096
#define STAGGER      704 /* bytes by which each array begins later in its page than the one before: 11 cache lines */

/* A gradient, weights and slots. */
struct arrays {
    size_t elements;
    void *memory[ARRAYS];
    float *values[ARRAYS];
};

typedef void work(const struct optimizer *optimizer, enum optimizer_set set, const struct arrays *arrays);

static double seconds_now(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0)
        abort();
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int arrays_make(struct arrays *arrays, size_t elements) {
    uint32_t state = 1;
    *arrays = (struct arrays){.elements = elements};
    for (size_t a = 0; a < ARRAYS; a++) {
        arrays->memory[a] = aligned_alloc(PAGE, elements * sizeof(float) + PAGE);
        if (arrays->memory[a] == NULL)
            return -1;
        arrays->values[a] = (float *)arrays->memory[a] + a * STAGGER / sizeof(float);
        for (size_t i = 0; i < elements; i++) {
            state = state * 1664525u + 1013904223u;
            arrays->values[a][i] = (float)(state >> 8) / 0x1p24f; /* positive, as averages of squares are */
        }
    }
    return 0;
}

static void arrays_free(struct arrays *arrays) {
    for (size_t a = 0; a < ARRAYS; a++)
        free(arrays->memory[a]);
}

static void update(const struct optimizer *optimizer, enum optimizer_set set, const struct arrays *arrays) {
    double hyper[OPTIMIZER_HYPERPARAMETERS], scalars[OPTIMIZER_SCALARS];
    float prepared[OPTIMIZER_PREPARED] = {0.0f};
    for (size_t i = 0; i < optimizer->hyperparameter_count; i++)
        hyper[i] = optimizer->hyperparameters[i].fallback;
    hyper[OPTIMIZER_LR] = 1e-6; /* so that nothing drifts to where it overflows */
    memcpy(scalars, optimizer->scalar_initial, sizeof scalars);
    optimizer->prepare(hyper, 100, scalars, prepared);
    (void)optimizer->update[set](prepared, arrays->elements, arrays->values[0], arrays->values[1],
                                 (float *const *)arrays->values + 2);
}

#if defined(__x86_64__)
/* What bounds Adam in cache with AVX2: one vsqrtps and one vdivps for eight elements share the one divider that CPUs
 * have, and nothing else in its loop (10 multiplications, 12 additions, 8 comparisons and selections, 13 loads, 3
 * stores) takes a unit for as long. This loop has those two instructions alone, four independent ones at a time. */
static __attribute__((target("avx2"))) void divider(const struct optimizer *optimizer, enum optimizer_set set,
                                                    const struct arrays *arrays) {
    const float *values = arrays->values[1];
    (void)optimizer;
    (void)set;
    __asm__ volatile("vmovups %0, %%ymm8\n\tvmovups %1, %%ymm9" ::"m"(*(const char(*)[32])values),
                     "m"(*(const char(*)[32])(values + 8)));
    for (size_t i = 0; i < arrays->elements; i += 16)
        __asm__ volatile("vsqrtps %%ymm8, %%ymm0\n\tvdivps %%ymm8, %%ymm9, %%ymm1\n\t"
                         "vsqrtps %%ymm8, %%ymm2\n\tvdivps %%ymm8, %%ymm9, %%ymm3" ::
                             : "xmm0", "xmm1", "xmm2", "xmm3");
}
#endif

/* Slots that an update at default settings reads and writes: RMSprop has two that only other settings use. */
static size_t slots_in_use(const struct optimizer *optimizer) {
    return strcmp(optimizer->name, "rmsprop") == 0 ? 1 : optimizer->slot_count;
}

/* The limit: as many arrays read, and all but the first written. */
static inline __attribute__((always_inline)) void triad(size_t slots, const struct arrays *arrays) {
    const size_t n = arrays->elements;
    const float *restrict g = arrays->values[0];
    float *restrict a = arrays->values[1], *restrict b = arrays->values[2], *restrict c = arrays->values[3],
                    *restrict d = arrays->values[4];
    switch (slots) {
    case 0:
        for (size_t i = 0; i < n; i++)
            a[i] = a[i] * 0.5f + g[i];
        break;
    case 1:
        for (size_t i = 0; i < n; i++) {
            a[i] = a[i] * 0.5f + g[i];
            b[i] = b[i] * 0.5f + g[i];
        }
        break;
    case 2:
        for (size_t i = 0; i < n; i++) {
            a[i] = a[i] * 0.5f + g[i];
            b[i] = b[i] * 0.5f + g[i];
            c[i] = c[i] * 0.5f + g[i];
        }
        break;
    default:
        for (size_t i = 0; i < n; i++) {
            a[i] = a[i] * 0.5f + g[i];
            b[i] = b[i] * 0.5f + g[i];
            c[i] = c[i] * 0.5f + g[i];
            d[i] = d[i] * 0.5f + g[i];
        }
        break;
    }
}
static void triad_baseline(size_t slots, const struct arrays *arrays) {
    triad(slots, arrays);
}
TARGET_AVX2 static void triad_avx2(size_t slots, const struct arrays *arrays) {
    triad(slots, arrays);
}
TARGET_AVX512 static void triad_avx512(size_t slots, const struct arrays *arrays) {
    triad(slots, arrays);
}

static void limit(const struct optimizer *optimizer, enum optimizer_set set, const struct arrays *arrays) {
    static void (*const triads[])(size_t, const struct arrays *) = {triad_baseline, triad_avx2, triad_avx512};
    triads[set](slots_in_use(optimizer), arrays);
}

static int compare(const void *left, const void *right) {
    const double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static double median(double *values) {
    qsort(values, ROUNDS, sizeof values[0], compare);
    return values[ROUNDS / 2];
}

/* One loop under measurement, and its seconds for an element. */
struct subject {
    work *work;
    enum optimizer_set set;
    double seconds;
};

static double time_once(const struct optimizer *optimizer, const struct arrays *arrays, size_t repeat,
                        const struct subject *subject) {
    const double begin = seconds_now();
    for (size_t i = 0; i < repeat; i++)
        subject->work(optimizer, subject->set, arrays);
    return (seconds_now() - begin) / ((double)repeat * (double)arrays->elements);
}

/* Both in turns. Returns how near the subject comes to the bound: 1 for as fast. */
static double measure(const struct optimizer *optimizer, const struct arrays *arrays, size_t repeat,
                      struct subject *bound, struct subject *subject) {
    double bounds[ROUNDS], times[ROUNDS], ratios[ROUNDS];
    (void)time_once(optimizer, arrays, repeat, subject);
    double before = time_once(optimizer, arrays, repeat, bound);
    for (size_t round = 0; round < ROUNDS; round++) {
        times[round] = time_once(optimizer, arrays, repeat, subject);
        const double after = time_once(optimizer, arrays, repeat, bound);
        bounds[round] = (before + after) / 2.0;
        ratios[round] = bounds[round] / times[round];
        before = after;
    }
    bound->seconds = median(bounds);
    subject->seconds = median(times);
    return median(ratios);
}

/* The triad of the instruction set that runs it fastest from memory, against the baseline's. */
static struct subject choose_limit(const struct optimizer *optimizer, const struct arrays *stored) {
    struct subject baseline = {limit, OPTIMIZER_BASELINE, 0.0}, chosen = baseline;
    double best = 1.0;
    for (int set = OPTIMIZER_AVX2; set < OPTIMIZER_SETS; set++) {
        struct subject subject = {limit, (enum optimizer_set)set, 0.0};
        if (!optimizer_set_supported((enum optimizer_set)set))
            continue;
        const double ratio = measure(optimizer, stored, 1, &baseline, &subject);
        chosen = ratio > best ? subject : chosen;
        best = ratio > best ? ratio : best;
    }
    return chosen;
}

static void report(const struct optimizer *optimizer, const struct arrays *cached, const struct arrays *stored) {
    struct subject bound = choose_limit(optimizer, stored);
    const double bytes = 4.0 * (3.0 + 2.0 * (double)slots_in_use(optimizer));
    for (int set = 0; set < OPTIMIZER_SETS; set++) {
        struct subject in_cache = {update, (enum optimizer_set)set, 0.0}, from_memory = in_cache, cached_bound = bound;
        if (!optimizer_set_supported((enum optimizer_set)set))
            continue;
        (void)measure(optimizer, cached, CACHE_REPEAT, &cached_bound, &in_cache);
        const double ratio = measure(optimizer, stored, 1, &bound, &from_memory);
        printf("%-10s %-9s %6.0f  %10.0f %9.1f  %10.0f %9.1f  %9.1f %7.2f\n", optimizer->name,
               optimizer_set_name((enum optimizer_set)set), bytes, 1e-6 / in_cache.seconds,
               1e-9 * bytes / in_cache.seconds, 1e-6 / from_memory.seconds, 1e-9 * bytes / from_memory.seconds,
               1e-9 * bytes / bound.seconds, ratio);
        fflush(stdout);
    }
}

/* Adam in cache beside the divider's limit, in turns. */
static void report_divider(const struct arrays *cached) {
#if defined(__x86_64__)
    struct subject bound = {divider, OPTIMIZER_AVX2, 0.0}, subject = {update, OPTIMIZER_AVX2, 0.0};
    if (optimizer_set_supported(OPTIMIZER_AVX2)) {
        const double ratio = measure(optimizer_find("adam"), cached, CACHE_REPEAT, &bound, &subject);
        printf("\nadam, AVX2, in cache: %.0f M/s; the divider allows %.0f (one vsqrtps and one vdivps for 8): %.2f\n",
               1e-6 / subject.seconds, 1e-6 / bound.seconds, ratio);
    }
#else
    (void)cached;
#endif
}

/* PyTorch's steps, for the optimizers that were asked for: a program of its own that prints its own table. */
static void report_torch(int argc, char **argv) {
    char command[1024] = "/usr/bin/python3 " CANYON_SOURCE_DIR "/tests/bench/torch_step.py";
    for (int i = 1; i < argc; i++) {
        const size_t used = strlen(command);
        if (optimizer_find(argv[i]) != NULL)
            snprintf(command + used, sizeof command - used, " %s", argv[i]);
    }
    putchar('\n');
    fflush(stdout);
    if (system(command) != 0)
        puts("SKIPPED: PyTorch's steps: torch_step.py could not run");
}

int main(int argc, char **argv) {
    struct arrays cached, stored;
    int code = EXIT_FAILURE;
    const int enough = arrays_make(&cached, IN_CACHE) == 0 && arrays_make(&stored, FROM_MEMORY) == 0;
    if (!enough) {
        fprintf(stderr, "bench_kernels: %zu MiB cannot be had\n", ARRAYS * sizeof(float) * (FROM_MEMORY >> 20));
        return code;
    }
    printf("one core; medians of %d; in cache %d elements, from memory %u; bytes: read and written for a parameter\n\n",
           ROUNDS, IN_CACHE, FROM_MEMORY);
    printf("%-10s %-9s %6s  %10s %9s  %10s %9s  %9s %7s\n", "", "", "", "in cache", "", "memory", "", "triad",
           "of the");
    printf("%-10s %-9s %6s  %10s %9s  %10s %9s  %9s %7s\n", "optimizer", "set", "bytes", "M/s", "GB/s", "M/s", "GB/s",
           "GB/s", "triad");
    code = EXIT_SUCCESS;
    for (int i = 1; i < argc; i++) {
        const struct optimizer *optimizer = optimizer_find(argv[i]);
        if (optimizer == NULL || optimizer->rows_only) {
            fprintf(stderr, "bench_kernels: no optimizer '%s' for tensors\n", argv[i]);
            code = EXIT_FAILURE;
        } else {
            report(optimizer, &cached, &stored);
        }
    }
    for (size_t i = 0; argc == 1 && i < optimizer_count(); i++) {
        if (!optimizer_at(i)->rows_only)
            report(optimizer_at(i), &cached, &stored);
    }
    report_divider(&cached);
    report_torch(argc, argv);
    arrays_free(&cached);
    arrays_free(&stored);
    return code;
}
