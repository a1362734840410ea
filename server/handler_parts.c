/* DEFINE, ADJUST and UNDEFINE: a tensor's parts on the shards of this thread. */
#include "server/handler_state.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/mutant.h"

static struct handler_tensor *tensor_of(struct directory_key *key) {
    return (struct handler_tensor *)(void *)key;
}

static void prefix_place(const struct handler *handler, struct error *error) {
    error_prefix(error, "server %u (%s), thread %u", handler->server, handler->job->servers[handler->server],
                 handler->thread);
}

static enum canyon_status apply(struct handler *handler, uint32_t shard, enum command_kind kind, uint64_t tensor,
                                const struct tensor_spec *spec, struct error *error) {
    struct shard_reply reply;
    struct command command = {.kind = kind, .tensor = tensor, .spec = spec};
    return shard_apply(handler->shards[shard], &command, &reply, error);
}

/* Ids are never used again, so whoever defines a tensor that was undefined here does so for a drop it has not heard of;
 * parts made for it would stay for ever, and keep its name from the next tensor. Where it is remembered, or
 * HANDLER_UNDEFINED. */
static size_t undefined_place(const struct handler *handler, uint64_t id) {
    size_t i = 0;
    while (i < HANDLER_UNDEFINED && handler->undefined[i] != id) {
        i++;
    }
    return i;
}

static bool was_undefined(const struct handler *handler, uint64_t id) {
    return undefined_place(handler, id) < HANDLER_UNDEFINED;
}

/* `home` is 0 where nothing of it was known. */
static void remember_undefined(struct handler *handler, uint64_t id, uint64_t home) {
    if (!was_undefined(handler, id)) {
        handler->undefined[handler->undefined_next] = id;
        handler->undefined_home[handler->undefined_next] = home;
        handler->undefined_next = (handler->undefined_next + 1) % HANDLER_UNDEFINED;
    }
}

bool handler_undefined_home(const struct handler *handler, uint64_t tensor, uint64_t *home) {
    const size_t place = tensor != 0 ? undefined_place(handler, tensor) : HANDLER_UNDEFINED;
    *home = place < HANDLER_UNDEFINED && !MUTANT(dropped_keeps_number) ? handler->undefined_home[place] : 0;
    return *home != 0;
}

static void forget(struct handler *handler, struct handler_tensor *tensor) {
    handler->state_bytes -= tensor->bytes;
    directory_remove(&handler->tensors, &tensor->key);
    free(tensor);
}

void handler_forget_tensor(struct handler *handler, struct handler_tensor *tensor) {
    remember_undefined(handler, tensor->key.id, tensor->home);
    forget(handler, tensor);
}

enum canyon_status handler_note_tensor(struct handler *handler, uint64_t id, const struct tensor_spec *spec,
                                       struct handler_tensor **noted, struct error *error) {
    struct handler_tensor *tensor = tensor_of(directory_find_id(&handler->tensors, id));
    if (tensor == NULL) {
        tensor = directory_reserve(&handler->tensors) ? calloc(1, sizeof *tensor) : NULL;
        if (tensor == NULL) {
            return error_set(error, CANYON_NO_MEMORY, "no memory to note tensor '%s'", spec->name);
        }
        tensor->spec = *spec;
        tensor->key = (struct directory_key){.id = id, .name = tensor->spec.name};
        tensor->home = job_home(tensor->key.name);
        row_hash_init(&tensor->row_hash, tensor->key.name);
        (void)shape_elements(&spec->shape, &tensor->elements, NULL); /* the spec was checked */
        tensor->blocks = job_block_count(handler->job, tensor->elements);
        directory_insert(&handler->tensors, &tensor->key);
    }
    *noted = tensor;
    return CANYON_OK;
}

static void undefine(struct handler *handler, uint64_t id) {
    struct handler_tensor *tensor = tensor_of(directory_find_id(&handler->tensors, id));
    for (uint32_t shard = 0; shard < handler->job->shards; shard++) {
        if (handler->shards[shard] != NULL) {
            struct error ignored; /* what is not there cannot fail to go */
            (void)apply(handler, shard, COMMAND_UNDEFINE, id, NULL, &ignored);
        }
    }
    if (tensor != NULL) {
        forget(handler, tensor);
    }
}

