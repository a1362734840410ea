/* The job's consistency mode: asked for, set, agreed on. */
#include "client/consistency.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/exchange.h"

#define ATTEMPTS 8 /* to name a clock that nobody has reached */
#define AHEAD    2 /* clocks that a mode begins after the furthest worker, where the caller names none */

/* The lowest of what the threads say about how far the mode is set, the highest about clocks. */
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

static enum canyon_status ask(struct canyon_client *client, const struct message_consistency *message,
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
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        struct message_consistency message = {.set = false};
        struct message_consistency_is is;
        status = ask(client, &message, deadline, &is, error);
        if (status != CANYON_OK)
            break;
        message = (struct message_consistency){.set = true, .mode = *mode, .from = from};
        bool same = is.set && consistency_equal(&is.next, mode);
        if (from == 0)
            message.from = same ? is.from : is.highest == 0 ? 1 : is.highest + AHEAD;
        status = ask(client, &message, deadline, &is, error);
        if (status != CANYON_CONFLICT || from != 0)
            break;
    }
    return status;
}

enum canyon_status consistency_agree(struct canyon_client *client, const char *text, struct error *error) {
    const struct message_consistency asks = {.set = false};
    struct message_consistency_is is;
    struct consistency mode;
    char there[CONSISTENCY_TEXT_BYTES];
    enum canyon_status status = consistency_parse(text, &mode, error);
    if (status == CANYON_OK)
        status = ask(client, &asks, client_deadline(client, 0), &is, error);
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
    if (ask(client, &asks, client_deadline(client, timeout_ms), &is, &error) == CANYON_OK) {
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
