#include "server/handler.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mutant.h"
#include "server/handler_state.h"

/* ---- Life ---- */

static bool owns(const struct handler *handler, uint32_t shard) {
    return job_server_of(handler->job, shard) == handler->server &&
           job_thread_of(handler->job, shard, handler->threads) == handler->thread;
}

struct handler *handler_create(const struct job *job, uint32_t server, uint32_t thread, uint32_t threads,
                               const struct handler_environment *environment) {
    struct handler *handler = calloc(1, sizeof *handler);
    if (handler == NULL) {
        return NULL;
    }
    handler->job = job;
    handler->server = server;
    handler->thread = thread;
    handler->threads = threads;
    handler->environment = environment;
    handler->started = environment->now(environment->user);
    handler->workers = workers_create();
    handler->sessions = sessions_create();
    handler->shards = calloc(job->shards, sizeof(struct shard *));
    if (!membership_init(handler) || !codecs_init(&handler->codecs, job) ||
        !tables_init(&handler->tables, job, environment) || handler->workers == NULL || handler->sessions == NULL ||
        handler->shards == NULL) {
        goto failed;
    }
    for (uint32_t shard = 0; shard < job->shards; shard++) {
        if (owns(handler, shard)) {
            handler->shards[shard] = shard_create(job, shard);
            if (handler->shards[shard] == NULL) {
                goto failed;
            }
            shard_use(handler->shards[shard], environment->memory);
            shard_lend(handler->shards[shard], handler->tables.workspace);
            handler->any = handler->shards[shard];
            handler->counters.shards++;
        }
    }
    return handler;
failed:
    handler_destroy(handler);
    return NULL;
}

void handler_destroy(struct handler *handler) {
    if (handler == NULL) {
        return;
    }
    parked_finish(&handler->parked);
    waits_finish(&handler->waits);
    membership_finish(handler);
    for (uint32_t shard = 0; handler->shards != NULL && shard < handler->job->shards; shard++) {
        shard_destroy(handler->shards[shard]);
    }
    for (size_t i = 0; i < handler->tensors.count; i++) {
        free(handler->tensors.by_id[i]);
    }
    directory_finish(&handler->tensors);
    workers_destroy(handler->workers);
    sessions_destroy(handler->sessions);
    codecs_finish(&handler->codecs);
    tables_finish(&handler->tables);
    free(handler->shards);
    free(handler);
}

/* ---- Who owns what ---- */

char *handler_owner_text(const struct handler *handler, uint32_t shard, char *text, size_t bytes) {
    uint32_t server = job_server_of(handler->job, shard);
    snprintf(text, bytes, "server %u (%s), thread %u", server, handler->job->servers[server],
             job_thread_of(handler->job, shard, handler->threads));
    return text;
}

bool handler_has_catalogue(const struct handler *handler, const char *what, struct error *error) {
    char owner[HANDLER_OWNER_BYTES];
    if (handler->shards[0] == NULL) {
        error_set(error, CANYON_INVALID_ARGUMENT, "%s on %s; this is server %u, thread %u", what,
                  handler_owner_text(handler, 0, owner, sizeof owner), handler->server, handler->thread);
    }
    return handler->shards[0] != NULL;
}

/* ---- Peers ---- */

struct handler_peer *handler_find_session(const struct handler *handler, const uint8_t session[SESSION_BYTES]) {
    struct handler_peer *peer = handler->peers;
    while (peer != NULL && memcmp(peer->session, session, SESSION_BYTES) != 0) {
        peer = peer->next;
    }
    return peer;
}

enum canyon_status handler_peer_came(struct handler *handler, struct handler_peer *peer, struct error *error) {
    enum canyon_status status =
        sessions_come(handler->sessions, peer->session, peer->entry != NULL ? peer->entry->key : NULL, error);
    if (status != CANYON_OK) {
        return status;
    }
    membership_begin(handler);
    peer->share = sessions_share(handler->sessions, peer->session);
    peer->numbered = peer->ending = peer->ended = false;
    peer->parked = 0;
    peer->joined = false;
    peer->dropping = 0;
    peer->waiting = peer->ready = 0;
    peer->waiting_first = peer->waiting_last = NULL;
    peer->ready_first = peer->ready_last = NULL;
    membership_peer_came(handler, peer);
    peer->previous = NULL;
    peer->next = handler->peers;
    if (peer->next != NULL) {
        peer->next->previous = peer;
    }
    handler->peers = peer;
    handler->counters.connections++;
    if (MUTANT(newcomer_fences)) {
        handler_fence(handler, peer);
    }
    return CANYON_OK;
}

