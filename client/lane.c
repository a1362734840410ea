#include "client/lane.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "client/condition.h"
#include "client/lane_dial.h"
#include "common/address.h"
#include "common/clock.h"

#define MILLISECOND 1000000u
#define SLICES      64    /* of one sendmsg */
#define READS       16    /* of one turn, so that writing gets its turn too */
#define MUCH_BYTES  65536 /* a reply of at least this keeps the I/O thread busy while the caller is on another lane */

enum lane_state { LANE_DOWN = 0, LANE_DIALING = 1, LANE_GREETING = 2, LANE_UP = 3 };

/* A socket with its place in the loop. Only the driver may close it. */
struct link {
    uv_poll_t poll;
    int descriptor;
    int events; /* polled for now */
};

struct lane {
    pthread_mutex_t lock; /* of everything below, and of the session */
    pthread_cond_t turn;  /* the token is free, or something ended: for waiting callers */
    pthread_cond_t work;  /* for the I/O thread */
    pthread_t thread;
    bool driving; /* the token: whoever set it may use the loop and its handles */
    bool closing, stopping;
    unsigned waiters;
    uint64_t wakeup; /* when the driver's turn ends at the latest */

    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t timer;
    struct dial *dial;
    struct link *link;

    enum lane_state state;
    bool wanted;  /* somebody wants it connected */
    bool blocked; /* the socket took less than there is to send */
    uint64_t attempt_deadline;
    struct session *session;
    struct lane_task *tasks, **last_task;

    bool expects;
    uint8_t digest[JOB_DIGEST_BYTES];
    uint32_t server, threads;
    bool has_boot;
    uint8_t boot[BOOT_BYTES];
    uint32_t restarts;
    struct error failure; /* of the last attempt or connection */

    struct lane_options options;
    char address_text[LIMIT_ADDRESS_BYTES];
    struct address address;
};

/* ---- tasks and the lock ---- */

static void lane_lock(struct lane *lane) {
    pthread_mutex_lock(&lane->lock);
}

