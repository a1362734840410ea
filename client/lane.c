#include "client/lane.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/condition.h"
#include "client/lane_state.h"
#include "common/clock.h"
#include "common/random.h"

#define STUCK_MS   500   /* without a byte, in the middle of a record, when a request's deadline passes */
#define MUCH_BYTES 65536 /* a reply of at least this keeps the I/O thread busy while the caller is on another lane */

/* ---- tasks and the lock ---- */

void lane_lock(struct lane *lane) {
    pthread_mutex_lock(&lane->lock);
}

void lane_unlock(struct lane *lane) {
    struct lane_task *task = lane->tasks;
    lane->tasks = NULL;
    lane->last_task = &lane->tasks;
    pthread_mutex_unlock(&lane->lock);
    while (task != NULL) {
        struct lane_task *next = task->next;
        task->run(task->user);
        task = next;
    }
}

void lane_defer(struct lane *lane, struct lane_task *task) {
    task->next = NULL;
    *lane->last_task = task;
    lane->last_task = &task->next;
}

/* ---- driving ---- */

/* Ends the turn. A timer that is due when the turn begins fires before the loop waits: without the stop it would then
 * wait with no timer left. */
static void lane_on_timer(uv_timer_t *timer) {
    struct lane *lane = timer->loop->data;
    lane->stirred = true;
    lane->hasty = true;
    uv_stop(timer->loop);
}

static void lane_on_wake(uv_async_t *wake) {
    ((struct lane *)wake->loop->data)->stirred = true;
}

static bool lane_has_work(const struct lane *lane) {
    return !lane->closing && (lane->wanted || session_outstanding(lane->session) > 0 || lane_is_sending(lane));
}

/* Between the socket's connection and the server's welcome. */
static bool lane_is_shaking_hands(const struct lane *lane) {
    return lane->state == LANE_SECURING || lane->state == LANE_GREETING;
}

/* A record that does not go on: its length is the one thing of it that is not sealed, and a false one may wait for
 * bytes that nobody means to send. */
static bool lane_is_stuck(const struct lane *lane, uint64_t now) {
    return lane->state == LANE_UP && lane->channel != NULL && lane_channel_is_torn(lane->channel) &&
           now - lane->heard >= STUCK_MS * (uint64_t)LANE_MILLISECOND;
}

/* What must happen at some time even if no byte comes. */
static void lane_tick(struct lane *lane) {
    uint64_t now = clock_now();
    const uint64_t before = session_count(lane->session).given_up;
    bool usable = session_tick(lane->session, now);
    if (usable && session_count(lane->session).given_up > before && lane_is_stuck(lane, now))
        lane_lose(lane, CANYON_UNAVAILABLE,
                  "the connection to %s was given up: a deadline passed while a record had stopped half-way",
                  lane->address_text);
    if (!usable)
        lane_lose(lane, CANYON_UNAVAILABLE,
                  "the connection to %s was given up: a deadline passed while a request was half sent",
                  lane->address_text);
    if (lane_is_shaking_hands(lane) && now >= lane->attempt_deadline)
        lane_lose(lane, CANYON_UNAVAILABLE, "%s accepted the connection but did not answer the %s within %u ms",
                  lane->address_text, lane->state == LANE_SECURING ? "handshake" : "hello", lane->options.connect_ms);
}

/* Sets the loop up for one turn that ends at `until` at the latest. */
static void lane_prepare(struct lane *lane, uint64_t until) {
    if (lane->state == LANE_DOWN)
        lane_close_link(lane);
    if (lane->state != LANE_DIALING && lane->dial != NULL) {
        dial_stop(lane->dial);
        lane->dial = NULL;
    }
    const bool wanted = lane->state == LANE_DOWN && lane->wanted && !lane->closing;
    if (wanted && clock_now() < lane->retry_at) {
        until = lane->retry_at < until ? lane->retry_at : until;
    } else if (wanted) {
        lane_dial(lane);
        if (lane->state == LANE_DOWN)
            until = 0; /* it failed at once: no event will come of it */
    }
    const bool in_bulk = lane_poll_link(lane);
    lane->wakeup = session_wakeup(lane->session);
    if (lane_is_shaking_hands(lane) && lane->attempt_deadline < lane->wakeup)
        lane->wakeup = lane->attempt_deadline;
    if (until < lane->wakeup)
        lane->wakeup = until;
    if (in_bulk && clock_now() + LANE_BULK_NS < lane->wakeup)
        lane->wakeup = clock_now() + LANE_BULK_NS;
    uv_timer_stop(&lane->timer);
    if (lane->wakeup != UINT64_MAX) {
        uint64_t now = clock_now();
        uint64_t wait = lane->wakeup > now ? (lane->wakeup - now + LANE_MILLISECOND - 1) / LANE_MILLISECOND : 0;
        uv_update_time(&lane->loop);
        uv_timer_start(&lane->timer, lane_on_timer, wait, 0);
    }
}

