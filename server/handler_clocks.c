/* ENTER, CLOCK, CONSISTENCY: who waits for whom, and when a synchronous clock is closed. Each thread judges by what its
 * own members tell it; no server asks another. */
#include "server/handler_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NANOSECONDS_PER_MS 1000000ull
#define PAUSE              (1000 * NANOSECONDS_PER_MS) /* a thread that is so late was stopped */

static uint64_t now_of(const struct handler *handler) {
    return handler->environment->now(handler->environment->user);
}

/* The mode is the same in all shards. On a thread that has none nothing is pulled or pushed. */
static const struct consistency_plan *plan_of(const struct handler *handler) {
    static const struct consistency_plan none;
    return handler->any != NULL ? shard_consistency(handler->any) : &none;
}

uint64_t clocks_open(const struct handler *handler) {
    uint64_t open = handler->any != NULL ? shard_open_clock(handler->any) : 0;
    return open > 0 && consistency_at(plan_of(handler), open)->mode == CONSISTENCY_SYNC ? open : 0;
}

/* ---- waiting ---- */

/* What pulls wait for: the same for all of a thread. */
static struct handler_pace pace_of(const struct handler *handler) {
    return (struct handler_pace){.open = clocks_open(handler),
                                 .lowest =
                                     members_live(handler->members) > 0 ? members_lowest(handler->members) : UINT64_MAX,
                                 .plan = *plan_of(handler)};
}

static bool may_pull(const struct handler_pace *pace, uint64_t clock) {
    const struct consistency *mode = consistency_at(&pace->plan, clock);
    if (mode->mode == CONSISTENCY_SYNC) {
        return pace->open == 0 || clock <= pace->open;
    }
    return mode->mode != CONSISTENCY_SSP || clock <= mode->staleness || pace->lowest >= clock - mode->staleness;
}

static void explain(const struct handler *handler, uint64_t clock, uint32_t wait_ms, struct error *error) {
    const struct consistency *mode = consistency_at(plan_of(handler), clock);
    const struct member *last = members_last(handler->members);
    char text[CONSISTENCY_TEXT_BYTES];
    error_set(error, CANYON_TIMEOUT,
              "a pull at clock %" PRIu64 " (%s) waits for worker '%.100s' (rank %u), which is at clock %" PRIu64
              "; waited %u ms",
              clock, consistency_text(mode, text, sizeof text), last != NULL ? last->name : "-",
              last != NULL ? last->rank : 0, last != NULL ? last->clock : 0, wait_ms);
}

/* ---- synchronous clocks ---- */

/* Gives the memory of contributions back, which nobody makes any more. */
static void trim(struct handler *handler, struct shard *shard) {
    for (size_t i = 0; i < handler->tensors.count; i++) {
        struct handler_tensor *tensor = (struct handler_tensor *)(void *)handler->tensors.by_id[i];
        uint64_t before = shard_contributed(shard, tensor->key.id);
        if (before > 0) {
            shard_trim_contributions(shard, tensor->key.id);
            uint64_t given = before - shard_contributed(shard, tensor->key.id);
            tensor->bytes -= given;
            handler->state_bytes -= given;
        }
    }
}

static void close_until(struct handler *handler, uint64_t clock) {
    const struct command command = {.kind = COMMAND_CLOSE, .clock = clock};
    bool last = consistency_at(plan_of(handler), clock + 1)->mode != CONSISTENCY_SYNC;
    for (uint32_t index = 0; index < handler->job->shards; index++) {
        struct shard_reply reply;
        struct error error;
        if (handler->shards[index] != NULL) {
            (void)shard_apply(handler->shards[index], &command, &reply, &error); /* it cannot fail */
        }
        if (handler->shards[index] != NULL && last) {
            trim(handler, handler->shards[index]);
        }
    }
}

/* Closes what all that must have passed, have. A worker that passed a clock contributes to it no more. */
static void close_clocks(struct handler *handler) {
    uint64_t open = clocks_open(handler);
    uint32_t live = members_live(handler->members);
    if (open == 0 || live == 0) {
        return;
    }
    uint32_t minimum = consistency_at(plan_of(handler), open)->minimum;
    uint64_t passed = members_passed_by(handler->members, minimum > 0 && minimum < live ? minimum : live);
    if (passed > open) {
        close_until(handler, passed - 1);
    }
}

/* ---- what pulls and pushes tell ---- */

