#include "client/missing.h"

#include <string.h>

static void missing_judge(struct missing *missing, enum canyon_status status, const char *text,
                          const struct frame *reply) {
    const struct canyon_tensor *tensor = missing->tensor;
    const char *name = tensor->info.spec.name, *kind = tensor_kind_name(tensor->info.spec.kind);
    const char *address = lane_address(missing->batch->client->lanes[missing->lane]);
    struct tensor_info info;
    bool known = status == CANYON_OK &&
                 message_unpack_opened(reply->message, reply->header.message_bytes, &info, NULL) == CANYON_OK;
    bool absent = status == CANYON_NOT_FOUND || status == CANYON_CONFLICT; /* CONFLICT: another is being created */
    if (!known && !absent)
        error_set(&missing->answer, status == CANYON_OK ? CANYON_PROTOCOL : status,
                  "%s has no %s \"%s\", and whether it was dropped or lost was not found out: %s", address,
                  missing->what, name, status == CANYON_OK ? "the answer cannot be read" : text);
    else if (known && info.id == tensor->info.id && info.state == TENSOR_COMPLETE)
        error_set(&missing->answer, CANYON_STATE_LOST,
                  "%s came back without its part of %s \"%s\": drop the %s and create it anew", address, kind, name,
                  kind);
    else if (known)
        error_set(&missing->answer, CANYON_NOT_FOUND,
                  "%s \"%s\" was dropped and made anew since it was opened here: open it again", kind, name);
    else
        error_set(&missing->answer, CANYON_NOT_FOUND, "%s \"%s\" is no longer there: it was dropped", kind, name);
}

static void missing_answered(struct session_request *request, enum canyon_status status, const char *text,
                             const struct frame *reply) {
    struct missing *missing = request->user;
    struct error none = {.status = CANYON_OK};
    missing_judge(missing, status, text, reply);
    batch_ended(missing->batch, 0, &none);
}

void missing_ask(struct missing *missing, uint64_t deadline) {
    struct message_open open = {.wait_ms = 0};
    memcpy(open.name, missing->tensor->info.spec.name, sizeof open.name);
    missing->asked = true;
    missing->question = (struct session_request){.type = FRAME_OPEN,
                                                 .message = missing->message,
                                                 .message_bytes = message_pack_open(&open, missing->message),
                                                 .deadline = deadline,
                                                 .done = missing_answered,
                                                 .user = missing};
    batch_add(missing->batch, 0, &missing->question);
    batch_submit(missing->batch, false);
}

void missing_answer(const struct missing *missing, struct error *error) {
    const struct canyon_tensor *tensor = missing->tensor;
    struct lane *first = missing->batch->client->lanes[0];
    *error = missing->answer;
    /* The server of shard 0 restarted since the handle was opened: its catalogue went with everything else it held. */
    if (error->status == CANYON_NOT_FOUND && lane_restarts(first) != tensor->restarts)
        error_set(error, CANYON_STATE_LOST, "%s restarted and came back without %s \"%s\": create it anew",
                  lane_address(first), tensor_kind_name(tensor->info.spec.kind), tensor->info.spec.name);
}
