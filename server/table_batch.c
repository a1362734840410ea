#include "server/table_batch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMED 6 /* rows that an error text names, at most */

/* ---- Looking up ---- */

/* Finds all keys. */
static void look_up(const struct table *table, struct table_batch *batch) {
    struct table_found found = {
        .table = table, .ids = batch->ids, .keys = batch->keys, .rows = batch->rows, .count = batch->count};
    table_find(&found, 1);
    batch->missing = found.missing;
}

/* Whether two of the keys are the same. Each is put where its lowest bits say in a table at least twice as large, or
 * behind. */
static bool has_twins(const struct workspace_scratch *scratch, const struct table_batch *batch) {
    const uint64_t *keys = batch->keys;
    size_t slots = 4;
    while (slots < 2 * batch->count) {
        slots *= 2;
    }
    assert(slots <= scratch->slots);
    memset(scratch->table, 0xff, slots * sizeof *scratch->table);
    for (size_t i = 0; i < batch->count; i++) {
        size_t slot = (size_t)keys[i] & (slots - 1);
        while (scratch->table[slot] != UINT32_MAX && keys[scratch->table[slot]] != keys[i]) {
            slot = (slot + 1) & (slots - 1);
        }
        if (scratch->table[slot] != UINT32_MAX) {
            return true;
        }
        scratch->table[slot] = (uint32_t)i;
    }
    return false;
}

/* ---- The same row twice ---- */

/* Leaves each key once, in order of its first occurrence, all of it in the scratch room, and fills scratch->which. */
static void find_rows(const struct workspace_scratch *scratch, struct table_batch *batch) {
    size_t slots = 4, count = 0;
    while (slots < 2 * batch->count) {
        slots *= 2;
    }
    memset(scratch->table, 0xff, slots * sizeof *scratch->table);
    batch->missing = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const uint64_t key = batch->keys[i];
        size_t slot = (size_t)key & (slots - 1);
        while (scratch->table[slot] != UINT32_MAX && scratch->keys[scratch->table[slot]] != key) {
            slot = (slot + 1) & (slots - 1);
        }
        if (scratch->table[slot] == UINT32_MAX) {
            scratch->table[slot] = (uint32_t)count;
            batch->missing += batch->rows[i].values == NULL;
            scratch->keys[count] = key;
            scratch->at[count] = batch->rows[i];
            scratch->ids[count++] = batch->ids[i];
        }
        scratch->which[i] = scratch->table[slot];
    }
    batch->count = count;
    batch->ids = scratch->ids;
    batch->keys = scratch->keys;
    batch->rows = scratch->at;
    batch->which = scratch->which;
    batch->behind = 0; /* what stands there is something else */
    batch->asked = false;
}

/* One gradient for each row, in the order in which they come. */
static void add_up(const struct workspace_scratch *scratch, const struct table_batch *batch, size_t dim,
                   const float *gradients) {
    size_t seen = 0;
    for (size_t i = 0; i < batch->given; i++) {
        float *sum = scratch->values + scratch->which[i] * dim;
        const float *gradient = gradients + i * dim;
        if (scratch->which[i] == seen) {
            memcpy(sum, gradient, dim * sizeof *sum);
            seen++;
        } else {
            for (size_t k = 0; k < dim; k++) {
                sum[k] += gradient[k];
            }
        }
    }
}

/* ---- Gradients that are refused ---- */

static enum canyon_status check_finite(const struct table *table, const uint64_t *ids, size_t count,
                                       const float *gradients, struct error *error) {
    size_t total = count * table->dim, bad = optimizer_first_not_finite(gradients, total);
    if (bad == total) {
        return CANYON_OK;
    }
    char others[NAMED * 22 + 24] = "";
    size_t used = 0, named = 0, first = bad / table->dim, more = 0;
    for (size_t row = first + 1; row < count; row++) {
        if (optimizer_first_not_finite(gradients + row * table->dim, table->dim) == table->dim) {
            continue;
        }
        if (named < NAMED) {
            used += (size_t)snprintf(others + used, sizeof others - used, "%s%" PRIu64,
                                     named == 0 ? "; so is one of row " : ", ", ids[row]);
        }
        named++;
        more += named > NAMED;
    }
    if (more > 0) {
        snprintf(others + used, sizeof others - used, " and %zu more", more);
    }
    return error_set(error, CANYON_NOT_FINITE,
                     "table '%s', shard %u: the gradient of row %" PRIu64
                     " at index %zu is %f%s: no row here was changed",
                     table->key.name, table->shard, ids[first], bad % table->dim, (double)gradients[bad], others);
}

/* ---- What the header promises ---- */

