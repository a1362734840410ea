/* Functions of two variables to watch optimizers descend: a saddle, a ravine, and Rosenbrock's bent valley. */
#ifndef CANYON_SIMULATOR_LANDSCAPE_H
#define CANYON_SIMULATOR_LANDSCAPE_H

#include <stddef.h>
#include <stdint.h>

#define LANDSCAPES       3
#define LANDSCAPE_LEVELS 24

/* One function, and what suits it. */
struct landscape {
    const char *name;
    const char *formula; /* for people */
    double (*value)(const double at[2]);
    void (*gradient)(const double at[2], double gradient[2]);
    double start[2];    /* where a descent begins unless told otherwise */
    uint64_t steps;     /* how many it takes unless told otherwise */
    double goal;        /* a descent arrives with the first loss at or below it */
    double low[2];      /* the part that a picture shows, at least */
    double high[2];     /* of it */
    int positive;       /* 1: never below 0, so that a picture's losses are on a logarithmic scale */
    double loss_low;    /* where a picture's losses begin */
    double loss_high;   /* and end; unused when positive */
    size_t level_count; /* contours */
    double levels[LANDSCAPE_LEVELS];
};

/* index is below LANDSCAPES. */
const struct landscape *landscape_at(size_t index);

/* NULL when there is none of that name. */
const struct landscape *landscape_find(const char *name);

/* The learning rate that makes an optimizer's way on this landscape worth seeing, from a table in landscape.c; negative
 * when it has none for it, and the servers' default is to be used. */
double landscape_rate(const struct landscape *landscape, const char *optimizer);

/* The table, for help: the index-th optimizer that has rates, and its rates in the order of landscape_at. NULL at the
 * end. */
const char *landscape_rates(size_t index, double rates[LANDSCAPES]);

#endif
