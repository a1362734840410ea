#include "client/simulator/load_link.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum canyon_status fail(struct load_link *link, enum canyon_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "cannot DOING: what the library said". */
static enum canyon_status fail(struct load_link *link, enum canyon_status status, const char *format, ...) {
    char doing[CANYON_NAME_BYTES + 64], why[NEWS_TEXT_BYTES - sizeof doing - 16];
    va_list values;
    const char *said = canyon_error_text();
    snprintf(why, sizeof why, "%s", said[0] != '\0' ? said : canyon_status_name(status));
    va_start(values, format);
    vsnprintf(doing, sizeof doing, format, values);
    va_end(values);
    snprintf(link->text, sizeof link->text, "cannot %s: %s", doing, why);
    return status;
}

void load_tensor_name(const struct load_plan *plan, uint32_t tensor, char name[CANYON_NAME_BYTES]) {
    snprintf(name, CANYON_NAME_BYTES, "%sload.%" PRIu32, plan->prefix, tensor);
}

static enum canyon_status link_connect(struct load_link *link, uint32_t client, const char *name) {
    const struct load_plan *plan = link->plan;
    struct canyon_options options;
    canyon_options_init(&options);
    options.servers = plan->servers;
    options.name = name;
    options.timeout_ms = plan->timeout_ms;
    options.connect_ms = plan->timeout_ms;
    keys_apply(&plan->keys, &options);
    enum canyon_status status = canyon_connect(&options, &link->clients[client]);
    return status == CANYON_OK ? CANYON_OK : fail(link, status, "connect to %s", plan->servers);
}

static enum canyon_status link_create(struct load_link *link, uint32_t client, uint32_t tensor,
                                      const struct coding *codec) {
    const struct load_plan *plan = link->plan;
    canyon_tensor **handle = &link->tensors[(size_t)client * plan->tensors + tensor];
    struct canyon_tensor_spec spec;
    canyon_tensor_spec_init(&spec); /* zeros: what sums begin with */
    enum canyon_status status = canyon_tensor_spec_optimizer(&spec, plan->optimizer);
    if (status != CANYON_OK) {
        return fail(link, status, "use the optimizer '%s'", plan->optimizer);
    }
    load_tensor_name(plan, tensor, spec.name);
    spec.rank = 1;
    spec.dims[0] = plan->elements;
    status = canyon_tensor_create(link->clients[client], &spec, 0, handle);
    if (status != CANYON_OK) {
        return fail(link, status, "create the tensor '%s'", spec.name);
    }
    status = codec == NULL ? CANYON_OK : coding_apply(codec, *handle);
    return status == CANYON_OK ? CANYON_OK : fail(link, status, "use the codec '%s'", plan->codec);
}

/* Rows of zeros, from which sums begin; nothing is taken for rows beforehand. */
static enum canyon_status link_create_table(struct load_link *link, uint32_t client, const struct coding *codec) {
    const struct load_plan *plan = link->plan;
    struct canyon_table_spec spec;
    canyon_table_spec_init(&spec);
    enum canyon_status status = canyon_table_spec_optimizer(&spec, plan->optimizer);
    if (status != CANYON_OK) {
        return fail(link, status, "use the optimizer '%s'", plan->optimizer);
    }
    load_tensor_name(plan, 0, spec.name);
    spec.dim = plan->dim;
    status = canyon_table_create(link->clients[client], &spec, 0, &link->tables[client]);
    if (status != CANYON_OK) {
        return fail(link, status, "create the table '%s'", spec.name);
    }
    if (codec != NULL) {
        status = canyon_table_set_codec(link->tables[client], codec->gradient, codec->weights);
    }
    return status == CANYON_OK ? CANYON_OK : fail(link, status, "use the codec '%s'", plan->codec);
}

/* Handles of everything for one client. */
static enum canyon_status link_create_all(struct load_link *link, uint32_t client, const struct coding *codec) {
    enum canyon_status status = CANYON_OK;
    if (link->plan->table) {
        return link_create_table(link, client, codec);
    }
    for (uint32_t t = 0; t < link->plan->tensors && status == CANYON_OK; t++) {
        status = link_create(link, client, t, codec);
    }
    return status;
}

enum canyon_status load_link_open(struct load_link *link, const struct load_plan *plan, uint32_t clients,
                                  const struct coding *codec, const char *name) {
    enum canyon_status status = CANYON_OK;
    memset(link, 0, sizeof *link);
    link->plan = plan;
    link->count = clients;
    link->clients = calloc(clients, sizeof *link->clients);
    link->tensors = calloc((size_t)clients * plan->tensors, sizeof *link->tensors);
    link->tables = calloc(clients, sizeof *link->tables);
    if (link->clients == NULL || link->tensors == NULL || link->tables == NULL) {
        snprintf(link->text, sizeof link->text, "no memory for %" PRIu32 " clients", clients);
        return CANYON_NO_MEMORY;
    }
    for (uint32_t c = 0; c < clients && status == CANYON_OK; c++) {
        status = link_connect(link, c, name);
        status = status == CANYON_OK ? link_create_all(link, c, codec) : status;
    }
    if (status == CANYON_OK && (status = canyon_job(link->clients[0], &link->job)) != CANYON_OK) {
        fail(link, status, "ask for the job");
    }
    return status;
}

enum canyon_status load_link_drop(struct load_link *link) {
    enum canyon_status result = CANYON_OK;
    bool there = link->count > 0 && link->clients != NULL && link->clients[0] != NULL;
    for (uint32_t t = 0; there && t < link->plan->tensors; t++) {
        char name[CANYON_NAME_BYTES];
        load_tensor_name(link->plan, t, name);
        enum canyon_status status = canyon_tensor_drop(link->clients[0], name, 0);
        if (status != CANYON_OK && status != CANYON_NOT_FOUND && result == CANYON_OK) {
            result = fail(link, status, "drop the %s '%s'", link->plan->table ? "table" : "tensor", name);
        }
        there = status != CANYON_UNAVAILABLE && status != CANYON_TIMEOUT; /* else each of them takes a deadline */
    }
    return result;
}

void load_link_close(struct load_link *link) {
    for (size_t i = 0; link->tensors != NULL && i < (size_t)link->count * link->plan->tensors; i++) {
        canyon_tensor_close(link->tensors[i]);
    }
    for (uint32_t c = 0; link->tables != NULL && c < link->count; c++) {
        canyon_table_close(link->tables[c]);
    }
    for (uint32_t c = 0; link->clients != NULL && c < link->count; c++) {
        canyon_close(link->clients[c]);
    }
    free(link->tables);
    free(link->tensors);
    free(link->clients);
    memset(link, 0, sizeof *link);
}
