/* The operations that change a table: see server/table.h. */
#include <assert.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/table_batch.h"

/* ---- Making rows beforehand ---- */

enum canyon_status table_reserve(struct table *table, const uint64_t *ids, size_t count, struct error *error) {
    struct table_batch batch;
    struct table_found *found = table->workspace->found;
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
    if (status == CANYON_OK && found != NULL) {
        batch_tell(&batch, found);
    }
    if (status == CANYON_OK && made > 0) {
        memcpy(keys, table->workspace->scratch.made, made * sizeof *keys);
        table->reserved = keys;
        table->reserved_count = made;
    } else {
        free(keys);
    }
    return status;
}

void batch_keep(struct table *table) {
    free(table->reserved);
    table->reserved = NULL;
    table->reserved_count = 0;
}

void table_release(struct table *table) {
    for (size_t i = table->reserved_count; i > 0; i--) {
        (void)batch_unmake(table, table->reserved[i - 1]);
    }
    batch_keep(table);
}

/* ---- A push ---- */

#define BLOCK 16 /* rows that are updated at a time */

/* What the rows of one push have in common. */
struct push {
    struct table *table;
    optimizer_update *update;
    optimizer_rows *rows; /* NULL where there is none; with that a block of rows is updated by one call */
    struct prepared *prepared;
    const float *common; /* constants for all rows, where steps is shard; else NULL */
    float *tamed;        /* room for a row's gradient, where what is not finite is not refused; else NULL */
    uint32_t clock;
};

