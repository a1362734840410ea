/* ENTER, CLOCK, MEMBERS, STALENESS: the workers that count clocks, whether they live, and how stale their pushes were.
 */
#include "server/handler_state.h"

#include <inttypes.h>
#include <string.h>

#include "common/mutant.h"

#define PAUSE (1000 * NANOSECONDS_PER_MS) /* a thread that is so late was stopped */

static void forget(void *user, struct member *member) {
    struct handler *handler = user;
    for (struct handler_peer *peer = handler->peers; peer != NULL; peer = peer->next) {
        peer->member = peer->member == member ? NULL : peer->member;
    }
}

bool membership_init(struct handler *handler) {
    uint32_t lease_ms = handler->environment->lease_ms;
    handler->members = members_create(lease_ms > 0 ? lease_ms : MEMBERS_LEASE_MS);
    if (handler->members != NULL) {
        members_watch(handler->members, forget, handler);
    }
    return handler->members != NULL;
}

void membership_finish(struct handler *handler) {
    members_destroy(handler->members);
}

void membership_peer_came(struct handler *handler, struct handler_peer *peer) {
    peer->member = members_find(handler->members, peer->session);
    if (peer->member != NULL && peer->member->restored) {
        memcpy(peer->member->name, peer->name, sizeof peer->member->name);
    }
    membership_heard(handler, peer);
}

void membership_heard(struct handler *handler, struct handler_peer *peer) {
    if (peer->member != NULL && peer->member->live) {
        members_heard(handler->members, peer->member, handler_now(handler));
    }
}

/* ---- clocks that are told ---- */

static enum canyon_status check_clock(const struct handler *handler, uint64_t clock, struct error *error) {
    const uint64_t open = plan_open(handler), from = plan_of(handler)->from;
    return members_check_clock(handler->members, clock, open > from ? open : from, error);
}

/* What that lets go goes when the request has been carried out (clocks_settle). Where nobody waits the clock is any
 * number that a program gives its rows. */
enum canyon_status membership_hear_clock(struct handler *handler, struct member *member, uint64_t clock,
                                         struct error *error) {
    if (clock <= member->clock || consistency_at(plan_of(handler), clock)->mode == CONSISTENCY_ASYNC) {
        return CANYON_OK;
    }
    enum canyon_status status = check_clock(handler, clock, error);
    if (status == CANYON_OK) {
        members_advance(handler->members, member, clock, handler_now(handler));
        plan_close_passed(handler);
        handler->moved = true;
    }
    return status;
}

/* The thread of shard 0 gives ranks, others are told them. */
static bool is_told_ranks(const struct handler *handler) {
    return handler->shards[0] == NULL;
}

/* The least clock that a worker has anything to do at: an open one, unless it is still ahead of all. Others before it
 * were closed where it is not the first of its mode. */
static uint64_t floor_of(const struct handler *handler) {
    uint64_t open = plan_open(handler);
    return open <= members_reached(handler->members) || open > plan_of(handler)->from ? open : 0;
}

/* `rules`: who has the rank that is wanted has lost it. */
static enum canyon_status enter(struct handler *handler, struct handler_peer *peer, uint32_t wanted, bool rules,
                                uint64_t clock, struct error *error) {
    const struct member_entry entry = {.session = peer->session,
                                       .key = peer->entry != NULL ? peer->entry->key : NULL,
                                       .name = peer->name,
                                       .wanted = wanted,
                                       .rules = rules,
                                       .clock = clock,
                                       .floor = floor_of(handler),
                                       .open = plan_open(handler),
                                       .now = handler_now(handler)};
    enum canyon_status status = check_clock(handler, clock, error);
    return status != CANYON_OK ? status : members_enter(handler->members, &entry, &peer->member, error);
}