static enum canyon_status check_clock(const struct handler *handler, uint64_t clock, struct error *error) {
    const uint64_t open = clocks_open(handler), from = plan_of(handler)->from;
    return members_check_clock(handler->members, clock, open > from ? open : from, error);
}

/* A message that is made at a clock says as much as a CLOCK, which is not sent again when its connection broke. What
 * that lets go goes when the request has been carried out (clocks_settle). Where nobody waits it is any number that a
 * program gives its rows. Of a live one. */
static enum canyon_status hear_clock(struct handler *handler, struct member *member, uint64_t clock,
                                     struct error *error) {
    if (clock <= member->clock || consistency_at(plan_of(handler), clock)->mode == CONSISTENCY_ASYNC) {
        return CANYON_OK;
    }
    enum canyon_status status = check_clock(handler, clock, error);
    if (status == CANYON_OK) {
        members_advance(handler->members, member, clock, now_of(handler));
        close_clocks(handler);
        handler->moved = true;
    }
    return status;
}

enum canyon_status clocks_wait(struct handler *handler, const struct request *request, const struct frame *frame,
                               uint64_t clock, uint32_t wait_ms, bool *waits, struct error *error) {
    struct member *member = request->peer->member;
    *waits = false;
    if (request->released || member == NULL || !member->live) {
        return CANYON_OK;
    }
    uint64_t at = clock > 0 ? clock : member->clock;
    enum canyon_status status = hear_clock(handler, member, at, error);
    const struct handler_pace pace = pace_of(handler);
    if (status != CANYON_OK || may_pull(&pace, at)) {
        return status;
    }
    if (handler->stopping) {
        return error_set(error, CANYON_UNAVAILABLE, "the server is stopping");
    }
    if (wait_ms == 0) {
        explain(handler, at, 0, error);
        return CANYON_TIMEOUT;
    }
    uint64_t deadline = now_of(handler) + wait_ms * NANOSECONDS_PER_MS;
    *waits = true;
    return waits_add(&handler->waits, request->peer, frame, at, wait_ms, deadline, error);
}

/* The wait has left the list. */
static void refuse(struct handler *handler, struct wait *wait, const struct error *error) {
    struct request request = {.peer = wait->peer, .id = wait->frame.header.request};
    reply_error(handler, &request, error);
    waits_free(wait);
}

static void execute(struct handler *handler, struct wait *wait) {
    waits_take(&handler->waits, wait);
    struct error error = {.status = CANYON_OK};
    struct request request = {.peer = wait->peer, .id = wait->frame.header.request, .released = true};
    if (handler_execute(handler, &request, &wait->frame, &error) != CANYON_OK) {
        reply_error(handler, &request, &error);
    }
    waits_free(wait);
}

bool handler_go_on(struct handler *handler, struct handler_peer *peer) {
    struct wait *wait = peer->ready_first;
    if (wait != NULL) {
        execute(handler, wait);
    }
    return wait != NULL;
}

/* Of many that are let go at once each may bring as much as a reply may have: whose peer has a socket, it goes on as
 * that takes what they bring. */
static void let_go(struct handler *handler, struct wait *wait) {
    struct handler_peer *peer = wait->peer;
    if (peer->wake == NULL) {
        execute(handler, wait);
        return;
    }
    waits_release(&handler->waits, wait);
    peer->wake(peer);
}

/* Only when there is anything new to those that wait: most clocks that are told say nothing to them. */
static void release(struct handler *handler) {
    const struct handler_pace pace = pace_of(handler), *before = &handler->pace;
    const bool same = pace.open == before->open && pace.lowest == before->lowest &&
                      pace.plan.from == before->plan.from && consistency_equal(&pace.plan.now, &before->plan.now) &&
                      consistency_equal(&pace.plan.next, &before->plan.next);
    handler->pace = pace;
    if (same) {
        return;
    }
    for (struct wait *wait = handler->waits.waiting.first, *next; wait != NULL; wait = next) {
        next = wait->next;
        if (may_pull(&pace, wait->clock)) {
            let_go(handler, wait);
        }
    }
}

/* Something moved: a clock, a lease, the mode. */
static void proceed(struct handler *handler) {
    close_clocks(handler);
    release(handler);
}

void clocks_settle(struct handler *handler) {
    if (handler->moved) {
        handler->moved = false;
        release(handler);
    }
}

