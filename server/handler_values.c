/* ASSIGN, PUSH, PULL, PUSH_PULL: one frame, up to 64 pieces, each judged and applied by itself. Memory is taken for
 * gradients that are kept until their clock is closed, and for pulls that wait; for nothing else. */
#include "server/handler_state.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "common/mutant.h"

struct transfer {
    const struct request *request;
    struct handler_tensor *tensor; /* of the piece at hand */
    unsigned type;
    struct error pace; /* why gradients are not taken at all; only its status is set where they are */
    bool gathers;      /* they are kept until their clock is closed: */
    uint64_t clock;
    uint32_t rank;
    struct message_pieces pieces;
    struct message_piece_results results;
    struct shard *shards[LIMIT_PIECES]; /* of numbered pieces: where their numbers count; NULL where they do not */
    size_t slices;
};

uint32_t handler_payload_limit(const struct job *job) {
    return job_payload_limit(job);
}

static bool brings_values(unsigned type) {
    return type != FRAME_PULL;
}

static bool takes_slots(unsigned type) {
    return type == FRAME_ASSIGN || type == FRAME_PULL;
}

static bool takes_weights(unsigned type) {
    return type == FRAME_PULL || type == FRAME_PUSH_PULL;
}

/* What concerns the frame as a whole: nothing of it is done when this fails. */
static enum canyon_status check_frame(uint32_t limit, const struct frame *frame, const struct message_pieces *pieces,
                                      struct error *error) {
    const char *name = frame_type_name(frame->header.type);
    uint64_t bytes = 0, single = 0, back = 0;
    if (pieces->count == 0) {
        return error_set(error, CANYON_PROTOCOL, "%s without pieces", name);
    }
    for (uint32_t i = 0; i < pieces->count; i++) {
        const struct message_piece *piece = &pieces->pieces[i];
        enum canyon_status status = codecs_check(frame->header.type, piece, error);
        if (status != CANYON_OK) {
            return status;
        }
        bytes += piece_bytes(piece);
        single += CODEC_SINGLE((uint64_t)piece->elements);
        back += takes_weights(frame->header.type) ? piece_reply_bytes(piece) : 0;
        if (piece->slot != SLOT_WEIGHTS && !takes_slots(frame->header.type)) {
            return error_set(error, CANYON_PROTOCOL, "%s names slot %u: a gradient is for a block as a whole", name,
                             piece->slot);
        }
        if (piece->number != 0 && !brings_values(frame->header.type)) {
            return error_set(error, CANYON_PROTOCOL, "%s with the number %" PRIu64 ": it changes nothing", name,
                             piece->number);
        }
        for (uint32_t j = 0; j < i; j++) {
            const struct message_piece *other = &pieces->pieces[j];
            if (other->block == piece->block && other->tensor == piece->tensor && other->slot == piece->slot) {
                return error_set(error, CANYON_PROTOCOL, "%s holds block %u of tensor %016" PRIx64 " twice", name,
                                 piece->block, piece->tensor);
            }
        }
    }
    /* As float32 too: a short encoding is as much work as a long one. */
    uint64_t most = single > back ? single : back;
    most = bytes > most ? bytes : most;
    if (most > limit) {
        return error_set(error, CANYON_TOO_LARGE, "the pieces of this %s have %" PRIu64 " bytes, a payload at most %u",
                         name, most, limit);
    }
    if (brings_values(frame->header.type) && bytes != frame->header.payload_bytes) {
        return error_set(error, CANYON_PROTOCOL, "%s has a payload of %u bytes, its pieces %" PRIu64, name,
                         frame->header.payload_bytes, bytes);
    }
    return CANYON_OK;
}

/* Whether the key may do that to this tensor. A role with limits assigns to what its own session created: it fills it.
 */
static enum canyon_status permit(const struct transfer *transfer, const struct handler_tensor *tensor,
                                 struct error *error) {
    const struct request *request = transfer->request;
    enum canyon_status status = role_check_tensor(request, tensor->key.name, error);
    if (status == CANYON_OK && request->limited &&
        memcmp(tensor->definer, request->peer->session, SESSION_BYTES) != 0) {
        status = role_refuse(request, transfer->type, tensor->key.name, error);
    }
    return status;
}

