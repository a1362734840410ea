#include "client/pace.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "client/batch.h"
#include "client/client.h"
#include "client/condition.h"
#include "client/error.h"
#include "client/exchange.h"
#include "common/clock.h"

#define MILLISECOND   1000000ull
#define UNDER_WAY     64 /* clocks that are told and not answered; then it is waited for the next */
#define CLOCK_MESSAGE 32 /* bytes, at most */

struct pace {
    struct canyon_client *client;
    pthread_mutex_t turn; /* one canyon_clock at a time; held for long only while there is no clock yet */
    _Atomic uint64_t clock, floor;
    _Atomic uint32_t rank; /* one more than it; 0: none yet */
    _Atomic uint32_t under_way;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t stop;
    bool beating, stopping;
    uint32_t beat_ms;
    pthread_t thread;
};

struct pace *pace_create(struct canyon_client *client) {
    struct pace *pace = calloc(1, sizeof *pace);
    if (pace != NULL) {
        pace->client = client;
        pthread_mutex_init(&pace->turn, NULL);
        pthread_mutex_init(&pace->lock, NULL);
        condition_init(&pace->stop);
    }
    return pace;
}

static void stop_beating(struct pace *pace) {
    pthread_mutex_lock(&pace->lock);
    bool beating = pace->beating;
    pace->beating = false;
    pace->stopping = true;
    pthread_cond_broadcast(&pace->stop);
    pthread_mutex_unlock(&pace->lock);
    if (beating)
        pthread_join(pace->thread, NULL);
}

void pace_destroy(struct pace *pace) {
    if (pace == NULL)
        return;
    stop_beating(pace);
    pthread_cond_destroy(&pace->stop);
    pthread_mutex_destroy(&pace->lock);
    pthread_mutex_destroy(&pace->turn);
    free(pace);
}

uint64_t pace_clock(const struct pace *pace) {
    return pace == NULL ? 0 : atomic_load_explicit(&pace->clock, memory_order_relaxed);
}

void pace_catch_up(struct pace *pace, uint64_t clock) {
    uint64_t floor = atomic_load(&pace->floor);
    while (floor < clock && !atomic_compare_exchange_weak(&pace->floor, &floor, clock))
        ;
}

void pace_want_rank(struct pace *pace, uint32_t rank) {
    uint32_t none = 0;
    atomic_compare_exchange_strong(&pace->rank, &none, rank + 1);
}

/* ---- telling all threads ---- */

struct telling_part {
    struct session_request request;
    struct telling *telling;
    size_t lane;
};

struct telling {
    struct batch batch; /* first */
    struct pace *pace;
    uint8_t message[CLOCK_MESSAGE];
    struct telling_part parts[];
};

static void telling_done(struct session_request *request, enum canyon_status status, const char *text,
                         const struct frame *reply) {
    struct telling_part *part = request->user;
    struct pace *pace = part->telling->pace;
    struct error error = {.status = CANYON_OK};
    struct message_clocked clocked;
    if (status != CANYON_OK)
        error_set(&error, status, "%s", text);
    else if (message_unpack_clocked(reply->message, reply->header.message_bytes, &clocked, &error) == CANYON_OK) {
        pace_catch_up(pace, clocked.clock);
        if (part->lane == 0 && clocked.clock > 0)
            atomic_store(&pace->rank, clocked.rank + 1); /* shard 0's thread says who has which */
    }
    batch_ended(&part->telling->batch, part->lane, &error);
}

static void telling_destroy(struct batch *batch) {
    batch_finish(batch);
    free(batch);
}

static bool telling_settle(struct batch *batch) {
    atomic_fetch_sub(&((struct telling *)batch)->pace->under_way, 1);
    return true;
}

