/* The limit of a dense push_pull's arithmetic: Adam over state in memory.
 *
 *     m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g g,   w <- w - rate m / (sqrt(v) root + eps)
 *
 * (Kingma and Ba 2015, algorithm 1, with the corrections of the step folded into rate and root.) Weights and both
 * averages are arrays in memory, on huge pages; the gradient of 65,536 elements at a time comes from a buffer of 256
 * KiB that stays in the cache, as one that has just been received. T threads have a share of the blocks each. The
 * fastest loop here, of three instruction sets with and without fetching 2 KiB ahead, is found first and taken for the
 * rounds.
 *
 * Figures of a round, in nanoseconds: its time, and the processor's. */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "limit.h"

#define MOST_THREADS 64
#define BLOCK        65536 /* elements */
#define LINES        64    /* elements between two fetches: four cache lines of each array */
#define AHEAD        512   /* elements: 2 KiB */
#define TRIALS       5
#define WARM         1 /* of them, not counted */

#define B1   0.9f
#define B2   0.999f
#define RATE 1e-6f
#define ROOT 1.0f
#define EPS  1e-8f

typedef void loop(size_t n, const float *g, float *w, float *m, float *v);

static inline __attribute__((always_inline)) void stretch(size_t n, const float *restrict g, float *restrict w,
                                                          float *restrict m, float *restrict v) {
    for (size_t i = 0; i < n; i++) {
        m[i] = B1 * m[i] + (1.0f - B1) * g[i];
        v[i] = B2 * v[i] + (1.0f - B2) * g[i] * g[i];
        w[i] -= RATE * m[i] / (sqrtf(v[i]) * ROOT + EPS);
    }
}

static inline __attribute__((always_inline)) void ahead(size_t n, const float *restrict g, float *restrict w,
                                                        float *restrict m, float *restrict v) {
    for (size_t i = 0; i < n; i += LINES) {
        for (size_t line = 0; line < LINES; line += 16) {
            __builtin_prefetch(w + i + AHEAD + line, 1);
            __builtin_prefetch(m + i + AHEAD + line, 1);
            __builtin_prefetch(v + i + AHEAD + line, 1);
        }
        stretch(LINES, g + i, w + i, m + i, v + i);
    }
}

#define LOOPS(set, target)                                                                                             \
    target static void set##_plain(size_t n, const float *g, float *w, float *m, float *v) {                           \
        stretch(n, g, w, m, v);                                                                                        \
    }                                                                                                                  \
    target static void set##_ahead(size_t n, const float *g, float *w, float *m, float *v) {                           \
        ahead(n, g, w, m, v);                                                                                          \
    }

