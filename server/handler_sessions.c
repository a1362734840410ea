/* Sessions and their numbers: what is judged before a frame is carried out, RESUME, LEAVE. */
#include "server/handler_state.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/endian.h"
#include "common/mutant.h"
#include "common/rows.h"

#define RUNS_AHEAD 12 /* of which what judging them needs is on its way */

/* ---- What a number needs ---- */

/* Forgets a session in every shard: in each it is a command with its place in the order. */
static void evict(struct handler *handler, const uint8_t session[SESSION_BYTES]) {
    struct command command = {.kind = COMMAND_EVICT};
    memcpy(command.session, session, SESSION_BYTES);
    for (uint32_t shard = 0; shard < handler->job->shards; shard++) {
        struct shard_reply reply;
        if (handler->shards[shard] != NULL) {
            (void)shard_apply(handler->shards[shard], &command, &reply, NULL); /* it cannot fail */
            if (MUTANT(evict_one_shard)) {
                return;
            }
        }
    }
}

/* Notes that the request's session has numbers, once. */
static enum canyon_status note_session(struct handler *handler, const struct request *request, struct error *error) {
    const uint64_t now = handler_now(handler);
    const size_t most = request->peer->role < ROLE_WORKER ? SESSIONS_OF_READER : SESSIONS_OF_KEY;
    uint8_t evicted[SESSION_BYTES];
    bool evicts = false;
    enum canyon_status status =
        sessions_number(handler->sessions, request->peer->session, most, now, &evicts, evicted, error);
    if (evicts) {
        evict(handler, evicted);
    }
    request->peer->numbered = status == CANYON_OK;
    return status;
}

/* A session that a shard does not know takes memory there, which counts. */
static enum canyon_status check_room(const struct handler *handler, const struct shard *shard, struct error *error) {
    const uint64_t limit = handler->environment->state_limit, growth = shard_session_growth(shard);
    if (limit > 0 && growth > 0 && (growth > limit || handler->state_bytes > limit - growth)) {
        return error_set(error, CANYON_NO_MEMORY,
                         "to remember one more session takes %" PRIu64 " bytes; %" PRIu64 " of at most %" PRIu64
                         " are taken already",
                         growth, handler->state_bytes, limit);
    }
    return CANYON_OK;
}

static enum canyon_status reserve(struct handler *handler, const struct handler_peer *peer, struct shard *shard,
                                  struct error *error) {
    const uint64_t before = shard_session_bytes(shard);
    enum canyon_status status = shard_reserve_session(shard, peer->session, error);
    handler->state_bytes += shard_session_bytes(shard) - before;
    return status;
}

enum canyon_status handler_judge(struct handler *handler, const struct request *request, struct shard *shard,
                                 uint64_t last, uint64_t number, struct error *error) {
    struct handler_peer *peer = request->peer;
    enum canyon_status status = CANYON_OK;
    switch (ledger_judge(last, number)) {
    case LEDGER_DUPLICATE:
        return CANYON_OK;
    case LEDGER_NEXT:
        status = last == 0 ? check_room(handler, shard, error) : CANYON_OK;
        if (status == CANYON_OK && !peer->numbered) {
            status = note_session(handler, request, error);
        }
        if (status == CANYON_OK && last == 0) {
            status = reserve(handler, peer, shard, error);
        }
        break;
    case LEDGER_GAP:
    case LEDGER_UNKNOWN: {
        struct command command = {.kind = COMMAND_REFUSE, .number = number, .verdict = CANYON_GAP};
        struct shard_reply reply;
        memcpy(command.session, peer->session, SESSION_BYTES);
        status = shard_apply(shard, &command, &reply, error); /* says so, and changes nothing */
        assert(reply.sequence == 0 && status != CANYON_OK);
        handler->counters.gaps++;
        break;
    }
    }
    peer->ending = status != CANYON_OK;
    return status;
}

/* ---- Frames ---- */

struct shard *handler_shard_of(const struct handler *handler, uint64_t tensor, uint32_t block) {
    const struct handler_tensor *here = (const void *)directory_find_id(&handler->tensors, tensor);
    uint64_t home = here != NULL ? here->home : 0;
    if (here == NULL && !handler_undefined_home(handler, tensor, &home)) {
        return NULL;
    }
    return handler->shards[job_shard_of(handler->job, home, block)];
}