/* Within client_begin. *future holds one reference of the caller's. */
static enum canyon_status tell(struct pace *pace, const struct message_clock *clock, uint64_t deadline, bool attended,
                               struct canyon_future **future, struct error *error) {
    struct canyon_client *client = pace->client;
    uint8_t message[LIMIT_MESSAGE_BYTES];
    size_t bytes = message_pack_clock(clock, message);
    struct telling *telling = calloc(1, sizeof *telling + client->lane_count * sizeof telling->parts[0]);
    if (telling == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory to tell %zu connections the clock", client->lane_count);
    enum canyon_status status = batch_init(&telling->batch, client, error);
    if (status != CANYON_OK) {
        free(telling);
        return status;
    }
    telling->batch.destroy = telling_destroy;
    telling->batch.settle = telling_settle;
    telling->pace = pace;
    memcpy(telling->message, message, bytes);
    for (size_t i = 0; i < client->lane_count; i++) {
        struct telling_part *part = &telling->parts[i];
        part->telling = telling;
        part->lane = i;
        part->request = (struct session_request){.type = FRAME_CLOCK,
                                                 .message = telling->message,
                                                 .message_bytes = bytes,
                                                 .deadline = deadline,
                                                 .done = telling_done,
                                                 .user = part};
        if (!client->absent[client_server_of(client, i)])
            batch_add(&telling->batch, i, &part->request);
    }
    atomic_fetch_add(&pace->under_way, 1);
    *future = &telling->batch.future;
    batch_submit(&telling->batch, attended);
    return CANYON_OK;
}

/* The clock as it is, to all, without waiting. *future as above. */
static enum canyon_status tell_clock(struct pace *pace, bool attended, struct canyon_future **future,
                                     struct error *error) {
    const struct message_clock clock = {.clock = atomic_load(&pace->clock), .rank = atomic_load(&pace->rank)};
    return tell(pace, &clock, client_deadline(pace->client, 0), attended, future, error);
}

/* ---- signs of life ---- */

static void *beat(void *user) {
    struct pace *pace = user;
    pthread_mutex_lock(&pace->lock);
    while (!pace->stopping) {
        uint64_t until = clock_now() + pace->beat_ms * MILLISECOND;
        while (!pace->stopping && clock_now() < until)
            condition_wait(&pace->stop, &pace->lock, until);
        if (pace->stopping)
            break;
        pthread_mutex_unlock(&pace->lock);
        struct error error;
        struct canyon_future *future = NULL;
        /* Where there is no answer to the ones before, one more would be none either. */
        if (atomic_load(&pace->under_way) < UNDER_WAY && client_begin(pace->client, false, &error) == CANYON_OK) {
            if (tell_clock(pace, false, &future, &error) == CANYON_OK)
                future_release(future);
            client_leave(pace->client);
        }
        pthread_mutex_lock(&pace->lock);
    }
    pthread_mutex_unlock(&pace->lock);
    return NULL;
}

static enum canyon_status start_beating(struct pace *pace, uint32_t lease_ms, struct error *error) {
    sigset_t all, before;
    int failure = 0;
    sigfillset(&all);
    pthread_mutex_lock(&pace->lock);
    pace->beat_ms = lease_ms >= 3 ? lease_ms / 3 : 1;
    if (!pace->beating && !pace->stopping) {
        pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the program's */
        failure = pthread_create(&pace->thread, NULL, beat, pace);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pace->beating = failure == 0;
    }
    pthread_mutex_unlock(&pace->lock);
    return failure == 0 ? CANYON_OK
                        : error_set(error, CANYON_NO_MEMORY, "no thread for signs of life: %s", strerror(failure));
}

/* ---- entering ---- */

static enum canyon_status take_entered(struct pace *pace, const struct exchange_reply *reply,
                                       struct message_entered *entered, struct error *error) {
    enum canyon_status status = reply->error.status;
    if (status != CANYON_OK)
        *error = reply->error;
    else
        status = message_unpack_entered(reply->message, reply->message_bytes, entered, error);
    if (status == CANYON_OK)
        pace_catch_up(pace, entered->clock);
    return status;
}

/* The thread of shard 0 says which rank; then all others are told, and the furthest says where to begin. */
static enum canyon_status enter(struct pace *pace, uint64_t deadline, struct error *error) {
    struct canyon_client *client = pace->client;
    struct message_entered entered = {.rank = 0};
    uint8_t message[LIMIT_MESSAGE_BYTES];
    enum canyon_status status = CANYON_OK;
    struct exchange_reply *replies = calloc(client->lane_count, sizeof *replies);
    if (replies == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for the replies of %zu connections", client->lane_count);
    for (size_t i = 0; i < client->lane_count; i++)
        exchange_reply_init(&replies[i]);
    for (size_t first = 0; first < 2 && first < client->lane_count && status == CANYON_OK; first++) {
        const struct message_enter ask = {.rank = atomic_load(&pace->rank)};
        const struct exchange_request request = {
            .type = FRAME_ENTER, .message = message, .bytes = message_pack_enter(&ask, message), .deadline = deadline};
        const size_t count = first == 0 ? 1 : client->lane_count - 1;
        status = exchange_run(client, &request, first, count, replies + first, error);
        for (size_t i = first; i < first + count && status == CANYON_OK; i++)
            status = take_entered(pace, &replies[i], &entered, error);
        if (status == CANYON_OK && first == 0)
            atomic_store(&pace->rank, entered.rank + 1);
    }
    for (size_t i = 0; i < client->lane_count; i++)
        exchange_reply_finish(&replies[i]);
    free(replies);
    return status == CANYON_OK ? start_beating(pace, entered.lease_ms, error) : status;
}

/* ---- going on ---- */

/* One clock further, with the turn; *waits: so many are not answered that this thread has to wait for one. Once a clock
 * is counted nothing here touches a lane, and so nothing runs a callback, which might count clocks too. */
static enum canyon_status advance(struct pace *pace, uint64_t deadline, uint64_t *clock, bool *waits,
                                  struct error *error) {
    const uint64_t now = atomic_load(&pace->clock);
    *waits = atomic_load(&pace->under_way) >= UNDER_WAY;
    if (*waits && future_in_callback())
        return error_set(error, CANYON_BUSY,
                         "%u clocks are told and not answered, and a future's callback must not wait for that: the "
                         "clock stays %llu",
                         UNDER_WAY, (unsigned long long)now);
    enum canyon_status status = now > 0 ? CANYON_OK : enter(pace, deadline, error);
    if (status == CANYON_OK) {
        const uint64_t floor = atomic_load(&pace->floor);
        *clock = now + 1 > floor ? now + 1 : floor;
        atomic_store(&pace->clock, *clock);
    }
    return status;
}

enum canyon_status canyon_clock(canyon_client *client, uint64_t *clock) {
    struct error error = {.status = CANYON_OK};
    struct canyon_future *future = NULL;
    uint64_t next = 0;
    bool waits = false;
    if (client_begin(client, client != NULL && pace_clock(client->pace) == 0, &error) != CANYON_OK)
        return last_error_set(&error);
    struct pace *pace = client->pace;
    const uint64_t deadline = client_deadline(client, 0);
    pthread_mutex_lock(&pace->turn);
    enum canyon_status status = advance(pace, deadline, &next, &waits, &error);
    pthread_mutex_unlock(&pace->turn);
    if (status == CANYON_OK)
        status = tell_clock(pace, waits, &future, &error); /* the latest, if another thread counted meanwhile */
    if (status == CANYON_OK && clock != NULL)
        *clock = next;
    if (status == CANYON_OK && waits) {
        struct error ignored; /* it is told again */
        future_wait(future, UINT64_MAX, &ignored);
    }
    if (status == CANYON_OK)
        future_release(future);
    client_leave(client);
    return last_error_set(&error);
}

enum canyon_status canyon_rank(canyon_client *client, uint32_t *rank) {
    uint32_t is = client != NULL ? atomic_load(&client->pace->rank) : 0;
    if (client == NULL || rank == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_rank: the %s is NULL",
                                 client == NULL ? "client" : "place for the rank");
    if (is == 0)
        return last_error_format(CANYON_NOT_FOUND, "this client has no rank: canyon_join or canyon_clock gives it one");
    *rank = is - 1;
    return CANYON_OK;
}

/* ---- leaving ---- */

void pace_close(struct pace *pace, uint64_t deadline) {
    struct error error;
    stop_beating(pace);
    if (atomic_load(&pace->clock) == 0 || client_begin(pace->client, false, &error) != CANYON_OK)
        return;
    const struct message_clock goodbye = {.clock = atomic_load(&pace->clock), .leave = true};
    struct canyon_future *future = NULL;
    if (tell(pace, &goodbye, deadline, true, &future, &error) == CANYON_OK) {
        future_wait(future, deadline, &error);
        future_release(future);
    }
    client_leave(pace->client);
}
