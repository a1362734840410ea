/* How fast the optimizers' loops are, beside the limit that memory sets.
 *
 *     bench_kernels [OPTIMIZER ...]         all dense ones without arguments
 *
 * tests/bench/torch_step.py has PyTorch's step on as many parameters, one thread, to set beside the figures from
 * memory.
 *
 * For each optimizer and instruction set: parameters and bytes per second on one core, with all arrays in the first
 * cache and with all of them in memory. An update reads the gradient and reads and writes the weights and every slot.
 * Its limit from memory is a loop that does the same reads and writes with one multiplication and addition for each
 * array (a triad over as many arrays), measured in turns with it. Figures are medians of the rounds. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/optimizers/optimizer.h"

#define ROUNDS       9
#define IN_CACHE     1024       /* elements: five arrays of them are 20 KiB */
#define FROM_MEMORY  (1u << 24) /* elements: 64 MiB an array */
#define CACHE_REPEAT 2000       /* updates of the small arrays in one measurement */
#define ARRAYS       (2 + OPTIMIZER_SLOTS)
#define LINE         64

/* A gradient, weights and slots. */
struct arrays {
    size_t count, elements;
    float *values[ARRAYS];
};

typedef void work(const struct optimizer *optimizer, enum optimizer_set set, const struct arrays *arrays);

static double seconds_now(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        abort();
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int arrays_make(struct arrays *arrays, size_t elements) {
    uint32_t state = 1;
    *arrays = (struct arrays){.count = ARRAYS, .elements = elements};
    for (size_t a = 0; a < ARRAYS; a++) {
        arrays->values[a] = aligned_alloc(LINE, elements * sizeof(float));
        if (arrays->values[a] == NULL)
            return -1;
        for (size_t i = 0; i < elements; i++) {
            state = state * 1664525u + 1013904223u;
            arrays->values[a][i] = (float)(state >> 8) / 0x1p24f; /* positive, as averages of squares are */
        }
    }
    return 0;
}

static void arrays_free(struct arrays *arrays) {
    for (size_t a = 0; a < ARRAYS; a++)
        free(arrays->values[a]);
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
static void triad(const struct optimizer *optimizer, enum optimizer_set set, const struct arrays *arrays) {
    const size_t n = arrays->elements;
    const float *restrict g = arrays->values[0];
    float *restrict a = arrays->values[1], *restrict b = arrays->values[2], *restrict c = arrays->values[3],
                    *restrict d = arrays->values[4];
    (void)set;
    switch (slots_in_use(optimizer)) {
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

static int compare(const void *left, const void *right) {
    const double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static double median(double *values) {
    qsort(values, ROUNDS, sizeof values[0], compare);
    return values[ROUNDS / 2];
}

/* Seconds for an element, of several loops measured in turns. */
static void measure(const struct optimizer *optimizer, const struct arrays *arrays, size_t repeat, work *const *works,
                    const enum optimizer_set *sets, size_t count, double *results) {
    double times[1 + OPTIMIZER_SETS][ROUNDS];
    for (size_t k = 0; k < count; k++)
        works[k](optimizer, sets[k], arrays);
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t k = 0; k < count; k++) {
            const double begin = seconds_now();
            for (size_t i = 0; i < repeat; i++)
                works[k](optimizer, sets[k], arrays);
            times[k][round] = (seconds_now() - begin) / ((double)repeat * (double)arrays->elements);
        }
    }
    for (size_t k = 0; k < count; k++)
        results[k] = median(times[k]);
}

static void report(const struct optimizer *optimizer, const struct arrays *cached, const struct arrays *stored) {
    work *works[1 + OPTIMIZER_SETS] = {triad};
    enum optimizer_set sets[1 + OPTIMIZER_SETS] = {OPTIMIZER_BASELINE};
    double in_cache[1 + OPTIMIZER_SETS], from_memory[1 + OPTIMIZER_SETS];
    size_t count = 1;
    for (int set = 0; set < OPTIMIZER_SETS; set++) {
        if (optimizer_set_supported((enum optimizer_set)set)) {
            works[count] = update;
            sets[count++] = (enum optimizer_set)set;
        }
    }
    measure(optimizer, cached, CACHE_REPEAT, works, sets, count, in_cache);
    measure(optimizer, stored, 1, works, sets, count, from_memory);
    const double bytes = 4.0 * (3.0 + 2.0 * (double)slots_in_use(optimizer));
    for (size_t k = 1; k < count; k++)
        printf("%-10s %-9s %6.0f  %10.0f %9.1f  %10.0f %9.1f  %9.1f %7.2f\n", optimizer->name,
               optimizer_set_name(sets[k]), bytes, 1e-6 / in_cache[k], 1e-9 * bytes / in_cache[k],
               1e-6 / from_memory[k], 1e-9 * bytes / from_memory[k], 1e-9 * bytes / from_memory[0],
               from_memory[0] / from_memory[k]);
    fflush(stdout);
}

/* Adam in cache beside the divider's limit, in turns. */
static void report_divider(const struct arrays *cached) {
#if defined(__x86_64__)
    work *const works[] = {divider, update};
    const enum optimizer_set sets[] = {OPTIMIZER_AVX2, OPTIMIZER_AVX2};
    double results[2];
    if (optimizer_set_supported(OPTIMIZER_AVX2)) {
        measure(optimizer_find("adam"), cached, CACHE_REPEAT, works, sets, 2, results);
        printf("\nadam, AVX2, in cache: %.0f M/s; the divider allows %.0f (one vsqrtps and one vdivps for 8): %.2f\n",
               1e-6 / results[1], 1e-6 / results[0], results[0] / results[1]);
    }
#else
    (void)cached;
#endif
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
    arrays_free(&cached);
    arrays_free(&stored);
    return code;
}