static uint64_t bytes_wanted(const struct handler *handler, const struct tensor_spec *spec) {
    uint64_t bytes = 0;
    for (uint32_t shard = 0; shard < handler->job->shards; shard++) {
        if (handler->shards[shard] != NULL) {
            bytes += shard_define_bytes(handler->shards[shard], spec);
        }
    }
    return bytes;
}

static void take_over(struct handler_tensor *tensor, const struct handler_peer *peer) {
    memcpy(tensor->definer, peer->session, SESSION_BYTES);
    tensor->definer_role = peer->role;
}

/* Notes a tensor before its parts are made, within the limit on memory. */
static enum canyon_status note(struct handler *handler, const struct tensor_info *info,
                               const struct handler_peer *definer, struct error *error) {
    if (was_undefined(handler, info->id)) {
        return error_set(error, CANYON_CONFLICT, "tensor '%s' with id %016" PRIx64 " was dropped: create it anew",
                         info->spec.name, info->id);
    }
    uint64_t bytes = bytes_wanted(handler, &info->spec), limit = handler->environment->state_limit;
    if (limit > 0 && (bytes > limit || handler->state_bytes > limit - bytes)) {
        return error_set(error, CANYON_NO_MEMORY,
                         "tensor '%s' takes %" PRIu64 " bytes here; %" PRIu64 " of at most %" PRIu64
                         " are taken already",
                         info->spec.name, bytes, handler->state_bytes, limit);
    }
    /* A note of that name without parts is what a drop that did not come here left behind. */
    struct handler_tensor *stale = tensor_of(directory_find_name(&handler->tensors, info->spec.name));
    if (stale != NULL && stale->bytes == 0) {
        forget(handler, stale);
    } else if (stale != NULL) {
        return error_set(error, CANYON_STATE_LOST,
                         "another tensor '%s' (id %016" PRIx64 ", asked: %016" PRIx64
                         ") is here: the server of the catalogue lost its state; restart all servers of the job",
                         stale->key.name, stale->key.id, info->id);
    }
    if (handler->tensors.count >= LIMIT_TENSORS) {
        return error_set(error, CANYON_TOO_LARGE, "%d tensors are defined here, the most that may", LIMIT_TENSORS);
    }
    struct handler_tensor *tensor = NULL;
    enum canyon_status status = handler_note_tensor(handler, info->id, &info->spec, &tensor, error);
    if (status == CANYON_OK) {
        tensor->bytes = bytes;
        take_over(tensor, definer);
        handler->state_bytes += bytes;
    }
    return status;
}

/* Every shard makes its part, or none does: memory is what they could lack one by one, so all of them take it first. */
static enum canyon_status define_parts(struct handler *handler, const struct tensor_info *info, struct error *error) {
    enum canyon_status status = CANYON_OK;
    struct command command = {.kind = COMMAND_DEFINE, .tensor = info->id, .spec = &info->spec};
    for (uint32_t shard = 0; status == CANYON_OK && shard < handler->job->shards; shard++) {
        if (handler->shards[shard] != NULL) {
            status = shard_reserve(handler->shards[shard], &command, error);
        }
    }
    for (uint32_t shard = 0; shard < handler->job->shards; shard++) {
        struct shard_reply reply;
        if (handler->shards[shard] != NULL && status == CANYON_OK) {
            status = shard_apply(handler->shards[shard], &command, &reply, error);
            assert(status == CANYON_OK);
        } else if (handler->shards[shard] != NULL) {
            shard_release(handler->shards[shard]);
        }
    }
    return status;
}

/* Whether it is, for all that is known here, still being made, or taken back: only the thread of the catalogue knows
 * for sure. */
