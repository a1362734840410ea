/* The operations that change a table: see server/table.h. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/table_batch.h"

/* ---- Making rows beforehand ---- */

enum canyon_status table_reserve(struct table *table, const uint64_t *ids, size_t count, struct error *error) {
    struct table_batch batch;
    table_release(table);
    enum canyon_status status = batch_begin(table, ids, count, NULL, &batch, error);
    if (status != CANYON_OK) {
        return status;
    }
    size_t made = 0;
    uint64_t *keys = batch.missing > 0 ? malloc(batch.missing * sizeof *keys) : NULL;
    if (batch.missing > 0 && keys == NULL) {
        return error_set(error, CANYON_NO_MEMORY, "no memory to note %zu new rows of table '%s'", batch.missing,
                         table->key.name);
    }
    status = batch_create(table, &batch, &made, error);
    if (status == CANYON_OK && made > 0) {
        memcpy(keys, table->workspace->scratch.made, made * sizeof *keys);
        table->reserved = keys;
        table->reserved_count = made;
    } else {
        free(keys);
    }
    return status;
}

static void forget_reserved(struct table *table) {
    free(table->reserved);
    table->reserved = NULL;
    table->reserved_count = 0;
}

void table_release(struct table *table) {
    for (size_t i = table->reserved_count; i > 0; i--) {
        (void)batch_unmake(table, table->reserved[i - 1]);
    }
    forget_reserved(table);
}

/* ---- A push ---- */

/* What the rows of one push have in common. */
struct push {
    struct table *table;
    optimizer_update *update;
    struct prepared *prepared;
    const float *common; /* constants for all rows, where steps is shard; else NULL */
    float *tamed;        /* room for a row's gradient, where what is not finite is not refused; else NULL */
    uint32_t clock;
};

static uint32_t saturated(uint64_t clock) {
    return clock < UINT32_MAX ? (uint32_t)clock : UINT32_MAX;
}

/* The gradient as the update gets it: infinity is cut to the largest number where it is to be clipped; what is to be
 * skipped stays as it is, because the update leaves every element alone whose gradient is not finite. */
static const float *tame(const struct push *push, const float *gradient, uint64_t *skipped) {
    struct table *table = push->table;
    if (optimizer_first_not_finite(gradient, table->dim) == table->dim) {
        return gradient;
    }
    for (size_t i = 0; i < table->dim; i++) {
        float g = gradient[i];
        bool clips = isinf(g) && table->rule.nonfinite == NONFINITE_CLIP;
        push->tamed[i] = !clips ? g : g > 0.0f ? FLT_MAX : -FLT_MAX;
        table->clipped += clips;
        *skipped += !clips && !isfinite(g);
    }
    return push->tamed;
}

static inline float *update_row(const struct push *push, uint32_t place, const float *gradient) {
    struct table *table = push->table;
    const struct row_layout *layout = &table->store.layout;
    float *weights = row_store_at(&table->store, place), *slots[OPTIMIZER_SLOTS] = {NULL};
    struct row_marks *marks = row_store_marks(&table->store, place);
    uint64_t skipped = 0;
    for (size_t slot = 0; slot < layout->slots; slot++) {
        slots[slot] = row_slot(layout, weights, slot);
    }
    marks->step += marks->step < UINT32_MAX;
    const float *constants =
        push->common != NULL ? push->common : prepared_at(push->prepared, marks->step, row_scalars(layout, weights));
    if (push->tamed != NULL) {
        gradient = tame(push, gradient, &skipped);
    }
    /* The update counts what it leaves alone, what overflowed and what was to be skipped together. */
    table->kept += push->update(constants, table->dim, gradient, weights, slots) - skipped;
    table->skipped += skipped;
    marks->clock = marks->clock < push->clock ? push->clock : marks->clock;
    return weights;
}

static void update_rows(const struct push *push, const struct table_batch *batch, float *out) {
    const struct table *table = push->table;
    const size_t dim = table->dim, bytes = dim * sizeof(float);
    for (size_t i = 0; i < batch->count && i < BATCH_AHEAD_ROWS; i++) {
        batch_prefetch(table, batch->places[i]);
    }
    for (size_t i = 0; i < batch->count; i++) {
        if (i + BATCH_AHEAD_ROWS < batch->count) {
            batch_prefetch(table, batch->places[i + BATCH_AHEAD_ROWS]);
        }
        const float *weights = update_row(push, batch->places[i], batch->gradients + i * dim);
        if (out != NULL && batch->which == NULL) {
            memcpy(out + i * dim, weights, bytes);
        }
    }
}

