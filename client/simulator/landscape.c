#include "client/simulator/landscape.h"

#include <assert.h>
#include <string.h>

/* How much steeper the ravine is across than along. Plain gradient descent oscillates across it from lr = 1 / RAVINE on
 * and is lost from lr = 2 / RAVINE on. */
#define RAVINE 50.0

static double saddle_value(const double at[2]) {
    return at[0] * at[0] - at[1] * at[1];
}

static void saddle_gradient(const double at[2], double gradient[2]) {
    gradient[0] = 2.0 * at[0];
    gradient[1] = -2.0 * at[1];
}

static double ravine_value(const double at[2]) {
    return 0.5 * (at[0] * at[0] + RAVINE * at[1] * at[1]);
}

static void ravine_gradient(const double at[2], double gradient[2]) {
    gradient[0] = at[0];
    gradient[1] = RAVINE * at[1];
}

static double rosenbrock_value(const double at[2]) {
    double off = at[1] - at[0] * at[0];
    return (1.0 - at[0]) * (1.0 - at[0]) + 100.0 * off * off;
}

static void rosenbrock_gradient(const double at[2], double gradient[2]) {
    double off = at[1] - at[0] * at[0];
    gradient[0] = -2.0 * (1.0 - at[0]) - 400.0 * at[0] * off;
    gradient[1] = 200.0 * off;
}

static const struct landscape landscapes[LANDSCAPES] = {
    {.name = "saddle",
     .formula = "x² - y²",
     .value = saddle_value,
     .gradient = saddle_gradient,
     .start = {-1.0, 0.001},
     .steps = 120,
     .goal = -1.0,
     .low = {-1.3, -0.9},
     .high = {1.3, 2.1},
     .loss_low = -3.5,
     .loss_high = 1.25,
     .level_count = 19,
     .levels = {-4, -3.5, -3, -2.5, -2, -1.5, -1, -0.75, -0.5, -0.25, -0.05, 0, 0.05, 0.25, 0.5, 0.75, 1, 1.25, 1.5}},
    {.name = "ravine",
     .formula = "(x² + 50 y²) / 2",
     .value = ravine_value,
     .gradient = ravine_gradient,
     .start = {-4.0, 0.8},
     .steps = 200,
     .goal = 0.001,
     .low = {-4.6, -1.1},
     .high = {3.0, 1.1},
     .positive = 1,
     .loss_low = 1e-8,
     .level_count = 12,
     .levels = {0.05, 0.2, 0.5, 1, 2, 4, 7, 11, 16, 22, 30, 40}},
    {.name = "rosenbrock",
     .formula = "(1 - x)² + 100 (y - x²)²",
     .value = rosenbrock_value,
     .gradient = rosenbrock_gradient,
     .start = {-1.2, 1.0},
     .steps = 2000,
     .goal = 0.01,
     .low = {-1.7, -0.5},
     .high = {1.7, 2.0},
     .positive = 1,
     .loss_low = 1e-8,
     .level_count = 12,
     .levels = {0.1, 0.4, 1, 2.5, 6, 14, 30, 65, 130, 250, 450, 800}},
};

/* Chosen so that each gets far in the landscape's steps and shows what it is known for. On the saddle sgd, momentum and
 * nag have one rate, and most of those that adapt their steps have one. In the ravine sgd and momentum have one, just
 * inside sgd's bound of 2 / RAVINE; nag's bound at momentum 0.9 is 1.357 / RAVINE. RAdam's first steps are plain
 * momentum steps, which the steep start of Rosenbrock's valley bounds. */
static const struct {
    const char *optimizer;
    double rates[LANDSCAPES]; /* saddle, ravine, rosenbrock */
} rates[] = {
    /* clang-format off */
    {"sgd", {0.02, 0.039, 0.0012}},
    {"momentum", {0.02, 0.039, 0.0008}},
    {"nag", {0.02, 0.02, 0.0008}},
    {"adagrad", {0.05, 0.5, 0.3}},
    {"adadelta", {2.0, 10.0, 2.0}},
    {"rmsprop", {0.01, 0.03, 0.003}},
    {"adam", {0.05, 0.1, 0.02}},
    {"adamw", {0.05, 0.1, 0.02}},
    {"amsgrad", {0.05, 0.1, 0.05}},
    {"adamax", {0.05, 0.1, 0.1}},
    {"nadam", {0.05, 0.1, 0.02}},
    {"radam", {0.05, 0.05, 0.003}},
    {"yogi", {0.05, 0.1, 0.02}},
    {"adabelief", {0.05, 0.1, 0.02}},
    {"rprop", {0.05, 0.1, 0.02}},
    {"lion", {0.05, 0.02, 0.004}},
    {"ftrl", {0.1, 0.5, 0.3}},
    /* clang-format on */
};
#define RATES (sizeof rates / sizeof *rates)

const struct landscape *landscape_at(size_t index) {
    assert(index < LANDSCAPES);
    return &landscapes[index];
}

const struct landscape *landscape_find(const char *name) {
    for (size_t i = 0; i < LANDSCAPES; i++) {
        if (strcmp(landscapes[i].name, name) == 0) {
            return &landscapes[i];
        }
    }
    return NULL;
}

double landscape_rate(const struct landscape *landscape, const char *optimizer) {
    assert(landscape >= landscapes && landscape < landscapes + LANDSCAPES);
    for (size_t i = 0; i < RATES; i++) {
        if (strcmp(rates[i].optimizer, optimizer) == 0) {
            return rates[i].rates[landscape - landscapes];
        }
    }
    return -1.0;
}

const char *landscape_rates(size_t index, double values[LANDSCAPES]) {
    if (index >= RATES) {
        return NULL;
    }
    memcpy(values, rates[index].rates, sizeof rates[index].rates);
    return rates[index].optimizer;
}
