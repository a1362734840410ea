/* Requests to the catalogue: CREATE, OPEN, COMPLETE, DROP, DROPPED, LIST, and who waits for what. */
#include "server/handler_state.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What a CREATE or OPEN comes to as things stand. */
enum verdict { VERDICT_ANSWER, VERDICT_WAIT, VERDICT_REFUSE };

static struct shard *catalogue_shard(const struct handler *handler) {
    return handler->shards[0];
}

static enum canyon_status apply(struct handler *handler, enum command_kind kind, uint64_t tensor,
                                const struct handler_peer *peer, const struct tensor_spec *spec, struct error *error) {
    struct shard_reply reply;
    struct command command = {.kind = kind, .tensor = tensor, .spec = spec};
    memcpy(command.session, peer->session, SESSION_BYTES);
    return shard_apply(catalogue_shard(handler), &command, &reply, error);
}

static uint64_t new_id(const struct handler *handler) {
    uint64_t id = 0;
    while (id == 0 || shard_find_id(catalogue_shard(handler), id) != NULL) {
        handler->environment->random(handler->environment->user, &id, sizeof id);
    }
    return id;
}

/* ---- CREATE and OPEN ---- */

static enum canyon_status refuse_other(const struct tensor_spec *here, const struct tensor_spec *asked,
                                       struct error *error) {
    char shape[80], other_shape[80], optimizer[96], other_optimizer[96];
    return error_set(error, CANYON_MISMATCH, "tensor '%s' exists with shape %s and %s; asked: shape %s and %s",
                     here->name, shape_text(&here->shape, shape, sizeof shape),
                     optimizer_spec_text(&here->optimizer, optimizer, sizeof optimizer),
                     shape_text(&asked->shape, other_shape, sizeof other_shape),
                     optimizer_spec_text(&asked->optimizer, other_optimizer, sizeof other_optimizer));
}

static enum verdict verdict_of(enum canyon_status status) {
    return status == CANYON_OK ? VERDICT_ANSWER : VERDICT_REFUSE;
}

/* `spec` is canonical. Fills *created for ANSWER, *error for REFUSE. */
static enum verdict judge_create(struct handler *handler, const struct handler_peer *peer,
                                 const struct tensor_spec *spec, struct message_created *created, struct error *error) {
    const struct tensor_info *info = shard_find_name(catalogue_shard(handler), spec->name);
    enum canyon_status status = CANYON_OK;
    memset(created, 0, sizeof *created);
    if (info == NULL) {
        uint64_t id = new_id(handler);
        status = apply(handler, COMMAND_CREATE, id, peer, spec, error);
        info = shard_find_id(catalogue_shard(handler), id);
        created->creator = true;
    } else if (info->state != TENSOR_DROPPING) {
        /* A worker that is started again asks with what it once created, whatever was set meanwhile. */
        bool settings = optimizer_spec_equal(&info->spec.optimizer, &spec->optimizer) ||
                        optimizer_spec_equal(shard_created_with(catalogue_shard(handler), info->id), &spec->optimizer);
        bool same = info->spec.kind == spec->kind && info->spec.row_cap == spec->row_cap;
        if (!settings || !same || !shape_equal(&info->spec.shape, &spec->shape)) {
            refuse_other(&info->spec, spec, error);
            return VERDICT_REFUSE;
        }
        if (info->state == TENSOR_CREATING) {
            if (handler_find_session(handler, shard_creator(catalogue_shard(handler), info->id)) != NULL) {
                return VERDICT_WAIT;
            }
            status = apply(handler, COMMAND_ADOPT, info->id, peer, NULL, error);
            created->creator = true;
        }
    }
    if (status == CANYON_OK) {
        created->tensor = *info;
    }
    return verdict_of(status);
}

static enum verdict judge_open(const struct handler *handler, const char *name, struct tensor_info *opened) {
    const struct tensor_info *info = shard_find_name(catalogue_shard(handler), name);
    if (info == NULL || info->state != TENSOR_COMPLETE) {
        return VERDICT_WAIT;
    }
    *opened = *info;
    return VERDICT_ANSWER;
}