/* Which shard of this thread has the piece's block. */
static enum canyon_status locate(const struct handler *handler, struct transfer *transfer,
                                 const struct message_piece *piece, struct shard **shard, struct error *error) {
    char owner[HANDLER_OWNER_BYTES];
    struct handler_tensor *tensor =
        (struct handler_tensor *)(void *)directory_find_id(&handler->tensors, piece->tensor);
    transfer->tensor = tensor;
    if (tensor == NULL) {
        return error_set(error, CANYON_NOT_FOUND, "no tensor with id %016" PRIx64 " on server %u (%s), thread %u",
                         piece->tensor, handler->server, handler->job->servers[handler->server], handler->thread);
    }
    if (permit(transfer, tensor, error) != CANYON_OK) {
        return CANYON_DENIED;
    }
    if (piece->block >= tensor->blocks) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "tensor '%s' has %" PRIu64 " blocks, none of number %u",
                         tensor->key.name, tensor->blocks, piece->block);
    }
    uint32_t index = job_shard_of(handler->job, tensor->home, piece->block);
    *shard = handler->shards[index];
    if (*shard == NULL) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "block %u of tensor '%s' is on %s; this is server %u, thread %u", piece->block,
                         tensor->key.name, handler_owner_text(handler, index, owner, sizeof owner), handler->server,
                         handler->thread);
    }
    uint32_t elements = slot_is_number(piece->slot) ? SLOT_NUMBER_WORDS
                                                    : job_block_elements(handler->job, tensor->elements, piece->block);
    if (piece->elements != elements && slot_is_number(piece->slot)) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "slot %u of tensor '%s' is a number for each block: %u elements (8 bytes), not %u",
                         piece->slot, tensor->key.name, elements, piece->elements);
    }
    if (piece->elements != elements) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "block %u of tensor '%s' has %u elements, not %u",
                         piece->block, tensor->key.name, elements, piece->elements);
    }
    return CANYON_OK;
}

static enum canyon_status read_piece(const struct shard *shard, const struct message_piece *piece,
                                     struct shard_reply *reply, struct handler_slice *fresh, struct error *error) {
    struct shard_block view;
    enum canyon_status status = shard_read(shard, piece->tensor, piece->block, piece->slot, &view, error);
    if (status == CANYON_OK) {
        *reply = (struct shard_reply){.version = view.version};
        *fresh = (struct handler_slice){view.values, view.bytes};
    }
    return status;
}

/* A contribution is kept in memory that counts; a gradient that is applied at once takes none. */
static enum canyon_status contribute(struct handler *handler, struct handler_tensor *tensor, struct shard *shard,
                                     struct command *command, struct shard_reply *reply, struct error *error) {
    const uint64_t limit = handler->environment->state_limit, growth = shard_contribution_growth(shard, command);
    if (limit > 0 && growth > 0 && (growth > limit || handler->state_bytes > limit - growth)) {
        return error_set(error, CANYON_NO_MEMORY,
                         "keeping a gradient of tensor '%s' until its clock is closed takes %" PRIu64 " bytes; %" PRIu64
                         " of at most %" PRIu64 " are taken already",
                         tensor->key.name, growth, handler->state_bytes, limit);
    }
    const uint64_t before = shard_contributed(shard, command->tensor);
    enum canyon_status status = shard_apply(shard, command, reply, error);
    const uint64_t more = shard_contributed(shard, command->tensor) - before;
    handler->state_bytes += more;
    tensor->bytes += more;
    return status;
}

