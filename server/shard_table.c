/* Tables in a shard: their commands, and what is read of them. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "server/shard_state.h"
#include "server/table_found.h"

enum canyon_status shard_find_table(const struct shard *shard, uint64_t tensor, struct table **table,
                                    struct error *error) {
    struct part *part = (struct part *)(void *)directory_find_id(&shard->parts, tensor);
    if (part == NULL) {
        return error_set(error, CANYON_NOT_FOUND, "shard %u has no table with id %016" PRIx64, shard->index, tensor);
    }
    if (part->spec.kind != TENSOR_TABLE) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "'%s' is a tensor, which has blocks, not rows",
                         part->key.name);
    }
    *table = (struct table *)(void *)part;
    return CANYON_OK;
}

void shard_lend(struct shard *shard, struct workspace *workspace) {
    assert(shard->workspace == NULL);
    shard->workspace = workspace;
    _Static_assert(sizeof workspace->rowkey.rounds >= LEDGER_SECRET_BYTES, "as secret as the secret");
    ledger_keep_secret(&shard->ledger, (const uint8_t *)workspace->rowkey.rounds);
}

struct part *shard_make_table(struct shard *shard, const struct command *command) {
    static const uint8_t known[ROWKEY_SECRET_BYTES];
    if (shard->workspace == NULL) {
        shard->own = workspace_create(shard->memory, known);
        shard->workspace = shard->own;
    }
    return shard->workspace == NULL ? NULL
                                    : (struct part *)(void *)table_create(shard->job, shard->index, command->tensor,
                                                                          command->spec, shard->workspace);
}

/* ---- Commands ---- */

/* A command from a byte string may hold anything that can be encoded. */
static enum canyon_status check_rows(const struct command *command, const struct table *table, struct error *error) {
    if (command->rows > LIMIT_BATCH_ROWS) {
        return error_set(error, CANYON_TOO_LARGE, "table '%s': %zu ids at once are more than %d", table->key.name,
                         command->rows, LIMIT_BATCH_ROWS);
    }
    const bool gives = command->kind == COMMAND_TABLE_PUSH || command->kind == COMMAND_TABLE_CONTRIBUTE;
    if (gives && command->count != command->rows * table->dim) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "table '%s' has rows of %zu elements: gradients of %zu rows are %zu values, not %zu",
                         table->key.name, table->dim, command->rows, command->rows * table->dim, command->count);
    }
    return CANYON_OK;
}

static enum canyon_status find(const struct shard *shard, const struct command *command, struct table **table,
                               struct error *error) {
    enum canyon_status status = shard_find_table(shard, command->tensor, table, error);
    return status == CANYON_OK ? check_rows(command, *table, error) : status;
}

enum canyon_status shard_find_rows(const struct shard *shard, const struct command *command, struct table_found *found,
                                   struct error *error) {
    struct table *table = NULL;
    enum canyon_status status = find(shard, command, &table, error);
    if (status == CANYON_OK) {
        *found = (struct table_found){.table = table, .ids = command->ids, .count = command->rows};
    }
    return status;
}

/* Whether the push that comes next may be that stale. */
static enum canyon_status admit(const struct table *table, struct error *error) {
    char what[LIMIT_NAME_BYTES + 48];
    if (table->rule.staleness.policy != STALENESS_REFUSE) {
        return CANYON_OK;
    }
    snprintf(what, sizeof what, "shard %u of table '%s'", table->shard, table->key.name);
    return rule_admit(&table->rule.staleness, table->staleness, what, error);
}

static struct giving giving_of(const struct shard *shard, const struct command *command) {
    return (struct giving){.rank = command->rank, .order = consistency_at(&shard->plan, command->clock)->order};
}

