/* The job's consistency mode: asked for, set, agreed on. */
#include "client/consistency.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/exchange.h"

#define ATTEMPTS 8 /* to name a clock that nobody has reached */
#define AHEAD    2 /* clocks that a mode begins after the furthest worker, where the caller names none */

/* Whether two plans say the same of the clocks that nobody has passed. */
static bool alike(const struct message_consistency_is *one, const struct message_consistency_is *other,
                  uint64_t highest) {
    return one->from == other->from && consistency_equal(&one->next, &other->next) &&
           (one->from <= highest || consistency_equal(&one->now, &other->now));
}

/* Where some threads have taken a mode and others have refused it. One that knows none is a server that came anew. */
static enum canyon_status compare(const struct canyon_client *client, const struct exchange_reply *replies,
                                  const struct message_consistency_is *is, struct error *error) {
    enum canyon_status status = CANYON_OK;
    for (size_t i = 0; i < client->lane_count && status == CANYON_OK; i++) {
        struct message_consistency_is one;
        char there[CONSISTENCY_TEXT_BYTES], here[CONSISTENCY_TEXT_BYTES];
        if (client->absent[client_server_of(client, i)])
            continue;
        status = message_unpack_consistency_is(replies[i].message, replies[i].message_bytes, &one, error);
        if (status == CANYON_OK && one.set && !alike(&one, is, is->highest))
            status = error_set(error, CANYON_MISMATCH,
                               "the servers' threads have different modes: one %s from clock %llu on, another %s from "
                               "clock %llu on; somebody sets one, or could not everywhere: set it (again)",
                               consistency_text(&one.next, there, sizeof there), (unsigned long long)one.from,
                               consistency_text(&is->next, here, sizeof here), (unsigned long long)is->from);
    }
    return status;
}

/* The plan that begins last, the highest that is said about clocks. */
static enum canyon_status collect(const struct canyon_client *client, const struct exchange_reply *replies,
                                  struct message_consistency_is *is, struct error *error) {
    enum canyon_status status = CANYON_OK;
    bool first = true;
    for (size_t i = 0; i < client->lane_count && status == CANYON_OK; i++) {
        struct message_consistency_is one;
        if (client->absent[client_server_of(client, i)])
            continue;
        status = message_unpack_consistency_is(replies[i].message, replies[i].message_bytes, &one, error);
        if (status != CANYON_OK)
            break;
        if (first || (one.set && (!is->set || one.from > is->from))) {
            uint64_t highest = first ? 0 : is->highest;
            *is = one;
            is->highest = highest;
        }
        is->highest = one.highest > is->highest ? one.highest : is->highest;
        is->workers = one.workers > is->workers ? one.workers : is->workers;
        is->open = one.open > 0 && (is->open == 0 || one.open < is->open) ? one.open : is->open;
        first = false;
    }
    return status;
}

/* With `compared`, MISMATCH where the threads do not agree. */
static enum canyon_status ask(struct canyon_client *client, const struct message_consistency *message, bool compared,
                              uint64_t deadline, struct message_consistency_is *is, struct error *error) {
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    struct exchange_reply *replies = calloc(client->lane_count, sizeof *replies);
    if (replies == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for the replies of %zu connections", client->lane_count);
    const struct exchange_request request = {.type = FRAME_CONSISTENCY,
                                             .message = bytes,
                                             .bytes = message_pack_consistency(message, bytes),
                                             .deadline = deadline,
                                             .reached_only = !message->set};
    for (size_t i = 0; i < client->lane_count; i++)
        exchange_reply_init(&replies[i]);
    enum canyon_status status = exchange_run(client, &request, 0, client->lane_count, replies, error);
    memset(is, 0, sizeof *is);
    if (status == CANYON_OK)
        status = collect(client, replies, is, error);
    if (status == CANYON_OK && compared)
        status = compare(client, replies, is, error);
    for (size_t i = 0; i < client->lane_count; i++)
        exchange_reply_finish(&replies[i]);
    free(replies);
    return status;
}

/* From a clock that nobody has reached where the caller names none. A thread that a worker has passed meanwhile
 * refuses; what others took is replaced by the next attempt. */
static enum canyon_status set(struct canyon_client *client, const struct consistency *mode, uint64_t from,
                              uint64_t deadline, struct error *error) {
    enum canyon_status status = CANYON_OK;
    char text[CONSISTENCY_TEXT_BYTES];
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        struct message_consistency message = {.set = false};
        struct message_consistency_is is;
        status = ask(client, &message, false, deadline, &is, error);
        if (status != CANYON_OK)
            break;
        message = (struct message_consistency){.set = true, .mode = *mode, .from = from, .highest = is.highest};
        bool same = is.set && consistency_equal(&is.next, mode);
        /* Before any thread has taken what another would refuse. */
        if (from != 0 && from <= is.highest && !(same && is.from == from)) {
            status = error_set(error, CANYON_CONFLICT,
                               "%s from clock %llu on: there is a worker at clock %llu already; name a later clock",
                               consistency_text(mode, text, sizeof text), (unsigned long long)from,
                               (unsigned long long)is.highest);
            break;
        }
        if (from == 0)
            message.from = same ? is.from : is.highest == 0 ? 1 : is.highest + AHEAD;
        status = ask(client, &message, false, deadline, &is, error);
        if (status != CANYON_CONFLICT || from != 0)
            break;
    }
    return status;
}

/* Somebody may be setting it just now. */
static enum canyon_status agreed(struct canyon_client *client, struct message_consistency_is *is, struct error *error) {
    const struct message_consistency asks = {.set = false};
    enum canyon_status status = CANYON_MISMATCH;
    for (int attempt = 0; attempt < ATTEMPTS && status == CANYON_MISMATCH; attempt++)
        status = ask(client, &asks, true, client_deadline(client, 0), is, error);
    return status;
}

enum canyon_status consistency_agree(struct canyon_client *client, const char *text, struct error *error) {
    struct message_consistency_is is;
    struct consistency mode;
    char there[CONSISTENCY_TEXT_BYTES];
    enum canyon_status status = consistency_parse(text, &mode, error);
    if (status == CANYON_OK)
        status = agreed(client, &is, error);
    if (status != CANYON_OK || consistency_equal(&is.next, &mode))
        return status;
    consistency_text(&is.next, there, sizeof there);
    if (is.set)
        return error_set(error, CANYON_MISMATCH,
                         "options.consistency is %.64s, but this job is %s from clock %llu on: ask for that, or have "
                         "it changed (canyon consistency)",
                         text, there, (unsigned long long)is.from);
    status = set(client, &mode, 0, client_deadline(client, 0), error);
    if (status == CANYON_DENIED)
        return error_set(error, CANYON_MISMATCH,
                         "options.consistency is %.64s, but nobody has set a mode of this job, which is %s therefore, "
                         "and this client's role may not: have it set (canyon consistency %.64s)",
                         text, there, text);
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
    struct message_consistency_is is;
    if (consistency == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_consistency_get: the place for it is NULL");
    if (client_begin(client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    if (ask(client, &asks, true, client_deadline(client, timeout_ms), &is, &error) == CANYON_OK) {
        bool ahead = is.set && is.from > is.highest && is.from > 1;
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