static enum canyon_status apply_piece(struct handler *handler, struct transfer *transfer, struct shard *shard,
                                      const struct message_piece *piece, const float *values, struct shard_reply *reply,
                                      struct handler_slice *fresh, struct error *error) {
    const unsigned type = transfer->type;
    struct command command = {
        .kind = type == FRAME_ASSIGN ? COMMAND_ASSIGN : COMMAND_PUSH,
        .tensor = piece->tensor,
        .block = piece->block,
        .slot = (uint8_t)piece->slot,
        .version = type == FRAME_ASSIGN ? 0 : piece->version,
        .values = values,
        .count = piece->elements,
        .number = piece->number,
    };
    if (piece->number != 0) {
        memcpy(command.session, transfer->request->peer->session, SESSION_BYTES);
    }
    /* What was taken before is answered as it was, whatever has become of the mode, the worker or the memory since. */
    const bool paced = (transfer->pace.status != CANYON_OK || transfer->gathers) &&
                       handler_is_new(shard, transfer->request, piece->number);
    enum canyon_status status;
    if (paced && transfer->pace.status != CANYON_OK) {
        *error = transfer->pace;
        status = error->status;
    } else if (paced) {
        command.kind = COMMAND_CONTRIBUTE;
        command.clock = transfer->clock;
        command.rank = transfer->rank;
        status = contribute(handler, transfer->tensor, shard, &command, reply, error);
    } else {
        status = shard_apply(shard, &command, reply, error);
    }
    *fresh = (struct handler_slice){reply->weights, reply->elements * sizeof(float)};
    return status;
}

static void count_piece(struct message_statistics *counters, unsigned type, const struct message_piece *piece,
                        const struct shard_reply *reply) {
    if (reply->duplicate) {
        counters->duplicates++;
    } else if (type == FRAME_ASSIGN) {
        counters->assigns++;
    } else if (type != FRAME_PULL) {
        counters->pushes++;
        counters->staleness_sum += reply->staleness;
        counters->staleness_max =
            reply->staleness > counters->staleness_max ? reply->staleness : counters->staleness_max;
    }
    if (brings_values(type) && !reply->duplicate) {
        counters->values_in += piece_bytes(piece);
        counters->values_in_single += CODEC_SINGLE((uint64_t)piece->elements);
    }
    if (takes_weights(type)) {
        counters->pulls++;
        counters->values_out += piece_reply_bytes(piece);
        counters->values_out_single += CODEC_SINGLE((uint64_t)piece->elements);
    }
}

static enum canyon_status judge_piece(struct handler *handler, struct transfer *transfer, uint32_t index,
                                      const uint8_t *payload, struct shard_reply *reply, struct handler_slice *fresh,
                                      struct error *error) {
    const struct message_piece *piece = &transfer->pieces.pieces[index];
    struct shard *shard = NULL;
    const float *values = NULL;
    enum canyon_status status = locate(handler, transfer, piece, &shard, error);
    if (status == CANYON_OK && brings_values(transfer->type)) {
        status = codecs_gradient(&handler->codecs, piece, payload, &values, error);
    }
    if (status == CANYON_OK) {
        status = transfer->type == FRAME_PULL
                     ? read_piece(shard, piece, reply, fresh, error)
                     : apply_piece(handler, transfer, shard, piece, values, reply, fresh, error);
    }
    /* What its shard has not decided on uses up its number all the same. */
    if (status != CANYON_OK && transfer->shards[index] != NULL && reply->refused == CANYON_OK) {
        status = handler_refuse(transfer->shards[index], transfer->request, piece->number, status,
                                !takes_weights(transfer->type), reply);
    }
    return status;
}

/* `payload` is where its values begin, if the request brings any. */
static void execute_piece(struct handler *handler, struct transfer *transfer, uint32_t index, const uint8_t *payload) {
    const struct message_piece *piece = &transfer->pieces.pieces[index];
    struct message_piece_result *result = &transfer->results.results[index];
    struct shard_reply reply = {.version = 0};
    struct handler_slice fresh = {NULL, 0};
    struct error error;
    memset(result, 0, sizeof *result);
    result->status = judge_piece(handler, transfer, index, payload, &reply, &fresh, &error);
    result->applied = result->stable = reply.applied + (reply.applied > 0 && MUTANT(applied_runs_ahead));
    if (result->status != CANYON_OK) {
        handler->counters.refused += !reply.duplicate;
        handler->counters.duplicates += reply.duplicate;
        handler->counters.not_finite += result->status == CANYON_NOT_FINITE && !reply.duplicate;
        if (result->status == CANYON_LATE || result->status == CANYON_BUSY) {
            transfer->results.clock = plan_open(handler);
        }
        if (transfer->results.text[0] == '\0') {
            memcpy(transfer->results.text, error.text, sizeof error.text);
        }
        return;
    }
    if (transfer->tensor != NULL && (transfer->type == FRAME_PUSH || transfer->type == FRAME_PUSH_PULL)) {
        transfer->tensor->settled = true; /* whoever pushes has opened it */
        if (!reply.duplicate) {
            membership_count(transfer->tensor, transfer->request, reply.staleness);
        }
    }
    result->version = reply.version;
    result->staleness = reply.staleness;
    count_piece(&handler->counters, transfer->type, piece, &reply);
    if (takes_weights(transfer->type)) {
        /* Straight from parameter memory: no other piece of this frame changes this block. */
        codecs_weights(&handler->codecs, piece, transfer->tensor->home, reply.version, &fresh);
        transfer->slices++;
        const bool first = MUTANT(weights_of_first_piece) && handler->slices[1].count == fresh.count;
        handler->slices[transfer->slices] = first ? handler->slices[1] : fresh;
    }
}