enum canyon_status shard_reserve_rows(struct shard *shard, const struct command *command, struct error *error) {
    struct table *table = NULL;
    enum canyon_status status = find(shard, command, &table, error);
    if (status == CANYON_OK && command->kind != COMMAND_TABLE_ERASE) {
        shard->workspace->found = command->found;
        if (command->kind == COMMAND_TABLE_CONTRIBUTE) {
            const struct giving giving = giving_of(shard, command);
            status = table_reserve_contribution(table, command->ids, command->rows, &giving, error);
        } else {
            status = table_reserve(table, command->ids, command->rows, error);
        }
        shard->workspace->found = NULL;
        shard->filled = status == CANYON_OK ? table : NULL;
    }
    return status;
}

/* TABLE_PUSH and TABLE_CONTRIBUTE. */
static enum canyon_status take_gradients(const struct shard *shard, struct table *table, const struct command *command,
                                         struct shard_reply *reply, struct error *error) {
    const uint64_t version = table->version;
    reply->staleness = version > command->version ? version - command->version : 0;
    table->staleness = reply->staleness;
    enum canyon_status status = admit(table, error);
    if (status == CANYON_OK && command->kind == COMMAND_TABLE_PUSH) {
        return table_push(table, command->ids, command->rows, command->values, command->clock, command->out, error);
    }
    if (status == CANYON_OK) {
        char what[LIMIT_NAME_BYTES + 48];
        snprintf(what, sizeof what, "rows of table '%s' in shard %u", table->key.name, table->shard);
        status = shard_judge_clock(shard, what, command->clock, error);
    }
    if (status == CANYON_OK) {
        const struct giving giving = giving_of(shard, command);
        status = table_contribute(table, command->ids, command->rows, command->values, &giving, command->out, error);
    }
    return status;
}

enum canyon_status shard_apply_rows(struct shard *shard, const struct command *command, struct shard_reply *reply,
                                    bool *changed, struct error *error) {
    struct table *table = NULL;
    enum canyon_status status = find(shard, command, &table, error);
    *changed = false;
    if (shard->filled != NULL && (shard->filled != table || status != CANYON_OK)) {
        shard_release(shard);
    }
    if (status != CANYON_OK) {
        return status;
    }
    uint64_t rows = table_rows(table) - table->reserved_count;
    shard->workspace->found = command->kind == COMMAND_TABLE_ERASE ? NULL : command->found;
    if (command->rows > 0 && (command->kind == COMMAND_TABLE_PUSH || command->kind == COMMAND_TABLE_CONTRIBUTE)) {
        status = take_gradients(shard, table, command, reply, error);
        *changed = status == CANYON_OK;
    } else if (command->rows > 0 && command->kind == COMMAND_TABLE_TOUCH) {
        status = table_touch(table, command->ids, command->rows, command->clock, command->out, changed, error);
    } else if (command->rows > 0) {
        status = table_erase(table, command->ids, command->rows, &reply->rows, error);
        *changed = status == CANYON_OK && reply->rows > 0;
    }
    shard->workspace->found = NULL;
    if (command->kind != COMMAND_TABLE_ERASE && status == CANYON_OK) {
        reply->rows = table_rows(table) - rows;
    }
    reply->version = table->version;
    shard_release(shard); /* what was reserved and not used, as after a gradient that is refused */
    return status;
}

/* ---- Reading ---- */

enum canyon_status shard_growth(const struct shard *shard, const struct command *command, bool exact, uint64_t *bytes,
                                struct error *error) {
    struct table *table = NULL;
    uint64_t rows = command->found != NULL ? command->found->missing : command->rows;
    enum canyon_status status = find(shard, command, &table, error);
    *bytes = 0;
    if (status == CANYON_OK && exact) {
        status = table_missing(table, command->ids, command->rows, &rows, error);
    }
    if (status == CANYON_OK && rows > 0 && command->kind != COMMAND_TABLE_ERASE) {
        *bytes = table_room(table, rows);
    }
    if (status == CANYON_OK && command->kind == COMMAND_TABLE_CONTRIBUTE) {
        const struct giving giving = giving_of(shard, command);
        uint64_t kept = 0;
        status = table_contribution_room(table, command->ids, command->rows, &giving, exact, &kept, error);
        *bytes += kept;
    }
    return status;
}