LOOPS(baseline, )
#if defined(__x86_64__)
LOOPS(avx2, __attribute__((target("avx2,fma"))))
LOOPS(avx512, __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,fma"))))
#endif

struct variant {
    const char *name;
    loop *run;
    int works;
};

struct worker {
    struct limit *limit;
    size_t begin, end; /* blocks */
    pthread_t thread;
};

struct limit {
    struct variant variant;
    int first_core; /* or -1 */
    size_t threads, elements;
    float *w, *m, *v, *gradients; /* a block of gradients for each thread */
    struct worker workers[MOST_THREADS];
    pthread_barrier_t start, done;
};

static void work(const struct worker *worker) {
    const struct limit *limit = worker->limit;
    const float *g = limit->gradients + (size_t)(worker - limit->workers) * BLOCK;
    for (size_t block = worker->begin; block < worker->end; block++) {
        const size_t at = block * BLOCK, n = limit->elements - at < BLOCK ? limit->elements - at : BLOCK;
        limit->variant.run(n, g, limit->w + at, limit->m + at, limit->v + at);
    }
}

static void *drive(void *user) {
    const struct worker *worker = user;
    limit_pin(worker->limit->first_core, (size_t)(worker - worker->limit->workers));
    for (;;) {
        pthread_barrier_wait(&worker->limit->start);
        work(worker);
        pthread_barrier_wait(&worker->limit->done);
    }
    return NULL;
}

static void update(void *user, double *figures) {
    struct limit *limit = user;
    const uint64_t processor = limit_cpu(), begin = limit_now();
    pthread_barrier_wait(&limit->start);
    work(&limit->workers[0]);
    pthread_barrier_wait(&limit->done);
    figures[0] = (double)(limit_now() - begin);
    figures[1] = (double)(limit_cpu() - processor);
}

static void open_state(struct limit *limit) {
    const size_t blocks = (limit->elements + BLOCK - 1) / BLOCK;
    /* Each array begins 704 bytes later in its page than the one before: loads and stores 4 KiB apart would wait. */
    limit->w = limit_memory(limit->elements * sizeof(float) + 8192);
    limit->m = (float *)limit_memory(limit->elements * sizeof(float) + 8192) + 176;
    limit->v = (float *)limit_memory(limit->elements * sizeof(float) + 8192) + 352;
    limit->gradients = (float *)limit_memory(limit->threads * BLOCK * sizeof(float) + 8192) + 528;
    for (size_t i = 0; i < limit->elements; i++) {
        limit->w[i] = (float)(i % 251) * 0.001f;
        limit->m[i] = (float)(i % 241) * 0.002f - 0.2f;
        limit->v[i] = (float)(i % 239) * 0.003f + 0.1f;
    }
    for (size_t i = 0; i < limit->threads * BLOCK; i++)
        limit->gradients[i] = (float)(i % 257) * 0.01f - 1.0f;
    limit_must(pthread_barrier_init(&limit->start, NULL, (unsigned)limit->threads) == 0 &&
                   pthread_barrier_init(&limit->done, NULL, (unsigned)limit->threads) == 0,
               "a barrier");
    for (size_t i = 0; i < limit->threads; i++) {
        limit->workers[i] = (struct worker){
            .limit = limit, .begin = blocks * i / limit->threads, .end = blocks * (i + 1) / limit->threads};
        if (i > 0)
            limit_must(pthread_create(&limit->workers[i].thread, NULL, drive, &limit->workers[i]) == 0, "a thread");
    }
}

static struct variant best(struct limit *limit, const struct variant *variants, size_t count) {
    struct variant winner = variants[0];
    double least = INFINITY;
    for (size_t v = 0; v < count; v++) {
        limit->variant = variants[v];
        for (size_t i = 0; i < TRIALS && variants[v].works; i++) {
            double figures[LIMIT_FIGURES];
            update(limit, figures);
            if (i >= WARM && figures[0] < least) {
                winner = variants[v];
                least = figures[0];
            }
        }
    }
    return winner;
}

int main(int argc, char **argv) {
    enum { THREADS, BYTES, CORE, ROUNDS, OPTIONS };
    struct limit_option options[OPTIONS] = {
        [THREADS] = {"threads", "1", "threads that share the blocks"},
        [BYTES] = {"bytes", "67108864", "of the weights; the averages have as many each; in multiples of 256"},
        [CORE] = {"core", "", "core to pin the first thread to, the next ones to the next"},
        [ROUNDS] = {"rounds", "0", "updates to do"},
    };
    static struct limit limit;
    static const char *const names[] = {"update", "CPU"};
    limit_options(options, OPTIONS, argc, argv, "limit_adam: Adam over weights and averages in memory");
    limit.threads = limit_number(&options[THREADS], 1, MOST_THREADS);
    limit.elements = limit_number(&options[BYTES], 256, (uint64_t)1 << 34) / 256 * LINES;
    limit.first_core = limit_core(&options[CORE]);
    limit_pin(limit.first_core, 0);
    open_state(&limit);
    const struct variant variants[] = {
        {"baseline", baseline_plain, 1},
        {"baseline, fetched ahead", baseline_ahead, 1},
#if defined(__x86_64__)
        {"avx2", avx2_plain, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")},
        {"avx2, fetched ahead", avx2_ahead, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")},
        {"avx512", avx512_plain, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")},
        {"avx512, fetched ahead", avx512_ahead,
         __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")},
#endif
    };
    limit.variant = best(&limit, variants, sizeof variants / sizeof variants[0]);
    printf("ready %s\n", limit.variant.name);
    limit_serve(update, &limit, names, 2, limit_number(&options[ROUNDS], 0, LIMIT_ROUNDS));
    return 0;
}