/* Judges a CREATE (spec given) or OPEN, and answers it unless it must wait or is refused. */
static enum verdict settle(struct handler *handler, const struct request *request, const char *name,
                           const struct tensor_spec *spec, struct error *error) {
    struct message_created created;
    struct tensor_info opened;
    enum verdict verdict =
        spec != NULL ? judge_create(handler, request->peer, spec, &created, error) : judge_open(handler, name, &opened);
    if (verdict == VERDICT_ANSWER && spec != NULL) {
        reply_send(handler, request, FRAME_CREATED, message_pack_created(&created, reply_message(handler)), 0);
    } else if (verdict == VERDICT_ANSWER) {
        reply_send(handler, request, FRAME_OPENED, message_pack_opened(&opened, reply_message(handler)), 0);
    }
    return verdict;
}

/* Something has changed for one who waits: judges it again, which may end its waiting. */
static void judge_again(struct handler *handler, struct parked *parked) {
    struct error error;
    struct request request = {.peer = parked->peer, .id = parked->request};
    enum verdict verdict = VERDICT_REFUSE;
    /* What its key may do may have changed while it waited. */
    if (role_check(&request, parked->type, &error) == CANYON_OK &&
        role_check_tensor(&request, parked->name, &error) == CANYON_OK) {
        verdict = settle(handler, &request, parked->name, parked->spec, &error);
    }
    if (verdict == VERDICT_REFUSE) {
        reply_error(handler, &request, &error);
    }
    if (verdict != VERDICT_WAIT) {
        parked_remove(&handler->parked, parked);
    }
}

/* Something about this tensor has changed: judges those who wait for it again, in order of arrival. */
static void wake(struct handler *handler, const char *name) {
    for (struct parked *parked = handler->parked.first, *next; parked != NULL; parked = next) {
        next = parked->next;
        if (parked->type != FRAME_BARRIER && strcmp(parked->name, name) == 0) {
            judge_again(handler, parked);
        }
    }
}

/* Why one who wants this tensor has to wait; `within` ends the sentence. */
static void explain(const struct handler *handler, const char *name, enum canyon_status absent,
                    enum canyon_status unfinished, const char *within, struct error *error) {
    const struct tensor_info *info = shard_find_name(catalogue_shard(handler), name);
    if (info == NULL) {
        error_set(error, absent, "no tensor '%s'%s", name, within);
    } else if (info->state == TENSOR_DROPPING) {
        error_set(error, absent, "no tensor '%s'%s: the old one is being dropped", name, within);
    } else {
        assert(info->state == TENSOR_CREATING); /* nobody waits for a complete one */
        const struct handler_peer *creator =
            handler_find_session(handler, shard_creator(catalogue_shard(handler), info->id));
        if (creator != NULL) {
            error_set(error, unfinished, "tensor '%s' is still being created by worker '%s'%s", name, creator->name,
                      within);
        } else {
            error_set(error, unfinished,
                      "tensor '%s' is still being created%s, and its creator is gone: create it to take over", name,
                      within);
        }
    }
}

void handler_tensor_timeout(const struct handler *handler, const struct parked *parked, struct error *error) {
    char within[40];
    snprintf(within, sizeof within, " within %u ms", parked->wait_ms);
    explain(handler, parked->name, CANYON_TIMEOUT, CANYON_TIMEOUT, within, error);
}

static enum canyon_status answer_or_park(struct handler *handler, const struct request *request, enum frame_type type,
                                         const char *name, const struct tensor_spec *spec, uint32_t wait_ms,
                                         struct error *error) {
    enum verdict verdict = settle(handler, request, name, spec, error);
    if (verdict == VERDICT_WAIT && wait_ms == 0) {
        explain(handler, name, CANYON_NOT_FOUND, CANYON_CONFLICT, "", error);
        return error->status;
    }
    if (verdict == VERDICT_WAIT) {
        return handler_park(handler, request, type, name, spec, wait_ms, NULL, error);
    }
    return verdict == VERDICT_ANSWER ? CANYON_OK : error->status;
}

enum canyon_status serve_create(struct handler *handler, const struct request *request, const struct frame *frame,
                                struct error *error) {
    struct message_create message;
    enum canyon_status status = message_unpack_create(frame->message, frame->header.message_bytes, &message, error);
    if (status == CANYON_OK && !handler_has_catalogue(handler, "the catalogue is", error)) {
        status = error->status;
    }
    if (status == CANYON_OK) {
        status = shard_canonical_spec(&message.spec, error);
    }
    if (status == CANYON_OK) {
        status = role_check_tensor(request, message.spec.name, error);
    }
    if (status == CANYON_OK) {
        status =
            answer_or_park(handler, request, FRAME_CREATE, message.spec.name, &message.spec, message.wait_ms, error);
    }
    return status;
}

