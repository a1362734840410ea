/* Looking at the workers that count clocks, and at how stale pushes were. */
#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/exchange.h"

_Static_assert(CANYON_STALENESS_BUCKETS == STALENESS_BUCKETS, "the same histogram");

/* Workers as they are put together from what the threads say. */
struct gathering {
    struct canyon_worker *workers;
    double *intervals;
    size_t count, room;
};

static enum canyon_status find_worker(struct gathering *gathering, const struct message_member *member, size_t *index,
                                      struct error *error) {
    for (*index = 0; *index < gathering->count; ++*index)
        if (gathering->workers[*index].tag == member->tag)
            return CANYON_OK;
    if (gathering->count == gathering->room) {
        size_t room = gathering->room == 0 ? 16 : gathering->room * 2;
        struct canyon_worker *workers = realloc(gathering->workers, room * sizeof *workers);
        if (workers == NULL)
            return error_set(error, CANYON_NO_MEMORY, "no memory for %zu workers", room);
        gathering->workers = workers;
        gathering->room = room;
    }
    struct canyon_worker *worker = &gathering->workers[gathering->count++];
    *worker =
        (struct canyon_worker){.tag = member->tag, .rank = member->rank, .clock = UINT64_MAX, .seen_ms = UINT64_MAX};
    memcpy(worker->name, member->name, sizeof worker->name);
    return CANYON_OK;
}

/* A worker is as far as the thread says that it has told least, and was seen when any saw it. */
static enum canyon_status add_member(struct gathering *gathering, const struct message_member *member,
                                     struct error *error) {
    size_t index = 0;
    enum canyon_status status = find_worker(gathering, member, &index, error);
    if (status != CANYON_OK)
        return status;
    struct canyon_worker *worker = &gathering->workers[index];
    double rate = member->interval_us > 0 ? 1e6 / (double)member->interval_us : 0.0;
    worker->live = worker->live || member->live;
    worker->clock = member->clock < worker->clock ? member->clock : worker->clock;
    worker->seen_ms = member->seen_ms < worker->seen_ms ? member->seen_ms : worker->seen_ms;
    worker->lease_ms = member->lease_ms > worker->lease_ms ? member->lease_ms : worker->lease_ms;
    worker->rate = rate > worker->rate ? rate : worker->rate;
    worker->pushes += member->pushes;
    worker->staleness_sum += member->staleness_sum;
    worker->staleness_max =
        member->staleness_max > worker->staleness_max ? member->staleness_max : worker->staleness_max;
    return CANYON_OK;
}

static enum canyon_status ask_lane(struct canyon_client *client, size_t lane, uint64_t deadline,
                                   struct gathering *gathering, struct error *error) {
    struct message_members asks = {.after = 0};
    struct message_members_are page = {.more = true};
    enum canyon_status status = CANYON_OK;
    while (page.more && status == CANYON_OK) {
        uint8_t message[LIMIT_MESSAGE_BYTES];
        struct exchange_reply reply;
        const struct exchange_request request = {.type = FRAME_MEMBERS,
                                                 .message = message,
                                                 .bytes = message_pack_members(&asks, message),
                                                 .deadline = deadline};
        exchange_reply_init(&reply);
        status = exchange_run(client, &request, lane, 1, &reply, error);
        if (status == CANYON_OK)
            status = message_unpack_members_are(reply.message, reply.message_bytes, &page, error);
        exchange_reply_finish(&reply);
        for (uint32_t i = 0; i < page.count && status == CANYON_OK; i++)
            status = add_member(gathering, &page.members[i], error);
        if (status == CANYON_OK && page.more && (page.count == 0 || page.members[page.count - 1].serial <= asks.after))
            status = error_set(error, CANYON_PROTOCOL, "%s: a page of workers that leads nowhere",
                               lane_address(client->lanes[lane]));
        asks.after = page.count > 0 ? page.members[page.count - 1].serial : asks.after;
    }
    return status;
}

static int by_rank(const void *one, const void *other) {
    const struct canyon_worker *a = one, *b = other;
    if (a->live != b->live)
        return a->live ? -1 : 1;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return a->tag < b->tag ? -1 : a->tag > b->tag;
}

static void finish_workers(struct gathering *gathering) {
    uint64_t highest = 0;
    for (size_t i = 0; i < gathering->count; i++)
        if (gathering->workers[i].live && gathering->workers[i].clock > highest)
            highest = gathering->workers[i].clock;
    for (size_t i = 0; i < gathering->count; i++) {
        struct canyon_worker *worker = &gathering->workers[i];
        worker->lag = highest > worker->clock ? highest - worker->clock : 0;
    }
    if (gathering->count > 0)
        qsort(gathering->workers, gathering->count, sizeof *gathering->workers, by_rank);
}

