/* Rows in this process: an index by open addressing, and for each row its weights and slots together. */
#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/counter.h"
#include "client/simulator/room.h"
#include "client/simulator/row_rule.h"
#include "client/simulator/rows.h"

#define FIRST_PLACES 1024u
#define NOWHERE      SIZE_MAX

struct head {
    uint64_t id, steps;
};

struct rows_here {
    struct rows rows; /* first: it is what others see */
    struct row_rule rule;
    float spread;
    uint64_t seed;
    size_t stride; /* floats of a row: its weights, then its slots */
    float *values;
    size_t value_capacity; /* in rows */
    struct head *heads;
    size_t count, head_capacity;
    size_t *places; /* 1 + the row, or 0; more than half are always free */
    size_t place_count;
};

static size_t place_of(const struct rows_here *here, uint64_t id) {
    size_t mask = here->place_count - 1, place = (size_t)counter_bits(0, 0, id) & mask;
    while (here->places[place] != 0 && here->heads[here->places[place] - 1].id != id) {
        place = (place + 1) & mask;
    }
    return place;
}

static bool places_grow(struct rows_here *here) {
    size_t count = 2 * here->place_count, *places = calloc(count, sizeof *places), *old = here->places;
    if (places == NULL) {
        return false;
    }
    here->places = places;
    here->place_count = count;
    for (size_t row = 0; row < here->count; row++) {
        here->places[place_of(here, here->heads[row].id)] = row + 1;
    }
    free(old);
    return true;
}

static void row_first(const struct rows_here *here, uint64_t id, float *weights) {
    for (uint32_t i = 0; i < here->rows.dim; i++) {
        weights[i] = here->spread > 0.0f ? here->spread * counter_sign_unit(here->seed, id, i) : 0.0f;
    }
}

/* The row of the id, which is made when it is missing; NOWHERE when there is no memory. */
static size_t row_of(struct rows_here *here, uint64_t id) {
    size_t place = place_of(here, id), row = here->count;
    if (here->places[place] != 0) {
        return here->places[place] - 1;
    }
    if (2 * (here->count + 1) >= here->place_count) {
        if (!places_grow(here)) {
            return NOWHERE;
        }
        place = place_of(here, id);
    }
    if (!room_make(&here->heads, &here->head_capacity, row + 1, sizeof *here->heads) ||
        !room_make(&here->values, &here->value_capacity, row + 1, here->stride * sizeof *here->values)) {
        return NOWHERE;
    }
    float *values = here->values + row * here->stride;
    row_first(here, id, values);
    for (size_t i = here->rows.dim; i < here->stride; i++) {
        values[i] = here->rule.first[i / here->rows.dim - 1];
    }
    here->heads[row] = (struct head){.id = id};
    here->places[place] = row + 1;
    here->count++;
    return row;
}

static void here_pull(struct rows *rows, const uint64_t *ids, size_t count, float *weights, struct rows_call *call) {
    const struct rows_here *here = (const struct rows_here *)rows;
    (void)call;
    for (size_t i = 0; i < count; i++) {
        size_t row = here->places[place_of(here, ids[i])];
        if (row == 0) {
            row_first(here, ids[i], weights + i * rows->dim);
        } else {
            memcpy(weights + i * rows->dim, here->values + (row - 1) * here->stride, rows->dim * sizeof *weights);
        }
    }
}

static void here_push(struct rows *rows, const uint64_t *ids, size_t count, const float *gradient,
                      struct rows_call *call) {
    struct rows_here *here = (struct rows_here *)rows;
    for (size_t i = 0; i < count * rows->dim; i++) {
        if (!isfinite(gradient[i])) {
            call->status = CANYON_NOT_FINITE;
            return;
        }
    }
    for (size_t i = 0; i < count; i++) {
        size_t row = row_of(here, ids[i]);
        if (row == NOWHERE) {
            call->status = CANYON_NO_MEMORY;
            return;
        }
        row_rule_step(&here->rule, here->values + row * here->stride, gradient + i * rows->dim, rows->dim,
                      ++here->heads[row].steps);
    }
}

static enum canyon_status here_wait(struct rows *rows, struct rows_call *call, char *text, size_t bytes) {
    const struct rows_here *here = (const struct rows_here *)rows;
    if (call->status == CANYON_NOT_FINITE) {
        snprintf(text, bytes, "a gradient has a number that is not finite: the training diverged; use a smaller lr");
    } else {
        snprintf(text, bytes, "no memory for more than %zu rows", here->count);
    }
    return call->status;
}

static enum canyon_status here_count(struct rows *rows, uint64_t *count, char *text, size_t bytes) {
    (void)text;
    (void)bytes;
    *count = ((const struct rows_here *)rows)->count;
    return CANYON_OK;
}

static void here_close(struct rows *rows) {
    struct rows_here *here = (struct rows_here *)rows;
    free(here->values);
    free(here->heads);
    free(here->places);
    free(here);
}

enum canyon_status rows_open_here(const struct rows_spec *spec, struct rows **rows, char *text, size_t bytes) {
    static const struct rows_kind kind = {here_pull, here_push, here_wait, here_count, here_close};
    struct row_rule rule;
    *rows = NULL;
    assert(spec->dim >= 1 && spec->dim <= ROWS_DIM_HIGH);
    enum canyon_status status = row_rule_read(&rule, spec->optimizer, text, bytes);
    if (status != CANYON_OK) {
        return status;
    }
    struct rows_here *here = calloc(1, sizeof *here);
    size_t *places = calloc(FIRST_PLACES, sizeof *places);
    if (here == NULL || places == NULL) {
        free(here);
        free(places);
        snprintf(text, bytes, "no memory for a table");
        return CANYON_NO_MEMORY;
    }
    *here = (struct rows_here){.rows = {.kind = &kind, .dim = spec->dim},
                               .rule = rule,
                               .spread = spec->spread,
                               .seed = spec->seed,
                               .stride = (size_t)spec->dim * (1 + rule.slots),
                               .places = places,
                               .place_count = FIRST_PLACES};
    *rows = &here->rows;
    return CANYON_OK;
}
