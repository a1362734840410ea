/* Gradients that are kept until a synchronous clock is closed: see server/table.h. */
#include <stdlib.h>
#include <string.h>

#include "server/table_batch.h"

uint64_t table_contributed(const struct table *table) {
    return table->contributions != NULL ? row_contributions_bytes(table->contributions) : 0;
}

void table_trim(struct table *table) {
    if (table->contributions != NULL && table->contributions->contributed == 0) {
        row_contributions_finish(table->contributions);
        free(table->contributions);
        table->contributions = NULL;
    }
}

enum canyon_status table_contribution_room(struct table *table, const uint64_t *ids, size_t count,
                                           const struct giving *giving, bool exact, uint64_t *bytes,
                                           struct error *error) {
    struct row_contributions none;
    struct table_batch batch = {.count = count, .keys = NULL};
    const struct row_contributions *here = table->contributions;
    enum canyon_status status = CANYON_OK;
    if (exact) {
        status = batch_begin(table, ids, count, NULL, &batch, error);
    }
    if (here == NULL) {
        row_contributions_init(&none, table->workspace->pool, table->dim);
        here = &none;
    }
    *bytes = 0;
    if (status == CANYON_OK && count > 0) {
        *bytes = row_contributions_room(here, batch.keys, batch.count, giving->rank, giving->order);
    }
    return status;
}

/* All that closing the clock will need is taken now, since closing cannot be refused: one set of prepared constants,
 * which may have to make room for another then, and room for a row. */
static bool make_ready(struct table *table, const struct table_batch *batch, const struct giving *giving) {
    struct workspace *workspace = table->workspace;
    if (workspace->prepared[0] == NULL) {
        double hyper[OPTIMIZER_HYPERPARAMETERS];
        rule_hyper(&table->rule, table->clock, 0, hyper);
        if (workspace_prepared(workspace, table->rule.optimizer, hyper) == NULL) {
            return false;
        }
    }
    if (table->contributions == NULL) {
        table->contributions = malloc(sizeof *table->contributions);
        if (table->contributions == NULL) {
            return false;
        }
        row_contributions_init(table->contributions, workspace->pool, table->dim);
    }
    return workspace_row(workspace, table->dim) != NULL &&
           row_contributions_reserve(table->contributions, batch->keys, batch->count, giving->rank, giving->order);
}

enum canyon_status table_reserve_contribution(struct table *table, const uint64_t *ids, size_t count,
                                              const struct giving *giving, struct error *error) {
    struct table_batch batch;
    struct table_found *found = table->workspace->found;
    enum canyon_status status = table_reserve(table, ids, count, error);
    if (status == CANYON_OK && count > 0) {
        table->workspace->found = found; /* table_reserve said there where the rows are that it made */
        status = batch_begin(table, ids, count, NULL, &batch, error);
        if (status == CANYON_OK && !make_ready(table, &batch, giving)) {
            status = error_set(error, CANYON_NO_MEMORY,
                               "no memory to keep gradients of %zu rows of table '%s' until their clock is closed",
                               count, table->key.name);
        }
    }
    if (status != CANYON_OK) {
        table_release(table);
    }
    return status;
}

enum canyon_status table_contribute(struct table *table, const uint64_t *ids, size_t count, const float *gradients,
                                    const struct giving *giving, float *out, struct error *error) {
    struct table_batch batch;
    size_t made;
    enum canyon_status status = batch_begin(table, ids, count, gradients, &batch, error);
    if (status == CANYON_OK && !make_ready(table, &batch, giving)) {
        status = error_set(error, CANYON_NO_MEMORY,
                           "no memory to keep gradients of %zu rows of table '%s' until their clock is closed", count,
                           table->key.name);
    }
    if (status == CANYON_OK) {
        status = batch_create(table, &batch, &made, error);
    }
    if (status != CANYON_OK) {
        return status;
    }
    batch_keep(table);
    row_contributions_add(table->contributions, batch.ids, batch.keys, batch.count, giving->rank, giving->order,
                          batch.gradients);
    for (size_t i = 0; out != NULL && i < count; i++) {
        const float *weights = batch.rows[batch.which != NULL ? batch.which[i] : i].values;
        memcpy(out + i * table->dim, weights, table->dim * sizeof *out);
    }
    return CANYON_OK;
}
