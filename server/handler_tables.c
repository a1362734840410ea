/* TABLE_PUSH, TABLE_PULL, TABLE_PUSH_PULL, TABLE_ERASE: one frame, runs of rows of one table, each judged and carried
 * out by itself. The handler has room for the largest frame there may be: memory is taken for new rows, for rows that a
 * clock keeps, and for pulls that wait, for nothing else. */
#include "server/handler_state.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/codec.h"
#include "common/mutant.h"
#include "common/rows.h"
#include "server/table_found.h"

/* A request under way. */
struct batch {
    const struct request *request;
    struct handler_tensor *table;
    unsigned type;
    struct message_rows message;
    struct rows_layout layout;
    const uint8_t *payload;
    struct message_rows_done done;
    size_t row_bytes; /* of a row's gradient as it came */
    bool gathers;     /* gradients are kept until `clock` is closed; */
    uint64_t clock;   /* then that of the contribution, and whose it is */
    uint32_t rank;
    struct error pace; /* why gradients are not taken at all; only its status is set where they are */
};

static size_t aligned(size_t bytes) {
    return (bytes + ROWS_ALIGNMENT - 1) / ROWS_ALIGNMENT * ROWS_ALIGNMENT;
}

bool tables_init(struct handler_tables *tables, const struct job *job, const struct handler_environment *environment) {
    uint8_t secret[ROWKEY_SECRET_BYTES];
    size_t values = aligned(handler_payload_limit(job));
    environment->random(environment->user, secret, sizeof secret);
    tables->workspace = workspace_create(environment->memory, secret);
    memset(secret, 0, sizeof secret);
    tables->gradients = aligned_alloc(ROWS_ALIGNMENT, values);
    tables->weights = aligned_alloc(ROWS_ALIGNMENT, values);
    tables->results = aligned_alloc(ROWS_ALIGNMENT, aligned(LIMIT_RUNS * sizeof(struct rows_result)));
    tables->numbers = malloc((LIMIT_BATCH_ROWS + 1) * sizeof *tables->numbers);
    tables->keys = malloc(LIMIT_BATCH_ROWS * sizeof *tables->keys);
    tables->rows = malloc(LIMIT_BATCH_ROWS * sizeof *tables->rows);
    tables->found = malloc(LIMIT_RUNS * sizeof *tables->found);
    return tables->workspace != NULL && tables->gradients != NULL && tables->weights != NULL &&
           tables->results != NULL && tables->numbers != NULL && tables->keys != NULL && tables->rows != NULL &&
           tables->found != NULL;
}

void tables_finish(struct handler_tables *tables) {
    free(tables->gradients);
    free(tables->weights);
    free(tables->results);
    free(tables->numbers);
    free(tables->keys);
    free(tables->rows);
    free(tables->found);
    workspace_destroy(tables->workspace);
}

/* ---- which table, and whether it may be ---- */

enum canyon_status tables_find(const struct handler *handler, const struct request *request, uint64_t id,
                               struct handler_tensor **table, struct error *error) {
    struct handler_tensor *found = (struct handler_tensor *)(void *)directory_find_id(&handler->tensors, id);
    if (found == NULL) {
        return error_set(error, CANYON_NOT_FOUND, "no table with id %016" PRIx64 " on server %u (%s), thread %u", id,
                         handler->server, handler->job->servers[handler->server], handler->thread);
    }
    *table = found;
    enum canyon_status status = role_check_tensor(request, found->key.name, error);
    if (status == CANYON_OK && found->spec.kind != TENSOR_TABLE) {
        status =
            error_set(error, CANYON_INVALID_ARGUMENT, "'%s' is a tensor, which has blocks, not rows", found->key.name);
    }
    return status;
}

enum canyon_status tables_shard(const struct handler *handler, const struct handler_tensor *table, uint32_t index,
                                struct shard **shard, struct error *error) {
    char owner[HANDLER_OWNER_BYTES];
    if (index >= handler->job->shards) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "the job has %u shards, none of number %u",
                         handler->job->shards, index);
    }
    *shard = handler->shards[index];
    if (*shard == NULL) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "shard %u of table '%s' is on %s; this is server %u, thread %u", index, table->key.name,
                         handler_owner_text(handler, index, owner, sizeof owner), handler->server, handler->thread);
    }
    return CANYON_OK;
}

