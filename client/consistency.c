/* The job's consistency mode: asked for, set, agreed on. */
#include "client/consistency.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/exchange.h"

#define ATTEMPTS 8 /* to name a clock that nobody has reached */
#define AHEAD    2 /* clocks that a mode begins after the furthest worker, where the caller names none */

#define OWNER_BYTES 128
#define PLAN_BYTES  (2 * CONSISTENCY_TEXT_BYTES + 48)

/* Whether two plans say the same of the clocks that nobody has passed. */
static bool alike(const struct message_consistency_is *one, const struct message_consistency_is *other,
                  uint64_t highest) {
    return one->from == other->from && consistency_equal(&one->next, &other->next) &&
           (one->from <= highest || consistency_equal(&one->now, &other->now));
}

/* "server 1 (10.0.0.2:7077), thread 3". Returns `text`. */
static char *lane_text(const struct canyon_client *client, size_t lane, char text[OWNER_BYTES]) {
    const uint32_t server = client_server_of(client, lane);
    snprintf(text, OWNER_BYTES, "server %u (%.80s), thread %zu", server, client->job.servers[server],
             lane - client->first_lanes[server]);
    return text;
}

/* "ssp:1 from clock 1 on", "async, then sync from clock 9 on". */
static char *plan_text(const struct message_consistency_is *is, uint64_t highest, char text[PLAN_BYTES]) {
    char now[CONSISTENCY_TEXT_BYTES], next[CONSISTENCY_TEXT_BYTES];
    consistency_text(&is->now, now, sizeof now);
    consistency_text(&is->next, next, sizeof next);
    if (!is->set)
        snprintf(text, PLAN_BYTES, "none");
    else if (is->from <= highest || is->from == 1)
        snprintf(text, PLAN_BYTES, "%s from clock %llu on", next, (unsigned long long)is->from);
    else
        snprintf(text, PLAN_BYTES, "%s, then %s from clock %llu on", now, next, (unsigned long long)is->from);
    return text;
}

/* What all threads say together. */
struct answers {
    struct message_consistency_is is; /* the plan that begins last, the highest that is said about clocks */
    size_t lane;                      /* whose plan that is */
    bool partly;                      /* others have none: a server came anew, or somebody sets the first just now */
};

static enum canyon_status mismatch(const struct canyon_client *client, size_t lane,
                                   const struct message_consistency_is *one, const struct answers *answers,
                                   struct error *error) {
    const struct message_consistency_is *is = &answers->is;
    char there[OWNER_BYTES], here[OWNER_BYTES], its[PLAN_BYTES], other[PLAN_BYTES];
    lane_text(client, lane, there);
    lane_text(client, answers->lane, here);
    plan_text(one, is->highest, its);
    plan_text(is, is->highest, other);
    if (one->set && one->from == is->from && consistency_equal(&one->next, &is->next))
        return error_set(error, CANYON_MISMATCH,
                         "the servers have different modes until clock %llu, and then the same: %s has %s, %s %s",
                         (unsigned long long)is->from, there, its, here, other);
    return error_set(error, CANYON_MISMATCH,
                     "the servers have different modes, set it again: %s has %s, %s %s (somebody sets it just now, or "
                     "could not everywhere, or a server came anew)",
                     there, its, here, other);
}

/* Where some threads have taken a mode and others have not. With `all`, one that knows none counts, too. */
static enum canyon_status compare(const struct canyon_client *client, const struct exchange_reply *replies,
                                  const struct answers *answers, bool all, struct error *error) {
    const struct message_consistency_is *is = &answers->is;
    enum canyon_status status = CANYON_OK;
    for (size_t i = 0; i < client->lane_count && status == CANYON_OK; i++) {
        struct message_consistency_is one;
        if (client->absent[client_server_of(client, i)])
            continue;
        status = message_unpack_consistency_is(replies[i].message, replies[i].message_bytes, &one, error);
        if (status == CANYON_OK && (one.set ? !alike(&one, is, is->highest) : all && is->set))
            status = mismatch(client, i, &one, answers, error);
    }
    return status;
}

