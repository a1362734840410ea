/* MEMBERS and STALENESS: the workers that count clocks, and how stale pushes were. */
#include "server/handler_state.h"

#include <inttypes.h>
#include <string.h>

#define NANOSECONDS_PER_MS 1000000ull

void clocks_count(struct handler_tensor *tensor, const struct request *request, uint64_t staleness) {
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
    uint64_t now = handler->environment->now(handler->environment->user);
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