static enum canyon_status check_table(const struct batch *batch, struct error *error) {
    const struct handler_tensor *table = batch->table;
    if (batch->message.dim != table->spec.shape.dims[0]) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "table '%s' has rows of %" PRIu64 " elements, not %u",
                         table->key.name, table->spec.shape.dims[0], batch->message.dim);
    }
    /* A role that may not push does not make rows by reading them either. */
    if (batch->request->limited && batch->message.create) {
        return role_refuse(batch->request, batch->type, table->key.name, error);
    }
    return CANYON_OK;
}

static bool changes(const struct batch *batch) {
    return batch->type != FRAME_TABLE_PULL || batch->message.create;
}

/* Before anything of the frame is carried out. */
static enum canyon_status check_numbers(struct handler *handler, const struct batch *batch, struct error *error) {
    const struct rows_run *runs = (const struct rows_run *)(const void *)batch->payload;
    for (uint32_t i = 0; i < batch->message.runs && !changes(batch); i++) {
        if (runs[i].number != 0) {
            return error_set(error, CANYON_PROTOCOL, "%s with the number %" PRIu64 ": it changes nothing",
                             frame_type_name(batch->type), runs[i].number);
        }
    }
    return handler_judge_runs(handler, batch->request, runs, batch->message.runs, error);
}

/* The same of clocks: only what was taken before is answered whoever it is. */
static enum canyon_status check_known(struct handler *handler, const struct batch *batch, struct error *error) {
    const struct rows_run *runs = (const struct rows_run *)(const void *)batch->payload;
    struct handler_peer *peer = batch->request->peer;
    bool is_new = false, numbered = false;
    if (clocks_check_known(handler, batch->request, NULL) == CANYON_OK) {
        return CANYON_OK;
    }
    for (uint32_t i = 0; i < batch->message.runs; i++) {
        const bool here = runs[i].shard < handler->job->shards;
        const bool one = handler_is_new(here ? handler->shards[runs[i].shard] : NULL, batch->request, runs[i].number);
        is_new = is_new || one;
        numbered = numbered || (one && runs[i].number != 0);
    }
    peer->ending = numbered;
    return is_new ? clocks_check_known(handler, batch->request, error) : CANYON_OK;
}

/* ---- what a frame's runs are, before any is carried out ---- */

static const uint64_t *ids_of(const struct batch *batch) {
    return (const uint64_t *)(const void *)(batch->payload + batch->layout.ids);
}

/* A run's command, but for its gradients. */
static struct command command_of(const struct batch *batch, const struct rows_run *run, const uint64_t *ids) {
    const bool pushes = rows_push(batch->type);
    struct command command = {.kind = batch->gathers                     ? COMMAND_TABLE_CONTRIBUTE
                                      : pushes                           ? COMMAND_TABLE_PUSH
                                      : batch->type == FRAME_TABLE_ERASE ? COMMAND_TABLE_ERASE
                                                                         : COMMAND_TABLE_TOUCH,
                              .tensor = batch->message.table,
                              .version = pushes ? run->version : 0,
                              .clock = batch->gathers                    ? batch->clock
                                       : pushes || batch->message.create ? batch->message.clock
                                                                         : 0,
                              .rank = batch->rank,
                              .count = pushes ? (size_t)run->rows * batch->message.dim : 0,
                              .ids = ids,
                              .rows = run->rows,
                              .number = run->number};
    if (run->number != 0) {
        memcpy(command.session, batch->request->peer->session, SESSION_BYTES);
    }
    return command;
}

/* Whether a run is about rows that are here: ids of another shard would be found by nobody again. */
static enum canyon_status judge_run(const struct handler *handler, const struct batch *batch,
                                    const struct rows_run *run, size_t first, struct table_found *found,
                                    struct error *error) {
    const uint64_t *ids = ids_of(batch) + first, *hashes = handler->tables.numbers + first;
    const struct command command = command_of(batch, run, ids);
    struct shard *shard = NULL;
    enum canyon_status status = tables_shard(handler, batch->table, run->shard, &shard, error);
    for (uint32_t i = 0; i < run->rows && status == CANYON_OK; i++) {
        const uint32_t owner = job_row_shard(handler->job, hashes[i]);
        if (owner != run->shard) {
            status = error_set(error, CANYON_INVALID_ARGUMENT,
                               "row %" PRIu64 " of table '%s' belongs to shard %u, not to shard %u", ids[i],
                               batch->table->key.name, owner, run->shard);
        }
    }
    return status == CANYON_OK ? shard_find_rows(shard, &command, found, error) : status;
}

