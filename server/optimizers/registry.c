#include <assert.h>
#include <math.h>
#include <string.h>

#include "server/optimizers/optimizer.h"

/* One line for each optimizer; its file defines `const struct optimizer optimizer_NAME`. */
#define REGISTERED(X)                                                                                                  \
    X(sgd)                                                                                                             \
    X(momentum)                                                                                                        \
    X(nag)                                                                                                             \
    X(adagrad)                                                                                                         \
    X(adadelta)                                                                                                        \
    X(rmsprop)                                                                                                         \
    X(adam)                                                                                                            \
    X(adamw)                                                                                                           \
    X(amsgrad)                                                                                                         \
    X(adamax)                                                                                                          \
    X(nadam)                                                                                                           \
    X(radam)                                                                                                           \
    X(yogi)                                                                                                            \
    X(adabelief)                                                                                                       \
    X(rprop)                                                                                                           \
    X(lion)                                                                                                            \
    X(ftrl)                                                                                                            \
    X(rowwise_adagrad)

#define DECLARATION(name) extern const struct optimizer optimizer_##name;
REGISTERED(DECLARATION)

#define ENTRY(name) &optimizer_##name,
static const struct optimizer *const registry[] = {REGISTERED(ENTRY)};

size_t optimizer_count(void) {
    return sizeof registry / sizeof registry[0];
}

const struct optimizer *optimizer_at(size_t index) {
    assert(index < optimizer_count());
    return registry[index];
}

const struct optimizer *optimizer_find(const char *name) {
    for (size_t i = 0; i < optimizer_count(); i++) {
        if (strcmp(registry[i]->name, name) == 0)
            return registry[i];
    }
    return NULL;
}

size_t optimizer_hyperparameter_index(const struct optimizer *optimizer, const char *name) {
    size_t index = 0;
    while (index < optimizer->hyperparameter_count && strcmp(optimizer->hyperparameters[index].name, name) != 0)
        index++;
    return index;
}

bool optimizer_hyperparameter_valid(const struct optimizer_hyperparameter *hyperparameter, double value) {
    bool above = hyperparameter->low_open ? value > hyperparameter->low : value >= hyperparameter->low;
    bool below = hyperparameter->high_open ? value < hyperparameter->high : value <= hyperparameter->high;
    bool whole = !hyperparameter->flag || value <= 0.0 || value >= 1.0;
    return isfinite(value) && above && below && whole;
}

double optimizer_power(double base, uint64_t n) {
    double power = 1.0;
    for (; n > 0; n >>= 1) {
        if (n & 1)
            power *= base;
        base *= base;
    }
    return power;
}