/* Some rows of a push. */
struct push_block {
    size_t count;
    float *rows[BLOCK];
    _Alignas(
        64) float constants[BLOCK][OPTIMIZER_PREPARED]; /* copies: what is kept by step is displaced now and then */
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

/* One more update of a row, at this clock: its marks, and the constants of its step. */
static inline void begin_row(const struct push *push, struct push_block *block, struct row_at at) {
    float *row = at.values;
    struct row_marks *marks = at.marks;
    marks->step += marks->step < UINT32_MAX;
    marks->clock = marks->clock < push->clock ? push->clock : marks->clock;
    const float *constants =
        push->common != NULL ? push->common
                             : prepared_at(push->prepared, marks->step, row_scalars(&push->table->store.layout, row));
    memcpy(block->constants[block->count], constants, sizeof block->constants[0]);
    block->rows[block->count++] = row;
}

/* Row by row: where the optimizer has no loop over rows, or gradients are looked at one by one. */
static void update_singly(const struct push *push, const struct push_block *block, const float *gradients) {
    struct table *table = push->table;
    const struct row_layout *layout = &table->store.layout;
    for (size_t i = 0; i < block->count; i++) {
        const float *gradient = gradients + i * table->dim;
        float *slots[OPTIMIZER_SLOTS] = {NULL};
        uint64_t skipped = 0;
        for (size_t slot = 0; slot < layout->slots; slot++) {
            slots[slot] = row_slot(layout, block->rows[i], slot);
        }
        if (push->tamed != NULL) {
            gradient = tame(push, gradient, &skipped);
        }
        /* The update counts what it leaves alone, what overflowed and what was to be skipped together. */
        table->kept += push->update(block->constants[i], table->dim, gradient, block->rows[i], slots) - skipped;
        table->skipped += skipped;
    }
}

/* Without a call where rows are whole cache lines. */
static inline void copy_row(float *to, const float *from, size_t dim) {
    for (; dim >= 16; dim -= 16, to += 16, from += 16) {
        memcpy(to, from, 16 * sizeof *to);
    }
    if (dim > 0) {
        memcpy(to, from, dim * sizeof *to);
    }
}

static void update_rows(const struct push *push, const struct table_batch *batch, float *out) {
    struct table *table = push->table;
    const size_t dim = table->dim, count = batch->count, known = count + batch->behind;
    const struct row_at *rows = batch->rows;
    for (size_t i = 0; i < count && i < BATCH_AHEAD_ROWS && !batch->asked; i++) {
        batch_prefetch(table, rows[i]);
    }
    for (size_t first = 0; first < count; first += BLOCK) {
        const size_t end = count - first < BLOCK ? count : first + BLOCK;
        struct push_block block;
        block.count = 0;
        for (size_t i = first; i < end; i++) {
            if (i + BATCH_AHEAD_ROWS < known) {
                batch_prefetch(table, rows[i + BATCH_AHEAD_ROWS]);
            }
            begin_row(push, &block, rows[i]);
        }
        if (push->rows != NULL) {
            table->kept += push->rows(block.constants, block.count, dim, batch->gradients + first * dim, block.rows);
        } else {
            update_singly(push, &block, batch->gradients + first * dim);
        }
        for (size_t i = 0; out != NULL && batch->which == NULL && i < block.count; i++) {
            copy_row(out + (first + i) * dim, block.rows[i], dim);
        }
    }
}

/* The rows of ids that were given several times: every time as they are in the end. */
static void copy_out(const struct table *table, const struct table_batch *batch, float *out) {
    for (size_t i = 0; i < batch->given; i++) {
        const float *weights = batch->rows[batch->which[i]].values;
        memcpy(out + i * table->dim, weights, table->dim * sizeof *out);
    }
}

/* Everything a push needs beside its rows. Where it closes a clock, it can be had: contributing saw to that. */
static enum canyon_status prepare(struct table *table, const struct table_batch *batch, uint64_t clock, bool closes,
                                  struct push *push, struct error *error) {
    double hyper[OPTIMIZER_HYPERPARAMETERS];
    struct workspace *workspace = table->workspace;
    rule_hyper(&table->rule, clock > table->clock ? clock : table->clock, table->staleness, hyper);
    *push = (struct push){
        .table = table,
        .update = table->rule.optimizer->update[optimizer_set_chosen()],
        .rows = table->rule.nonfinite == NONFINITE_REFUSE ? table->rule.optimizer->rows[optimizer_set_chosen()] : NULL,
        .prepared = workspace_prepared(workspace, table->rule.optimizer, hyper),
        .clock = saturated(clock)};
    if (push->prepared == NULL && closes) {
        push->prepared = workspace_displace(workspace, table->rule.optimizer, hyper);
    }
    if (table->rule.nonfinite != NONFINITE_REFUSE) {
        push->tamed = workspace_row(workspace, table->dim);
    }
    if (push->prepared == NULL || (table->rule.nonfinite != NONFINITE_REFUSE && push->tamed == NULL)) {
        return error_set(error, CANYON_NO_MEMORY, "no memory to push %zu rows of table '%s'", batch->given,
                         table->key.name);
    }
    return CANYON_OK;
}

/* From here on nothing can fail. */
static void begin_push(struct push *push, uint64_t clock) {
    struct table *table = push->table;
    table->version++;
    table->clock = clock > table->clock ? clock : table->clock;
    if (table->rule.steps == STEPS_SHARD) {
        push->common = prepared_at(push->prepared, saturated(table->version), table->scalars);
    }
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
    status = prepare(table, &batch, clock, false, &push, error);
    if (status == CANYON_OK) {
        status = batch_create(table, &batch, &made, error);
    }
    if (status != CANYON_OK) {
        return status;
    }
    batch_keep(table);
    begin_push(&push, clock);
    update_rows(&push, &batch, out);
    if (out != NULL && batch.which != NULL) {
        copy_out(table, &batch, out);
    }
    return CANYON_OK;
}

/* ---- Many pushes at once ---- */

/* Finds the rows of a piece, which contributing made and only erasing would take away, and updates them. */
static void close_piece(const struct push *push, size_t count, const uint64_t *ids, const uint64_t *keys) {
    struct table *table = push->table;
    struct row_at rows[ROW_CONTRIBUTIONS_PIECE];
    struct table_found found = {.table = table, .ids = ids, .keys = keys, .rows = rows, .count = count};
    table_find(&found, 1);
    assert(found.missing == 0);
    const struct table_batch batch = {.count = count,
                                      .ids = ids,
                                      .keys = keys,
                                      .rows = rows,
                                      .gradients = table->contributions->piece,
                                      .given = count};
    update_rows(push, &batch, NULL);
}

void table_close(struct table *table, uint64_t clock, enum consistency_combine combine) {
    struct row_contributions *contributions = table->contributions;
    uint64_t ids[ROW_CONTRIBUTIONS_PIECE], keys[ROW_CONTRIBUTIONS_PIECE];
    const struct table_batch none = {.count = 0};
    struct push push;
    uint32_t at = 0;
    size_t count;
    if (contributions != NULL && contributions->contributed > 0) {
        table->staleness = 0;
        enum canyon_status status = prepare(table, &none, clock, true, &push, NULL);
        assert(status == CANYON_OK);
        (void)status;
        begin_push(&push, clock);
        while ((count = row_contributions_take(contributions, &at, combine, ids, keys)) > 0) {
            close_piece(&push, count, ids, keys);
        }
    }
    if (contributions != NULL) {
        row_contributions_clear(contributions);
    }
}

/* ---- The others ---- */

enum canyon_status table_touch(struct table *table, const uint64_t *ids, size_t count, uint64_t clock, float *out,
                               bool *changed, struct error *error) {
    struct table_batch batch;
    const uint32_t now = saturated(clock);
    size_t made;
    *changed = false;
    enum canyon_status status = batch_begin(table, ids, count, NULL, &batch, error);
    if (status != CANYON_OK) {
        return status;
    }
    status = batch_create(table, &batch, &made, error);
    if (status != CANYON_OK) {
        return status;
    }
    *changed = made > 0 || table->reserved_count > 0;
    batch_keep(table);
    for (size_t i = 0; i < batch.count && i < BATCH_AHEAD_ROWS && !batch.asked; i++) {
        batch_prefetch_touch(table, batch.rows[i]);
    }
    for (size_t i = 0; i < batch.count; i++) {
        if (i + BATCH_AHEAD_ROWS < batch.count + batch.behind) {
            batch_prefetch_touch(table, batch.rows[i + BATCH_AHEAD_ROWS]);
        }
        uint32_t *touched = &batch.rows[i].marks->clock;
        *changed = *changed || *touched < now;
        *touched = *touched < now ? now : *touched;
        if (out != NULL && batch.which == NULL) {
            memcpy(out + i * table->dim, batch.rows[i].values, table->dim * sizeof *out);
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
        if (table->contributions != NULL) {
            row_contributions_forget(table->contributions, batch.keys[i]);
        }
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