enum canyon_status serve_enter(struct handler *handler, const struct request *request, const struct frame *frame,
                               struct error *error) {
    struct message_enter message;
    enum canyon_status status = message_unpack_enter(frame->message, frame->header.message_bytes, &message, error);
    if (status == CANYON_OK) {
        status = enter(handler, request->peer, message.rank, is_told_ranks(handler), message.clock, error);
    }
    if (status == CANYON_OK) {
        const struct member *member = request->peer->member;
        const struct message_entered entered = {.rank = member->rank,
                                                .clock = member->clock,
                                                .lease_ms = members_lease_ms(handler->members),
                                                .workers = members_live(handler->members)};
        reply_send(handler, request, FRAME_ENTERED, message_pack_entered(&entered, reply_message(handler)), 0);
        clocks_proceed(handler);
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
    /* By a rank that it has named before it puts nobody out: where another has that by now, it may not have heard of
     * it yet. */
    const bool news = member == NULL || message->rank != member->wanted;
    const bool rules = is_told_ranks(handler) && news;
    if (member == NULL || !member->live || (rules && message->rank > 0)) {
        return enter(handler, peer, message->rank, rules, message->clock, error);
    }
    enum canyon_status status = check_clock(handler, message->clock, error);
    if (status == CANYON_OK) {
        members_advance(handler->members, member, message->clock, handler_now(handler));
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
    if (message.leave && member != NULL) {
        clocks_left(handler, member);
    } else {
        clocks_proceed(handler);
    }
    return CANYON_OK;
}

/* ---- after a restart ---- */

enum canyon_status membership_restore(struct handler *handler, const struct command *command, struct error *error) {
    static const uint8_t nobody[SESSION_BYTES];
    const bool contributes = command->kind == COMMAND_CONTRIBUTE || command->kind == COMMAND_TABLE_CONTRIBUTE;
    if (MUTANT(members_not_in_replay)) {
        return CANYON_OK;
    }
    handler->rebuilt = true;
    if (command->kind == COMMAND_CLOSE) {
        members_prove(handler->members, command->clock + 1); /* who must pass it had */
    } else if (command->kind == COMMAND_EVICT) {
        members_retire(handler->members, command->session);
    } else if (contributes && memcmp(command->session, nobody, SESSION_BYTES) == 0) {
        members_prove(handler->members, command->clock);
    } else if (contributes && !members_restore(handler->members, command->session, command->clock, command->rank,
                                               handler_now(handler))) {
        return error_set(error, CANYON_NO_MEMORY, "no memory for one more worker");
    }
    return CANYON_OK;
}

void membership_begin(struct handler *handler) {
    if (!handler->rebuilt) {
        return;
    }
    const uint64_t open = plan_open(handler), now = handler_now(handler);
    handler->rebuilt = false;
    handler->unsure_until = now + members_lease_ms(handler->members) * NANOSECONDS_PER_MS;
    if (open > 0) {
        members_revive(handler->members, open, now);
    }
}

bool membership_is_sure(const struct handler *handler) {
    return handler->unsure_until == 0 || handler_now(handler) >= handler->unsure_until;
}

void membership_leave(struct handler *handler, const uint8_t session[SESSION_BYTES]) {
    struct member *member = members_find(handler->members, session);
    if (member != NULL) {
        members_leave(handler->members, member);
        clocks_left(handler, member);
    }
}

/* ---- leases ---- */

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
    if (due < now && now - due > PAUSE && !MUTANT(pause_not_excused)) {
        members_postpone(handler->members, now - due + PAUSE);
    }
}

size_t membership_expire(struct handler *handler, uint64_t now) {
    excuse_pause(handler, now);
    return members_expire(handler->members, now, is_waiting, handler);
}

/* ---- looking ---- */

void membership_count(struct handler_tensor *tensor, const struct request *request, uint64_t staleness) {
    staleness_count(&tensor->staleness, staleness);
    if (request->peer->member != NULL) {
        staleness_count(&request->peer->member->staleness, staleness);
    }
}

static void describe(const struct member *member, uint64_t now, struct message_member *to) {
    *to = (struct message_member){.serial = member->serial,
                                  .tag = member->tag,
                                  .rank = member->rank,
                                  .live = member->live,
                                  .clock = member->clock,
                                  .seen_ms = (now - member->seen) / NANOSECONDS_PER_MS,
                                  .lease_ms = member->live && member->lease_end > now
                                                  ? (uint32_t)((member->lease_end - now) / NANOSECONDS_PER_MS)
                                                  : 0,
                                  .pushes = member->staleness.pushes,
                                  .staleness_sum = member->staleness.sum,
                                  .staleness_max = member->staleness.max,
                                  .interval_us = member->interval / 1000};
    memcpy(to->name, member->name, sizeof to->name);
}

enum canyon_status serve_members(struct handler *handler, const struct request *request, const struct frame *frame,
                                 struct error *error) {
    struct message_members asked;
    struct message_members_are page = {.count = 0};
    enum canyon_status status = message_unpack_members(frame->message, frame->header.message_bytes, &asked, error);
    if (status != CANYON_OK) {
        return status;
    }
    uint64_t now = handler_now(handler);
    const struct member *member = members_next(handler->members, asked.after);
    while (member != NULL && page.count < MESSAGE_MEMBERS_PAGE) {
        describe(member, now, &page.members[page.count++]);
        member = members_next(handler->members, member->serial);
    }
    page.more = member != NULL;
    reply_send(handler, request, FRAME_MEMBERS_ARE, message_pack_members_are(&page, reply_message(handler)), 0);
    return CANYON_OK;
}

/* What is asked about; a worker or tensor that is not here has no pushes here. */
static enum canyon_status find(const struct handler *handler, const struct request *request,
                               const struct message_staleness *asked, const struct staleness **found,
                               struct error *error) {
    static const struct staleness none;
    *found = &none;
    if (asked->tensor == 0) {
        const struct member *member = members_find_tag(handler->members, asked->tag);
        *found = member != NULL ? &member->staleness : &none;
        return CANYON_OK;
    }
    const struct handler_tensor *tensor = (const void *)directory_find_id(&handler->tensors, asked->tensor);
    if (tensor == NULL) {
        return error_set(error, CANYON_NOT_FOUND, "no tensor with id %016" PRIx64 " on server %u (%s), thread %u",
                         asked->tensor, handler->server, handler->job->servers[handler->server], handler->thread);
    }
    *found = &tensor->staleness;
    return role_check_tensor(request, tensor->key.name, error);
}

enum canyon_status serve_staleness(struct handler *handler, const struct request *request, const struct frame *frame,
                                   struct error *error) {
    struct message_staleness asked;
    const struct staleness *found = NULL;
    enum canyon_status status = message_unpack_staleness(frame->message, frame->header.message_bytes, &asked, error);
    if (status == CANYON_OK) {
        status = find(handler, request, &asked, &found, error);
    }
    if (status == CANYON_OK) {
        reply_send(handler, request, FRAME_STALENESS_IS, message_pack_staleness_is(found, reply_message(handler)), 0);
    }
    return status;
}