/* Looks up the rows of all runs as one sequence. A run that cannot be carried out is left without a table: why, is for
 * its turn to say, so that the reply's text is about the first one that was refused. */
static void look_up(struct handler *handler, const struct batch *batch) {
    struct handler_tables *tables = &handler->tables;
    const struct rows_run *runs = (const struct rows_run *)(const void *)batch->payload;
    const uint32_t rows = batch->message.rows;
    bool begun = false;
    size_t first = 0;
    row_hash_of(&batch->table->row_hash, ids_of(batch), rows, tables->numbers);
    rowkey_of(&tables->workspace->rowkey, ids_of(batch), rows, tables->keys);
    for (uint32_t i = 0; i < batch->message.runs; first += runs[i++].rows) {
        struct table_found *found = &tables->found[i];
        if (judge_run(handler, batch, &runs[i], first, found, NULL) != CANYON_OK) {
            *found = (struct table_found){.table = NULL};
            memset(tables->rows + first, 0, runs[i].rows * sizeof *tables->rows);
            continue;
        }
        found->keys = tables->keys + first;
        found->rows = tables->rows + first;
        found->behind = rows - first - runs[i].rows;
        found->asked = begun;
        begun = true;
    }
    if (batch->type != FRAME_TABLE_ERASE) {
        table_find(tables->found, batch->message.runs);
    }
}

/* ---- one run ---- */

/* Whether the table may grow by what this needs: looked at closely only where memory is short. */
static enum canyon_status check_memory(const struct handler *handler, const struct shard *shard,
                                       const struct command *command, struct error *error) {
    const uint64_t limit = handler->environment->state_limit;
    uint64_t bytes = 0;
    enum canyon_status status = CANYON_OK;
    for (int exact = 0; limit > 0 && exact < 2 && status == CANYON_OK; exact++) {
        status = shard_growth(shard, command, exact == 1, &bytes, error);
        if (status == CANYON_OK && bytes <= limit && handler->state_bytes <= limit - bytes) {
            return CANYON_OK;
        }
    }
    if (status == CANYON_OK && limit > 0) {
        status =
            error_set(error, CANYON_NO_MEMORY,
                      "the new rows%s may take %" PRIu64 " bytes; %" PRIu64 " of at most %" PRIu64 " are taken already",
                      command->kind == COMMAND_TABLE_CONTRIBUTE ? " and what is kept until the clock is closed" : "",
                      bytes, handler->state_bytes, limit);
    }
    return status;
}

static enum canyon_status apply_run(struct handler *handler, struct batch *batch, struct shard *shard,
                                    struct command *command, struct shard_reply *reply, struct error *error) {
    enum canyon_status status = CANYON_OK;
    if (command->found != NULL && command->found->missing == 0 && !batch->gathers) {
        return shard_apply(shard, command, reply, error); /* the table stays as large as it is */
    }
    const uint64_t before = shard_table_bytes(shard, command->tensor);
    const bool grows = command->kind != COMMAND_TABLE_ERASE && handler_is_new(shard, batch->request, command->number);
    if (grows) {
        status = check_memory(handler, shard, command, error);
        status = status == CANYON_OK ? shard_reserve(shard, command, error) : status;
    }
    if (status == CANYON_OK) {
        status = shard_apply(shard, command, reply, error);
    }
    /* Room that was reserved for what was then refused may stay with the table. */
    const uint64_t after = shard_table_bytes(shard, command->tensor);
    handler->state_bytes = handler->state_bytes - before + after;
    batch->table->bytes = batch->table->bytes - before + after;
    return status;
}

/* The gradients as float32, where they lie or decoded row by row. */
static enum canyon_status gradients_of(struct handler *handler, const struct batch *batch, size_t first, uint32_t rows,
                                       const float **gradients, struct error *error) {
    const uint32_t dim = batch->message.dim;
    const uint8_t *from = batch->payload + batch->layout.values + first * batch->row_bytes;
    enum canyon_status status = CANYON_OK;
    if (batch->message.codec == CODEC_F32) {
        *gradients = (const float *)(const void *)from;
        return CANYON_OK;
    }
    for (uint32_t i = 0; i < rows && status == CANYON_OK; i++) {
        status = codec_decode(batch->message.codec, from + i * batch->row_bytes, batch->row_bytes, dim, 0,
                              handler->tables.gradients + (size_t)i * dim, error);
    }
    *gradients = handler->tables.gradients;
    return status;
}