enum canyon_status clocks_gathers(struct handler *handler, const struct request *request, uint64_t *clock,
                                  uint32_t *rank, bool *gathers, struct error *error) {
    const struct consistency_plan *plan = plan_of(handler);
    struct member *member = request->peer->member;
    *gathers = false;
    enum canyon_status status = CANYON_OK;
    if (member != NULL && member->live) {
        status = hear_clock(handler, member, *clock, error);
    }
    if (status != CANYON_OK) {
        return status;
    }
    if (!plan->set || (plan->now.mode != CONSISTENCY_SYNC && plan->next.mode != CONSISTENCY_SYNC)) {
        return CANYON_OK;
    }
    *clock = *clock > 0 || member == NULL ? *clock : member->clock;
    uint64_t reached = members_reached(handler->members);
    if (member == NULL && consistency_at(plan, reached > 0 ? reached : 1)->mode == CONSISTENCY_SYNC) {
        return error_set(error, CANYON_CONFLICT,
                         "the job is synchronous: who pushes gradients counts clocks (canyon_clock), and this client "
                         "does not");
    }
    *gathers = member != NULL && consistency_at(plan, *clock)->mode == CONSISTENCY_SYNC;
    *rank = *gathers ? member->rank : 0;
    if (*gathers && *clock == clocks_open(handler) && !members_contribute(handler->members, member, *clock)) {
        return error_set(error, CANYON_LATE,
                         "clock %" PRIu64
                         " goes on without worker '%.100s': its lease ended, or another contributed as rank %u before "
                         "it came; its next clock counts",
                         *clock, member->name, member->rank);
    }
    return CANYON_OK;
}

/* ---- members ---- */

static void forget(void *user, struct member *member) {
    struct handler *handler = user;
    for (struct handler_peer *peer = handler->peers; peer != NULL; peer = peer->next) {
        peer->member = peer->member == member ? NULL : peer->member;
    }
}

bool clocks_init(struct handler *handler) {
    uint32_t lease_ms = handler->environment->lease_ms;
    handler->members = members_create(lease_ms > 0 ? lease_ms : MEMBERS_LEASE_MS);
    if (handler->members != NULL) {
        members_watch(handler->members, forget, handler);
    }
    return handler->members != NULL;
}

void clocks_finish(struct handler *handler) {
    waits_finish(&handler->waits);
    members_destroy(handler->members);
}

void clocks_peer_came(struct handler *handler, struct handler_peer *peer) {
    peer->waiting = peer->ready = 0;
    peer->ready_first = peer->ready_last = NULL;
    peer->member = members_find(handler->members, peer->session);
    clocks_heard(handler, peer);
}

void clocks_heard(struct handler *handler, struct handler_peer *peer) {
    if (peer->member != NULL && peer->member->live) {
        members_heard(handler->members, peer->member, now_of(handler));
    }
}

void clocks_forget_waits(struct handler *handler, const struct handler_peer *peer) {
    while (peer->ready_first != NULL) {
        struct wait *wait = peer->ready_first;
        waits_take(&handler->waits, wait);
        waits_free(wait);
    }
    for (struct wait *wait = handler->waits.waiting.first, *next; wait != NULL && peer->waiting > 0; wait = next) {
        next = wait->next;
        if (wait->peer == peer) {
            waits_take(&handler->waits, wait);
            waits_free(wait);
        }
    }
}

void clocks_leave(struct handler *handler, const uint8_t session[SESSION_BYTES]) {
    struct member *member = members_find(handler->members, session);
    if (member != NULL && member->live) {
        members_leave(handler->members, member);
        proceed(handler);
    }
}

/* The least clock that a worker has anything to do at: an open one, unless it is still ahead of all. Others before it
 * were closed where it is not the first of its mode. */
static uint64_t floor_of(const struct handler *handler) {
    uint64_t open = clocks_open(handler);
    return open <= members_reached(handler->members) || open > plan_of(handler)->from ? open : 0;
}

static enum canyon_status enter(struct handler *handler, struct handler_peer *peer, uint32_t wanted, uint64_t clock,
                                struct error *error) {
    const struct member_entry entry = {.session = peer->session,
                                       .key = peer->entry != NULL ? peer->entry->key : NULL,
                                       .name = peer->name,
                                       .wanted = wanted,
                                       .rules = handler->shards[0] == NULL,
                                       .clock = clock,
                                       .floor = floor_of(handler),
                                       .open = clocks_open(handler),
                                       .now = now_of(handler)};
    enum canyon_status status = check_clock(handler, clock, error);
    return status != CANYON_OK ? status : members_enter(handler->members, &entry, &peer->member, error);
}