/* Runs the tasks that wait, without the lock. They may take long (a user's callback is one), so the lane is left to
 * others meanwhile. `callers` is how many waiters this thread stands for. */
static void lane_run_tasks(struct lane *lane, unsigned callers) {
    if (lane->tasks == NULL)
        return;
    lane->waiters -= callers;
    if (lane_has_work(lane))
        pthread_cond_signal(&lane->work);
    lane_unlock(lane);
    lane_lock(lane);
    lane->waiters += callers;
}

/* One turn with the token. The lock is held before and after, and released while the loop waits and tasks run. */
static void lane_take_turn(struct lane *lane, uint64_t until, unsigned callers) {
    assert(!lane->driving);
    lane->driving = true;
    lane_prepare(lane, until);
    const bool spins = lane->options.spin_us > 0 && lane->state == LANE_UP;
    pthread_mutex_unlock(&lane->lock);
    lane_run_loop(lane, spins);
    lane_lock(lane);
    lane_tick(lane);
    lane->driving = false;
    pthread_cond_broadcast(&lane->turn);
    lane_run_tasks(lane, callers);
}

void lane_drive(struct lane *lane, bool (*over)(void *user), void *user, uint64_t deadline) {
    lane_lock(lane);
    lane->waiters++;
    while (!over(user) && clock_now() < deadline) {
        if (lane->driving) {
            condition_wait(&lane->turn, &lane->lock, deadline);
            continue;
        }
        lane_take_turn(lane, deadline, 1);
    }
    lane->waiters--;
    if (!lane->driving && lane->waiters > 0)
        pthread_cond_broadcast(&lane->turn);
    else if (!lane->driving && lane_has_work(lane))
        pthread_cond_signal(&lane->work);
    lane_unlock(lane);
}

static void *lane_main(void *user) {
    struct lane *lane = user;
    lane_lock(lane);
    while (!lane->stopping) {
        if (lane->driving || lane->waiters > 0 || !lane_has_work(lane)) {
            pthread_cond_wait(&lane->work, &lane->lock);
            continue;
        }
        lane_take_turn(lane, UINT64_MAX, 0);
    }
    lane_unlock(lane);
    return NULL;
}

void lane_notify(struct lane *lane, bool attended) {
    bool needs_write = lane->blocked && lane->link != NULL && (lane->link->events & UV_WRITABLE) == 0;
    if (lane->driving) {
        if (needs_write || lane->wanted || session_wakeup(lane->session) < lane->wakeup || lane->state == LANE_DOWN)
            uv_async_send(&lane->wake);
    } else if (!attended && lane->waiters == 0) {
        pthread_cond_signal(&lane->work);
    }
}

/* ---- requests ---- */

/* An idle connection is read by nobody: look whether the server closed it, so that a request is not sent to nowhere;
 * and whether it has done its duty. */
static void lane_probe(struct lane *lane) {
    if (lane->state != LANE_UP || lane->driving || session_outstanding(lane->session) > 0)
        return;
    lane_read(lane);
    if (lane->state == LANE_UP && lane_is_old(lane))
        lane_renew(lane);
}

void lane_submit(struct lane *lane, struct session_request *first, enum lane_urgency urgency) {
    uint64_t reply_bytes = 0;
    lane_lock(lane);
    if (!lane->closing)
        lane_probe(lane);
    struct session_request *next = NULL;
    for (struct session_request *request = first; request != NULL; request = next) {
        next = request->next;
        reply_bytes += request->reply_bytes;
        if (lane->closing || lane->leaving)
            request->done(request, CANYON_CLOSED, "the client was closed", NULL);
        else
            session_submit(lane->session, request);
    }
    if (!lane->closing && !lane->leaving && first != NULL) {
        if (lane->state == LANE_DOWN)
            lane->wanted = true;
        if (lane->state == LANE_UP)
            lane_flush(lane);
        bool little = !lane_is_sending(lane) && reply_bytes < MUCH_BYTES;
        lane_notify(lane, urgency == LANE_DRIVEN || (urgency == LANE_DRIVEN_LATER && little));
    }
    lane_unlock(lane);
}