/* Unlocks and runs what the ends of requests left to do. */
static void lane_unlock(struct lane *lane) {
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

/* ---- the connection ---- */

/* The connection is over, or the attempt failed: every request ends. The link itself is closed by the driver. */
static void lane_lose(struct lane *lane, enum canyon_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void lane_lose(struct lane *lane, enum canyon_status status, const char *format, ...) {
    bool was_up = lane->state == LANE_UP;
    lane->failure.status = status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(lane->failure.text, sizeof lane->failure.text, format, arguments);
    va_end(arguments);
    lane->state = LANE_DOWN;
    lane->wanted = false;
    lane->blocked = false;
    session_fail(lane->session, status, lane->failure.text);
    if (lane->link != NULL)
        shutdown(lane->link->descriptor, SHUT_RDWR);
    if (status != CANYON_CLOSED) {
        char reason[ERROR_TEXT_BYTES * 2];
        log_event(lane->options.log, LOG_WARNING, was_up ? "disconnected" : "connect_failed",
                  "address=%s thread=%u reason=%s", lane->address_text, lane->options.thread,
                  log_quote(lane->failure.text, reason, sizeof reason));
    }
    pthread_cond_broadcast(&lane->turn);
}

static void link_closed(uv_handle_t *handle) {
    struct link *link = handle->data;
    close(link->descriptor);
    free(link);
}

static void lane_close_link(struct lane *lane) {
    if (lane->link == NULL)
        return;
    uv_close((uv_handle_t *)&lane->link->poll, link_closed);
    lane->link = NULL;
}

/* Offers the socket what the session has to send. */
static void lane_flush(struct lane *lane) {
    struct iovec slices[SLICES];
    lane->blocked = false;
    while (lane->state >= LANE_GREETING) {
        size_t count = session_output(lane->session, slices, SLICES);
        if (count == 0)
            return;
        struct msghdr message = {.msg_iov = slices, .msg_iovlen = count};
        ssize_t sent = sendmsg(lane->link->descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            session_sent(lane->session, (size_t)sent);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            lane->blocked = true;
            return;
        } else if (errno != EINTR) {
            lane_lose(lane, CANYON_UNAVAILABLE, "the connection to %s broke while sending: %s", lane->address_text,
                      strerror(errno));
        }
    }
}

/* The session is through its greeting: is this the server it should be? */
static void lane_greeted(struct lane *lane) {
    const struct message_welcome *welcome = session_welcome(lane->session);
    if (lane->expects && memcmp(welcome->digest, lane->digest, sizeof lane->digest) != 0) {
        lane_lose(lane, CANYON_CONFIGURATION,
                  "%s now serves another configuration (job \"%s\", %u shards, blocks of %u) than when this client "
                  "connected: connect anew",
                  lane->address_text, welcome->job, welcome->shards, welcome->block);
        return;
    }
    if (lane->expects && (welcome->server != lane->server || welcome->threads != lane->threads)) {
        lane_lose(lane, CANYON_CONFIGURATION,
                  "%s is now server %u with %u threads, it was server %u with %u threads: connect anew",
                  lane->address_text, welcome->server, welcome->threads, lane->server, lane->threads);
        return;
    }
    if (lane->has_boot && memcmp(welcome->boot, lane->boot, sizeof lane->boot) != 0) {
        lane->restarts++;
        log_event(lane->options.log, LOG_WARNING, "server_restarted", "address=%s thread=%u", lane->address_text,
                  lane->options.thread);
    }
    lane->has_boot = true;
    memcpy(lane->boot, welcome->boot, sizeof lane->boot);
    lane->state = LANE_UP;
    lane->wanted = false;
    log_event(lane->options.log, LOG_INFO, "connected", "address=%s thread=%u", lane->address_text,
              lane->options.thread);
    pthread_cond_broadcast(&lane->turn);
}

/* Reads what has come, up to a turn's share. */
static void lane_read(struct lane *lane) {
    for (int reads = 0; reads < READS && lane->state >= LANE_GREETING; reads++) {
        uint8_t *at = NULL;
        size_t room = 0;
        session_space(lane->session, &at, &room);
        ssize_t got = recv(lane->link->descriptor, at, room, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (got <= 0) {
            lane_lose(lane, CANYON_UNAVAILABLE, "%s closed the connection%s%s; is it still running?",
                      lane->address_text, got < 0 ? ": " : "", got < 0 ? strerror(errno) : "");
            return;
        }
        struct error error = {.status = CANYON_OK};
        enum canyon_status status = session_received(lane->session, (size_t)got, &error);
        if (status != CANYON_OK) {
            lane_lose(lane, status, "%s", error.text);
            return;
        }
        if (lane->state == LANE_GREETING && session_state(lane->session) == SESSION_READY)
            lane_greeted(lane);
        if ((size_t)got < room)
            return;
    }
}

static void lane_on_poll(uv_poll_t *poll, int status, int events) {
    struct lane *lane = poll->loop->data;
    (void)events;
    pthread_mutex_lock(&lane->lock);
    if (lane->link != NULL && &lane->link->poll == poll && lane->state >= LANE_GREETING) {
        if (status < 0)
            lane_lose(lane, CANYON_UNAVAILABLE, "the connection to %s broke: %s", lane->address_text,
                      uv_strerror(status));
        lane_read(lane);
        lane_flush(lane);
    }
    pthread_mutex_unlock(&lane->lock);
}

static void lane_adopt(struct lane *lane, int descriptor) {
    struct error error = {.status = CANYON_OK};
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL || uv_poll_init_socket(&lane->loop, &link->poll, descriptor) != 0) {
        free(link);
        close(descriptor);
        lane_lose(lane, CANYON_NO_MEMORY, "no memory for the connection to %s", lane->address_text);
        return;
    }
    link->descriptor = descriptor;
    link->poll.data = link;
    lane->link = link;
    if (session_begin(lane->session, lane->expects ? lane->digest : NULL, &error) != CANYON_OK) {
        lane_lose(lane, error.status, "%s", error.text);
        return;
    }
    lane->state = LANE_GREETING;
    lane_flush(lane);
}

static void lane_dialed(void *user, int descriptor, const char *text) {
    struct lane *lane = user;
    uv_stop(&lane->loop); /* the next turn is prepared for the new state; this one may have no timer left */
    pthread_mutex_lock(&lane->lock);
    lane->dial = NULL;
    uv_stop(&lane->loop); /* perhaps called by a timer, before the turn waits: others are to hear of it first */
    if (lane->state != LANE_DIALING) {
        if (descriptor >= 0)
            close(descriptor);
    } else if (descriptor >= 0) {
        lane_adopt(lane, descriptor);
    } else {
        lane_lose(lane, CANYON_UNAVAILABLE, "%s cannot be reached: %s; is the server running there?",
                  lane->address_text, text);
    }
    pthread_mutex_unlock(&lane->lock);
}

static void lane_dial(struct lane *lane) {
    lane->attempt_deadline = clock_now() + (uint64_t)lane->options.connect_ms * MILLISECOND;
    lane->dial = dial_start(&lane->loop, &lane->address, lane->attempt_deadline, lane_dialed, lane);
    if (lane->dial != NULL)
        lane->state = LANE_DIALING;
    else
        lane_lose(lane, CANYON_NO_MEMORY, "no memory to connect to %s", lane->address_text);
}

/* ---- driving ---- */

/* Ends the turn. A timer that is due when the turn begins fires before the loop waits: without the stop it would then
 * wait with no timer left. */
static void lane_on_timer(uv_timer_t *timer) {
    uv_stop(timer->loop);
}

static void lane_on_wake(uv_async_t *wake) {
    (void)wake;
}

static bool lane_has_work(const struct lane *lane) {
    return !lane->closing && (lane->wanted || session_outstanding(lane->session) > 0);
}

/* What must happen at some time even if no byte comes. */
static void lane_tick(struct lane *lane) {
    uint64_t now = clock_now();
    if (!session_tick(lane->session, now))
        lane_lose(lane, CANYON_UNAVAILABLE,
                  "the connection to %s was given up: a deadline passed while a request was half sent",
                  lane->address_text);
    if (lane->state == LANE_GREETING && now >= lane->attempt_deadline)
        lane_lose(lane, CANYON_UNAVAILABLE, "%s accepted the connection but did not answer the hello within %u ms",
                  lane->address_text, lane->options.connect_ms);
}

/* Sets the loop up for one turn that ends at `until` at the latest. */
static void lane_prepare(struct lane *lane, uint64_t until) {
    if (lane->state == LANE_DOWN)
        lane_close_link(lane);
    if (lane->state != LANE_DIALING && lane->dial != NULL) {
        dial_stop(lane->dial);
        lane->dial = NULL;
    }
    if (lane->state == LANE_DOWN && lane->wanted && !lane->closing)
        lane_dial(lane);
    if (lane->link != NULL) {
        int events = UV_READABLE | (lane->blocked ? UV_WRITABLE : 0);
        if (events != lane->link->events)
            uv_poll_start(&lane->link->poll, events, lane_on_poll);
        lane->link->events = events;
    }
    lane->wakeup = session_wakeup(lane->session);
    if (lane->state == LANE_GREETING && lane->attempt_deadline < lane->wakeup)
        lane->wakeup = lane->attempt_deadline;
    if (until < lane->wakeup)
        lane->wakeup = until;
    uv_timer_stop(&lane->timer);
    if (lane->wakeup != UINT64_MAX) {
        uint64_t now = clock_now();
        uint64_t wait = lane->wakeup > now ? (lane->wakeup - now + MILLISECOND - 1) / MILLISECOND : 0;
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
    pthread_mutex_unlock(&lane->lock);
    uv_run(&lane->loop, UV_RUN_ONCE);
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

/* Something changed that the driver, or the I/O thread, should know. The lock is held. */
static void lane_notify(struct lane *lane, bool attended) {
    bool needs_write = lane->blocked && lane->link != NULL && (lane->link->events & UV_WRITABLE) == 0;
    if (lane->driving) {
        if (needs_write || lane->wanted || session_wakeup(lane->session) < lane->wakeup || lane->state == LANE_DOWN)
            uv_async_send(&lane->wake);
    } else if (!attended && lane->waiters == 0) {
        pthread_cond_signal(&lane->work);
    }
}

/* ---- requests ---- */

/* An idle connection is read by nobody: look whether the server closed it, so that a request is not sent to nowhere. */
static void lane_probe(struct lane *lane) {
    if (lane->state == LANE_UP && !lane->driving && session_outstanding(lane->session) == 0)
        lane_read(lane);
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
        if (lane->closing)
            request->done(request, CANYON_CLOSED, "the client was closed", NULL);
        else
            session_submit(lane->session, request);
    }
    if (!lane->closing && first != NULL) {
        if (lane->state == LANE_DOWN)
            lane->wanted = true;
        if (lane->state == LANE_UP)
            lane_flush(lane);
        bool little = session_unsent(lane->session) == 0 && reply_bytes < MUCH_BYTES;
        lane_notify(lane, urgency == LANE_DRIVEN || (urgency == LANE_DRIVEN_LATER && little));
    }
    lane_unlock(lane);
}

/* ---- connecting on purpose ---- */

void lane_expect(struct lane *lane, const uint8_t digest[JOB_DIGEST_BYTES], uint32_t server, uint32_t threads) {
    lane_lock(lane);
    lane->expects = true;
    memcpy(lane->digest, digest, sizeof lane->digest);
    lane->server = server;
    lane->threads = threads;
    lane_unlock(lane);
}

void lane_connect(struct lane *lane) {
    lane_lock(lane);
    if (lane->state == LANE_DOWN && !lane->closing) {
        lane->wanted = true;
        lane_notify(lane, false);
    }
    lane_unlock(lane);
}

static bool lane_attempt_is_over(void *user) {
    const struct lane *lane = user;
    return lane->state == LANE_UP || (lane->state == LANE_DOWN && !lane->wanted) || lane->closing;
}

enum canyon_status lane_wait_connected(struct lane *lane, struct message_welcome *welcome, char **servers,
                                       struct error *error) {
    enum canyon_status status = CANYON_OK;
    lane_drive(lane, lane_attempt_is_over, lane, UINT64_MAX);
    lane_lock(lane);
    if (lane->state != LANE_UP) {
        status = error_set(error, lane->failure.status, "%s", lane->failure.text);
        goto out;
    }
    if (welcome != NULL)
        *welcome = *session_welcome(lane->session);
    if (servers != NULL) {
        size_t bytes = 0;
        const char *text = session_servers(lane->session, &bytes);
        *servers = strndup(text, bytes);
        if (*servers == NULL)
            status = error_set(error, CANYON_NO_MEMORY, "no memory for the server list of %s", lane->address_text);
    }
out:
    lane_unlock(lane);
    return status;
}

const char *lane_address(const struct lane *lane) {
    return lane->address_text;
}

uint32_t lane_restarts(struct lane *lane) {
    lane_lock(lane);
    uint32_t restarts = lane->restarts;
    lane_unlock(lane);
    return restarts;
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
    if (address_parse(lane->address_text, &lane->address, error) != CANYON_OK)
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
