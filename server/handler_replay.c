/* Building a handler's state again, from the commands that its shards told. */
#include <inttypes.h>
#include <string.h>

#include "common/mutant.h"
#include "server/handler_state.h"

/* What a tensor's part in a shard takes of the thread's memory. */
static uint64_t part_bytes(const struct shard *shard, const struct tensor_spec *spec, uint64_t id) {
    return spec->kind == TENSOR_TABLE ? shard_table_bytes(shard, id)
                                      : shard_define_bytes(shard, spec) + shard_contributed(shard, id);
}

/* A part is there: the thread knows its tensor from now on, if it did not. Who made it is not known any more, so none
 * but an admin may go on making it. */
static enum canyon_status note_part(struct handler *handler, const struct shard *shard, const struct command *command,
                                    struct error *error) {
    struct handler_tensor *tensor = NULL;
    enum canyon_status status = handler_note_tensor(handler, command->tensor, command->spec, &tensor, error);
    if (status == CANYON_OK) {
        const uint64_t bytes = part_bytes(shard, command->spec, command->tensor);
        tensor->definer_role = ROLE_ADMIN;
        tensor->bytes += bytes;
        handler->state_bytes += bytes;
    }
    return status;
}

/* A part is gone, which took `bytes`. */
static void forget_part(struct handler *handler, const struct command *command, uint64_t bytes) {
    struct handler_tensor *tensor =
        (struct handler_tensor *)(void *)directory_find_id(&handler->tensors, command->tensor);
    if (tensor != NULL) {
        tensor->bytes -= bytes;
        handler->state_bytes -= bytes;
        if (tensor->bytes == 0) {
            handler_forget_tensor(handler, tensor);
        }
    }
}

/* A table, or what is kept until a clock is closed, grew, or shrank. */
static void count_growth(struct handler *handler, const struct shard *shard, const struct command *command,
                         uint64_t before) {
    struct handler_tensor *tensor =
        (struct handler_tensor *)(void *)directory_find_id(&handler->tensors, command->tensor);
    if (tensor != NULL) {
        const uint64_t after = part_bytes(shard, &tensor->spec, command->tensor);
        tensor->bytes = tensor->bytes - before + after;
        handler->state_bytes = handler->state_bytes - before + after;
    }
}

/* What the thread keeps beside its shards' state, brought up to what the command did. */
static enum canyon_status follow(struct handler *handler, const struct shard *shard, const struct command *command,
                                 uint64_t before, struct error *error) {
    enum canyon_status status = CANYON_OK;
    if (command->kind == COMMAND_DEFINE) {
        status = note_part(handler, shard, command, error);
    } else if (command->kind == COMMAND_UNDEFINE) {
        forget_part(handler, command, before);
    } else {
        count_growth(handler, shard, command, before);
    }
    if (status == CANYON_OK) {
        status = membership_restore(handler, command, error);
    }
    if (status == CANYON_OK && command->number != 0) {
        status = sessions_restore(handler->sessions, command->session, handler_now(handler), error);
    }
    return status;
}

/* Of the tensor of a command, before it is applied. */
static uint64_t bytes_before(const struct handler *handler, const struct shard *shard, const struct command *command) {
    const struct handler_tensor *tensor = (const void *)directory_find_id(&handler->tensors, command->tensor);
    return tensor != NULL && command->kind != COMMAND_DEFINE ? part_bytes(shard, &tensor->spec, command->tensor) : 0;
}

/* In no shard of the thread any more. */
static void follow_eviction(struct handler *handler, const struct command *command) {
    for (uint32_t i = 0; i < handler->job->shards; i++) {
        if (handler->shards[i] != NULL && shard_applied(handler->shards[i], command->session) != 0) {
            return;
        }
    }
    sessions_forget(handler->sessions, command->session);
}

enum canyon_status handler_replay(struct handler *handler, uint32_t index, const struct command *command,
                                  struct error *error) {
    struct shard *shard = index < handler->job->shards ? handler->shards[index] : NULL;
    struct shard_reply reply = {.sequence = 0};
    if (shard == NULL) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "shard %u is not on server %u, thread %u", index,
                         handler->server, handler->thread);
    }
    struct command stripped = *command;
    stripped.number = 0;
    if (MUTANT(ledger_not_in_replay) && (command->kind == COMMAND_REFUSE || command->kind == COMMAND_EVICT)) {
        return CANYON_OK;
    }
    command = MUTANT(ledger_not_in_replay) ? &stripped : command;
    const uint64_t sequence = shard_sequence(shard), before = bytes_before(handler, shard, command);
    const uint64_t sessions = shard_session_bytes(shard);
    enum canyon_status status = shard_apply(shard, command, &reply, error);
    handler->state_bytes += shard_session_bytes(shard) - sessions;
    if (command->kind == COMMAND_REFUSE && reply.sequence != 0) {
        status = CANYON_OK; /* as it was then */
    }
    if (status != CANYON_OK && status != CANYON_NO_MEMORY) {
        struct error why = *error;
        return error_set(error, CANYON_INTERNAL,
                         "command %" PRIu64 " of shard %u (kind %d) was applied once and is refused now: %.200s",
                         sequence + 1, index, (int)command->kind, why.text);
    }
    if (status == CANYON_OK && reply.sequence == 0) {
        return error_set(error, CANYON_INTERNAL,
                         "command %" PRIu64 " of shard %u (kind %d) changed something once and changes nothing now",
                         sequence + 1, index, (int)command->kind);
    }
    if (status == CANYON_OK && command->kind == COMMAND_EVICT) {
        status = membership_restore(handler, command, error);
        follow_eviction(handler, command);
    } else if (status == CANYON_OK) {
        status = follow(handler, shard, command, before, error);
    }
    return status;
}