static enum canyon_status collect(const struct canyon_client *client, const struct exchange_reply *replies,
                                  struct answers *answers, struct error *error) {
    struct message_consistency_is *is = &answers->is;
    enum canyon_status status = CANYON_OK;
    bool first = true, all = true;
    for (size_t i = 0; i < client->lane_count && status == CANYON_OK; i++) {
        struct message_consistency_is one;
        if (client->absent[client_server_of(client, i)])
            continue;
        status = message_unpack_consistency_is(replies[i].message, replies[i].message_bytes, &one, error);
        if (status != CANYON_OK)
            break;
        if (first || (one.set && (!is->set || one.from > is->from))) {
            uint64_t highest = first ? 0 : is->highest, open = first ? 0 : is->open;
            uint32_t workers = first ? 0 : is->workers;
            *is = one;
            is->highest = highest;
            is->open = open;
            is->workers = workers;
            answers->lane = i;
        }
        is->highest = one.highest > is->highest ? one.highest : is->highest;
        is->workers = one.workers > is->workers ? one.workers : is->workers;
        is->open = one.open > 0 && (is->open == 0 || one.open < is->open) ? one.open : is->open;
        all = all && one.set;
        first = false;
    }
    answers->partly = is->set && !all;
    return status;
}

/* How closely the threads' answers are compared: MISMATCH where they do not agree. */
enum comparison { COMPARE_NOTHING, COMPARE_MODES /* of those that have one */, COMPARE_ALL };

static enum canyon_status ask(struct canyon_client *client, const struct message_consistency *message,
                              enum comparison comparison, uint64_t deadline, struct answers *answers,
                              struct error *error) {
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    struct exchange_reply *replies = calloc(client->lane_count, sizeof *replies);
    if (replies == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for the replies of %zu connections", client->lane_count);
    const struct exchange_request request = {.type = FRAME_CONSISTENCY,
                                             .message = bytes,
                                             .bytes = message_pack_consistency(message, bytes),
                                             .deadline = deadline,
                                             .changes_state = message->set,
                                             .reached_only = !message->set};
    for (size_t i = 0; i < client->lane_count; i++)
        exchange_reply_init(&replies[i]);
    enum canyon_status status = exchange_run(client, &request, 0, client->lane_count, replies, error);
    memset(answers, 0, sizeof *answers);
    if (status == CANYON_OK)
        status = collect(client, replies, answers, error);
    if (status == CANYON_OK && comparison != COMPARE_NOTHING)
        status = compare(client, replies, answers, comparison == COMPARE_ALL, error);
    for (size_t i = 0; i < client->lane_count; i++)
        exchange_reply_finish(&replies[i]);
    free(replies);
    return status;
}

/* From a clock that nobody has reached where the caller names none; first, if that is the mode already, from where it
 * is, for threads that do not know. A thread that a worker has passed meanwhile refuses; what others took is replaced
 * by the next attempt. */
static enum canyon_status set(struct canyon_client *client, const struct consistency *mode, uint64_t from,
                              uint64_t deadline, struct error *error) {
    enum canyon_status status = CANYON_OK;
    char text[CONSISTENCY_TEXT_BYTES];
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        struct message_consistency message = {.set = false};
        struct answers answers;
        status = ask(client, &message, COMPARE_NOTHING, deadline, &answers, error);
        if (status != CANYON_OK)
            break;
        const struct message_consistency_is *is = &answers.is;
        message = (struct message_consistency){.set = true, .mode = *mode, .from = from, .highest = is->highest};
        bool same = is->set && consistency_equal(&is->next, mode);
        /* Before any thread has taken what another would refuse. */
        if (from != 0 && from <= is->highest && !(same && is->from == from)) {
            status = error_set(error, CANYON_CONFLICT,
                               "%s from clock %llu on: there is a worker at clock %llu already; name a later clock",
                               consistency_text(mode, text, sizeof text), (unsigned long long)from,
                               (unsigned long long)is->highest);
            break;
        }
        if (from == 0)
            message.from = same && attempt == 0 ? is->from : is->highest == 0 ? 1 : is->highest + AHEAD;
        status = ask(client, &message, COMPARE_NOTHING, deadline, &answers, error);
        if (status != CANYON_CONFLICT || from != 0)
            break;
    }
    if (status == CANYON_OK)
        error->status = CANYON_OK; /* whatever an attempt before said */
    return status;
}

