#include "client/optimizers.h"

#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/exchange.h"

_Static_assert(sizeof((struct canyon_hyperparameter *)0)->name == LIMIT_SETTING_BYTES, "same room");
_Static_assert(sizeof((struct canyon_optimizer_info *)0)->name == LIMIT_OPTIMIZER_BYTES, "same room");

static void optimizer_publish(const struct message_optimizer *message, struct canyon_optimizer_info *info) {
    memcpy(info->name, message->name, sizeof info->name);
    memcpy(info->summary, message->summary, sizeof info->summary);
    memcpy(info->source, message->source, sizeof info->source);
    info->slot_count = message->slot_count;
    for (uint32_t i = 0; i < message->slot_count; i++)
        memcpy(info->slots[i], message->slots[i], sizeof info->slots[i]);
    info->scalar_count = message->scalar_count;
    for (uint32_t i = 0; i < message->scalar_count; i++)
        memcpy(info->scalars[i], message->scalars[i], sizeof info->scalars[i]);
    info->rows_only = message->rows_only ? 1 : 0;
    info->hyperparameter_count = message->hyperparameter_count;
    for (uint32_t i = 0; i < message->hyperparameter_count; i++) {
        const struct message_hyperparameter *from = &message->hyperparameters[i];
        struct canyon_hyperparameter *to = &info->hyperparameters[i];
        memcpy(to->name, from->name, sizeof to->name);
        memcpy(to->meaning, from->meaning, sizeof to->meaning);
        to->fallback = from->fallback;
        to->low = from->low;
        to->high = from->high;
        to->low_open = from->low_open;
        to->high_open = from->high_open;
    }
}

static enum canyon_status optimizer_ask(struct canyon_client *client, const struct message_optimizer_request *asked,
                                        uint64_t deadline, struct message_optimizer *optimizer, struct error *error) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct exchange_reply reply;
    exchange_reply_init(&reply);
    struct exchange_request request = {.type = FRAME_OPTIMIZER,
                                       .message = message,
                                       .bytes = message_pack_optimizer_request(asked, message),
                                       .deadline = deadline};
    enum canyon_status status = exchange_ask(client, &request, &reply, error);
    if (status == CANYON_OK)
        status = message_unpack_optimizer(reply.message, reply.message_bytes, optimizer, error);
    exchange_reply_finish(&reply);
    return status;
}

enum canyon_status optimizers_find(struct canyon_client *client, const char *name, uint64_t deadline,
                                   struct message_optimizer *optimizer, struct error *error) {
    struct message_optimizer_request asked = {.index = 0};
    size_t length = strnlen(name, sizeof asked.name - 1);
    memcpy(asked.name, name, length);
    enum canyon_status status = optimizer_ask(client, &asked, deadline, optimizer, error);
    if (status == CANYON_OK && strcmp(optimizer->name, asked.name) != 0)
        status = error_set(error, CANYON_PROTOCOL, "%s was asked for the optimizer %s and described %s",
                           lane_address(client->lanes[0]), asked.name, optimizer->name);
    return status;
}

enum canyon_status canyon_optimizers(canyon_client *client, uint32_t timeout_ms,
                                     struct canyon_optimizer_info **optimizers, size_t *count) {
    struct error error = {.status = CANYON_OK};
    struct message_optimizer_request asked = {.index = 0};
    struct message_optimizer message;
    struct canyon_optimizer_info *list = NULL;
    uint32_t have = 0, total = 1;
    if (optimizers == NULL || count == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_optimizers: the place for the list is NULL");
    *optimizers = NULL;
    *count = 0;
    if (client_begin(client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    uint64_t deadline = client_deadline(client, timeout_ms);
    while (have < total && optimizer_ask(client, &asked, deadline, &message, &error) == CANYON_OK) {
        struct canyon_optimizer_info *grown = realloc(list, (have + 1) * sizeof *list);
        if (grown == NULL) {
            error_set(&error, CANYON_NO_MEMORY, "no memory for a list of %u optimizers", have + 1);
            break;
        }
        list = grown;
        memset(&list[have], 0, sizeof list[have]);
        optimizer_publish(&message, &list[have]);
        total = message.total;
        asked.index = ++have;
    }
    if (error.status == CANYON_OK) {
        *optimizers = list;
        *count = have;
    } else {
        free(list);
    }
    client_leave(client);
    return last_error_set(&error);
}
