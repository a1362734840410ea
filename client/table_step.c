/* The public calls that move rows. */
#include <stddef.h>
#include <string.h>

#include "client/error.h"
#include "client/table_transfer.h"

void canyon_batch_init(struct canyon_batch *batch) {
    memset(batch, 0, sizeof *batch);
    batch->size = sizeof *batch;
}

static enum canyon_status check_count(const struct canyon_table *table, const uint64_t *ids, size_t count,
                                      struct error *error) {
    if (count > CANYON_MAX_BATCH)
        return error_set(error, CANYON_TOO_LARGE,
                         "table \"%s\": a batch of %zu ids is above the limit of %u: send parts", table_name(table),
                         count, CANYON_MAX_BATCH);
    if (ids == NULL && count > 0)
        return error_set(error, CANYON_INVALID_ARGUMENT, "table \"%s\": the ids are NULL", table_name(table));
    return CANYON_OK;
}

/* Judges a batch, and gives its internal form. */
static enum canyon_status take_batch(struct canyon_table *table, struct canyon_batch *batch, uint32_t timeout_ms,
                                     struct table_order *order, struct error *error) {
    const char *name = table_name(table);
    const bool pushes = batch->gradients != NULL, pulls = batch->weights != NULL;
    enum canyon_status status = check_count(table, batch->ids, batch->count, error);
    if (status != CANYON_OK)
        return status;
    if (batch->values != 0 && batch->values != batch->count * table->dim)
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "table \"%s\" has rows of %u elements: %zu ids take %zu values, not %zu", name, table->dim,
                         batch->count, batch->count * table->dim, batch->values);
    if (!pushes && !pulls && batch->count > 0)
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "table \"%s\": neither gradients to push nor a place for weights", name);
    if (batch->create && pushes)
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "table \"%s\": `create` is for pulls; a push makes the rows that are not there", name);
    uint64_t clock = batch->clock;
    if (pushes) {
        const uint64_t turn = atomic_fetch_add_explicit(&table->pushes, 1, memory_order_relaxed) + 1;
        clock = clock == 0 ? turn : clock;
    } else if (clock == 0) {
        clock = atomic_load_explicit(&table->pushes, memory_order_relaxed);
    }
    const struct canyon_client *client = table->tensor->client;
    const uint64_t counted = pace_clock(client->pace), deadline = client_deadline(client, timeout_ms);
    clock = counted > 0 && batch->clock == 0 ? counted : clock;
    *order = (struct table_order){.table = table,
                                  .type = !pushes ? FRAME_TABLE_PULL
                                          : pulls ? FRAME_TABLE_PUSH_PULL
                                                  : FRAME_TABLE_PUSH,
                                  .create = batch->create != 0,
                                  .ids = batch->ids,
                                  .count = batch->count,
                                  .gradients = batch->gradients,
                                  .weights = batch->weights,
                                  .clock = pushes || batch->create || counted > 0 ? clock : 0,
                                  .results = batch,
                                  .deadline = deadline};
    if (counted > 0 && !pushes) {
        order->wait_ms = client_remaining_ms(deadline);
        order->deadline += CLIENT_PARKED_SLACK;
    }
    return CANYON_OK;
}

static enum canyon_status check_arguments(const canyon_table *table, const struct canyon_batch *batch,
                                          const char *call) {
    if (table == NULL || batch == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "%s: the %s is NULL", call,
                                 table == NULL ? "table" : "batch");
    if (batch->size != sizeof *batch)
        return last_error_format(CANYON_INVALID_ARGUMENT,
                                 "%s: the batch is of an unknown size: call canyon_batch_init first", call);
    return CANYON_OK;
}

enum canyon_status canyon_table_step(canyon_table *table, struct canyon_batch *batch, uint32_t timeout_ms) {
    struct error error = {.status = CANYON_OK};
    struct table_order order;
    enum canyon_status status = check_arguments(table, batch, "canyon_table_step");
    if (status != CANYON_OK)
        return status;
    if (client_begin(table->tensor->client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    if (take_batch(table, batch, timeout_ms, &order, &error) == CANYON_OK)
        table_transfer_run(&order, &error);
    client_leave(table->tensor->client);
    return last_error_set(&error);
}

enum canyon_status canyon_table_step_async(canyon_table *table, struct canyon_batch *batch, uint32_t timeout_ms,
                                           canyon_future **future) {
    struct error error = {.status = CANYON_OK};
    struct table_order order;
    if (future == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_table_step_async: the place for the future is NULL");
    *future = NULL;
    enum canyon_status status = check_arguments(table, batch, "canyon_table_step_async");
    if (status != CANYON_OK)
        return status;
    if (client_begin(table->tensor->client, false, &error) != CANYON_OK)
        return last_error_set(&error);
    if (take_batch(table, batch, timeout_ms, &order, &error) == CANYON_OK)
        table_transfer_begin(&order, false, future, &error);
    client_leave(table->tensor->client);
    return last_error_set(&error);
}

/* ---- in short ---- */

static enum canyon_status step(canyon_table *table, const uint64_t *ids, size_t count, const float *gradients,
                               float *weights, uint32_t timeout_ms) {
    struct canyon_batch batch;
    canyon_batch_init(&batch);
    batch.ids = ids;
    batch.count = count;
    batch.gradients = gradients;
    batch.weights = weights;
    return canyon_table_step(table, &batch, timeout_ms);
}

static enum canyon_status null_argument(const char *call, const char *what) {
    return last_error_format(CANYON_INVALID_ARGUMENT, "%s: the %s are NULL", call, what);
}

enum canyon_status canyon_table_push(canyon_table *table, const uint64_t *ids, size_t count, const float *gradients,
                                     uint32_t timeout_ms) {
    if (gradients == NULL && count > 0)
        return null_argument("canyon_table_push", "gradients");
    return step(table, ids, count, gradients, NULL, timeout_ms);
}

enum canyon_status canyon_table_pull(canyon_table *table, const uint64_t *ids, size_t count, float *weights,
                                     uint32_t timeout_ms) {
    if (weights == NULL && count > 0)
        return null_argument("canyon_table_pull", "weights");
    return step(table, ids, count, NULL, weights, timeout_ms);
}

enum canyon_status canyon_table_push_pull(canyon_table *table, const uint64_t *ids, size_t count,
                                          const float *gradients, float *weights, uint32_t timeout_ms) {
    if ((gradients == NULL || weights == NULL) && count > 0)
        return null_argument("canyon_table_push_pull", gradients == NULL ? "gradients" : "weights");
    return step(table, ids, count, gradients, weights, timeout_ms);
}

enum canyon_status canyon_table_erase(canyon_table *table, const uint64_t *ids, size_t count, uint32_t timeout_ms,
                                      uint64_t *erased) {
    struct error error = {.status = CANYON_OK};
    uint64_t gone = 0;
    if (table == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_table_erase: the table is NULL");
    if (client_begin(table->tensor->client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    const struct table_order order = {.table = table,
                                      .type = FRAME_TABLE_ERASE,
                                      .ids = ids,
                                      .count = count,
                                      .erased = &gone,
                                      .deadline = client_deadline(table->tensor->client, timeout_ms)};
    if (check_count(table, ids, count, &error) == CANYON_OK)
        table_transfer_run(&order, &error);
    if (erased != NULL)
        *erased = gone;
    client_leave(table->tensor->client);
    return last_error_set(&error);
}