static bool in_the_making(const struct handler *handler, const struct handler_tensor *tensor) {
    const struct tensor_info *entry =
        handler->shards[0] != NULL ? shard_find_id(handler->shards[0], tensor->key.id) : NULL;
    return !tensor->settled && (entry == NULL || entry->state != TENSOR_COMPLETE);
}

static enum canyon_status define(struct handler *handler, const struct request *request, const struct tensor_info *info,
                                 struct error *error) {
    struct handler_tensor *known = tensor_of(directory_find_id(&handler->tensors, info->id));
    enum canyon_status status = CANYON_OK;
    if (known != NULL) {
        status = shard_same_spec(&known->spec, &info->spec, error);
        /* Its creator defines it, or who took over from one that is gone. What is complete is nobody's to take over,
         * and what an admin began no lesser role's: whoever makes a tensor may do with it what takes an admin
         * otherwise. */
        if (status == CANYON_OK && handler_find_session(handler, known->definer) == NULL &&
            in_the_making(handler, known) && request->peer->role >= known->definer_role) {
            take_over(known, request->peer);
        }
        return status;
    }
    status = note(handler, info, request->peer, error);
    if (status == CANYON_OK) {
        status = define_parts(handler, info, error);
        if (status != CANYON_OK) {
            forget(handler, tensor_of(directory_find_id(&handler->tensors, info->id)));
        }
    }
    return status;
}

/* Whether a shard has what it should have of a tensor, whose first block there would be `first`; or of a table, of
 * which every shard has a part. */
static bool has_part(const struct shard *shard, const struct tensor_info *info, uint32_t first) {
    struct shard_block view;
    struct shard_table totals;
    if (info->spec.kind == TENSOR_TABLE) {
        return shard_table_counts(shard, info->id, &totals, NULL) == CANYON_OK;
    }
    return shard_define_bytes(shard, &info->spec) == 0 ||
           shard_read(shard, info->id, first, SLOT_WEIGHTS, &view, NULL) == CANYON_OK;
}

/* A complete tensor's parts must be here; they are never made anew, for that would lose training silently. */
static enum canyon_status check_parts(const struct handler *handler, const struct tensor_info *info,
                                      struct error *error) {
    uint32_t home = job_shard_of(handler->job, job_home(info->spec.name), 0);
    for (uint32_t shard = 0; shard < handler->job->shards; shard++) {
        uint32_t first = (shard + handler->job->shards - home) % handler->job->shards;
        if (handler->shards[shard] != NULL && !has_part(handler->shards[shard], info, first)) {
            return error_set(
                error, CANYON_STATE_LOST,
                "shard %u no longer has its part of tensor '%s': the server was restarted; drop the tensor and "
                "create it anew",
                shard, info->spec.name);
        }
    }
    return CANYON_OK;
}

enum canyon_status serve_define(struct handler *handler, const struct request *request, const struct frame *frame,
                                struct error *error) {
    struct tensor_info info;
    enum canyon_status status = message_unpack_define(frame->message, frame->header.message_bytes, &info, error);
    if (status == CANYON_OK) {
        status = shard_canonical_spec(&info.spec, error);
    }
    if (status == CANYON_OK) {
        status = role_check_tensor(request, info.spec.name, error);
    }
    if (status != CANYON_OK) {
        return status;
    }
    if (info.state == TENSOR_CREATING && request->limited) {
        return role_refuse(request, FRAME_DEFINE, info.spec.name, error);
    }
    if (info.state == TENSOR_CREATING) {
        status = define(handler, request, &info, error);
    } else if (info.state == TENSOR_COMPLETE) {
        status = check_parts(handler, &info, error);
        struct handler_tensor *tensor = tensor_of(directory_find_id(&handler->tensors, info.id));
        if (status == CANYON_OK && tensor != NULL && !request->limited) {
            tensor->settled = true;
        }
    } else {
        status =
            error_set(error, CANYON_CONFLICT, "tensor '%s' is being dropped: it cannot be defined", info.spec.name);
    }
    if (status == CANYON_OK) {
        reply_send(handler, request, FRAME_DEFINED, 0, 0);
    } else {
        prefix_place(handler, error);
    }
    return status;
}

