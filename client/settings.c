#include "client/settings.h"

#include <inttypes.h>
#include <string.h>

#include "client/error.h"
#include "client/exchange.h"
#include "client/tensor.h"

enum canyon_status settings_adjust(struct canyon_client *client, const struct tensor_info *info, bool reached_only,
                                   uint64_t deadline, struct error *error) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct exchange_request request = {.type = FRAME_ADJUST,
                                       .message = message,
                                       .bytes = message_pack_define(info, message),
                                       .deadline = deadline,
                                       .changes_state = true,
                                       .reached_only = reached_only};
    return exchange_tell_all(client, &request, error);
}

static enum canyon_status set_take(const char *name, const char *text, struct message_set *set, struct error *error) {
    struct optimizer_spec parsed;
    enum canyon_status status = name_check(name, "tensor", error);
    memset(&parsed, 0, sizeof parsed);
    if (status == CANYON_OK)
        status = optimizer_settings_parse(text, &parsed, error);
    if (status != CANYON_OK)
        return status;
    memset(set, 0, sizeof *set);
    memcpy(set->name, name, strlen(name) + 1);
    set->count = parsed.count;
    memcpy(set->settings, parsed.settings, sizeof set->settings);
    return CANYON_OK;
}

/* Shard 0 orders the settings and says what the tensor is then. */
static enum canyon_status ask_set(struct canyon_client *client, const struct message_set *set, uint64_t deadline,
                                  struct tensor_info *info, struct error *error) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct exchange_request request = {.type = FRAME_SET,
                                       .message = message,
                                       .bytes = message_pack_set(set, message),
                                       .deadline = deadline,
                                       .changes_state = true};
    struct exchange_reply reply;
    exchange_reply_init(&reply);
    enum canyon_status status = exchange_ask(client, &request, &reply, error);
    if (status == CANYON_OK)
        status = message_unpack_opened(reply.message, reply.message_bytes, info, error);
    exchange_reply_finish(&reply);
    return status;
}

enum canyon_status canyon_tensor_set(canyon_client *client, const char *name, const char *settings, uint32_t timeout_ms,
                                     struct canyon_tensor_info *info) {
    struct error error = {.status = CANYON_OK};
    struct message_set set;
    struct tensor_info now;
    if (name == NULL || settings == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_tensor_set: the %s NULL",
                                 name == NULL ? "name is" : "settings are");
    if (client_begin(client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    uint64_t deadline = client_deadline(client, timeout_ms);
    if (set_take(name, settings, &set, &error) != CANYON_OK ||
        ask_set(client, &set, deadline, &now, &error) != CANYON_OK)
        goto out;
    /* Epoch 0: it was created with these settings and has them still. */
    if (now.epoch > 0 && settings_adjust(client, &now, false, deadline, &error) != CANYON_OK)
        error_prefix(&error, "tensor \"%s\": its settings were changed, but not everywhere yet; set or open it again",
                     name);
    else if (info != NULL)
        tensor_info_publish(client, &now, info);
out:
    client_leave(client);
    return last_error_set(&error);
}