enum canyon_status serve_open(struct handler *handler, const struct request *request, const struct frame *frame,
                              struct error *error) {
    struct message_open message;
    enum canyon_status status = message_unpack_open(frame->message, frame->header.message_bytes, &message, error);
    if (status == CANYON_OK && !handler_has_catalogue(handler, "the catalogue is", error)) {
        status = error->status;
    }
    if (status == CANYON_OK) {
        status = name_check(message.name, "tensor", error);
    }
    if (status == CANYON_OK) {
        status = role_check_tensor(request, message.name, error);
    }
    if (status == CANYON_OK) {
        status = answer_or_park(handler, request, FRAME_OPEN, message.name, NULL, message.wait_ms, error);
    }
    return status;
}

/* Walks those who wait, not the tensors: a session may leave thousands of them, and each would be a walk of its own. */
void handler_session_gone(struct handler *handler, const uint8_t session[SESSION_BYTES]) {
    for (struct parked *parked = handler->parked.first, *next; parked != NULL; parked = next) {
        next = parked->next;
        if (parked->type == FRAME_CREATE) {
            const struct tensor_info *info = shard_find_name(catalogue_shard(handler), parked->name);
            const uint8_t *creator = info == NULL ? NULL : shard_creator(catalogue_shard(handler), info->id);
            if (creator != NULL && memcmp(creator, session, SESSION_BYTES) == 0) {
                judge_again(handler, parked); /* adopts, so that the next who waits for it finds a creator */
            }
        }
    }
}

/* ---- COMPLETE, DROP, DROPPED ---- */

/* Finds the entry a message means, by id, or, where `by_name`, by name when the id is 0. */
static enum canyon_status find_named(struct handler *handler, const struct request *request, const struct frame *frame,
                                     bool by_name, struct message_tensor *message, struct error *error) {
    const struct tensor_info *info = NULL;
    if (!handler_has_catalogue(handler, "the catalogue is", error)) {
        return error->status;
    }
    if (message->id != 0) {
        info = shard_find_id(catalogue_shard(handler), message->id);
    } else if (by_name) {
        info = shard_find_name(catalogue_shard(handler), message->name);
    } else {
        return error_set(error, CANYON_INVALID_ARGUMENT, "%s names no tensor: its id is 0",
                         frame_type_name(frame->header.type));
    }
    /* First: who may not touch a tensor is not told either whether there is one. */
    if (role_check_tensor(request, info != NULL ? info->spec.name : message->name, error) != CANYON_OK) {
        return CANYON_DENIED;
    }
    if (info == NULL && message->id != 0) {
        return error_set(error, CANYON_NOT_FOUND, "no tensor '%s' with id %016" PRIx64 ": it was dropped",
                         message->name, message->id);
    }
    if (info == NULL) {
        return error_set(error, CANYON_NOT_FOUND, "no tensor '%s'", message->name);
    }
    message->id = info->id;
    memcpy(message->name, info->spec.name, sizeof message->name);
    return CANYON_OK;
}

static enum canyon_status find_entry(struct handler *handler, const struct request *request, const struct frame *frame,
                                     bool by_name, struct message_tensor *message, struct error *error) {
    enum canyon_status status = message_unpack_tensor(frame->message, frame->header.message_bytes, message, error);
    return status == CANYON_OK ? find_named(handler, request, frame, by_name, message, error) : status;
}

/* A role with limits drops only what its own session is creating. */
static enum canyon_status check_own(const struct handler *handler, const struct request *request, unsigned type,
                                    const struct message_tensor *message, struct error *error) {
    const uint8_t *creator = shard_creator(catalogue_shard(handler), message->id);
    bool own = type == FRAME_DROPPED ? request->peer->dropping == message->id
                                     : creator != NULL && memcmp(creator, request->peer->session, SESSION_BYTES) == 0;
    return !request->limited || own ? CANYON_OK : role_refuse(request, type, message->name, error);
}

