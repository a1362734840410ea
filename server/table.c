#include "server/table.h"

#include <stdlib.h>
#include <string.h>

#include "server/command.h"

/* A shard's share of a number of rows, rounded up. */
static uint64_t share(const struct job *job, uint64_t rows) {
    return rows / job->shards + (rows % job->shards != 0);
}

uint64_t table_define_bytes(const struct job *job, const struct tensor_spec *spec) {
    return row_index_bytes_for(share(job, spec->capacity));
}

struct table *table_create(const struct job *job, uint32_t shard, uint64_t id, const struct tensor_spec *spec,
                           struct workspace *workspace) {
    struct table *table = calloc(1, sizeof *table);
    struct row_layout layout;
    if (table == NULL || !row_index_init(&table->index, workspace->pool, share(job, spec->capacity))) {
        free(table);
        return NULL;
    }
    table->spec = *spec;
    table->key.id = id;
    table->key.name = table->spec.name;
    table->shard = shard;
    table->dim = (size_t)spec->shape.dims[0];
    table->cap = spec->row_cap == 0 ? TABLE_NO_CAP : share(job, spec->row_cap);
    table->workspace = workspace;
    table_adjust(table, &spec->optimizer, 0);
    memcpy(table->scalars, table->rule.optimizer->scalar_initial, sizeof table->scalars);
    initializer_recipe_of(&table->spec, &table->recipe);
    row_layout_init(&layout, table->rule.optimizer, table->dim);
    row_store_init(&table->store, workspace->pool, &layout);
    return table;
}

void table_destroy(struct table *table) {
    if (table != NULL) {
        if (table->contributions != NULL) {
            row_contributions_finish(table->contributions);
            free(table->contributions);
        }
        free(table->reserved);
        row_store_finish(&table->store);
        row_index_finish(&table->index);
        free(table);
    }
}

void table_adjust(struct table *table, const struct optimizer_spec *settings, uint64_t epoch) {
    table->settings = *settings;
    table->epoch = epoch;
    rule_read(&table->rule, settings);
}

uint64_t table_rows(const struct table *table) {
    return table->index.count;
}

uint64_t table_value_bytes(const struct table *table) {
    return table->index.count * (uint64_t)table->store.layout.record;
}

uint64_t table_bytes(const struct table *table) {
    return row_index_bytes(&table->index) + row_store_bytes(&table->store) + table_contributed(table);
}

uint64_t table_room(const struct table *table, uint64_t rows) {
    const uint64_t left = table->store.next - table_rows(table); /* places of erased rows, which are used first */
    return row_index_room(&table->index, rows) + row_store_room(&table->store, rows > left ? rows - left : 0);
}

void table_digest(const struct table *table, struct hash *hash) {
    uint8_t spec[COMMAND_SPEC_LIMIT];
    uint64_t sum[HASH_BYTES / 8];
    struct tensor_spec now = table->spec;
    now.optimizer = table->settings;
    hash_update(hash, spec, command_spec_encode(&table->spec, spec));
    hash_update(hash, spec, command_spec_encode(&now, spec));
    hash_u64(hash, table->epoch);
    hash_u64(hash, table->version);
    hash_u64(hash, table->clock);
    for (size_t i = 0; i < table->rule.optimizer->scalar_count; i++) {
        hash_f64(hash, table->scalars[i]);
    }
    hash_u64(hash, table->kept);
    hash_u64(hash, table->skipped);
    hash_u64(hash, table->clipped);
    hash_u64(hash, table_rows(table));
    table_sum(table, sum);
    hash_update(hash, sum, sizeof sum);
    if (table->contributions != NULL) {
        row_contributions_digest(table->contributions, hash);
    }
}
