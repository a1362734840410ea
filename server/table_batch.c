#include "server/table_batch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMED 6 /* rows that an error text names, at most */

/* ---- Looking up ---- */

/* Fills the entries of all keys. Found ones are marked: one that is marked already is there twice. Returns whether
 * there was such a one. */
static bool look_up(const struct table *table, struct table_batch *batch, const uint64_t *keys) {
    const struct row_index *index = &table->index;
    uint32_t twice = 0;
    batch->missing = 0;
    batch->marked = true;
    for (size_t i = 0; i < batch->count && i < BATCH_AHEAD_INDEX; i++) {
        row_index_prefetch(index, keys[i]);
    }
    for (size_t i = 0; i < batch->count; i++) {
        if (i + BATCH_AHEAD_INDEX < batch->count) {
            row_index_prefetch(index, keys[i + BATCH_AHEAD_INDEX]);
        }
        struct row_entry *entry = row_index_find(index, keys[i]);
        batch->entries[i] = entry;
        if (entry == NULL) {
            batch->missing++;
        } else {
            twice |= entry->place;
            entry->place |= BATCH_MET;
        }
    }
    return (twice & BATCH_MET) != 0;
}

void batch_unmark(struct table_batch *batch) {
    for (size_t i = 0; batch->marked && i < batch->count; i++) {
        if (batch->entries[i] != NULL) {
            batch->entries[i]->place &= ~BATCH_MET;
        }
    }
    batch->marked = false;
}

/* ---- The same row twice ---- */

/* Leaves each key once, in order of its first occurrence, and fills scratch->which. */
static void find_rows(struct workspace_scratch *scratch, struct table_batch *batch) {
    size_t slots = 2, count = 0;
    while (slots < 2 * batch->count) {
        slots *= 2;
    }
    assert(slots <= scratch->slots);
    memset(scratch->table, 0xff, slots * sizeof *scratch->table);
    for (size_t i = 0; i < batch->count; i++) {
        size_t slot = (size_t)scratch->keys[i] & (slots - 1);
        while (scratch->table[slot] != UINT32_MAX && scratch->keys[scratch->table[slot]] != scratch->keys[i]) {
            slot = (slot + 1) & (slots - 1);
        }
        if (scratch->table[slot] == UINT32_MAX) {
            scratch->table[slot] = (uint32_t)count;
            scratch->keys[count] = scratch->keys[i];
            scratch->ids[count++] = batch->ids[i];
        }
        scratch->which[i] = scratch->table[slot];
    }
    batch->count = count;
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
    bool refuses = gradients != NULL && table->rule.nonfinite == NONFINITE_REFUSE;
    enum canyon_status status = CANYON_OK;
    assert(count <= LIMIT_BATCH_ROWS);
    if (!workspace_rows(workspace, count)) {
        return error_set(error, CANYON_NO_MEMORY, "no memory to look up %zu rows of table '%s'", count,
                         table->key.name);
    }
    /* A sum of what is finite can be infinite, so sums are checked again. */
    status = refuses ? check_finite(table, ids, count, gradients, error) : CANYON_OK;
    if (status != CANYON_OK) {
        return status;
    }
    *batch = (struct table_batch){
        .count = count, .ids = ids, .entries = scratch->entries, .gradients = gradients, .given = count};
    rowkey_of(&workspace->rowkey, ids, count, scratch->keys);
    bool twice = look_up(table, batch, scratch->keys);
    if (!twice && batch->missing == 0) {
        return CANYON_OK;
    }
    /* Rows that are not there have no mark to be known by. */
    batch_unmark(batch);
    find_rows(scratch, batch);
    batch->ids = scratch->ids;
    if (batch->count < count) {
        batch->which = scratch->which;
        if (gradients != NULL) {
            if (!workspace_floats(workspace, batch->count * table->dim)) {
                return error_set(error, CANYON_NO_MEMORY, "no memory to add up gradients of %zu rows of table '%s'",
                                 batch->count, table->key.name);
            }
            add_up(scratch, batch, table->dim, gradients);
            batch->gradients = scratch->values;
            status = refuses ? check_finite(table, batch->ids, batch->count, batch->gradients, error) : CANYON_OK;
        }
    }
    if (status == CANYON_OK && batch->which != NULL) { /* else every row is where it was */
        (void)look_up(table, batch, scratch->keys);
        batch_unmark(batch);
    }
    return status;
}

static void fill(const struct table *table, uint64_t id, uint32_t place) {
    const struct row_layout *layout = &table->store.layout;
    float *record = row_store_at(&table->store, place);
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
    *row_store_clock(&table->store, place) = 0;
}

static enum canyon_status create_row(struct table *table, uint64_t id, uint64_t key, struct error *error) {
    uint32_t place = row_store_take(&table->store);
    enum row_insert result = place == ROW_NONE ? ROW_NO_MEMORY : row_index_insert(&table->index, key, place);
    if (result == ROW_INSERTED) {
        fill(table, id, place);
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
    struct row_entry *entry = row_index_find(&table->index, key);
    if (entry != NULL) {
        row_store_give(&table->store, entry->place);
        row_index_erase(&table->index, entry);
    }
    return entry != NULL;
}

enum canyon_status batch_create(struct table *table, struct table_batch *batch, struct error *error) {
    struct workspace_scratch *scratch = &table->workspace->scratch;
    enum canyon_status status = CANYON_OK;
    uint64_t rows = table_rows(table);
    size_t made = 0;
    if (batch->missing == 0) {
        return CANYON_OK;
    }
    if (table->cap != TABLE_NO_CAP && (rows > table->cap || batch->missing > table->cap - rows)) {
        return error_set(error, CANYON_TOO_LARGE,
                         "table '%s' has %" PRIu64 " rows in shard %u, of at most %" PRIu64 " (the row cap is %" PRIu64
                         "): of a batch with %zu more none of the rows here was changed",
                         table->key.name, rows, table->shard, table->cap, table->spec.row_cap, batch->missing);
    }
    for (size_t i = 0; status == CANYON_OK && i < batch->count; i++) {
        if (batch->entries[i] == NULL) {
            status = create_row(table, batch->ids[i], scratch->keys[i], error);
            /* Entries move now: what was found is not looked at any more, but which were missing is. */
            made += status == CANYON_OK;
        }
    }
    for (size_t i = 0; status != CANYON_OK && made > 0; i++) {
        if (batch->entries[i] == NULL) {
            (void)batch_unmake(table, scratch->keys[i]);
            made--;
        }
    }
    if (status == CANYON_OK) {
        (void)look_up(table, batch, scratch->keys);
        batch_unmark(batch);
        assert(batch->missing == 0);
    }
    return status;
}