/* Every shard decides by the specs alone, and all parts of a tensor have the same: all take the settings or none. With
 * limits none does: whoever opens a tensor asks for this, in case an admin died between the servers, and is content
 * without when it may not change anything. */
static enum canyon_status adjust(struct handler *handler, const struct tensor_info *info, bool limited,
                                 struct error *error) {
    enum canyon_status status = CANYON_OK;
    struct command command = {.kind = COMMAND_ADJUST, .tensor = info->id, .spec = &info->spec, .version = info->epoch};
    if (info->state != TENSOR_COMPLETE || info->epoch == 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "ADJUST of tensor '%s' wants state complete and an epoch from 1 on, not state %d and epoch "
                         "%" PRIu64,
                         info->spec.name, (int)info->state, info->epoch);
    }
    if (was_undefined(handler, info->id)) {
        return error_set(error, CANYON_NOT_FOUND, "tensor '%s' with id %016" PRIx64 " was dropped", info->spec.name,
                         info->id);
    }
    status = check_parts(handler, info, error);
    for (uint32_t shard = 0; !limited && status == CANYON_OK && shard < handler->job->shards; shard++) {
        struct shard_reply reply;
        if (handler->shards[shard] != NULL &&
            (info->spec.kind == TENSOR_TABLE || shard_define_bytes(handler->shards[shard], &info->spec) > 0)) {
            status = shard_apply(handler->shards[shard], &command, &reply, error);
        }
    }
    return status;
}

enum canyon_status serve_adjust(struct handler *handler, const struct request *request, const struct frame *frame,
                                struct error *error) {
    struct tensor_info info;
    enum canyon_status status = message_unpack_define(frame->message, frame->header.message_bytes, &info, error);
    if (status == CANYON_OK) {
        status = shard_canonical_spec(&info.spec, error);
    }
    if (status == CANYON_OK) {
        status = role_check_tensor(request, info.spec.name, error);
    }
    if (status != CANYON_OK) {
        return status;
    }
    status = adjust(handler, &info, request->limited, error);
    if (status == CANYON_OK) {
        reply_send(handler, request, FRAME_ADJUSTED, 0, 0);
    } else {
        prefix_place(handler, error);
    }
    return status;
}

/* A role with limits takes back what its own session is making; where there is nothing of it, there is `nothing` to do.
 */
static enum canyon_status may_undefine(const struct handler *handler, const struct request *request, uint64_t id,
                                       bool *nothing, struct error *error) {
    const struct handler_tensor *tensor = tensor_of(directory_find_id(&handler->tensors, id));
    *nothing = tensor == NULL && request->limited;
    if (tensor == NULL) {
        return CANYON_OK;
    }
    enum canyon_status status = role_check_tensor(request, tensor->key.name, error);
    if (status == CANYON_OK && request->limited &&
        (memcmp(tensor->definer, request->peer->session, SESSION_BYTES) != 0 || !in_the_making(handler, tensor))) {
        status = role_refuse(request, FRAME_UNDEFINE, tensor->key.name, error);
    }
    return status;
}

enum canyon_status serve_undefine(struct handler *handler, const struct request *request, const struct frame *frame,
                                  struct error *error) {
    struct message_tensor message;
    bool nothing = false;
    enum canyon_status status = message_unpack_tensor(frame->message, frame->header.message_bytes, &message, error);
    if (status == CANYON_OK && message.id == 0) {
        status = error_set(error, CANYON_INVALID_ARGUMENT, "UNDEFINE names no tensor: its id is 0");
    }
    if (status == CANYON_OK) {
        status = may_undefine(handler, request, message.id, &nothing, error);
    }
    if (status == CANYON_OK) {
        if (!nothing) {
            const struct handler_tensor *tensor = tensor_of(directory_find_id(&handler->tensors, message.id));
            remember_undefined(handler, message.id, tensor != NULL ? tensor->home : 0);
            undefine(handler, message.id);
        }
        reply_send(handler, request, FRAME_UNDEFINED, 0, 0);
    }
    return status;
}
