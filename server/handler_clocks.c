/* Who waits for whom: pulls that are put aside until other workers are further, and go on then, and what a push at a
 * clock counts for. */
#include "server/handler_state.h"

#include <inttypes.h>

#include "common/mutant.h"

/* ---- waiting ---- */

/* What pulls wait for: the same for all of a thread. */
static struct handler_pace pace_of(const struct handler *handler) {
    return (struct handler_pace){.open = plan_open(handler),
                                 .lowest =
                                     members_live(handler->members) > 0 ? members_lowest(handler->members) : UINT64_MAX,
                                 .plan = *plan_of(handler)};
}

static bool may_pull(const struct handler_pace *pace, uint64_t clock) {
    const struct consistency *mode = consistency_at(&pace->plan, clock);
    const uint64_t ahead = mode->staleness + MUTANT(ssp_one_too_stale);
    if (MUTANT(pull_ignores_mode)) {
        return true;
    }
    if (mode->mode == CONSISTENCY_SYNC) {
        return pace->open == 0 || clock <= pace->open;
    }
    return mode->mode != CONSISTENCY_SSP || clock <= ahead || pace->lowest >= clock - ahead;
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

enum canyon_status clocks_wait(struct handler *handler, const struct request *request, const struct frame *frame,
                               uint64_t clock, uint32_t wait_ms, bool *waits, struct error *error) {
    struct member *member = request->peer->member;
    *waits = false;
    if (request->released || member == NULL || !member->live) {
        return CANYON_OK;
    }
    uint64_t at = clock > 0 ? clock : member->clock;
    enum canyon_status status = membership_hear_clock(handler, member, at, error);
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
    uint64_t deadline = handler_now(handler) + wait_ms * NANOSECONDS_PER_MS;
    *waits = true;
    return waits_add(&handler->waits, request->peer, frame, at, wait_ms, deadline, error);
}

/* The wait has left the list. */
static void refuse(struct handler *handler, struct wait *wait, const struct error *error) {
    struct request request = {.peer = wait->peer, .id = wait->frame.header.request};
    reply_error(handler, &request, error);
    waits_free(wait);
}

/* ---- going on ---- */

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
    if (same || MUTANT(wait_never_released)) {
        return;
    }
    waits_split(&handler->waits, pace.plan.from);
    for (enum wait_part part = WAIT_BEFORE; part < WAIT_PARTS; part++) {
        struct wait *wait = waits_least(&handler->waits, part);
        while (wait != NULL && may_pull(&pace, wait->clock)) {
            let_go(handler, wait);
            wait = waits_least(&handler->waits, part);
        }
    }
}

/* Something moved: a clock, a lease, the mode. */
void clocks_proceed(struct handler *handler) {
    plan_close_passed(handler);
    release(handler);
}

void clocks_settle(struct handler *handler) {
    if (handler->moved) {
        handler->moved = false;
        release(handler);
    }
}

/* ---- pushes ---- */

static bool gathers_ever(const struct consistency_plan *plan) {
    return plan->set && (plan->now.mode == CONSISTENCY_SYNC || plan->next.mode == CONSISTENCY_SYNC);
}

enum canyon_status clocks_check_known(const struct handler *handler, const struct request *request,
                                      struct error *error) {
    const struct member *member = request->peer->member;
    const bool known = member != NULL && (member->live || !member->restored);
    if (known || !gathers_ever(plan_of(handler)) || membership_is_sure(handler)) {
        return CANYON_OK;
    }
    return error_set(error, CANYON_BUSY,
                     "the job is synchronous, and this server was restarted: it has not heard yet at which clock this "
                     "client is, if it counts any; within %u ms it is known",
                     members_lease_ms(handler->members));
}

enum canyon_status clocks_gathers(struct handler *handler, const struct request *request, uint64_t *clock,
                                  uint32_t *rank, bool *gathers, struct error *error) {
    const struct consistency_plan *plan = plan_of(handler);
    struct member *member = request->peer->member;
    *gathers = false;
    enum canyon_status status = CANYON_OK;
    if (member != NULL && member->live) {
        status = membership_hear_clock(handler, member, *clock, error);
    }
    if (status != CANYON_OK) {
        return status;
    }
    if (!gathers_ever(plan)) {
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
    if (*gathers && *clock == plan_open(handler) && !members_contribute(handler->members, member, *clock)) {
        return error_set(error, CANYON_LATE,
                         "clock %" PRIu64
                         " goes on without worker '%.100s': its lease ended, or another contributed as rank %u before "
                         "it came; its next clock counts",
                         *clock, member->name, member->rank);
    }
    return CANYON_OK;
}

/* ---- time, and the end ---- */

void clocks_tick(struct handler *handler, uint64_t now) {
    if (membership_expire(handler, now) > 0) {
        clocks_proceed(handler);
    }
    struct wait *wait = waits_due(&handler->waits);
    while (wait != NULL && wait->deadline <= now) {
        struct error error;
        explain(handler, wait->clock, wait->wait_ms, &error);
        waits_take(&handler->waits, wait);
        refuse(handler, wait, &error);
        wait = waits_due(&handler->waits);
    }
}

uint64_t clocks_wakeup(const struct handler *handler) {
    uint64_t lease = members_wakeup(handler->members);
    const struct wait *due = waits_due(&handler->waits);
    return due == NULL || lease < due->deadline ? lease : due->deadline;
}

void clocks_stop(struct handler *handler) {
    struct error error;
    error_set(&error, CANYON_UNAVAILABLE, "the server is stopping");
    for (struct wait *wait = waits_due(&handler->waits); wait != NULL; wait = waits_due(&handler->waits)) {
        waits_take(&handler->waits, wait);
        refuse(handler, wait, &error);
    }
}

void clocks_left(struct handler *handler, const struct member *member) {
    clocks_proceed(handler);
    for (struct handler_peer *peer = handler->peers; peer != NULL; peer = peer->next) {
        while (peer->member == member && peer->waiting_first != NULL) {
            let_go(handler, peer->waiting_first);
        }
    }
}

void clocks_forget_waits(struct handler *handler, const struct handler_peer *peer) {
    while (peer->ready_first != NULL) {
        struct wait *wait = peer->ready_first;
        waits_take(&handler->waits, wait);
        waits_free(wait);
    }
    while (peer->waiting_first != NULL) {
        struct wait *wait = peer->waiting_first;
        waits_take(&handler->waits, wait);
        waits_free(wait);
    }
}
