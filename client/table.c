#include "client/table.h"

#include <stdlib.h>
#include <string.h>

#include "client/catalogue.h"
#include "client/error.h"

_Static_assert(CANYON_MAX_DIM == LIMIT_DIM && CANYON_MAX_ROWS == LIMIT_ROWS, "same limits");

/* ---- specs ---- */

void canyon_table_spec_init(struct canyon_table_spec *spec) {
    memset(spec, 0, sizeof *spec);
    spec->size = sizeof *spec;
    strcpy(spec->optimizer, "sgd");
    spec->initializer = CANYON_ZEROS;
}

enum canyon_status canyon_table_spec_optimizer(struct canyon_table_spec *spec, const char *text) {
    struct canyon_table_spec none, *to = spec == NULL ? &none : spec;
    return optimizer_read("canyon_table_spec_optimizer", spec, text, to->optimizer, &to->setting_count, to->settings);
}

static enum canyon_status spec_take(const struct canyon_table_spec *given, struct tensor_spec *spec,
                                    struct error *error) {
    memset(spec, 0, sizeof *spec);
    if (given == NULL || given->size != sizeof *given)
        return error_set(error, CANYON_INVALID_ARGUMENT, "the spec is %s: call canyon_table_spec_init first",
                         given == NULL ? "NULL" : "of an unknown size");
    enum canyon_status status = tensor_take_name(spec->name, given->name, sizeof spec->name, "spec.name", error);
    if (status == CANYON_OK)
        status = optimizer_take(given->optimizer, given->setting_count, given->settings, &spec->optimizer, error);
    if (status != CANYON_OK)
        return status;
    spec->kind = TENSOR_TABLE;
    spec->shape = (struct shape){.rank = 1, .dims = {given->dim}};
    spec->initializer = (struct initializer){
        .kind = (enum initializer_kind)given->initializer, .seed = given->seed, .a = given->a, .b = given->b};
    spec->capacity = given->capacity;
    spec->row_cap = given->row_cap;
    return tensor_spec_check(spec, error);
}

/* ---- handles ---- */

void canyon_table_close(canyon_table *table) {
    if (table == NULL)
        return;
    tensor_destroy(table->tensor);
    free(table->order.ranks);
    free(table->order.sorted);
    free(table->order.lanes);
    free(table->versions);
    free(table);
}

/* Shards by lane, then by number. */
static void order_fill(struct shard_order *order, const struct canyon_client *client) {
    uint32_t rank = 0;
    for (uint32_t shard = 0; shard < order->shards; shard++) {
        const uint32_t server = job_server_of(&client->job, shard);
        order->lanes[shard] =
            (uint32_t)client->first_lanes[server] + job_thread_of(&client->job, shard, client->threads[server]);
    }
    /* The shards of a thread are a fixed distance apart; there are as many walks as lanes with shards. */
    for (uint32_t first = 0; first < order->shards && rank < order->shards; first++) {
        const uint32_t server = job_server_of(&client->job, first);
        const uint32_t step = client->job.server_count * client->threads[server];
        if (first >= step)
            continue;
        for (uint32_t shard = first; shard < order->shards; shard += step) {
            order->ranks[shard] = rank;
            order->sorted[rank++] = shard;
        }
    }
}

/* Everything of a handle but the entry of the catalogue. */
static struct canyon_table *table_allocate(const struct canyon_client *client, struct error *error) {
    const uint32_t shards = client->job.shards;
    struct canyon_table *table = calloc(1, sizeof *table);
    if (table != NULL) {
        table->order = (struct shard_order){.shards = shards,
                                            .ranks = malloc(shards * sizeof(uint32_t)),
                                            .sorted = malloc(shards * sizeof(uint32_t)),
                                            .lanes = malloc(shards * sizeof(uint32_t))};
        table->versions = calloc(shards, sizeof *table->versions);
    }
    if (table == NULL || table->order.ranks == NULL || table->order.sorted == NULL || table->order.lanes == NULL ||
        table->versions == NULL) {
        canyon_table_close(table);
        error_set(error, CANYON_NO_MEMORY, "no memory for a table's handle for %u shards", shards);
        return NULL;
    }
    order_fill(&table->order, client);
    return table;
}

static void table_complete(struct canyon_table *table) {
    table->dim = (uint32_t)table->tensor->info.spec.shape.dims[0];
    row_hash_init(&table->hash, table_name(table));
}

enum canyon_status canyon_table_create(canyon_client *client, const struct canyon_table_spec *given,
                                       uint32_t timeout_ms, canyon_table **table) {
    struct error error = {.status = CANYON_OK};
    struct tensor_spec spec;
    if (table == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_table_create: the place for the table is NULL");
    *table = NULL;
    if (client_begin(client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    struct canyon_table *made = NULL;
    if (spec_take(given, &spec, &error) == CANYON_OK)
        made = table_allocate(client, &error);
    if (made != NULL && catalogue_create(client, &spec, NULL, client_deadline(client, timeout_ms), &made->tensor,
                                         &error) == CANYON_OK) {
        table_complete(made);
        *table = made;
    } else {
        canyon_table_close(made);
    }
    client_leave(client);
    return last_error_set(&error);
}

enum canyon_status canyon_table_open(canyon_client *client, const char *name, uint32_t timeout_ms,
                                     canyon_table **table) {
    struct error error = {.status = CANYON_OK};
    if (table == NULL || name == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_table_open: the %s is NULL",
                                 name == NULL ? "name" : "place for the table");
    *table = NULL;
    if (client_begin(client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    struct canyon_table *made = table_allocate(client, &error);
    if (made != NULL && catalogue_open(client, name, TENSOR_TABLE, client_deadline(client, timeout_ms), &made->tensor,
                                       &error) == CANYON_OK) {
        table_complete(made);
        *table = made;
    } else {
        canyon_table_close(made);
    }
    client_leave(client);
    return last_error_set(&error);
}

enum canyon_status canyon_table_describe(const canyon_table *table, struct canyon_tensor_info *info) {
    if (table == NULL || info == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_table_describe: the %s is NULL",
                                 table == NULL ? "table" : "place for the description");
    return canyon_tensor_describe(table->tensor, info);
}

enum canyon_status canyon_table_set_codec(canyon_table *table, const char *gradients, const char *weights) {
    struct error error = {.status = CANYON_OK};
    struct codec_choice of_gradients, of_weights;
    if (table == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_table_set_codec: the table is NULL");
    if (encoding_parse(gradients, weights, &of_gradients, &of_weights, &error) != CANYON_OK)
        error_prefix(&error, "table \"%s\"", table_name(table));
    else if (of_gradients.feedback)
        error_set(&error, CANYON_INVALID_ARGUMENT,
                  "table \"%s\": codec %s would need a residual for every row there is: take f32, bf16, f16, int8 or "
                  "int8:stochastic",
                  table_name(table), gradients);
    else
        encoding_choose(&table->tensor->encoding, &of_gradients, &of_weights, 0, &error);
    return last_error_set(&error);
}
