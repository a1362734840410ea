/* What a new connection finds: which numbers the server has taken, and what becomes of those that it has not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/session_state.h"
#include "common/mutant.h"

/* ---- the beginning ---- */

/* Numbers belong to shards, which a job never has more or fewer of. */
static enum canyon_status resume_room(struct session *session, struct error *error) {
    const uint32_t count = session->welcome.shards;
    if (session->shards != NULL && session->shard_count == count)
        return CANYON_OK;
    if (session->numbered)
        return error_set(error, CANYON_CONFIGURATION, "%s now has %u shards, it had %u: connect anew",
                         session->options.address, count, session->shard_count);
    struct session_shard *shards = calloc((size_t)count + 1, sizeof *shards);
    if (shards == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for the numbers of %u shards of %s", count,
                         session->options.address);
    free(session->shards);
    session->shards = shards;
    session->shard_count = count;
    return CANYON_OK;
}

static void resume_ready(struct session *session) {
    session->has_boot = true;
    memcpy(session->boot, session->welcome.boot, sizeof session->boot);
    session->lost[0] = '\0';
    session->state = SESSION_READY;
}

enum canyon_status session_welcomed(struct session *session, struct error *error) {
    enum canyon_status status = resume_room(session, error);
    if (status != CANYON_OK)
        return status;
    session->reader.payload_limit = FRAME_PAYLOAD_LIMIT;
    /* One that was restarted judges what comes by the clock. */
    const bool restarted = session->has_boot && memcmp(session->boot, session->welcome.boot, sizeof session->boot) != 0;
    const bool resumes = session->numbered && !MUTANT(resume_skipped);
    session->control_bytes = session->control_sent = 0; /* the hello is over */
    if (resumes)
        session_control(session, FRAME_RESUME, 0);
    if (restarted && !MUTANT(clock_not_told_again))
        session_control_pace(session);
    if (resumes)
        session->state = SESSION_RESUMING;
    else
        resume_ready(session);
    return CANYON_OK;
}

/* ---- the answer ---- */

static enum canyon_status resume_read(struct session *session, const struct frame *frame, struct error *error) {
    const uint32_t bytes = frame->header.payload_bytes;
    if (bytes % MESSAGE_RESUMED_ENTRY_BYTES != 0)
        return error_set(error, CANYON_PROTOCOL, "%s answered RESUME with %u bytes, which are no whole entries",
                         session->options.address, bytes);
    for (uint32_t i = 0; i < session->shard_count; i++) {
        struct session_shard *shard = &session->shards[i];
        *shard = (struct session_shard){.taken = shard->taken, .least = shard->dropped ? 1 : UINT64_MAX};
    }
    for (const uint8_t *at = frame->payload; at != NULL && at < frame->payload + bytes;
         at += MESSAGE_RESUMED_ENTRY_BYTES) {
        uint32_t shard = 0;
        uint64_t applied = 0;
        memcpy(&shard, at, sizeof shard);
        memcpy(&applied, at + 8, sizeof applied);
        if (shard >= session->shard_count || session->shards[shard].known)
            return error_set(error, CANYON_PROTOCOL, "%s answered RESUME with shard %u, %s", session->options.address,
                             shard, shard >= session->shard_count ? "of which there is none" : "twice");
        session->shards[shard].applied = applied;
        session->shards[shard].known = true;
    }
    return CANYON_OK;
}

static void resume_look(struct session *session) {
    for (const struct session_request *request = session->queue.first; request != NULL; request = request->next) {
        struct number_cursor cursor = {.index = 0};
        uint32_t shard = 0;
        uint8_t *place = NULL;
        uint64_t number = 0;
        while (request->begun && number_next(request, &cursor, &shard, &place)) {
            memcpy(&number, place, sizeof number);
            if (number < session->shards[shard].least)
                session->shards[shard].least = number;
        }
    }
}

/* Why the server may have forgotten the session, where it does not know it; NULL when it cannot have. */
static const char *resume_forgets(const struct session *session) {
    if (session->has_boot && memcmp(session->boot, session->welcome.boot, sizeof session->boot) != 0)
        return " (it was restarted)";
    if (session->now - session->known_at >= SESSION_MEMORY_NS && !MUTANT(absence_ignored))
        return " (nothing was heard of it for long)";
    return NULL;
}

/* A shard that knows nothing of the session has never heard of it as long as number 1 was not answered (but sent again,
 * or given up); otherwise it has lost what it knew. One that knows more than was ever sent speaks of another past. */
static bool resume_is_lost(const struct session_shard *shard, const char *forgets) {
    if (shard->known)
        return shard->applied > shard->taken;
    return shard->taken > 0 && (forgets != NULL || shard->least > 1);
}

static bool resume_touches_lost(const struct session *session, const struct session_request *request,
                                const char *forgets) {
    struct number_cursor cursor = {.index = 0};
    uint32_t shard = 0;
    uint8_t *place = NULL;
    bool lost = false;
    while (!lost && number_next(request, &cursor, &shard, &place))
        lost = resume_is_lost(&session->shards[shard], forgets);
    return lost;
}

static void resume_end_lost(struct session *session, const char *forgets) {
    char text[ERROR_TEXT_BYTES];
    struct session_request *next = NULL;
    snprintf(text, sizeof text,
             "%s came back without what it knew of this session%s: this may or may not have been applied before",
             session->options.address, forgets != NULL ? forgets : "");
    for (struct session_request *request = session->queue.first; request != NULL; request = next) {
        next = request->next;
        if (!request->begun || !resume_touches_lost(session, request, forgets))
            continue;
        session_forget(session, request);
        request->done(request, CANYON_OUTCOME_UNKNOWN, text, NULL);
    }
}

/* What the server has taken keeps its number: it will answer that as a duplicate. What it has not is numbered from
 * there on. That gives the numbers it had, unless something before it was given up: then the gap closes. It is safe
 * because RESUME has ended every other way by which the old numbers could still come. */
static void resume_number(struct session *session) {
    for (uint32_t i = 0; i < session->shard_count; i++)
        if (session->shards[i].known || !MUTANT(taken_kept_after_loss))
            session->shards[i].taken = session->shards[i].applied;
    for (struct session_request *request = session->queue.first; request != NULL; request = request->next) {
        struct number_cursor cursor = {.index = 0};
        uint32_t index = 0;
        uint8_t *place = NULL;
        uint64_t number = 0;
        while (request->begun && number_next(request, &cursor, &index, &place)) {
            struct session_shard *shard = &session->shards[index];
            memcpy(&number, place, sizeof number);
            session->counters.duplicates += number <= shard->applied;
            if (MUTANT(gap_not_closed)) {
                shard->taken = number > shard->taken ? number : shard->taken;
            } else if (number > shard->applied || MUTANT(renumber_on_resend)) {
                number = ++shard->taken;
                memcpy(place, &number, sizeof number);
            }
        }
    }
}

enum canyon_status session_resumed(struct session *session, const struct frame *frame, struct error *error) {
    if (frame->header.type == FRAME_ERROR)
        return session_refused(session, frame, "does not let the session go on", error);
    if (frame->header.type != FRAME_RESUMED || frame->header.request != session->control_id)
        return error_set(error, CANYON_PROTOCOL, "%s answered RESUME with %s", session->options.address,
                         frame_type_name(frame->header.type));
    enum canyon_status status = resume_read(session, frame, error);
    if (status != CANYON_OK)
        return status;
    const char *forgets = resume_forgets(session);
    resume_look(session);
    resume_end_lost(session, forgets);
    resume_number(session);
    session->known_at = session->control_at;
    resume_ready(session);
    return CANYON_OK;
}
