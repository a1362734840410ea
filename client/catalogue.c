/* Creating, opening, listing and dropping tensors: the client's half of the catalogue's rules. */
#include "client/catalogue.h"

#include "client/error.h"
#include "client/exchange.h"
#include "client/settings.h"
#include "client/tensor.h"
#include "client/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define MILLISECOND 1000000u
/* A request that the server parks ends there, with an explanation; ours ends a little later. */
#define PARKED_SLACK (250u * MILLISECOND)
/* Time to back out of a creation that failed. */
#define BACK_OUT (1000u * MILLISECOND)

/* A tensor found in the middle of a drop is dropped and asked for again, so many times at most. */
#define CREATE_ROUNDS 16

/* ---- single steps ---- */

static enum canyon_status define_all(struct canyon_client *client, const struct tensor_info *info, uint64_t deadline,
                                     struct error *error) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct exchange_request request = {.type = FRAME_DEFINE,
                                       .message = message,
                                       .bytes = message_pack_define(info, message),
                                       .deadline = deadline,
                                       .changes_state = info->state == TENSOR_CREATING,
                                       .reached_only = info->state == TENSOR_COMPLETE};
    return exchange_tell_all(client, &request, error);
}

/* A complete tensor's parts are there, and have the settings it has now: whoever set them may have died between the
 * servers. */
static enum canyon_status confirm(struct canyon_client *client, const struct tensor_info *info, uint64_t deadline,
                                  struct error *error) {
    enum canyon_status status = define_all(client, info, deadline, error);
    return status == CANYON_OK && info->epoch > 0 ? settings_adjust(client, info, true, deadline, error) : status;
}

/* COMPLETE, DROP, DROPPED to shard 0; UNDEFINE to all. `reply` is for DROP. */
static enum canyon_status tell_of(struct canyon_client *client, uint16_t type, uint64_t id, const char *name,
                                  uint64_t deadline, struct exchange_reply *reply, struct error *error) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct message_tensor tensor = {.id = id};
    memcpy(tensor.name, name, strlen(name) + 1);
    struct exchange_request request = {.type = type,
                                       .message = message,
                                       .bytes = message_pack_tensor(&tensor, message),
                                       .deadline = deadline,
                                       .changes_state = true};
    if (type == FRAME_UNDEFINE)
        return exchange_tell_all(client, &request, error);
    return exchange_ask(client, &request, reply, error);
}

/* The parts go, then the name. */
static enum canyon_status finish_drop(struct canyon_client *client, uint64_t id, const char *name, uint64_t deadline,
                                      struct error *error) {
    enum canyon_status status = tell_of(client, FRAME_UNDEFINE, id, name, deadline, NULL, error);
    if (status == CANYON_OK)
        status = tell_of(client, FRAME_DROPPED, id, name, deadline, NULL, error);
    return status == CANYON_NOT_FOUND ? CANYON_OK : status; /* somebody else finished it */
}

/* Best effort: what is left behind is found CREATING or DROPPING, and finished, by the next who asks. Who dropped it
 * meanwhile may have been ahead of our parts: they go even when its name is gone already. */
static void back_out(struct canyon_client *client, const struct tensor_info *info) {
    struct error ignored = {.status = CANYON_OK};
    uint64_t deadline = clock_now() + BACK_OUT;
    const char *name = info->spec.name;
    enum canyon_status status = tell_of(client, FRAME_DROP, info->id, name, deadline, NULL, &ignored);
    if (status == CANYON_OK || status == CANYON_NOT_FOUND)
        finish_drop(client, info->id, name, deadline, &ignored);
}

/* ---- create ---- */

static enum canyon_status ask_create(struct canyon_client *client, const struct tensor_spec *spec, uint64_t deadline,
                                     struct message_created *created, struct error *error) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct message_create create = {.spec = *spec, .wait_ms = client_remaining_ms(deadline)};
    struct exchange_request request = {.type = FRAME_CREATE,
                                       .message = message,
                                       .bytes = message_pack_create(&create, message),
                                       .deadline = deadline + PARKED_SLACK,
                                       .changes_state = true};
    struct exchange_reply reply;
    exchange_reply_init(&reply);
    enum canyon_status status = exchange_ask(client, &request, &reply, error);
    if (status == CANYON_OK)
        status = message_unpack_created(reply.message, reply.message_bytes, created, error);
    exchange_reply_finish(&reply);
    return status;
}

static enum canyon_status assign_values(struct canyon_tensor *tensor, const float *values, uint64_t deadline,
                                        struct error *error) {
    struct transfer_item item = {.tensor = tensor, .type = FRAME_ASSIGN, .out = values};
    struct transfer_order order = {.items = &item, .count = 1, .deadline = deadline};
    return transfer_run(tensor->client, &order, error);
}