/* Row `first` of the frame on. Weights that are wanted go behind those of the runs before. */
static enum canyon_status execute_run(struct handler *handler, struct batch *batch, const struct rows_run *run,
                                      size_t first, struct table_found *found, struct shard_reply *reply,
                                      struct error *error) {
    struct shard *shard = handler->shards[run->shard];
    const bool pushes = rows_push(batch->type), pulls = rows_pull(batch->type);
    struct command command = command_of(batch, run, ids_of(batch) + first);
    enum canyon_status status = found->table == NULL ? judge_run(handler, batch, run, first, found, error) : CANYON_OK;
    command.found = batch->type == FRAME_TABLE_ERASE ? NULL : found;
    if (pulls) {
        command.out = handler->tables.weights + (size_t)batch->done.rows * batch->message.dim;
    }
    if (status == CANYON_OK && pushes) {
        status = gradients_of(handler, batch, first, run->rows, &command.values, error);
    }
    if (status == CANYON_OK && pulls && pushes && MUTANT(reply_rows_before)) {
        status = shard_pull(shard, command.tensor, command.ids, command.rows, command.out, error);
        command.out = NULL;
    }
    /* What was taken before is answered as it was. */
    if (status == CANYON_OK && pushes && batch->pace.status != CANYON_OK &&
        handler_is_new(shard, batch->request, run->number)) {
        *error = batch->pace;
        status = error->status;
    } else if (status == CANYON_OK && !changes(batch)) {
        status = shard_pull_rows(shard, &command, error);
        reply->version = status == CANYON_OK ? shard_table_version(shard, command.tensor) : 0;
    } else if (status == CANYON_OK) {
        status = apply_run(handler, batch, shard, &command, reply, error);
    }
    /* What the shard has not decided on uses up its number all the same. */
    if (status != CANYON_OK && run->number != 0 && reply->refused == CANYON_OK && handler->shards[run->shard] != NULL) {
        status = handler_refuse(handler->shards[run->shard], batch->request, run->number, status, !pulls, reply);
    }
    return status;
}

static void count_run(struct message_statistics *counters, const struct batch *batch, const struct rows_run *run,
                      const struct shard_reply *reply) {
    const uint64_t single = CODEC_SINGLE((uint64_t)run->rows * batch->message.dim);
    if (rows_push(batch->type) && !reply->duplicate) {
        counters->rows_pushed += run->rows;
        counters->values_in += run->rows * batch->row_bytes;
        counters->values_in_single += single;
    }
    if (rows_pull(batch->type)) {
        counters->rows_pulled += run->rows;
        counters->values_out += run->rows * rows_row_bytes(batch->message.reply, batch->message.dim);
        counters->values_out_single += single;
    }
    counters->rows_made += batch->type == FRAME_TABLE_ERASE ? 0 : reply->rows;
}

/* Brings a run's weights, the last ones that came, into the form that was asked for. What a row becomes depends on the
 * row and the table's version alone, not on what else is in the frame. */
static void encode_run(struct handler *handler, const struct batch *batch, const uint64_t *ids, uint32_t rows,
                       uint64_t version) {
    const uint32_t dim = batch->message.dim;
    const size_t row_bytes = rows_row_bytes(batch->message.reply, dim);
    for (size_t i = 0, at = batch->done.rows; i < rows && batch->message.reply != CODEC_F32; i++, at++) {
        codec_encode((enum codec)batch->message.reply, handler->tables.weights + at * dim, dim,
                     codec_seed(batch->table->home, ids[i], version), handler->codecs.reply + at * row_bytes);
    }
}

