/* CONSISTENCY: the mode of each clock, and when a synchronous one is closed. Each thread judges by what its own members
 * tell it; no server asks another. */
#include "server/handler_state.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/mutant.h"

const struct consistency_plan *plan_of(const struct handler *handler) {
    static const struct consistency_plan none;
    return handler->any != NULL ? shard_consistency(handler->any) : &none;
}

uint64_t plan_open(const struct handler *handler) {
    uint64_t open = handler->any != NULL ? shard_open_clock(handler->any) : 0;
    return open > 0 && consistency_at(plan_of(handler), open)->mode == CONSISTENCY_SYNC ? open : 0;
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

/* The last clock that is to be closed now, by the rules of the one that is open; 0: none. How many must have passed is
 * another question for the clocks of the next mode. */
static uint64_t due_of(const struct handler *handler, uint64_t open) {
    const struct consistency_plan *plan = plan_of(handler);
    const uint32_t live = members_live(handler->members);
    const uint32_t minimum = MUTANT(one_closes_for_all) ? 1 : consistency_at(plan, open)->minimum;
    const uint64_t early = MUTANT(close_one_early);
    const uint64_t passed =
        early + members_passed_by(handler->members, minimum > 0 && minimum < live ? minimum : live, open - early);
    const bool beyond = !MUTANT(minimum_of_the_mode_before) && open < plan->from && plan->from < passed;
    return passed <= open ? 0 : beyond ? plan->from - 1 : passed - 1;
}

/* Closes what all that must have passed, have. A worker that passed a clock contributes to it no more. */
void plan_close_passed(struct handler *handler) {
    uint64_t open = members_live(handler->members) > 0 ? plan_open(handler) : 0;
    for (uint64_t due = 1; open > 0 && due > 0; open = plan_open(handler)) {
        due = due_of(handler, open);
        if (due > 0) {
            close_until(handler, due);
        }
    }
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
    const uint64_t reached = members_reached(handler->members), open = plan_open(handler);
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
    if (!membership_is_sure(handler)) {
        return error_set(error, CANYON_BUSY,
                         "%s from clock %" PRIu64
                         " on: server %u (%s), thread %u was restarted, and its workers have %u ms to tell it at which "
                         "clocks they are; set it again then",
                         consistency_text(&message->mode, text, sizeof text), message->from, handler->server,
                         handler->job->servers[handler->server], handler->thread, members_lease_ms(handler->members));
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
        const bool left_out = MUTANT(mode_of_one_shard) && handler->shards[index] != handler->any;
        if (handler->shards[index] != NULL && !left_out) {
            (void)shard_apply(handler->shards[index], &command, &reply, &error); /* it cannot fail */
        }
    }
    /* Of what it closed: which clock is open is asked of a shard that has been told. */
    for (uint32_t index = 0; index < handler->job->shards && plan_open(handler) == 0; index++) {
        if (handler->shards[index] != NULL) {
            trim(handler, handler->shards[index]);
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
                                              .open = plan_open(handler),
                                              .workers = members_live(handler->members),
                                              .lease_ms = members_lease_ms(handler->members)};
    reply_send(handler, request, FRAME_CONSISTENCY_IS, message_pack_consistency_is(&is, reply_message(handler)), 0);
    if (changes) {
        clocks_proceed(handler);
    }
    return CANYON_OK;
}