enum canyon_status batch_begin(struct table *table, const uint64_t *ids, size_t count, const float *gradients,
                               struct table_batch *batch, struct error *error) {
    struct workspace *workspace = table->workspace;
    struct workspace_scratch *scratch = &workspace->scratch;
    const struct table_found *found = workspace->found;
    bool refuses = gradients != NULL && table->rule.nonfinite == NONFINITE_REFUSE;
    enum canyon_status status = CANYON_OK;
    workspace->found = NULL;
    assert(count <= LIMIT_BATCH_ROWS);
    assert(found == NULL || (found->table == table && found->ids == ids && found->count == count));
    if (!workspace_rows(workspace, count)) {
        return error_set(error, CANYON_NO_MEMORY, "no memory to look up %zu rows of table '%s'", count,
                         table->key.name);
    }
    /* A sum of what is finite can be infinite, so sums are checked again. */
    status = refuses ? check_finite(table, ids, count, gradients, error) : CANYON_OK;
    if (status != CANYON_OK) {
        return status;
    }
    *batch = (struct table_batch){.count = count, .ids = ids, .gradients = gradients, .given = count};
    if (count == 0) {
        return CANYON_OK;
    }
    if (found != NULL) {
        batch->keys = found->keys;
        batch->rows = found->rows;
        batch->missing = found->missing;
        batch->behind = found->behind;
        batch->asked = found->asked;
    } else {
        rowkey_of(&workspace->rowkey, ids, count, scratch->keys);
        batch->keys = scratch->keys;
        batch->rows = scratch->at;
        look_up(table, batch);
    }
    if (!has_twins(scratch, batch)) {
        return CANYON_OK;
    }
    find_rows(scratch, batch);
    if (gradients != NULL) {
        if (!workspace_floats(workspace, batch->count * table->dim)) {
            return error_set(error, CANYON_NO_MEMORY, "no memory to add up gradients of %zu rows of table '%s'",
                             batch->count, table->key.name);
        }
        add_up(scratch, batch, table->dim, gradients);
        batch->gradients = scratch->values;
        status = refuses ? check_finite(table, batch->ids, batch->count, batch->gradients, error) : CANYON_OK;
    }
    return status;
}

static void fill(const struct table *table, uint64_t id, struct row_at row) {
    const struct row_layout *layout = &table->store.layout;
    float *record = row.values;
    memset(record, 0, layout->record);
    initializer_row(&table->recipe, id, table->dim, record);
    for (size_t slot = 0; slot < layout->slots; slot++) {
        float initial = rule_initial(&table->rule, slot), *values = row_slot(layout, record, slot);
        for (size_t i = 0; i < layout->slot_floats; i++) {
            values[i] = initial;
        }
    }
    for (size_t i = 0; i < layout->scalars; i++) {
        row_scalars(layout, record)[i] = table->rule.optimizer->scalar_initial[i];
    }
    *row.marks = (struct row_marks){0, 0};
}

static enum canyon_status create_row(struct table *table, uint64_t id, uint64_t key, struct row_at *made,
                                     struct error *error) {
    uint32_t place = row_store_take(&table->store);
    enum row_insert result = place == ROW_NONE ? ROW_NO_MEMORY : row_index_insert(&table->index, key, place);
    if (result == ROW_INSERTED) {
        *made = row_store_locate(&table->store, place);
        fill(table, id, *made);
        return CANYON_OK;
    }
    if (place != ROW_NONE) {
        row_store_give(&table->store, place);
    }
    if (result == ROW_NO_MEMORY) {
        return error_set(error, CANYON_NO_MEMORY,
                         "no memory for a row more of table '%s', which has %" PRIu64
                         " in shard %u: none of the batch's rows here was made",
                         table->key.name, table_rows(table), table->shard);
    }
    return error_set(
        error, CANYON_BUSY,
        "row %" PRIu64 " of table '%s' falls where shard %u has as many rows side by side as it searches "
        "through: ids are chosen by somebody who knows the server's secret; restart the server, which draws "
        "another",
        id, table->key.name, table->shard);
}

bool batch_unmake(struct table *table, uint64_t key) {
    uint32_t place = row_index_erase(&table->index, key);
    if (place != ROW_NONE) {
        row_store_give(&table->store, place);
    }
    return place != ROW_NONE;
}

enum canyon_status batch_create(struct table *table, struct table_batch *batch, size_t *new, struct error *error) {
    uint64_t rows = table_rows(table), *made = table->workspace->scratch.made;
    enum canyon_status status = CANYON_OK;
    size_t at = 0, count = 0;
    *new = 0;
    if (batch->missing == 0) {
        return CANYON_OK;
    }
    if (table->cap != TABLE_NO_CAP && (rows > table->cap || batch->missing > table->cap - rows)) {
        return error_set(error, CANYON_TOO_LARGE,
                         "table '%s' has %" PRIu64 " rows in shard %u, of at most %" PRIu64 " (the row cap is %" PRIu64
                         "): of a batch with %zu more none of the rows here was changed",
                         table->key.name, rows, table->shard, table->cap, table->spec.row_cap, batch->missing);
    }
    for (size_t i = 0; i < batch->count && i < BATCH_AHEAD_NEW; i++) {
        row_index_prefetch_insert(&table->index, batch->keys[i]);
    }
    for (; status == CANYON_OK && at < batch->count; at++) {
        if (at + BATCH_AHEAD_NEW < batch->count && batch->rows[at + BATCH_AHEAD_NEW].values == NULL) {
            row_index_prefetch_insert(&table->index, batch->keys[at + BATCH_AHEAD_NEW]);
        }
        if (batch->rows[at].values == NULL) {
            status = create_row(table, batch->ids[at], batch->keys[at], &batch->rows[at], error);
            made[count] = batch->keys[at];
            count += status == CANYON_OK;
        }
    }
    while (status != CANYON_OK && count > 0) {
        (void)batch_unmake(table, made[--count]);
    }
    *new = count;
    return status;
}

void batch_tell(const struct table_batch *batch, struct table_found *found) {
    for (size_t i = 0; found->missing > 0 && batch->which != NULL && i < found->count; i++) {
        found->rows[i] = batch->rows[batch->which[i]];
    }
    found->missing = 0;
}