/* The session's last number in the shard of piece i once those before it are carried out. */
static uint64_t last_before(const struct request *request, const struct message_pieces *pieces,
                            struct shard *const *shards, uint32_t i) {
    uint64_t last = shard_applied(shards[i], request->peer->session);
    for (uint32_t j = 0; j < i; j++) {
        if (shards[j] == shards[i] && pieces->pieces[j].number == last + 1) {
            last++;
        }
    }
    return last;
}

enum canyon_status handler_judge_pieces(struct handler *handler, const struct request *request,
                                        const struct message_pieces *pieces, struct shard **shards,
                                        struct error *error) {
    enum canyon_status status = CANYON_OK;
    for (uint32_t i = 0; i < pieces->count; i++) {
        const struct message_piece *piece = &pieces->pieces[i];
        shards[i] = piece->number != 0 ? handler_shard_of(handler, piece->tensor, piece->block) : NULL;
        if (shards[i] != NULL) {
            shard_expect(shards[i], request->peer->session);
        }
    }
    for (uint32_t i = 0; i < pieces->count && status == CANYON_OK; i++) {
        if (shards[i] != NULL && (i == 0 || !MUTANT(half_frame_applied))) {
            status = handler_judge(handler, request, shards[i], last_before(request, pieces, shards, i),
                                   pieces->pieces[i].number, error);
        }
    }
    return status;
}

static struct shard *shard_of_run(const struct handler *handler, const struct rows_run *run) {
    return run->number != 0 ? handler->shards[run->shard] : NULL;
}

/* Runs of a frame are of different shards. */
enum canyon_status handler_judge_runs(struct handler *handler, const struct request *request,
                                      const struct rows_run *runs, uint32_t count, struct error *error) {
    enum canyon_status status = CANYON_OK;
    for (uint32_t i = 0, ahead = 0; i < count && status == CANYON_OK; i++) {
        struct shard *shard = shard_of_run(handler, &runs[i]);
        for (; ahead < count && ahead <= i + RUNS_AHEAD; ahead++) {
            if (shard_of_run(handler, &runs[ahead]) != NULL) {
                shard_expect(handler->shards[runs[ahead].shard], request->peer->session);
            }
        }
        if (shard != NULL) {
            status = handler_judge(handler, request, shard, shard_applied(shard, request->peer->session),
                                   runs[i].number, error);
        }
    }
    return status;
}

bool handler_is_new(struct shard *shard, const struct request *request, uint64_t number) {
    return number == 0 || (shard != NULL && number > shard_applied(shard, request->peer->session));
}

enum canyon_status handler_refuse(struct shard *shard, const struct request *request, uint64_t number,
                                  enum canyon_status status, bool bare, struct shard_reply *reply) {
    struct command command = {.kind = COMMAND_REFUSE, .number = number, .verdict = status};
    memcpy(command.session, request->peer->session, SESSION_BYTES);
    enum canyon_status told = shard_apply(shard, &command, reply, NULL);
    /* Applied when it came first: that its place is gone now does not make it refused. */
    return told == CANYON_OK && !bare ? status : told;
}

static enum canyon_status refuse_pieces(struct handler *handler, const struct request *request,
                                        const struct frame *frame, enum canyon_status verdict, struct error *error) {
    struct shard *shards[LIMIT_PIECES];
    struct message_pieces pieces;
    if (message_unpack_pieces(frame->message, frame->header.message_bytes, &pieces, error) != CANYON_OK) {
        return CANYON_OK;
    }
    enum canyon_status status = handler_judge_pieces(handler, request, &pieces, shards, error);
    for (uint32_t i = 0; i < pieces.count && status == CANYON_OK; i++) {
        struct shard_reply reply;
        if (shards[i] != NULL) {
            (void)handler_refuse(shards[i], request, pieces.pieces[i].number, verdict, true, &reply);
        }
    }
    return status;
}

/* The runs may be all that is right of the payload. */
static enum canyon_status refuse_runs(struct handler *handler, const struct request *request, const struct frame *frame,
                                      enum canyon_status verdict, struct error *error) {
    const struct rows_run *runs = (const struct rows_run *)(const void *)frame->payload;
    struct message_rows rows;
    uint64_t least = 0;
    if (message_unpack_rows(frame->message, frame->header.message_bytes, &rows, error) != CANYON_OK ||
        frame->header.payload_bytes < rows.runs * sizeof *runs ||
        (frame->header.type == FRAME_TABLE_PULL && !rows.create)) {
        return CANYON_OK;
    }
    for (uint32_t i = 0; i < rows.runs; i++) {
        if (runs[i].shard < least || runs[i].shard >= handler->job->shards) {
            return CANYON_OK;
        }
        least = (uint64_t)runs[i].shard + 1;
    }
    enum canyon_status status = handler_judge_runs(handler, request, runs, rows.runs, error);
    for (uint32_t i = 0; i < rows.runs && status == CANYON_OK; i++) {
        struct shard_reply reply;
        if (runs[i].number != 0 && handler->shards[runs[i].shard] != NULL) {
            (void)handler_refuse(handler->shards[runs[i].shard], request, runs[i].number, verdict, true, &reply);
        }
    }
    return status;
}

