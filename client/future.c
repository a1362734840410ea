#include "client/future.h"

#include <assert.h>
#include <stddef.h>

#include "client/condition.h"
#include "client/error.h"
#include "common/clock.h"

#define MILLISECOND 1000000u

static _Thread_local bool in_callback;

void future_init(struct canyon_future *future, const struct future_work *work) {
    *future = (struct canyon_future){.work = work, .references = 1};
    pthread_mutex_init(&future->lock, NULL);
    condition_init(&future->ended);
}

void future_finish(struct canyon_future *future) {
    pthread_cond_destroy(&future->ended);
    pthread_mutex_destroy(&future->lock);
}

void future_reference(struct canyon_future *future) {
    pthread_mutex_lock(&future->lock);
    future->references++;
    pthread_mutex_unlock(&future->lock);
}

void future_release(struct canyon_future *future) {
    pthread_mutex_lock(&future->lock);
    assert(future->references > 0);
    bool last = --future->references == 0;
    pthread_mutex_unlock(&future->lock);
    if (last)
        future->work->destroy(future);
}

static void future_call_back(struct canyon_future *future, canyon_future_callback callback, void *user) {
    bool outer = in_callback;
    in_callback = true;
    callback(user, future->outcome.status, future->outcome.status == CANYON_OK ? "" : future->outcome.text);
    in_callback = outer;
}

void future_end(struct canyon_future *future, const struct error *outcome) {
    pthread_mutex_lock(&future->lock);
    assert(!future->done);
    future->done = true;
    future->outcome = *outcome;
    canyon_future_callback callback = future->callback;
    void *user = future->user;
    pthread_cond_broadcast(&future->ended);
    pthread_mutex_unlock(&future->lock);
    if (callback != NULL)
        future_call_back(future, callback, user);
}

bool future_is_done(struct canyon_future *future) {
    pthread_mutex_lock(&future->lock);
    bool done = future->done;
    pthread_mutex_unlock(&future->lock);
    return done;
}

void future_await_change(struct canyon_future *future, uint64_t deadline) {
    pthread_mutex_lock(&future->lock);
    unsigned wakes = future->wakes;
    while (!future->done && future->wakes == wakes && clock_now() < deadline)
        condition_wait(&future->ended, &future->lock, deadline);
    pthread_mutex_unlock(&future->lock);
}

void future_wake(struct canyon_future *future) {
    pthread_mutex_lock(&future->lock);
    future->wakes++;
    pthread_cond_broadcast(&future->ended);
    pthread_mutex_unlock(&future->lock);
}

bool future_wait(struct canyon_future *future, uint64_t deadline, struct error *outcome) {
    pthread_mutex_lock(&future->lock);
    bool entered = !future->done && future->work->drive != NULL;
    if (entered && future->work->enter != NULL)
        future->work->enter(future);
    pthread_mutex_unlock(&future->lock);

    if (entered)
        future->work->drive(future, deadline);
    else
        while (!future_is_done(future) && clock_now() < deadline)
            future_await_change(future, deadline);

    pthread_mutex_lock(&future->lock);
    bool done = future->done;
    if (done)
        *outcome = future->outcome;
    pthread_mutex_unlock(&future->lock);
    if (entered && future->work->leave != NULL)
        future->work->leave(future);
    return done;
}

bool future_in_callback(void) {
    return in_callback;
}

/* ---- the public calls ---- */

enum canyon_status canyon_future_wait(canyon_future *future, uint32_t wait_ms) {
    if (future == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_future_wait: the future is NULL");
    if (future_in_callback() && !future_is_done(future))
        return last_error_format(CANYON_CONFLICT, "canyon_future_wait: a callback must not wait");
    uint64_t deadline = wait_ms == UINT32_MAX ? UINT64_MAX : clock_now() + (uint64_t)wait_ms * MILLISECOND;
    struct error outcome;
    if (!future_wait(future, deadline, &outcome))
        return last_error_format(CANYON_BUSY, "still under way after %u ms; its own deadline ends it", wait_ms);
    return last_error_set(&outcome);
}

int canyon_future_done(canyon_future *future) {
    return future != NULL && future_is_done(future);
}

enum canyon_status canyon_future_then(canyon_future *future, canyon_future_callback callback, void *user) {
    if (future == NULL || callback == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_future_then: the %s is NULL",
                                 future == NULL ? "future" : "callback");
    pthread_mutex_lock(&future->lock);
    bool taken = future->callback != NULL;
    bool done = future->done;
    if (!taken) {
        future->callback = callback;
        future->user = user;
    }
    pthread_mutex_unlock(&future->lock);
    if (taken)
        return last_error_format(CANYON_CONFLICT, "canyon_future_then: this future has a callback already");
    if (done)
        future_call_back(future, callback, user);
    return CANYON_OK;
}

void canyon_future_release(canyon_future *future) {
    if (future != NULL)
        future_release(future);
}