/* The rows of ids that were given several times: every time as they are in the end. */
static void copy_out(const struct table *table, const struct table_batch *batch, float *out) {
    for (size_t i = 0; i < batch->given; i++) {
        const float *weights = row_store_at(&table->store, batch->places[batch->which[i]]);
        memcpy(out + i * table->dim, weights, table->dim * sizeof *out);
    }
}

/* Everything a push needs beside its rows. */
static enum canyon_status prepare(struct table *table, const struct table_batch *batch, uint64_t clock,
                                  struct push *push, struct error *error) {
    double hyper[OPTIMIZER_HYPERPARAMETERS];
    struct workspace *workspace = table->workspace;
    rule_hyper(&table->rule, clock > table->clock ? clock : table->clock, hyper);
    *push = (struct push){.table = table,
                          .update = table->rule.optimizer->update[optimizer_set_chosen()],
                          .prepared = workspace_prepared(workspace, table->rule.optimizer, hyper),
                          .clock = saturated(clock)};
    if (table->rule.nonfinite != NONFINITE_REFUSE) {
        push->tamed = workspace_row(workspace, table->dim);
    }
    if (push->prepared == NULL || (table->rule.nonfinite != NONFINITE_REFUSE && push->tamed == NULL)) {
        return error_set(error, CANYON_NO_MEMORY, "no memory to push %zu rows of table '%s'", batch->given,
                         table->key.name);
    }
    return CANYON_OK;
}

enum canyon_status table_push(struct table *table, const uint64_t *ids, size_t count, const float *gradients,
                              uint64_t clock, float *out, struct error *error) {
    struct table_batch batch;
    struct push push;
    size_t made;
    enum canyon_status status = batch_begin(table, ids, count, gradients, &batch, error);
    if (status != CANYON_OK) {
        return status;
    }
    status = prepare(table, &batch, clock, &push, error);
    if (status == CANYON_OK) {
        status = batch_create(table, &batch, &made, error);
    }
    if (status != CANYON_OK) {
        return status;
    }
    forget_reserved(table);
    table->version++;
    table->clock = clock > table->clock ? clock : table->clock;
    if (table->rule.steps == STEPS_SHARD) {
        uint32_t step = saturated(table->version);
        push.common = prepared_at(push.prepared, step, table->scalars);
    }
    update_rows(&push, &batch, out);
    if (out != NULL && batch.which != NULL) {
        copy_out(table, &batch, out);
    }
    return CANYON_OK;
}

/* ---- The others ---- */

enum canyon_status table_touch(struct table *table, const uint64_t *ids, size_t count, uint64_t clock, float *out,
                               bool *changed, struct error *error) {
    struct table_batch batch;
    const uint32_t now = saturated(clock);
    size_t made;
    enum canyon_status status = batch_begin(table, ids, count, NULL, &batch, error);
    if (status != CANYON_OK) {
        return status;
    }
    *changed = batch.missing > 0 || table->reserved_count > 0;
    status = batch_create(table, &batch, &made, error);
    if (status != CANYON_OK) {
        return status;
    }
    forget_reserved(table);
    for (size_t i = 0; i < batch.count; i++) {
        uint32_t *touched = &row_store_marks(&table->store, batch.places[i])->clock;
        *changed = *changed || *touched < now;
        *touched = *touched < now ? now : *touched;
        if (out != NULL && batch.which == NULL) {
            memcpy(out + i * table->dim, row_store_at(&table->store, batch.places[i]), table->dim * sizeof *out);
        }
    }
    if (out != NULL && batch.which != NULL) {
        copy_out(table, &batch, out);
    }
    return CANYON_OK;
}

enum canyon_status table_erase(struct table *table, const uint64_t *ids, size_t count, uint64_t *erased,
                               struct error *error) {
    struct table_batch batch;
    enum canyon_status status = batch_begin(table, ids, count, NULL, &batch, error);
    if (status != CANYON_OK) {
        return status;
    }
    *erased = batch.count - batch.missing;
    for (size_t i = 0; i < batch.count; i++) {
        (void)batch_unmake(table, batch.keys[i]);
    }
    return CANYON_OK;
}

enum canyon_status table_missing(struct table *table, const uint64_t *ids, size_t count, uint64_t *missing,
                                 struct error *error) {
    struct table_batch batch;
    enum canyon_status status = batch_begin(table, ids, count, NULL, &batch, error);
    if (status == CANYON_OK) {
        *missing = batch.missing;
    }
    return status;
}
