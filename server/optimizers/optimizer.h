/* An optimizer is a descriptor: names, ranges, how per-step scalars are prepared, and the update loop.
 *
 * Optimizers are pure: they include libc and this header only, and below the shard only + - * / sqrt are used, so that
 * the same commands give the same bits on every CPU. Adding one is adding one file and one line in registry.c; kernel.h
 * has what such a file needs.
 *
 * Definitions follow PyTorch where PyTorch has the optimizer; each file cites paper and equation, says where epsilon
 * stands, and how the update reads in PyTorch's terms. */
#ifndef CANYON_SERVER_OPTIMIZER_H
#define CANYON_SERVER_OPTIMIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTIMIZER_HYPERPARAMETERS 12 /* most of one optimizer */
#define OPTIMIZER_SLOTS           4  /* most state arrays */
#define OPTIMIZER_SCALARS         2  /* most double scalars of state per block */
#define OPTIMIZER_PREPARED        16 /* most float scalars handed to the loop */
#define OPTIMIZER_LR              0  /* the place of "lr", the first hyperparameter of every optimizer */

/* The instruction sets every update loop is compiled for. All give the same bits; on CPUs other than x86-64 all three
 * are the baseline. */
enum optimizer_set { OPTIMIZER_BASELINE, OPTIMIZER_AVX2, OPTIMIZER_AVX512, OPTIMIZER_SETS };

struct optimizer_hyperparameter {
    const char *name; /* PyTorch's; betas as beta1, beta2 */
    double fallback;  /* the default */
    double low, high; /* the range */
    bool low_open, high_open;
    const char *meaning; /* one line, at most 95 bytes */
    bool flag;           /* 0 or 1, nothing between */
};

/* Updates n elements: w, g and each slots[s] are n floats, none overlapping. Element-wise: element i reads and writes
 * index i only. An element whose gradient, new weight or a new slot is not finite keeps its old weight and slots;
 * returns how many did. n is below 2^32. */
typedef uint64_t optimizer_update(const float *prepared, size_t n, const float *restrict g, float *restrict w,
                                  float *const *slots);

/* The same for `count` rows of n elements, whose slots stand behind their weights, n elements each: row i is at
 * rows[i], its gradient at g + i * n, its constants at prepared[i], which differ by their steps alone. What comes out
 * is to the bit what `update` makes of each. */
typedef uint64_t optimizer_rows(const float (*prepared)[OPTIMIZER_PREPARED], size_t count, size_t n, const float *g,
                                float *const *rows);

struct optimizer {
    const char *name;
    const char *summary; /* one line, at most 159 bytes */
    const char *source;  /* paper and equation, and PyTorch's class; at most 159 bytes */
    const struct optimizer_hyperparameter *hyperparameters;
    size_t hyperparameter_count;
    const char *slots[OPTIMIZER_SLOTS]; /* state arrays of the weights' shape, in their fixed order */
    size_t slot_count;
    bool never_negative[OPTIMIZER_SLOTS]; /* slots whose root is taken, or that are a size: what is assigned is checked
                                           */
    const char *scalars[OPTIMIZER_SCALARS]; /* state kept per block (Nadam's running product) */
    double scalar_initial[OPTIMIZER_SCALARS];
    double scalar_low[OPTIMIZER_SCALARS], scalar_high[OPTIMIZER_SCALARS]; /* the range, bounds included */
    size_t scalar_count;
    /* Works on the rows of tables only: one call of `update` is one row, n elements, and each slot is one float, the
     * row's. Dense tensors refuse it, because their blocks cut rows apart. */
    bool rows_only;
    /* The value every element of slot s starts with (Adagrad's initial accumulator). NULL for zeros. */
    float (*slot_initial)(const double *hyper, size_t slot);
    /* Once per update of a block. hyper: this optimizer's hyperparameters in descriptor order. step: updates including
     * this one, so 1 the first time. scalars: the block's, read and replaced. prepared: the loop's float constants. */
    void (*prepare)(const double *hyper, uint64_t step, double *scalars, float *prepared);
    optimizer_update *update[OPTIMIZER_SETS];
    optimizer_rows *rows[OPTIMIZER_SETS]; /* NULL where there is `update` only */
};

/* Chooses the best instruction set this CPU has; before it, the baseline is used. Call once, before other threads use
 * an optimizer. */
void optimizer_start(void);
enum optimizer_set optimizer_set_chosen(void);

/* Whether this CPU can run it, and its name: "baseline", "AVX2", "AVX-512". */
bool optimizer_set_supported(enum optimizer_set set);
const char *optimizer_set_name(enum optimizer_set set);

/* The update loop for the chosen instruction set. */
uint64_t optimizer_apply(const struct optimizer *optimizer, const float *prepared, size_t n, const float *restrict g,
                         float *restrict w, float *const *slots);

/* Index of the first NaN or infinity among `count` values, or `count`: by the chosen instruction set, and by each. */
typedef size_t optimizer_scan(const float *values, size_t count);
size_t optimizer_first_not_finite(const float *values, size_t count);
extern optimizer_scan *const optimizer_finite[OPTIMIZER_SETS];

/* The registered optimizers, in the order documentation lists them. */
size_t optimizer_count(void);
const struct optimizer *optimizer_at(size_t index);

/* NULL when there is none of that name. */
const struct optimizer *optimizer_find(const char *name);

/* Index of a hyperparameter, or optimizer->hyperparameter_count. */
size_t optimizer_hyperparameter_index(const struct optimizer *optimizer, const char *name);

/* True when the value is finite and inside the range, and 0 or 1 where it is a flag. */
bool optimizer_hyperparameter_valid(const struct optimizer_hyperparameter *hyperparameter, double value);

/* base to the power n by binary powering in double: the only power function below the shard. */
double optimizer_power(double base, uint64_t n);

#endif
