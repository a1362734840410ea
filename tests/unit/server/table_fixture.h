/* What tests of tables share: specs, secrets, and a table written down the plain way to compare with. */
#ifndef CANYON_TESTS_UNIT_SERVER_TABLE_FIXTURE_H
#define CANYON_TESTS_UNIT_SERVER_TABLE_FIXTURE_H

#include "tests/unit/server/fixture.h"

#include "server/table.h"

static inline struct tensor_spec fixture_table_spec(const char *name, uint64_t dim, const char *optimizer) {
    struct tensor_spec spec = fixture_raw_spec(name, dim, optimizer);
    struct error error;
    spec.kind = TENSOR_TABLE;
    if (shard_canonical_spec(&spec, &error) != CANYON_OK) {
        fail_msg("%s: %s", optimizer, error.text);
    }
    return spec;
}

static inline struct workspace *fixture_workspace(const struct memory *memory, uint8_t secret) {
    uint8_t bytes[ROWKEY_SECRET_BYTES];
    memset(bytes, secret, sizeof bytes);
    struct workspace *workspace = workspace_create(memory, bytes);
    assert_non_null(workspace);
    return workspace;
}

static inline struct digest fixture_table_digest(const struct table *table) {
    struct digest digest;
    struct hash hash;
    hash_init(&hash);
    table_digest(table, &hash);
    hash_final(&hash, digest.bytes);
    return digest;
}

/* ---- The model: one array of rows, searched from the front ---- */

struct model_row {
    uint64_t id;
    uint32_t step, clock;
    float *values; /* weights and slots */
    double scalars[OPTIMIZER_SCALARS];
};

struct model {
    struct rule rule;
    struct initializer_recipe recipe;
    size_t dim, slot_floats, floats, count, room;
    uint64_t version, clock, kept, skipped, clipped;
    double scalars[OPTIMIZER_SCALARS];
    struct model_row *rows;
};

static inline void model_init(struct model *model, const struct tensor_spec *spec) {
    memset(model, 0, sizeof *model);
    rule_read(&model->rule, &spec->optimizer);
    initializer_recipe_of(spec, &model->recipe);
    model->dim = (size_t)spec->shape.dims[0];
    model->slot_floats = model->rule.optimizer->rows_only ? 1 : model->dim;
    model->floats = model->dim + model->rule.optimizer->slot_count * model->slot_floats;
    memcpy(model->scalars, model->rule.optimizer->scalar_initial, sizeof model->scalars);
}

static inline void model_finish(struct model *model) {
    for (size_t i = 0; i < model->count; i++) {
        free(model->rows[i].values);
    }
    free(model->rows);
}

static inline struct model_row *model_find(const struct model *model, uint64_t id) {
    for (size_t i = 0; i < model->count; i++) {
        if (model->rows[i].id == id) {
            return &model->rows[i];
        }
    }
    return NULL;
}

static inline struct model_row *model_make(struct model *model, uint64_t id) {
    struct model_row *row = model_find(model, id);
    if (row != NULL) {
        return row;
    }
    if (model->count == model->room) {
        model->room = model->room == 0 ? 64 : 2 * model->room;
        model->rows = realloc(model->rows, model->room * sizeof *model->rows);
        assert_non_null(model->rows);
    }
    row = &model->rows[model->count++];
    memset(row, 0, sizeof *row);
    row->id = id;
    row->values = malloc(model->floats * sizeof(float));
    assert_non_null(row->values);
    initializer_row(&model->recipe, id, model->dim, row->values);
    for (size_t i = model->dim; i < model->floats; i++) {
        row->values[i] = rule_initial(&model->rule, (i - model->dim) / model->slot_floats);
    }
    memcpy(row->scalars, model->rule.optimizer->scalar_initial, sizeof row->scalars);
    return row;
}

static inline void model_touch(struct model *model, const uint64_t *ids, size_t count, uint64_t clock) {
    for (size_t i = 0; i < count; i++) {
        struct model_row *row = model_make(model, ids[i]);
        row->clock = row->clock < clock ? (uint32_t)clock : row->clock;
    }
}

static inline void model_erase(struct model *model, uint64_t id) {
    struct model_row *row = model_find(model, id);
    if (row != NULL) {
        free(row->values);
        *row = model->rows[--model->count];
    }
}

/* Gradients are finite. Each row is updated at the first of its occurrences, by the sum of all in their order. */
static inline void model_push(struct model *model, const uint64_t *ids, size_t count, const float *gradients,
                              uint64_t clock) {
    const struct optimizer *optimizer = model->rule.optimizer;
    double hyper[OPTIMIZER_HYPERPARAMETERS];
    float common[OPTIMIZER_PREPARED] = {0};
    model->version++;
    model->clock = model->clock < clock ? clock : model->clock;
    rule_hyper(&model->rule, model->clock, 0, hyper);
    if (model->rule.steps == STEPS_SHARD) {
        optimizer->prepare(hyper, model->version, model->scalars, common);
    }
    model_touch(model, ids, count, clock);
    for (size_t i = 0; i < count; i++) {
        float sum[64], prepared[OPTIMIZER_PREPARED] = {0}, *slots[OPTIMIZER_SLOTS];
        bool again = false;
        assert_true(model->dim <= 64);
        memcpy(sum, gradients + i * model->dim, model->dim * sizeof sum[0]);
        for (size_t j = 0; j < count; j++) {
            again = again || (j < i && ids[j] == ids[i]);
            for (size_t k = 0; j > i && ids[j] == ids[i] && k < model->dim; k++) {
                sum[k] += gradients[j * model->dim + k];
            }
        }
        if (again) {
            continue;
        }
        struct model_row *row = model_find(model, ids[i]);
        for (size_t slot = 0; slot < optimizer->slot_count; slot++) {
            slots[slot] = row->values + model->dim + slot * model->slot_floats;
        }
        row->step++;
        if (model->rule.steps == STEPS_ROW) {
            optimizer->prepare(hyper, row->step, row->scalars, prepared);
        } else {
            memcpy(prepared, common, sizeof prepared);
        }
        model->kept += optimizer_apply(optimizer, prepared, model->dim, sum, row->values, slots);
    }
}

/* Every row bit by bit, and that there is no other. */
static inline void model_same(const struct model *model, const struct table *table) {
    assert_true(table_rows(table) == model->count);
    assert_true(table->version == model->version && table->clock == model->clock);
    assert_true(table->kept == model->kept && table->skipped == model->skipped && table->clipped == model->clipped);
    for (size_t i = 0; i < model->count; i++) {
        const struct model_row *expected = &model->rows[i];
        struct table_row row;
        assert_true(table_row(table, expected->id, &row));
        assert_int_equal(row.step, expected->step);
        assert_int_equal(row.clock, expected->clock);
        assert_memory_equal(row.values, expected->values, model->floats * sizeof(float));
        for (size_t k = 0; k < model->rule.optimizer->scalar_count && model->rule.steps == STEPS_ROW; k++) {
            assert_true(row.scalars[k] == expected->scalars[k]);
        }
    }
}

#endif