enum canyon_status serve_enter(struct handler *handler, const struct request *request, const struct frame *frame,
                               struct error *error) {
    struct message_enter message;
    enum canyon_status status = message_unpack_enter(frame->message, frame->header.message_bytes, &message, error);
    if (status == CANYON_OK) {
        status = enter(handler, request->peer, message.rank, message.clock, error);
    }
    if (status == CANYON_OK) {
        const struct member *member = request->peer->member;
        const struct message_entered entered = {.rank = member->rank,
                                                .clock = member->clock,
                                                .lease_ms = members_lease_ms(handler->members),
                                                .workers = members_live(handler->members)};
        reply_send(handler, request, FRAME_ENTERED, message_pack_entered(&entered, reply_message(handler)), 0);
        proceed(handler);
    }
    return status;
}

/* Of a thread that knows the worker: its clock goes on; otherwise it is as if it entered. */
static enum canyon_status take_clock(struct handler *handler, struct handler_peer *peer,
                                     const struct message_clock *message, struct error *error) {
    struct member *member = peer->member != NULL ? peer->member : members_find(handler->members, peer->session);
    peer->member = member;
    if (message->leave && member != NULL) {
        members_leave(handler->members, member);
    }
    if (message->leave) {
        return CANYON_OK;
    }
    bool renamed =
        member != NULL && handler->shards[0] == NULL && message->rank > 0 && message->rank - 1 != member->rank;
    if (member == NULL || !member->live || renamed) {
        return enter(handler, peer, message->rank, message->clock, error);
    }
    enum canyon_status status = check_clock(handler, message->clock, error);
    if (status == CANYON_OK) {
        members_advance(handler->members, member, message->clock, now_of(handler));
    }
    return status;
}

enum canyon_status serve_clock(struct handler *handler, const struct request *request, const struct frame *frame,
                               struct error *error) {
    struct message_clock message;
    struct message_clocked clocked = {.lowest = 0};
    enum canyon_status status = message_unpack_clock(frame->message, frame->header.message_bytes, &message, error);
    if (status == CANYON_OK) {
        status = take_clock(handler, request->peer, &message, error);
    }
    if (status != CANYON_OK) {
        return status;
    }
    const struct member *member = request->peer->member;
    uint64_t floor = floor_of(handler);
    if (member != NULL) {
        clocked.clock = member->clock > floor ? member->clock : floor;
        clocked.rank = member->rank;
    }
    clocked.lowest = members_lowest(handler->members);
    reply_send(handler, request, FRAME_CLOCKED, message_pack_clocked(&clocked, reply_message(handler)), 0);
    proceed(handler);
    return CANYON_OK;
}

/* ---- the mode ---- */

/* Whether the mode that was set last stays for the clocks before the new one: what the client heard of all threads
 * counts beside what this one has. */
static bool has_begun(const struct handler *handler, const struct message_consistency *message) {
    const uint64_t reached = members_reached(handler->members);
    return plan_of(handler)->from <= (reached > message->highest ? reached : message->highest);
}

static enum canyon_status judge_mode(const struct handler *handler, const struct message_consistency *message,
                                     bool *changes, struct error *error) {
    const struct consistency_plan *plan = plan_of(handler);
    const uint64_t reached = members_reached(handler->members), open = clocks_open(handler);
    char text[CONSISTENCY_TEXT_BYTES];
    enum canyon_status status = consistency_check(&message->mode, error);
    *changes = false;
    if (status != CANYON_OK) {
        return status;
    }
    if (message->from == 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "a mode begins at a clock, and clocks count from 1");
    }
    if (plan->set && plan->from == message->from && consistency_equal(&plan->next, &message->mode)) {
        return CANYON_OK;
    }
    if (message->from <= reached) {
        return error_set(error, CANYON_CONFLICT,
                         "%s from clock %" PRIu64 " on: server %u (%s), thread %u has a worker at clock %" PRIu64
                         " already; name a later clock",
                         consistency_text(&message->mode, text, sizeof text), message->from, handler->server,
                         handler->job->servers[handler->server], handler->thread, reached);
    }
    if (message->highest > 0 && message->highest < plan->from && plan->from <= reached) {
        return error_set(error, CANYON_CONFLICT,
                         "%s from clock %" PRIu64 " on: on server %u (%s), thread %u a worker came to clock %" PRIu64
                         ", where another mode begins, meanwhile; set it again",
                         consistency_text(&message->mode, text, sizeof text), message->from, handler->server,
                         handler->job->servers[handler->server], handler->thread, reached);
    }
    if (open > 0 && open < plan->from && has_begun(handler, message) && members_live(handler->members) > 0) {
        return error_set(error, CANYON_CONFLICT,
                         "%s from clock %" PRIu64 " on: on server %u (%s), thread %u clock %" PRIu64
                         " is still open, of the mode before the one from clock %" PRIu64
                         " on; set it when all workers have passed that clock",
                         consistency_text(&message->mode, text, sizeof text), message->from, handler->server,
                         handler->job->servers[handler->server], handler->thread, open, plan->from);
    }
    *changes = true;
    return CANYON_OK;
}