/* This caller is the creator: it makes the parts and marks the tensor complete. */
static enum canyon_status build(struct canyon_tensor *tensor, const float *values, uint64_t deadline,
                                struct error *error) {
    struct canyon_client *client = tensor->client;
    const char *name = tensor->info.spec.name;
    tensor->info.state = TENSOR_CREATING;
    enum canyon_status status = define_all(client, &tensor->info, deadline, error);
    if (status == CANYON_OK && values != NULL)
        status = assign_values(tensor, values, deadline, error);
    if (status == CANYON_OK)
        status = tell_of(client, FRAME_COMPLETE, tensor->info.id, name, deadline, NULL, error);
    if (status == CANYON_OK)
        tensor->info.state = TENSOR_COMPLETE;
    else
        back_out(client, &tensor->info);
    return status;
}

/* One answer of shard 0. *tensor stays NULL when it has to be asked again. */
static enum canyon_status create_round(struct canyon_client *client, const struct tensor_spec *spec,
                                       const float *values, uint64_t deadline, struct canyon_tensor **tensor,
                                       struct error *error) {
    struct message_created created;
    enum canyon_status status = ask_create(client, spec, deadline, &created, error);
    if (status != CANYON_OK)
        return status;
    if (!created.creator && created.tensor.state == TENSOR_DROPPING)
        return finish_drop(client, created.tensor.id, spec->name, deadline, error);

    struct canyon_tensor *made = tensor_create(client, &created.tensor, error);
    if (made == NULL) {
        if (created.creator)
            back_out(client, &created.tensor);
        return error->status;
    }
    if (created.creator)
        status = build(made, values, deadline, error);
    else
        status = confirm(client, &made->info, deadline, error);
    if (status == CANYON_OK)
        *tensor = made;
    else
        tensor_destroy(made);
    return status;
}

enum canyon_status catalogue_create(struct canyon_client *client, const struct tensor_spec *spec, const float *values,
                                    uint64_t deadline, struct canyon_tensor **tensor, struct error *error) {
    *tensor = NULL;
    for (int round = 0; round < CREATE_ROUNDS && *tensor == NULL; round++) {
        enum canyon_status status = create_round(client, spec, values, deadline, tensor, error);
        if (status != CANYON_OK)
            return status;
    }
    if (*tensor == NULL)
        return error_set(error, CANYON_CONFLICT, "%s \"%s\" is being dropped again and again by others",
                         tensor_kind_name(spec->kind), spec->name);
    error->status = CANYON_OK; /* a drop found finished on the way is no failure */
    return CANYON_OK;
}