void handler_forget_parked(struct handler *handler, const struct handler_peer *peer) {
    for (struct parked *parked = handler->parked.first, *next; parked != NULL && peer->parked > 0; parked = next) {
        next = parked->next;
        if (parked->peer == peer) {
            if (parked->type == FRAME_BARRIER) {
                workers_withdraw(handler->workers, parked->name, parked);
            }
            parked_remove(&handler->parked, parked);
        }
    }
    clocks_forget_waits(handler, peer);
}

void handler_peer_gone(struct handler *handler, struct handler_peer *peer) {
    handler_forget_parked(handler, peer);
    peer->member = NULL;
    if (peer->previous != NULL) {
        peer->previous->next = peer->next;
    } else {
        handler->peers = peer->next;
    }
    if (peer->next != NULL) {
        peer->next->previous = peer->previous;
    }
    peer->next = peer->previous = NULL;
    handler->counters.connections--;
    sessions_go(handler->sessions, peer->session, handler_now(handler));
    if (peer->joined) {
        peer->joined = false;
        workers_leave(handler->workers, peer->session);
        handler_answer_passed(handler);
    }
    if (handler->shards[0] != NULL && handler_find_session(handler, peer->session) == NULL) {
        handler_session_gone(handler, peer->session);
    }
}

/* ---- Requests ---- */

static const request_execute execute_of[] = {
    [FRAME_CREATE] = serve_create,
    [FRAME_OPEN] = serve_open,
    [FRAME_DEFINE] = serve_define,
    [FRAME_COMPLETE] = serve_complete,
    [FRAME_DROP] = serve_drop,
    [FRAME_UNDEFINE] = serve_undefine,
    [FRAME_DROPPED] = serve_dropped,
    [FRAME_LIST] = serve_list,
    [FRAME_ASSIGN] = serve_values,
    [FRAME_PUSH] = serve_values,
    [FRAME_PULL] = serve_values,
    [FRAME_PUSH_PULL] = serve_values,
    [FRAME_JOIN] = serve_join,
    [FRAME_BARRIER] = serve_barrier,
    [FRAME_STATISTICS] = serve_statistics,
    [FRAME_DIGEST] = serve_digest,
    [FRAME_OPTIMIZER] = serve_optimizer,
    [FRAME_SET] = serve_set,
    [FRAME_ADJUST] = serve_adjust,
    [FRAME_TABLE_PUSH] = serve_rows,
    [FRAME_TABLE_PULL] = serve_rows,
    [FRAME_TABLE_PUSH_PULL] = serve_rows,
    [FRAME_TABLE_ERASE] = serve_rows,
    [FRAME_TABLE_INFO] = serve_table_info,
    [FRAME_TABLE_ROWS] = serve_table_rows,
    [FRAME_ENTER] = serve_enter,
    [FRAME_CLOCK] = serve_clock,
    [FRAME_CONSISTENCY] = serve_consistency,
    [FRAME_MEMBERS] = serve_members,
    [FRAME_STALENESS] = serve_staleness,
    [FRAME_RESUME] = serve_resume,
    [FRAME_LEAVE] = serve_leave,
};

static bool carries_values(unsigned type) {
    return type == FRAME_ASSIGN || type == FRAME_PUSH || type == FRAME_PUSH_PULL || type == FRAME_TABLE_PUSH ||
           type == FRAME_TABLE_PULL || type == FRAME_TABLE_PUSH_PULL || type == FRAME_TABLE_ERASE;
}

enum canyon_status handler_execute(struct handler *handler, struct request *request, const struct frame *frame,
                                   struct error *error) {
    unsigned type = frame->header.type;
    if (type >= sizeof execute_of / sizeof execute_of[0] || execute_of[type] == NULL) {
        if (type == FRAME_HELLO) {
            return error_set(error, CANYON_PROTOCOL, "a second HELLO: a connection begins with exactly one");
        }
        if (type >= FRAME_ERROR && type <= FRAME_LAST) {
            return error_set(error, CANYON_PROTOCOL, "frame type %u (%s) is a reply, which a server does not take",
                             type, frame_type_name(type));
        }
        return error_set(error, CANYON_UNSUPPORTED, "frame type %u is not known to this server (version %s)", type,
                         CANYON_VERSION_TEXT);
    }
    if (frame->header.payload_bytes > 0 && !carries_values(type)) {
        return error_set(error, CANYON_PROTOCOL, "%s has no payload, this one has %u bytes", frame_type_name(type),
                         frame->header.payload_bytes);
    }
    enum canyon_status status = role_check(request, type, error);
    return status == CANYON_OK ? execute_of[type](handler, request, frame, error) : status;
}