enum canyon_status canyon_worker_list(canyon_client *client, uint32_t timeout_ms, struct canyon_worker **workers,
                                      size_t *count) {
    struct error error = {.status = CANYON_OK};
    struct gathering gathering = {.count = 0};
    enum canyon_status status = CANYON_OK;
    if (workers == NULL || count == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_worker_list: the place for the list is NULL");
    *workers = NULL;
    *count = 0;
    if (client_begin(client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    uint64_t deadline = client_deadline(client, timeout_ms);
    for (size_t i = 0; i < client->lane_count && status == CANYON_OK; i++)
        if (!client->absent[client_server_of(client, i)])
            status = ask_lane(client, i, deadline, &gathering, &error);
    if (status == CANYON_OK) {
        finish_workers(&gathering);
        *workers = gathering.workers;
        *count = gathering.count;
    } else {
        free(gathering.workers);
    }
    client_leave(client);
    return last_error_set(&error);
}

/* ---- staleness ---- */

static enum canyon_status add_up(struct canyon_client *client, const struct exchange_reply *replies,
                                 struct staleness *sum, struct error *error) {
    enum canyon_status status = CANYON_OK;
    for (size_t i = 0; i < client->lane_count && status == CANYON_OK; i++) {
        struct staleness part;
        if (client->absent[client_server_of(client, i)])
            continue;
        status = message_unpack_staleness_is(replies[i].message, replies[i].message_bytes, &part, error);
        if (status == CANYON_OK)
            staleness_merge(sum, &part);
    }
    return status;
}

static enum canyon_status ask_all(struct canyon_client *client, const struct message_staleness *asks, uint64_t deadline,
                                  struct canyon_staleness *staleness, struct error *error) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct staleness sum = {.pushes = 0};
    struct exchange_reply *replies = calloc(client->lane_count, sizeof *replies);
    if (replies == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for the replies of %zu connections", client->lane_count);
    for (size_t i = 0; i < client->lane_count; i++)
        exchange_reply_init(&replies[i]);
    const struct exchange_request request = {.type = FRAME_STALENESS,
                                             .message = message,
                                             .bytes = message_pack_staleness(asks, message),
                                             .deadline = deadline,
                                             .reached_only = true};
    enum canyon_status status = exchange_run(client, &request, 0, client->lane_count, replies, error);
    if (status == CANYON_OK)
        status = add_up(client, replies, &sum, error);
    for (size_t i = 0; i < client->lane_count; i++)
        exchange_reply_finish(&replies[i]);
    free(replies);
    staleness->pushes = sum.pushes;
    staleness->sum = sum.sum;
    staleness->max = sum.max;
    memcpy(staleness->counts, sum.counts, sizeof staleness->counts);
    return status;
}

/* A tensor's or table's id, from the catalogue. */
static enum canyon_status find_tensor(struct canyon_client *client, const char *name, uint64_t deadline, uint64_t *id,
                                      struct error *error) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct message_open open = {.wait_ms = 0};
    struct tensor_info info;
    struct exchange_reply reply;
    enum canyon_status status = name_check(name, "tensor", error);
    if (status != CANYON_OK)
        return status;
    memcpy(open.name, name, strlen(name) + 1);
    const struct exchange_request request = {
        .type = FRAME_OPEN, .message = message, .bytes = message_pack_open(&open, message), .deadline = deadline};
    exchange_reply_init(&reply);
    status = exchange_ask(client, &request, &reply, error);
    if (status == CANYON_OK)
        status = message_unpack_opened(reply.message, reply.message_bytes, &info, error);
    *id = status == CANYON_OK ? info.id : 0;
    exchange_reply_finish(&reply);
    return status;
}

enum canyon_status canyon_staleness_of(canyon_client *client, const char *name, uint64_t tag, uint32_t timeout_ms,
                                       struct canyon_staleness *staleness) {
    struct error error = {.status = CANYON_OK};
    struct message_staleness asks = {.tag = tag};
    enum canyon_status status = CANYON_OK;
    if (staleness == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_staleness_of: the place for it is NULL");
    memset(staleness, 0, sizeof *staleness);
    if (client_begin(client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    uint64_t deadline = client_deadline(client, timeout_ms);
    if (name != NULL)
        status = find_tensor(client, name, deadline, &asks.tensor, &error);
    if (status == CANYON_OK)
        ask_all(client, &asks, deadline, staleness, &error);
    client_leave(client);
    return last_error_set(&error);
}