static enum canyon_status change_entry(struct handler *handler, const struct request *request,
                                       const struct frame *frame, enum command_kind kind, struct error *error) {
    struct message_tensor message;
    enum canyon_status status = find_entry(handler, request, frame, kind == COMMAND_DROP, &message, error);
    if (status == CANYON_OK) {
        status = check_own(handler, request, frame->header.type, &message, error);
    }
    if (status == CANYON_OK) {
        status = apply(handler, kind, message.id, request->peer, NULL, error);
    }
    if (status == CANYON_OK) {
        request->peer->dropping = kind == COMMAND_DROP ? message.id : 0;
        size_t bytes = message_pack_tensor(&message, reply_message(handler));
        reply_send(handler, request, (enum frame_type)(frame->header.type + 1), bytes, 0);
        wake(handler, message.name);
    }
    return status;
}

enum canyon_status serve_complete(struct handler *handler, const struct request *request, const struct frame *frame,
                                  struct error *error) {
    return change_entry(handler, request, frame, COMMAND_COMPLETE, error);
}

enum canyon_status serve_drop(struct handler *handler, const struct request *request, const struct frame *frame,
                              struct error *error) {
    return change_entry(handler, request, frame, COMMAND_DROP, error);
}

enum canyon_status serve_dropped(struct handler *handler, const struct request *request, const struct frame *frame,
                                 struct error *error) {
    return change_entry(handler, request, frame, COMMAND_DROPPED, error);
}

/* ---- SET ---- */

enum canyon_status serve_set(struct handler *handler, const struct request *request, const struct frame *frame,
                             struct error *error) {
    struct message_set message;
    struct message_tensor named = {.id = 0};
    struct shard_reply reply;
    enum canyon_status status = message_unpack_set(frame->message, frame->header.message_bytes, &message, error);
    if (status == CANYON_OK) {
        named.id = message.id;
        memcpy(named.name, message.name, sizeof named.name);
        status = find_named(handler, request, frame, true, &named, error);
    }
    if (status == CANYON_OK && message.count == 0) {
        status = error_set(error, CANYON_INVALID_ARGUMENT, "SET names no setting of tensor '%s'", named.name);
    }
    if (status != CANYON_OK) {
        return status;
    }
    struct tensor_info info = *shard_find_id(catalogue_shard(handler), named.id);
    status = shard_merge_settings(&info.spec, message.settings, message.count, error);
    if (status == CANYON_OK) {
        struct command command = {
            .kind = COMMAND_SET, .tensor = info.id, .spec = &info.spec, .version = info.epoch + 1};
        status = shard_apply(catalogue_shard(handler), &command, &reply, error);
    }
    if (status == CANYON_OK) {
        info = *shard_find_id(catalogue_shard(handler), named.id);
        reply_send(handler, request, FRAME_SET_DONE, message_pack_opened(&info, reply_message(handler)), 0);
    }
    return status;
}

/* ---- LIST ---- */

/* From this one on, the first that the request's key may touch. */
static const struct tensor_info *next_listed(const struct handler *handler, const struct request *request,
                                             const struct tensor_info *info) {
    while (info != NULL && role_check_tensor(request, info->spec.name, NULL) != CANYON_OK) {
        info = shard_next_name(catalogue_shard(handler), info->spec.name);
    }
    return info;
}

enum canyon_status serve_list(struct handler *handler, const struct request *request, const struct frame *frame,
                              struct error *error) {
    struct message_list message;
    struct message_listed listed = {.count = 0};
    enum canyon_status status = message_unpack_list(frame->message, frame->header.message_bytes, &message, error);
    if (status == CANYON_OK && !handler_has_catalogue(handler, "the catalogue is", error)) {
        status = error->status;
    }
    if (status == CANYON_OK) {
        const struct tensor_info *info = shard_next_name(catalogue_shard(handler), message.after);
        info = next_listed(handler, request, info);
        while (info != NULL && listed.count < MESSAGE_LIST_PAGE) {
            listed.tensors[listed.count++] = *info;
            info = next_listed(handler, request, shard_next_name(catalogue_shard(handler), info->spec.name));
        }
        listed.more = info != NULL;
        reply_send(handler, request, FRAME_LISTED, message_pack_listed(&listed, reply_message(handler)), 0);
    }
    return status;
}