void handler_peer_heard(struct handler *handler, struct handler_peer *peer) {
    membership_heard(handler, peer);
}

void handler_frame(struct handler *handler, struct handler_peer *peer, const struct frame *frame) {
    struct error error = {.status = CANYON_OK};
    struct request request = {.peer = peer, .id = frame->header.request};
    handler->counters.frames++;
    if (peer->ended) {
        return;
    }
    membership_heard(handler, peer);
    enum canyon_status status = handler_execute(handler, &request, frame, &error);
    if (status != CANYON_OK && !peer->ending && carries_values(frame->header.type)) {
        struct error gap;
        if (handler_refuse_frame(handler, &request, frame, status, &gap) != CANYON_OK) {
            error = gap;
        }
    }
    if (status != CANYON_OK && peer->ending) {
        reply_end(handler, peer, &error);
    } else if (status != CANYON_OK) {
        reply_error(handler, &request, &error);
    }
    clocks_settle(handler);
}

/* ---- Waiting ---- */

enum canyon_status handler_park(struct handler *handler, const struct request *request, enum frame_type type,
                                const char *name, const struct tensor_spec *spec, uint32_t wait_ms,
                                struct parked **parked, struct error *error) {
    struct parked *added = NULL;
    struct parked waiting = {.peer = request->peer, .request = request->id, .type = (uint16_t)type, .wait_ms = wait_ms};
    enum canyon_status status;
    if (wait_ms > LIMIT_WAIT_MS) {
        return error_set(error, CANYON_TOO_LARGE, "a wait of %u ms is longer than the %u ms that are allowed", wait_ms,
                         LIMIT_WAIT_MS);
    }
    if (handler->stopping) {
        return error_set(error, CANYON_UNAVAILABLE, "the server is stopping");
    }
    waiting.deadline = handler_now(handler) + wait_ms * NANOSECONDS_PER_MS;
    memcpy(waiting.name, name, strlen(name));
    status = parked_add(&handler->parked, &waiting, spec, &added, error);
    if (status == CANYON_OK && parked != NULL) {
        *parked = added;
    }
    return status;
}

uint64_t handler_wakeup(const struct handler *handler) {
    const struct parked *parked = parked_earliest(&handler->parked);
    uint64_t pace = clocks_wakeup(handler);
    return parked == NULL || parked->deadline > pace ? pace : parked->deadline;
}

/* Ends a parked request with an error. */
static void end_parked(struct handler *handler, struct parked *parked, const struct error *error) {
    struct request request = {.peer = parked->peer, .id = parked->request};
    if (parked->type == FRAME_BARRIER) {
        workers_withdraw(handler->workers, parked->name, parked);
    }
    parked_remove(&handler->parked, parked);
    reply_error(handler, &request, error);
}

void handler_end_overdue(struct handler *handler) {
    const uint64_t now = handler_now(handler);
    struct parked *parked = parked_earliest(&handler->parked);
    while (parked != NULL && parked->deadline <= now) {
        struct error error;
        if (parked->type == FRAME_BARRIER) {
            handler_barrier_timeout(handler, parked, &error);
        } else {
            handler_tensor_timeout(handler, parked, &error);
        }
        end_parked(handler, parked, &error);
        parked = parked_earliest(&handler->parked);
    }
}

void handler_tick(struct handler *handler) {
    handler_end_overdue(handler);
    clocks_tick(handler, handler_now(handler));
}

void handler_stop(struct handler *handler) {
    struct error error;
    error_set(&error, CANYON_UNAVAILABLE, "the server is stopping");
    handler->stopping = true;
    while (handler->parked.first != NULL) {
        end_parked(handler, handler->parked.first, &error);
    }
    clocks_stop(handler);
}

bool handler_watch(struct handler *handler, uint32_t shard, void (*watch)(void *user, const struct command *command),
                   void *user) {
    const bool here = shard < handler->job->shards && handler->shards[shard] != NULL;
    if (here) {
        shard_watch(handler->shards[shard], watch, user);
    }
    return here;
}

void handler_count_bytes(struct handler *handler, uint64_t in, uint64_t out) {
    handler->counters.bytes_in += in;
    handler->counters.bytes_out += out;
}