/* Whether anything of it was not taken before; *numbered: of what has a number. */
static bool brings_new(const struct transfer *transfer, const struct request *request, bool *numbered) {
    bool is_new = false;
    *numbered = false;
    for (uint32_t i = 0; i < transfer->pieces.count; i++) {
        const uint64_t number = transfer->pieces.pieces[i].number;
        const bool one = handler_is_new(transfer->shards[i], request, number);
        is_new = is_new || one;
        *numbered = *numbered || (one && number != 0);
    }
    return is_new;
}

/* Before anything of the frame is carried out. */
static enum canyon_status check_known(struct handler *handler, const struct transfer *transfer,
                                      const struct request *request, struct error *error) {
    bool numbered = false;
    if (clocks_check_known(handler, request, NULL) == CANYON_OK || !brings_new(transfer, request, &numbered)) {
        return CANYON_OK;
    }
    request->peer->ending = numbered;
    return clocks_check_known(handler, request, error);
}

enum canyon_status serve_values(struct handler *handler, const struct request *request, const struct frame *frame,
                                struct error *error) {
    struct transfer transfer;
    enum canyon_status status =
        message_unpack_pieces(frame->message, frame->header.message_bytes, &transfer.pieces, error);
    if (status == CANYON_OK) {
        status = check_frame(handler_payload_limit(handler->job), frame, &transfer.pieces, error);
    }
    if (status == CANYON_OK && frame->header.type == FRAME_PULL) {
        bool waits = false;
        status = clocks_wait(handler, request, frame, transfer.pieces.clock, transfer.pieces.wait_ms, &waits, error);
        if (waits) {
            return status;
        }
    }
    if (status == CANYON_OK) {
        status = handler_judge_pieces(handler, request, &transfer.pieces, transfer.shards, error);
    }
    if (status == CANYON_OK && (frame->header.type == FRAME_PUSH || frame->header.type == FRAME_PUSH_PULL)) {
        status = check_known(handler, &transfer, request, error);
    }
    if (status != CANYON_OK) {
        return status;
    }
    /* It stays so from piece to piece: each has a multiple of 4 bytes. */
    assert((uintptr_t)frame->payload % _Alignof(float) == 0);
    size_t at = 0;
    transfer.pace.status = CANYON_OK;
    transfer.gathers = false;
    transfer.clock = transfer.pieces.clock;
    if (frame->header.type == FRAME_PUSH || frame->header.type == FRAME_PUSH_PULL) {
        (void)clocks_gathers(handler, request, &transfer.clock, &transfer.rank, &transfer.gathers, &transfer.pace);
    }
    handler->codecs.used = 0;
    transfer.request = request;
    transfer.type = frame->header.type;
    transfer.slices = 0;
    transfer.results.count = transfer.pieces.count;
    transfer.results.text[0] = '\0';
    transfer.results.clock = 0;
    for (uint32_t i = 0; i < transfer.pieces.count; i++) {
        execute_piece(handler, &transfer, i, at > 0 ? frame->payload + at : frame->payload);
        at += brings_values(transfer.type) ? piece_bytes(&transfer.pieces.pieces[i]) : 0;
    }
    reply_send(handler, request, (enum frame_type)(transfer.type + 1),
               message_pack_piece_results(&transfer.results, reply_message(handler)), transfer.slices);
    return CANYON_OK;
}