enum canyon_status shard_pull(const struct shard *shard, uint64_t tensor, const uint64_t *ids, size_t count, float *out,
                              struct error *error) {
    const struct command command = {
        .kind = COMMAND_TABLE_TOUCH, .tensor = tensor, .ids = ids, .rows = count, .out = out};
    return shard_pull_rows(shard, &command, error);
}

enum canyon_status shard_pull_rows(const struct shard *shard, const struct command *command, struct error *error) {
    struct table *table = NULL;
    enum canyon_status status = find(shard, command, &table, error);
    if (status == CANYON_OK) {
        shard->workspace->found = command->found;
        status = table_pull(table, command->ids, command->rows, command->out, error);
        shard->workspace->found = NULL;
    }
    return status;
}

enum canyon_status shard_row(const struct shard *shard, uint64_t tensor, uint64_t id, struct shard_row *row,
                             struct error *error) {
    struct table *table = NULL;
    struct table_row here;
    enum canyon_status status = shard_find_table(shard, tensor, &table, error);
    if (status == CANYON_OK && !table_row(table, id, &here)) {
        status = error_set(error, CANYON_NOT_FOUND, "shard %u has no row %" PRIu64 " of table '%s'", shard->index, id,
                           table->key.name);
    }
    if (status == CANYON_OK) {
        *row = (struct shard_row){.id = id,
                                  .step = here.step,
                                  .clock = here.clock,
                                  .values = here.values,
                                  .value_count = table->store.layout.value_floats,
                                  .scalars = here.scalars,
                                  .scalar_count = table->store.layout.scalars};
    }
    return status;
}

enum canyon_status shard_row_numbers(const struct shard *shard, uint64_t tensor, size_t *values, size_t *scalars,
                                     struct error *error) {
    struct table *table = NULL;
    enum canyon_status status = shard_find_table(shard, tensor, &table, error);
    if (status == CANYON_OK) {
        *values = table->store.layout.value_floats;
        *scalars = table->store.layout.scalars;
    }
    return status;
}

enum canyon_status shard_next_rows(const struct shard *shard, uint64_t tensor, uint64_t from, size_t room,
                                   uint64_t *ids, size_t *count, struct error *error) {
    struct table *table = NULL;
    enum canyon_status status = shard_find_table(shard, tensor, &table, error);
    *count = 0;
    if (status == CANYON_OK) {
        table_next(table, from, room, ids, count);
    }
    return status;
}

uint64_t shard_table_bytes(const struct shard *shard, uint64_t tensor) {
    struct table *table = NULL;
    return shard_find_table(shard, tensor, &table, NULL) == CANYON_OK ? table_bytes(table) : 0;
}

uint64_t shard_table_version(const struct shard *shard, uint64_t tensor) {
    struct table *table = NULL;
    return shard_find_table(shard, tensor, &table, NULL) == CANYON_OK ? table->version : 0;
}

enum canyon_status shard_table_counts(const struct shard *shard, uint64_t tensor, struct shard_table *totals,
                                      struct error *error) {
    struct table *table = NULL;
    enum canyon_status status = shard_find_table(shard, tensor, &table, error);
    memset(totals, 0, sizeof *totals);
    if (status == CANYON_OK) {
        totals->rows = table_rows(table);
        totals->cap = table->cap;
        totals->bytes = table_bytes(table);
        totals->version = table->version;
        totals->clock = table->clock;
    }
    return status;
}

enum canyon_status shard_table(const struct shard *shard, uint64_t tensor, struct shard_table *totals,
                               struct error *error) {
    struct table *table = NULL;
    enum canyon_status status = shard_table_counts(shard, tensor, totals, error);
    if (status == CANYON_OK) {
        status = shard_find_table(shard, tensor, &table, error);
    }
    if (status == CANYON_OK) {
        table_sum(table, totals->sum);
    }
    return status;
}