static void execute_runs(struct handler *handler, struct batch *batch) {
    const struct rows_run *runs = (const struct rows_run *)(const void *)batch->payload;
    const uint64_t *ids = ids_of(batch);
    size_t first = 0;
    look_up(handler, batch);
    for (uint32_t i = 0; i < batch->message.runs; i++) {
        struct rows_result *result = &handler->tables.results[i];
        struct shard_reply reply = {.version = 0};
        struct error error;
        enum canyon_status status =
            execute_run(handler, batch, &runs[i], first, &handler->tables.found[i], &reply, &error);
        handler->counters.duplicates += reply.duplicate;
        *result = (struct rows_result){.applied = reply.applied, .stable = reply.applied};
        if (status == CANYON_OK) {
            result->rows = (uint32_t)reply.rows;
            result->version = reply.version;
            result->staleness = rows_push(batch->type) ? reply.staleness : 0;
            count_run(&handler->counters, batch, &runs[i], &reply);
            if (rows_pull(batch->type)) {
                encode_run(handler, batch, ids + first, runs[i].rows, result->version);
                batch->done.rows += runs[i].rows;
            }
            batch->table->settled = batch->table->settled || rows_push(batch->type);
            if (rows_push(batch->type) && !reply.duplicate) {
                membership_count(batch->table, batch->request, result->staleness);
            }
        } else {
            result->code = (uint32_t)status;
            handler->counters.refused += !reply.duplicate;
            if (status == CANYON_LATE || status == CANYON_BUSY) {
                batch->done.clock = plan_open(handler);
            }
            handler->counters.not_finite += status == CANYON_NOT_FINITE && !reply.duplicate;
            if (batch->done.text[0] == '\0') {
                memcpy(batch->done.text, error.text, sizeof error.text);
            }
        }
        first += runs[i].rows;
    }
}

/* ---- the reply ---- */

static void answer(struct handler *handler, struct batch *batch) {
    const size_t row_bytes = rows_pull(batch->type) ? rows_row_bytes(batch->message.reply, batch->message.dim) : 0;
    const struct rows_layout layout = rows_reply_layout(batch->done.runs, batch->done.rows, row_bytes);
    const size_t results = batch->done.runs * sizeof(struct rows_result);
    const size_t values = batch->done.rows * row_bytes, front = values > 0 ? layout.values : results;
    memset((uint8_t *)handler->tables.results + results, 0, front - results);
    handler->slices[1] = (struct handler_slice){handler->tables.results, front};
    if (values > 0) {
        const bool single = batch->message.reply == CODEC_F32;
        const void *weights = single ? (const void *)handler->tables.weights : handler->codecs.reply;
        handler->slices[2] = (struct handler_slice){weights, values};
    }
    assert(front + values == layout.bytes);
    reply_send(handler, batch->request, (enum frame_type)(batch->type + 1),
               message_pack_rows_done(&batch->done, reply_message(handler)), values > 0 ? 2 : 1);
}

enum canyon_status serve_rows(struct handler *handler, const struct request *request, const struct frame *frame,
                              struct error *error) {
    struct batch batch = {.request = request, .type = frame->header.type, .payload = frame->payload};
    enum canyon_status status = message_unpack_rows(frame->message, frame->header.message_bytes, &batch.message, error);
    if (status == CANYON_OK) {
        status = rows_check_request(batch.type, &batch.message, frame->payload, frame->header.payload_bytes,
                                    handler->job->shards, handler_payload_limit(handler->job), &batch.layout, error);
    }
    if (status == CANYON_OK) {
        status = tables_find(handler, request, batch.message.table, &batch.table, error);
    }
    if (status == CANYON_OK) {
        status = check_table(&batch, error);
    }
    /* What makes rows has numbers, which follow one another: it cannot wait while others come. */
    if (status == CANYON_OK && batch.type == FRAME_TABLE_PULL && !batch.message.create) {
        bool waits = false;
        status = clocks_wait(handler, request, frame, batch.message.clock, batch.message.wait_ms, &waits, error);
        if (waits) {
            return status;
        }
    }
    if (status == CANYON_OK) {
        status = check_numbers(handler, &batch, error);
    }
    if (status == CANYON_OK && rows_push(batch.type)) {
        status = check_known(handler, &batch, error);
    }
    if (status != CANYON_OK) {
        return status;
    }
    assert((uintptr_t)frame->payload % _Alignof(uint64_t) == 0);
    batch.row_bytes = rows_push(batch.type) ? rows_row_bytes(batch.message.codec, batch.message.dim) : 0;
    batch.pace.status = CANYON_OK;
    if (rows_push(batch.type)) {
        batch.clock = batch.message.clock;
        (void)clocks_gathers(handler, request, &batch.clock, &batch.rank, &batch.gathers, &batch.pace);
    }
    batch.done.runs = batch.message.runs;
    execute_runs(handler, &batch);
    answer(handler, &batch);
    return CANYON_OK;
}