/* ---- life ---- */

/* The I/O thread takes no signals: they are the program's. */
static int lane_start_thread(struct lane *lane) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(&lane->thread, NULL, lane_main, lane);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}

static int lane_start_loop(struct lane *lane) {
    int failure = uv_loop_init(&lane->loop);
    if (failure != 0)
        return failure;
    lane->loop.data = lane;
    failure = uv_async_init(&lane->loop, &lane->wake, lane_on_wake);
    if (failure != 0) {
        uv_loop_close(&lane->loop);
        return failure;
    }
    uv_timer_init(&lane->loop, &lane->timer);
    return 0;
}

/* The caller is the only one left. */
static void lane_stop_loop(struct lane *lane) {
    dial_stop(lane->dial);
    lane->dial = NULL;
    lane_close_link(lane);
    uv_close((uv_handle_t *)&lane->wake, NULL);
    uv_close((uv_handle_t *)&lane->timer, NULL);
    uv_run(&lane->loop, UV_RUN_DEFAULT);
    int failure = uv_loop_close(&lane->loop);
    assert(failure == 0);
    (void)failure;
}

static void lane_free(struct lane *lane) {
    session_destroy(lane->session);
    pthread_cond_destroy(&lane->turn);
    pthread_cond_destroy(&lane->work);
    pthread_mutex_destroy(&lane->lock);
    free(lane);
}

struct lane *lane_create(const struct lane_options *options, struct error *error) {
    int failure = ENOMEM;
    struct lane *lane = calloc(1, sizeof *lane);
    if (lane == NULL)
        goto memory_failed;
    pthread_mutex_init(&lane->lock, NULL);
    condition_init(&lane->turn);
    condition_init(&lane->work);
    lane->last_task = &lane->tasks;
    lane->options = *options;
    snprintf(lane->address_text, sizeof lane->address_text, "%s", options->address);
    lane->options.address = lane->address_text;
    lane->options.congestion = options->congestion != NULL ? options->congestion : "auto";
    lane->options.renew_bytes = options->renew_bytes != 0 ? options->renew_bytes : LANE_RENEW_BYTES;
    uint64_t seed = 0;
    random_fill(&seed, sizeof seed);
    backoff_init(&lane->backoff, seed);
    lane->options.renew_ms = options->renew_ms != 0 ? options->renew_ms : LANE_RENEW_MS;
    if (address_parse(lane->address_text, &lane->address, error) != CANYON_OK ||
        identity_find(options->identity, lane->address_text, &lane->known, error) != CANYON_OK)
        goto address_failed;
    struct session_options session_options = {.name = options->name,
                                              .address = lane->address_text,
                                              .thread = options->thread,
                                              .window_bytes = options->window_bytes};
    memcpy(session_options.session_id, options->session_id, sizeof session_options.session_id);
    lane->session = session_create(&session_options);
    if (lane->session == NULL)
        goto lane_failed;
    failure = -lane_start_loop(lane);
    if (failure != 0)
        goto lane_failed;
    failure = lane_start_thread(lane);
    if (failure != 0)
        goto thread_failed;
    return lane;

thread_failed:
    lane_stop_loop(lane);
lane_failed:
    lane_free(lane);
memory_failed:
    error_set(error, CANYON_NO_MEMORY, "a connection to %s cannot be set up: %s", options->address, strerror(failure));
    return NULL;
address_failed:
    lane_free(lane);
    return NULL;
}

void lane_close(struct lane *lane) {
    lane_lock(lane);
    if (!lane->closing) {
        lane->closing = true;
        lane_say_last(lane);
        lane_lose(lane, CANYON_CLOSED, "the client was closed");
        uv_async_send(&lane->wake);
        pthread_cond_signal(&lane->work);
    }
    lane_unlock(lane);
}

void lane_destroy(struct lane *lane) {
    if (lane == NULL)
        return;
    lane_lock(lane);
    assert(lane->closing && lane->waiters == 0);
    lane->stopping = true;
    uv_async_send(&lane->wake);
    pthread_cond_signal(&lane->work);
    lane_unlock(lane);
    pthread_join(lane->thread, NULL);
    lane_stop_loop(lane);
    lane_free(lane);
}
