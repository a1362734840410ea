#include "client/simulator/rows_there.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHY_BYTES 512

struct rows_there {
    struct rows rows; /* first: it is what others see */
    canyon_table *table;
    char name[CANYON_NAME_BYTES];
    char why[WHY_BYTES]; /* of the last call that could not be begun */
};

enum canyon_status rows_connect(const struct place *place, const char *name, canyon_client **client, char *text,
                                size_t bytes) {
    struct canyon_options options;
    canyon_options_init(&options);
    options.servers = place->servers;
    options.name = name;
    options.timeout_ms = place->timeout_ms;
    keys_apply(&place->keys, &options);
    *client = NULL;
    enum canyon_status status = canyon_connect(&options, client);
    if (status != CANYON_OK) {
        snprintf(text, bytes, "cannot connect: %s", canyon_error_text());
    }
    return status;
}

/* Begins what the batch in the call says. */
static void there_begin(struct rows_there *there, const uint64_t *ids, size_t count, struct rows_call *call) {
    call->batch.ids = ids;
    call->batch.count = count;
    call->batch.values = count * there->rows.dim;
    call->status = canyon_table_step_async(there->table, &call->batch, 0, &call->future);
    if (call->status != CANYON_OK) {
        call->future = NULL;
        snprintf(there->why, sizeof there->why, "%s", canyon_error_text());
    }
}

static void there_pull(struct rows *rows, const uint64_t *ids, size_t count, float *weights, struct rows_call *call) {
    canyon_batch_init(&call->batch);
    call->batch.weights = weights;
    there_begin((struct rows_there *)rows, ids, count, call);
}

static void there_push(struct rows *rows, const uint64_t *ids, size_t count, const float *gradient,
                       struct rows_call *call) {
    canyon_batch_init(&call->batch);
    call->batch.gradients = gradient;
    there_begin((struct rows_there *)rows, ids, count, call);
}

static enum canyon_status there_wait(struct rows *rows, struct rows_call *call, char *text, size_t bytes) {
    const struct rows_there *there = (const struct rows_there *)rows;
    enum canyon_status status = call->status;
    const char *why = there->why, *doing = call->batch.gradients != NULL ? "push to" : "pull from";
    if (call->future != NULL) {
        status = canyon_future_wait(call->future, UINT32_MAX);
        why = canyon_error_text();
    }
    if (status != CANYON_OK) {
        snprintf(text, bytes, "cannot %s table '%s': %s%s", doing, there->name, why,
                 status == CANYON_NOT_FINITE ? "; the training diverged: use a smaller lr" : "");
    }
    canyon_future_release(call->future);
    return status;
}

static enum canyon_status there_count(struct rows *rows, uint64_t *count, char *text, size_t bytes) {
    const struct rows_there *there = (const struct rows_there *)rows;
    struct canyon_table_totals totals;
    enum canyon_status status = canyon_table_totals(there->table, 0, &totals);
    if (status == CANYON_OK) {
        *count = totals.rows;
    } else {
        snprintf(text, bytes, "cannot count the rows of table '%s': %s", there->name, canyon_error_text());
    }
    return status;
}

static void there_close(struct rows *rows) {
    struct rows_there *there = (struct rows_there *)rows;
    canyon_table_close(there->table);
    free(there);
}

/* What to create for a plan's table. */
static enum canyon_status spec_of(const struct rows_spec *rows, struct canyon_table_spec *spec) {
    canyon_table_spec_init(spec);
    snprintf(spec->name, sizeof spec->name, "%s", rows->name);
    spec->dim = rows->dim;
    spec->seed = rows->seed;
    spec->capacity = rows->expected;
    if (rows->spread > 0.0f) {
        spec->initializer = CANYON_UNIFORM;
        spec->a = -(double)rows->spread;
        spec->b = (double)rows->spread;
    }
    return canyon_table_spec_optimizer(spec, rows->optimizer);
}

enum canyon_status rows_open_there(canyon_client *client, const struct rows_spec *spec, struct rows **rows, char *text,
                                   size_t bytes) {
    static const struct rows_kind kind = {there_pull, there_push, there_wait, there_count, there_close};
    struct canyon_table_spec what;
    *rows = NULL;
    struct rows_there *there = calloc(1, sizeof *there);
    if (there == NULL) {
        snprintf(text, bytes, "no memory for a table");
        return CANYON_NO_MEMORY;
    }
    there->rows = (struct rows){.kind = &kind, .dim = spec->dim};
    snprintf(there->name, sizeof there->name, "%s", spec->name);
    enum canyon_status status = spec_of(spec, &what);
    if (status == CANYON_OK) {
        status = canyon_table_create(client, &what, 0, &there->table);
    }
    if (status != CANYON_OK) {
        snprintf(text, bytes, "cannot create table '%s': %s", spec->name, canyon_error_text());
        free(there);
        return status;
    }
    *rows = &there->rows;
    return CANYON_OK;
}

enum canyon_status rows_drop(canyon_client *client, const char *name, char *text, size_t bytes) {
    enum canyon_status status = canyon_tensor_drop(client, name, 0);
    if (status == CANYON_NOT_FOUND) {
        return CANYON_OK;
    }
    if (status != CANYON_OK) {
        snprintf(text, bytes, "cannot drop table '%s': %s", name, canyon_error_text());
    }
    return status;
}