static void set_mode(struct handler *handler, const struct message_consistency *message) {
    const struct command command = {.kind = COMMAND_CONSISTENCY,
                                    .clock = message->from,
                                    .turns = has_begun(handler, message),
                                    .mode = message->mode};
    for (uint32_t index = 0; index < handler->job->shards; index++) {
        struct shard_reply reply;
        struct error error;
        if (handler->shards[index] != NULL) {
            (void)shard_apply(handler->shards[index], &command, &reply, &error); /* it cannot fail */
            if (clocks_open(handler) == 0) {
                trim(handler, handler->shards[index]); /* of what it closed */
            }
        }
    }
}

enum canyon_status serve_consistency(struct handler *handler, const struct request *request, const struct frame *frame,
                                     struct error *error) {
    struct message_consistency message;
    bool changes = false;
    enum canyon_status status =
        message_unpack_consistency(frame->message, frame->header.message_bytes, &message, error);
    if (status == CANYON_OK && message.set && request->limited) {
        return role_refuse_mode(request, error);
    }
    if (status == CANYON_OK && message.set) {
        status = judge_mode(handler, &message, &changes, error);
    }
    if (status != CANYON_OK) {
        return status;
    }
    if (changes) {
        set_mode(handler, &message);
    }
    const struct consistency_plan *plan = plan_of(handler);
    const struct message_consistency_is is = {.set = plan->set,
                                              .now = plan->now,
                                              .next = plan->next,
                                              .from = plan->from,
                                              .highest = members_reached(handler->members),
                                              .open = clocks_open(handler),
                                              .workers = members_live(handler->members),
                                              .lease_ms = members_lease_ms(handler->members)};
    reply_send(handler, request, FRAME_CONSISTENCY_IS, message_pack_consistency_is(&is, reply_message(handler)), 0);
    if (changes) {
        proceed(handler);
    }
    return CANYON_OK;
}

/* ---- time ---- */

/* One whose pull waits here on a connection that stands is not dead, however long it is silent: it is waited for by
 * nobody. At a barrier it is, or in a CREATE, and has its signs of life like others. */
static bool is_waiting(void *user, const struct member *member) {
    const struct handler *handler = user;
    for (const struct handler_peer *peer = handler->peers; peer != NULL; peer = peer->next) {
        if (peer->member == member && peer->waiting > 0) {
            return true;
        }
    }
    return false;
}

/* A thread that was stopped itself finds leases over whose renewals lie unread: they run as much longer. */
static void excuse_pause(struct handler *handler, uint64_t now) {
    const uint64_t due = members_wakeup(handler->members);
    if (due < now && now - due > PAUSE) {
        members_postpone(handler->members, now - due + PAUSE);
    }
}

void clocks_tick(struct handler *handler, uint64_t now) {
    excuse_pause(handler, now);
    if (members_expire(handler->members, now, is_waiting, handler) > 0) {
        proceed(handler);
    }
    if (handler->waits.waiting.first == NULL || handler->waits.earliest > now) {
        return;
    }
    for (struct wait *wait = handler->waits.waiting.first, *next; wait != NULL; wait = next) {
        next = wait->next;
        if (wait->deadline <= now) {
            struct error error;
            explain(handler, wait->clock, wait->wait_ms, &error);
            waits_take(&handler->waits, wait);
            refuse(handler, wait, &error);
        }
    }
    waits_look(&handler->waits);
}

uint64_t clocks_wakeup(const struct handler *handler) {
    uint64_t lease = members_wakeup(handler->members);
    uint64_t wait = handler->waits.waiting.first != NULL ? handler->waits.earliest : UINT64_MAX;
    return lease < wait ? lease : wait;
}

void clocks_stop(struct handler *handler) {
    struct error error;
    error_set(&error, CANYON_UNAVAILABLE, "the server is stopping");
    while (handler->waits.waiting.first != NULL) {
        struct wait *wait = handler->waits.waiting.first;
        waits_take(&handler->waits, wait);
        refuse(handler, wait, &error);
    }
}