enum canyon_status handler_refuse_frame(struct handler *handler, const struct request *request,
                                        const struct frame *frame, enum canyon_status status, struct error *error) {
    if (MUTANT(refused_frame_keeps_numbers) || (MUTANT(denied_keeps_number) && status == CANYON_DENIED)) {
        return CANYON_OK;
    }
    switch (frame->header.type) {
    case FRAME_ASSIGN:
    case FRAME_PUSH:
    case FRAME_PUSH_PULL:
        return refuse_pieces(handler, request, frame, status, error);
    case FRAME_TABLE_PUSH:
    case FRAME_TABLE_PULL:
    case FRAME_TABLE_PUSH_PULL:
    case FRAME_TABLE_ERASE:
        return refuse_runs(handler, request, frame, status, error);
    default:
        return CANYON_OK;
    }
}

/* ---- RESUME, LEAVE ---- */

static enum canyon_status refuse_message(const struct frame *frame, struct error *error) {
    if (frame->header.message_bytes > 0) {
        return error_set(error, CANYON_PROTOCOL, "%s has no message, this one has %u bytes",
                         frame_type_name(frame->header.type), frame->header.message_bytes);
    }
    return CANYON_OK;
}

/* Who comes last stands first in the list. */
void handler_fence(struct handler *handler, const struct handler_peer *peer) {
    for (struct handler_peer *older = MUTANT(resume_does_not_fence) ? NULL : peer->next; older != NULL;
         older = older->next) {
        if (!older->ended && memcmp(older->session, peer->session, SESSION_BYTES) == 0) {
            struct error error;
            error_set(&error, CANYON_FENCED,
                      "a newer connection of this session has resumed: nothing more is taken from this one");
            reply_end(handler, older, &error);
        }
    }
}

enum canyon_status serve_resume(struct handler *handler, const struct request *request, const struct frame *frame,
                                struct error *error) {
    const size_t room = (size_t)handler->counters.shards * MESSAGE_RESUMED_ENTRY_BYTES;
    size_t bytes = 0;
    enum canyon_status status = refuse_message(frame, error);
    if (status != CANYON_OK) {
        return status;
    }
    uint8_t *entries = malloc(room + 1); /* a thread may own no shard at all */
    if (entries == NULL) {
        return error_set(error, CANYON_NO_MEMORY, "no memory for %zu bytes about a session's numbers", room);
    }
    handler_fence(handler, request->peer);
    for (uint32_t shard = 0; shard < handler->job->shards; shard++) {
        uint64_t last =
            handler->shards[shard] != NULL ? shard_applied(handler->shards[shard], request->peer->session) : 0;
        last += last > 0 && MUTANT(resumed_one_too_many);
        last -= last > 1 && MUTANT(resumed_one_too_few);
        if (last > 0) {
            store_u32(entries + bytes, shard);
            store_u32(entries + bytes + 4, 0);
            store_u64(entries + bytes + 8, last);
            store_u64(entries + bytes + 16, last); /* at the level `memory` nothing is stabler than applied */
            bytes += MESSAGE_RESUMED_ENTRY_BYTES;
        }
    }
    handler->slices[1] = (struct handler_slice){entries, bytes};
    reply_send(handler, request, FRAME_RESUMED, 0, bytes > 0 ? 1 : 0);
    free(entries);
    return CANYON_OK;
}

enum canyon_status serve_leave(struct handler *handler, const struct request *request, const struct frame *frame,
                               struct error *error) {
    enum canyon_status status = refuse_message(frame, error);
    if (status != CANYON_OK) {
        return status;
    }
    if (!MUTANT(leave_keeps_numbers)) {
        evict(handler, request->peer->session);
    }
    sessions_forget(handler->sessions, request->peer->session);
    for (struct handler_peer *peer = handler->peers; peer != NULL; peer = peer->next) {
        if (memcmp(peer->session, request->peer->session, SESSION_BYTES) == 0) {
            peer->numbered = false;
        }
    }
    reply_send(handler, request, FRAME_LEFT, 0, 0);
    membership_leave(handler, request->peer->session);
    return CANYON_OK;
}