/* Somebody may be setting it just now. */
static enum canyon_status agreed(struct canyon_client *client, uint64_t deadline, struct answers *answers,
                                 struct error *error) {
    const struct message_consistency asks = {.set = false};
    enum canyon_status status = CANYON_MISMATCH;
    for (int attempt = 0; attempt < ATTEMPTS && status == CANYON_MISMATCH; attempt++)
        status = ask(client, &asks, COMPARE_MODES, deadline, answers, error);
    return status;
}

enum canyon_status consistency_agree(struct canyon_client *client, const char *text, struct error *error) {
    struct answers answers;
    struct consistency mode;
    char there[CONSISTENCY_TEXT_BYTES];
    const uint64_t deadline = client_deadline(client, 0);
    enum canyon_status status = consistency_parse(text, &mode, error);
    if (status == CANYON_OK)
        status = agreed(client, deadline, &answers, error);
    const struct message_consistency_is *is = &answers.is;
    if (status != CANYON_OK || (consistency_equal(&is->next, &mode) && !answers.partly))
        return status;
    consistency_text(&is->next, there, sizeof there);
    if (!consistency_equal(&is->next, &mode) && is->set)
        return error_set(error, CANYON_MISMATCH,
                         "options.consistency is %.64s, but this job is %s from clock %llu on: ask for that, or have "
                         "it changed (canyon consistency)",
                         text, there, (unsigned long long)is->from);
    status = set(client, &mode, 0, deadline, error);
    if (status == CANYON_DENIED)
        return error_set(error, CANYON_MISMATCH,
                         "options.consistency is %.64s, but nobody has set a mode %s, which is %s therefore, "
                         "and this client's role may not: have it set (canyon consistency %.64s)",
                         text, answers.partly ? "at every server since it was started" : "of this job",
                         answers.partly ? "asynchronous in part" : there, text);
    return status;
}

enum canyon_status canyon_consistency_set(canyon_client *client, const char *mode, uint64_t from, uint32_t timeout_ms) {
    struct error error = {.status = CANYON_OK};
    struct consistency parsed;
    if (mode == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_consistency_set: the mode is NULL");
    if (client_begin(client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    if (consistency_parse(mode, &parsed, &error) == CANYON_OK)
        set(client, &parsed, from, client_deadline(client, timeout_ms), &error);
    client_leave(client);
    return last_error_set(&error);
}

enum canyon_status canyon_consistency_get(canyon_client *client, uint32_t timeout_ms,
                                          struct canyon_consistency *consistency) {
    struct error error = {.status = CANYON_OK};
    const struct message_consistency asks = {.set = false};
    struct answers answers;
    if (consistency == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_consistency_get: the place for it is NULL");
    if (client_begin(client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    if (ask(client, &asks, COMPARE_ALL, client_deadline(client, timeout_ms), &answers, &error) == CANYON_OK) {
        const struct message_consistency_is is = answers.is;
        bool ahead = is.set && is.from > is.highest && is.from > 1 && !consistency_equal(&is.now, &is.next);
        *consistency = (struct canyon_consistency){.set = is.set,
                                                   .from = is.from,
                                                   .highest = is.highest,
                                                   .open = is.open,
                                                   .workers = is.workers,
                                                   .lease_ms = is.lease_ms};
        consistency_text(ahead ? &is.now : &is.next, consistency->mode, sizeof consistency->mode);
        if (ahead)
            consistency_text(&is.next, consistency->next, sizeof consistency->next);
    }
    client_leave(client);
    return last_error_set(&error);
}