enum canyon_status canyon_tensor_create(canyon_client *client, const struct canyon_tensor_spec *given,
                                        uint32_t timeout_ms, canyon_tensor **tensor) {
    struct error error = {.status = CANYON_OK};
    struct tensor_spec spec;
    const float *values = NULL;
    if (tensor == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_tensor_create: the place for the tensor is NULL");
    *tensor = NULL;
    if (client_begin(client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    if (tensor_spec_take(given, &spec, &values, &error) == CANYON_OK) {
        if (spec.initializer.kind != INITIALIZER_VALUES)
            values = NULL;
        catalogue_create(client, &spec, values, client_deadline(client, timeout_ms), tensor, &error);
    }
    client_leave(client);
    return last_error_set(&error);
}

/* ---- open, list, drop ---- */

static enum canyon_status ask_open(struct canyon_client *client, const char *name, enum tensor_kind kind,
                                   uint64_t deadline, struct tensor_info *info, struct error *error) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct message_open open = {.wait_ms = client_remaining_ms(deadline)};
    enum canyon_status status = name_check(name, tensor_kind_name(kind), error);
    if (status != CANYON_OK)
        return status;
    memcpy(open.name, name, strlen(name) + 1);
    struct exchange_request request = {.type = FRAME_OPEN,
                                       .message = message,
                                       .bytes = message_pack_open(&open, message),
                                       .deadline = deadline + PARKED_SLACK};
    struct exchange_reply reply;
    exchange_reply_init(&reply);
    status = exchange_ask(client, &request, &reply, error);
    if (status == CANYON_OK)
        status = message_unpack_opened(reply.message, reply.message_bytes, info, error);
    exchange_reply_finish(&reply);
    return status;
}

enum canyon_status catalogue_open(struct canyon_client *client, const char *name, enum tensor_kind kind,
                                  uint64_t deadline, struct canyon_tensor **tensor, struct error *error) {
    struct tensor_info info;
    *tensor = NULL;
    enum canyon_status status = ask_open(client, name, kind, deadline, &info, error);
    if (status != CANYON_OK)
        return status;
    if (info.spec.kind != kind)
        return error_set(error, CANYON_MISMATCH, "\"%s\" is a %s: open it with canyon_%s_open", name,
                         tensor_kind_name(info.spec.kind), tensor_kind_name(info.spec.kind));
    struct canyon_tensor *made = tensor_create(client, &info, error);
    if (made == NULL)
        return error->status;
    status = confirm(client, &made->info, deadline, error);
    if (status == CANYON_OK)
        *tensor = made;
    else
        tensor_destroy(made);
    return status;
}

enum canyon_status canyon_tensor_open(canyon_client *client, const char *name, uint32_t timeout_ms,
                                      canyon_tensor **tensor) {
    struct error error = {.status = CANYON_OK};
    if (tensor == NULL || name == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_tensor_open: the %s is NULL",
                                 name == NULL ? "name" : "place for the tensor");
    *tensor = NULL;
    if (client_begin(client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    catalogue_open(client, name, TENSOR_DENSE, client_deadline(client, timeout_ms), tensor, &error);
    client_leave(client);
    return last_error_set(&error);
}

/* One page, appended to the list. */
static enum canyon_status list_page(struct canyon_client *client, uint64_t deadline, struct message_list *list,
                                    struct canyon_tensor_info **infos, size_t *count, bool *more, struct error *error) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct message_listed listed;
    struct exchange_reply reply;
    exchange_reply_init(&reply);
    struct exchange_request request = {
        .type = FRAME_LIST, .message = message, .bytes = message_pack_list(list, message), .deadline = deadline};
    enum canyon_status status = exchange_ask(client, &request, &reply, error);
    if (status == CANYON_OK)
        status = message_unpack_listed(reply.message, reply.message_bytes, &listed, error);
    if (status != CANYON_OK)
        goto out;
    struct canyon_tensor_info *grown = realloc(*infos, (*count + listed.count + 1) * sizeof *grown);
    if (grown == NULL) {
        status = error_set(error, CANYON_NO_MEMORY, "no memory for a list of %zu tensors", *count + listed.count);
        goto out;
    }
    *infos = grown;
    for (uint32_t i = 0; i < listed.count && status == CANYON_OK; i++) {
        const char *name = listed.tensors[i].spec.name;
        if (strcmp(name, list->after) <= 0) /* a server that goes in circles would be listened to until the deadline */
            status = error_set(error, CANYON_PROTOCOL, "%s listed tensor \"%s\" after \"%s\"",
                               lane_address(client->lanes[0]), name, list->after);
        tensor_info_publish(client, &listed.tensors[i], &grown[(*count)++]);
        memcpy(list->after, name, sizeof list->after);
    }
    *more = listed.more && listed.count > 0;
out:
    exchange_reply_finish(&reply);
    return status;
}

enum canyon_status canyon_tensor_list(canyon_client *client, uint32_t timeout_ms, struct canyon_tensor_info **infos,
                                      size_t *count) {
    struct error error = {.status = CANYON_OK};
    struct message_list list = {.after = ""};
    bool more = true;
    if (infos == NULL || count == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_tensor_list: the place for the list is NULL");
    *infos = NULL;
    *count = 0;
    if (client_begin(client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    uint64_t deadline = client_deadline(client, timeout_ms);
    while (more && list_page(client, deadline, &list, infos, count, &more, &error) == CANYON_OK)
        continue;
    if (error.status != CANYON_OK) {
        free(*infos);
        *infos = NULL;
        *count = 0;
    }
    client_leave(client);
    return last_error_set(&error);
}

enum canyon_status canyon_tensor_drop(canyon_client *client, const char *name, uint32_t timeout_ms) {
    struct error error = {.status = CANYON_OK};
    struct message_tensor dropping;
    struct exchange_reply reply;
    if (name == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_tensor_drop: the name is NULL");
    if (client_begin(client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    exchange_reply_init(&reply);
    uint64_t deadline = client_deadline(client, timeout_ms);
    if (name_check(name, "tensor", &error) != CANYON_OK ||
        tell_of(client, FRAME_DROP, 0, name, deadline, &reply, &error) != CANYON_OK ||
        message_unpack_tensor(reply.message, reply.message_bytes, &dropping, &error) != CANYON_OK)
        goto out;
    if (finish_drop(client, dropping.id, name, deadline, &error) == CANYON_OK)
        error.status = CANYON_OK;
out:
    exchange_reply_finish(&reply);
    client_leave(client);
    return last_error_set(&error);
}
