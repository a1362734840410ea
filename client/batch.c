#include "client/batch.h"

#include <assert.h>
#include <stdlib.h>

#include "common/clock.h"

/* A lane that moves this much is helped by its I/O thread while the caller drives another. */
#define MUCH_BYTES 65536

static struct batch *batch_of(struct canyon_future *future) {
    return (struct batch *)future; /* the future is the first member */
}

/* ---- what the future asks of its work ---- */

static void batch_enter(struct canyon_future *future) {
    client_enter(batch_of(future)->client);
}

static void batch_leave(struct canyon_future *future) {
    client_leave(batch_of(future)->client);
}

struct batch_on_lane {
    struct batch *batch;
    size_t lane;
};

static bool batch_is_over_on(void *user) {
    const struct batch_on_lane *on = user;
    pthread_mutex_lock(&on->batch->future.lock);
    bool over = on->batch->lanes[on->lane].pending == 0;
    pthread_mutex_unlock(&on->batch->future.lock);
    return over;
}

/* A lane that still has requests of this batch, or PLAN_NONE; whether the future is done. */
static size_t batch_busy_lane(struct batch *batch, bool *done) {
    size_t busy = PLAN_NONE;
    pthread_mutex_lock(&batch->future.lock);
    *done = batch->future.done;
    for (size_t i = 0; i < batch->client->lane_count && busy == PLAN_NONE && !*done; i++)
        if (batch->lanes[i].pending > 0)
            busy = i;
    pthread_mutex_unlock(&batch->future.lock);
    return busy;
}

static void batch_drive(struct canyon_future *future, uint64_t deadline) {
    struct batch *batch = batch_of(future);
    bool done = false;
    do {
        struct batch_on_lane on = {.batch = batch, .lane = batch_busy_lane(batch, &done)};
        if (on.lane != PLAN_NONE)
            lane_drive(batch->client->lanes[on.lane], batch_is_over_on, &on, deadline);
        else if (!done)
            future_await_change(future, deadline);
    } while (!done && clock_now() < deadline);
}

static void batch_destroy(struct canyon_future *future) {
    struct batch *batch = batch_of(future);
    batch->destroy(batch);
}

static const struct future_work batch_work = {
    .enter = batch_enter, .leave = batch_leave, .drive = batch_drive, .destroy = batch_destroy};

/* ---- life ---- */

static void batch_settle(void *user) {
    struct batch *batch = user;
    if (batch->settle != NULL && !batch->settle(batch))
        return; /* it may even be gone by now */
    struct canyon_client *client = batch->client;
    future_end(&batch->future, &batch->error);
    future_release(&batch->future);
    client_leave(client);
}

enum canyon_status batch_init(struct batch *batch, struct canyon_client *client, struct error *error) {
    *batch = (struct batch){.client = client};
    batch->lanes = client->lane_count <= BATCH_FEW ? batch->few : calloc(client->lane_count, sizeof *batch->lanes);
    if (batch->lanes == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for a call on %zu connections", client->lane_count);
    future_init(&batch->future, &batch_work);
    batch->task = (struct lane_task){.run = batch_settle, .user = batch};
    return CANYON_OK;
}

void batch_finish(struct batch *batch) {
    if (batch->lanes != batch->few)
        free(batch->lanes);
    future_finish(&batch->future);
}

/* ---- requests ---- */

void batch_add(struct batch *batch, size_t lane, struct session_request *request) {
    struct batch_lane *on = &batch->lanes[lane];
    uint64_t out = request->payload_bytes;
    request->next = NULL;
    if (on->first == NULL)
        on->first = request;
    else
        on->last->next = request;
    on->last = request;
    on->bytes += out > request->reply_bytes ? out : request->reply_bytes;
    pthread_mutex_lock(&batch->future.lock);
    on->pending++;
    batch->pending++;
    pthread_mutex_unlock(&batch->future.lock);
}

/* One pending less; true when it was the last. */
static bool batch_count_down(struct batch *batch) {
    assert(batch->pending > 0);
    return --batch->pending == 0;
}

/* The first failure counts, except that "perhaps applied" must not hide behind "not reached" on another lane. */
static bool batch_is_graver(enum canyon_status before, enum canyon_status after) {
    bool unreached = before == CANYON_TIMEOUT || before == CANYON_UNAVAILABLE;
    return after != CANYON_OK && (before == CANYON_OK || (unreached && after == CANYON_OUTCOME_UNKNOWN));
}

void batch_ended(struct batch *batch, size_t lane, const struct error *error) {
    pthread_mutex_lock(&batch->future.lock);
    if (batch_is_graver(batch->error.status, error->status))
        batch->error = *error;
    assert(batch->lanes[lane].pending > 0);
    batch->lanes[lane].pending--;
    bool last = batch_count_down(batch);
    pthread_mutex_unlock(&batch->future.lock);
    if (last)
        lane_defer(batch->client->lanes[lane], &batch->task);
}

void batch_submit(struct batch *batch, bool attended) {
    struct canyon_client *client = batch->client;
    bool first = true;
    if (!batch->begun) {
        batch->begun = true;
        client_enter(client);
        future_reference(&batch->future);
    }
    /* Held while submitting, so that the batch cannot be over before all of it was submitted. */
    pthread_mutex_lock(&batch->future.lock);
    batch->pending++;
    pthread_mutex_unlock(&batch->future.lock);
    future_wake(&batch->future);
    for (size_t i = 0; i < client->lane_count; i++) {
        struct batch_lane *on = &batch->lanes[i];
        struct session_request *chain = on->first;
        if (chain == NULL)
            continue;
        enum lane_urgency urgency = !attended                ? LANE_UNATTENDED
                                    : first                  ? LANE_DRIVEN
                                    : on->bytes < MUCH_BYTES ? LANE_DRIVEN_LATER
                                                             : LANE_UNATTENDED;
        first = false;
        on->first = on->last = NULL;
        on->bytes = 0;
        lane_submit(client->lanes[i], chain, urgency);
    }
    pthread_mutex_lock(&batch->future.lock);
    bool over = batch_count_down(batch);
    pthread_mutex_unlock(&batch->future.lock);
    if (over)
        batch_settle(batch);
}
