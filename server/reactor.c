#include "server/reactor.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "common/clock.h"
#include "common/random.h"
#include "server/affinity.h"
#include "server/connection.h"
#include "server/machine.h"
#include "server/pages.h"
#include "server/spin.h"

#define MIB                   ((size_t)1024 * 1024)
#define HIGH_WATER_LEAST      (8 * MIB)
#define POOL_KEEP             (16 * MIB)
#define SHORT_RECORDS         2048 /* of what waits: cut for the ends of frames, slices and chunks */
#define POOL_CROWDED          (256 * MIB)
#define BUFFERS_LEAST         (512 * MIB)
#define PARTIAL_FRAME_SECONDS 30ull
#define UNREAD_SECONDS        20ull /* before the kernel gives up, which tells nobody why */
#define SWEEP_STOPPING_MS     5
#define SECOND                1000000000ull
#define MICROSECOND           1000ull

struct reactor {
    struct reactor_options options;
    struct handler_environment environment; /* of the handler */
    struct connection_host host;
    struct pages *pages; /* of the handler's parameters; NULL: the C library's memory */
    uv_loop_t loop;
    uv_async_t async;     /* something was delivered, or stop was asked for */
    uv_timer_t wakeup;    /* the handler's */
    uv_timer_t sweep;     /* deadlines of connections; runs while there are any */
    uv_idle_t turns;      /* runs while the ready list is not empty */
    uv_prepare_t prepare; /* before the loop sleeps: arms the three above */
    uv_check_t check;     /* when it has looked at its sockets */
    uint64_t armed;       /* time that `wakeup` is armed for */
    bool due;             /* `wakeup` was over */
    bool stopping;        /* of the reactor's thread */
    uint64_t stop_deadline;
    bool started;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the following */
    struct arrival *first, *last;
    struct allow *allow; /* held; a list that is to take the host's place, or NULL */
    bool stop_asked;
    uint64_t stop_asked_deadline;
};

static uint64_t environment_now(void *user) {
    (void)user;
    return clock_now();
}

static void environment_random(void *user, void *bytes, size_t count) {
    (void)user;
    random_fill(bytes, count);
}

/* An eighth for payloads on their way in, and an eighth for replies on their way out, so that no crowd does. */
static size_t buffers_limit(uint32_t threads) {
    size_t share = (size_t)(machine_memory() / 8 / threads);
    return share > BUFFERS_LEAST ? share : BUFFERS_LEAST;
}

static void environment_count(void *user, struct message_statistics *statistics) {
    struct tally *tally = ((struct reactor *)user)->host.tally;
    statistics->turned_away += atomic_load(&tally->turned_away);
    statistics->aborted += atomic_load(&tally->aborted);
}

/* ---- stopping ---- */

static void close_handle(uv_handle_t *handle, void *user) {
    (void)user;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

/* Ends the loop: it runs out of handles. Connections are closed already. */
static void end(struct reactor *reactor) {
    uv_handle_t *own[] = {(uv_handle_t *)&reactor->async,   (uv_handle_t *)&reactor->wakeup,
                          (uv_handle_t *)&reactor->sweep,   (uv_handle_t *)&reactor->turns,
                          (uv_handle_t *)&reactor->prepare, (uv_handle_t *)&reactor->check};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; ++i) {
        close_handle(own[i], NULL);
    }
}

static void begin_stopping(struct reactor *reactor, uint64_t deadline) {
    struct connection_host *host = &reactor->host;
    struct connection *connection;
    uint64_t now = clock_now();
    /* Half of the time to answer what was received, the other half to get the answers out. */
    uint64_t until = deadline > now ? now + (deadline - now) / 2 : now;
    reactor->stopping = true;
    reactor->stop_deadline = deadline;
    handler_stop(host->handler);
    TAILQ_FOREACH(connection, &host->all, all) {
        connection_drain(connection, until);
    }
}

static void close_connections(struct connection_host *host) {
    while (!TAILQ_EMPTY(&host->all)) {
        connection_close(TAILQ_FIRST(&host->all));
    }
}

/* ---- what the loop calls ---- */

static void on_sweep(uv_timer_t *timer) {
    struct reactor *reactor = timer->data;
    struct connection_host *host = &reactor->host;
    struct connection *connection = TAILQ_FIRST(&host->all);
    uint64_t now = clock_now();
    if (reactor->stopping && now >= reactor->stop_deadline && host->count > 0) {
        log_event(host->log, LOG_WARNING, "drain-cut", "thread=%u connections=%zu", reactor->options.thread,
                  host->count);
        close_connections(host);
        return;
    }
    while (connection != NULL) {
        struct connection *next = TAILQ_NEXT(connection, all);
        connection_sweep(connection, now);
        connection = next;
    }
}

static void on_wakeup(uv_timer_t *timer) {
    struct reactor *reactor = timer->data;
    reactor->armed = UINT64_MAX;
    reactor->due = true;
}

/* What came before a time was over is looked at first: the thread, or all of the process, may have stood still, and a
 * sign of life lies unread. Until then on_prepare finds that time over, and the loop does not sleep. */
static void on_check(uv_check_t *check) {
    struct reactor *reactor = check->data;
    if (reactor->due) {
        reactor->due = false;
        handler_tick(reactor->host.handler);
    }
}

/* One turn for each connection that was ready when the round began; those that want more come in the next round, after
 * the loop has looked at its sockets. */
static void on_turns(uv_idle_t *idle) {
    struct connection_host *host = &((struct reactor *)idle->data)->host;
    struct connection *connection;
    size_t count = 0;
    TAILQ_FOREACH(connection, &host->ready, ready) {
        ++count;
    }
    for (; count > 0 && !TAILQ_EMPTY(&host->ready); --count) {
        connection_turn(TAILQ_FIRST(&host->ready));
    }
}

static void arm_wakeup(struct reactor *reactor) {
    uint64_t when = handler_wakeup(reactor->host.handler);
    if (when == reactor->armed) {
        return;
    }
    reactor->armed = when;
    if (when == UINT64_MAX) {
        uv_timer_stop(&reactor->wakeup);
        return;
    }
    uint64_t now = clock_now();
    uint64_t delay_ms = when > now ? (when - now + 999999) / 1000000 : 0;
    uv_update_time(&reactor->loop);
    uv_timer_start(&reactor->wakeup, on_wakeup, delay_ms, 0);
}

static void arm_sweep(struct reactor *reactor) {
    uint64_t wanted = reactor->stopping ? SWEEP_STOPPING_MS : connection_sweep_interval(&reactor->host);
    if (reactor->host.count == 0) {
        uv_timer_stop(&reactor->sweep);
    } else if (!uv_is_active((uv_handle_t *)&reactor->sweep) || uv_timer_get_repeat(&reactor->sweep) != wanted) {
        uv_timer_start(&reactor->sweep, on_sweep, wanted, wanted);
    }
}

static void on_prepare(uv_prepare_t *prepare) {
    struct reactor *reactor = prepare->data;
    if (reactor->stopping && reactor->host.count == 0) {
        end(reactor);
        return;
    }
    arm_wakeup(reactor);
    arm_sweep(reactor);
    if (TAILQ_EMPTY(&reactor->host.ready)) {
        uv_idle_stop(&reactor->turns);
    } else {
        uv_idle_start(&reactor->turns, on_turns);
    }
}

static void on_async(uv_async_t *async) {
    struct reactor *reactor = async->data;
    pthread_mutex_lock(&reactor->lock);
    struct arrival *arrival = reactor->first;
    struct allow *allow = reactor->allow;
    bool stop = reactor->stop_asked;
    uint64_t deadline = reactor->stop_asked_deadline;
    reactor->first = NULL;
    reactor->last = NULL;
    reactor->allow = NULL;
    pthread_mutex_unlock(&reactor->lock);
    /* First: whoever was let in by a new list must find it here. */
    if (allow != NULL) {
        connection_allow(&reactor->host, allow);
        allow_release(allow);
    }
    while (arrival != NULL) {
        struct arrival *next = arrival->next;
        (void)connection_open(&reactor->host, arrival); /* it has logged a failure */
        arrival_destroy(arrival);
        arrival = next;
    }
    if (stop && !reactor->stopping) {
        begin_stopping(reactor, deadline);
    }
}

/* ---- life ---- */

/* Where sanitizers watch the memory, it is to be their own. */
#if defined(__SANITIZE_ADDRESS__)
#define HUGE_PAGES 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HUGE_PAGES 0
#endif
#endif
#ifndef HUGE_PAGES
#define HUGE_PAGES 1
#endif

/* False when there is no memory. */
static bool pages_init(struct reactor *reactor) {
    if (HUGE_PAGES) {
        reactor->pages = pages_create();
        reactor->environment.memory = reactor->pages != NULL ? pages_memory(reactor->pages) : NULL;
    }
    return !HUGE_PAGES || reactor->pages != NULL;
}

/* False when there is no memory. */
static bool host_init(struct reactor *reactor) {
    struct connection_host *host = &reactor->host;
    size_t block_bytes = (size_t)reactor->options.job->block * sizeof(float);
    uint32_t payload = handler_payload_limit(reactor->options.job);
    host->loop = &reactor->loop;
    host->log = reactor->options.log;
    host->payload_limit = payload;
    host->high_water = 2 * block_bytes > HIGH_WATER_LEAST ? 2 * block_bytes : HIGH_WATER_LEAST;
    /* One more reply may come when the high-water mark is just not reached, and answers to parked requests and errors
     * to pulls that waited too long after it. */
    size_t cap =
        host->high_water + FRAME_PAYLOAD_LIMIT +
        (HANDLER_PARKED_PER_PEER + HANDLER_WAITS_PER_PEER + 2) * (size_t)(LIMIT_MESSAGE_BYTES + FRAME_HEADER_BYTES);
    host->outbox_cap = reactor->options.allow != NULL ? channel_sealed_most(cap, SHORT_RECORDS) : cap;
    host->received_limit = buffers_limit(reactor->options.threads);
    host->pool_crowded = POOL_CROWDED / OUTBOX_CHUNK_BYTES;
    host->stall = PARTIAL_FRAME_SECONDS * SECOND;
    host->unread = UNREAD_SECONDS * SECOND;
    host->congestion = reactor->options.congestion;
    outbox_pool_init(&host->pool, POOL_KEEP, buffers_limit(reactor->options.threads));
    TAILQ_INIT(&host->all);
    TAILQ_INIT(&host->ready);
    host->tally = reactor->options.tally;
    if (reactor->options.allow != NULL) {
        host->encrypted = true;
        host->allow = allow_hold(reactor->options.allow);
        host->sealed = connection_scratch_create();
    }
    return !host->encrypted || host->sealed != NULL;
}

static bool parts_init(struct reactor *reactor) {
    return pages_init(reactor) && host_init(reactor);
}

/* Of parts that came to be in whatever number. */
static void parts_finish(struct reactor *reactor) {
    struct connection_host *host = &reactor->host;
    pages_destroy(reactor->pages);
    allow_release(host->allow);
    free(host->sealed);
    outbox_pool_finish(&host->pool);
}

static int loop_init(struct reactor *reactor) {
    int failure = uv_loop_init(&reactor->loop);
    if (failure != 0) {
        return failure;
    }
    failure = uv_async_init(&reactor->loop, &reactor->async, on_async);
    if (failure != 0) {
        uv_loop_close(&reactor->loop);
        return failure;
    }
    /* These cannot fail. */
    uv_timer_init(&reactor->loop, &reactor->wakeup);
    uv_timer_init(&reactor->loop, &reactor->sweep);
    uv_idle_init(&reactor->loop, &reactor->turns);
    uv_prepare_init(&reactor->loop, &reactor->prepare);
    uv_prepare_start(&reactor->prepare, on_prepare);
    uv_check_init(&reactor->loop, &reactor->check);
    uv_check_start(&reactor->check, on_check);
    reactor->async.data = reactor;
    reactor->wakeup.data = reactor;
    reactor->sweep.data = reactor;
    reactor->turns.data = reactor;
    reactor->prepare.data = reactor;
    reactor->check.data = reactor;
    reactor->armed = UINT64_MAX;
    return 0;
}

struct reactor *reactor_create(const struct reactor_options *options, struct error *error) {
    struct reactor *reactor = calloc(1, sizeof *reactor);
    if (reactor == NULL) {
        goto no_memory;
    }
    reactor->options = *options;
    reactor->environment.now = environment_now;
    reactor->environment.random = environment_random;
    reactor->environment.count = environment_count;
    reactor->environment.user = reactor;
    reactor->environment.state_limit = options->state_limit;
    reactor->environment.lease_ms = options->lease_ms;
    if (parts_init(reactor)) {
        reactor->host.handler =
            handler_create(options->job, options->server, options->thread, options->threads, &reactor->environment);
    }
    if (reactor->host.handler == NULL) {
        goto no_handler;
    }
    int failure = loop_init(reactor);
    if (failure != 0) {
        error_set(error, CANYON_NO_MEMORY, "server thread %u cannot have a loop: %s", options->thread,
                  uv_strerror(failure));
        goto no_loop;
    }
    pthread_mutex_init(&reactor->lock, NULL);
    return reactor;

no_loop:
    handler_destroy(reactor->host.handler);
    parts_finish(reactor);
    free(reactor);
    return NULL;
no_handler:
    parts_finish(reactor);
    free(reactor);
no_memory:
    error_set(error, CANYON_NO_MEMORY, "no memory for the shards of server thread %u", options->thread);
    return NULL;
}

/* A thread that cannot be bound works unbound. */
static void bind_thread(const struct reactor *reactor) {
    struct error error;
    char quoted[ERROR_TEXT_BYTES];
    if (reactor->options.processor != AFFINITY_NONE && affinity_bind(reactor->options.processor, &error) != CANYON_OK) {
        log_event(reactor->options.log, LOG_WARNING, "not-pinned", "thread=%u reason=%s", reactor->options.thread,
                  log_quote(error.text, quoted, sizeof quoted));
    }
}

static void *run(void *user) {
    struct reactor *reactor = user;
    bind_thread(reactor);
    if (reactor->options.spin > 0) {
        spin_run(&reactor->host, reactor->options.spin * MICROSECOND);
    } else {
        uv_run(&reactor->loop, UV_RUN_DEFAULT);
    }
    if (reactor->options.stopped != NULL) {
        reactor->options.stopped(reactor->options.user);
    }
    return NULL;
}

enum canyon_status reactor_start(struct reactor *reactor, struct error *error) {
    int failure = pthread_create(&reactor->thread, NULL, run, reactor);
    if (failure != 0) {
        return error_set(error, CANYON_NO_MEMORY, "server thread %u cannot be started: %s", reactor->options.thread,
                         uv_strerror(uv_translate_sys_error(failure)));
    }
    reactor->started = true;
    return CANYON_OK;
}

void reactor_deliver(struct reactor *reactor, struct arrival *arrival) {
    arrival->next = NULL;
    pthread_mutex_lock(&reactor->lock);
    if (reactor->last != NULL) {
        reactor->last->next = arrival;
    } else {
        reactor->first = arrival;
    }
    reactor->last = arrival;
    pthread_mutex_unlock(&reactor->lock);
    uv_async_send(&reactor->async);
}

void reactor_allow(struct reactor *reactor, struct allow *allow) {
    struct allow *unseen;
    allow_hold(allow);
    pthread_mutex_lock(&reactor->lock);
    unseen = reactor->allow;
    reactor->allow = allow;
    pthread_mutex_unlock(&reactor->lock);
    allow_release(unseen);
    uv_async_send(&reactor->async);
}

void reactor_stop(struct reactor *reactor, uint64_t deadline) {
    pthread_mutex_lock(&reactor->lock);
    reactor->stop_asked = true;
    reactor->stop_asked_deadline = deadline;
    pthread_mutex_unlock(&reactor->lock);
    uv_async_send(&reactor->async);
}

void reactor_join(struct reactor *reactor) {
    if (reactor->started) {
        pthread_join(reactor->thread, NULL);
        reactor->started = false;
    }
}

void reactor_destroy(struct reactor *reactor) {
    if (reactor == NULL) {
        return;
    }
    assert(!reactor->started);
    close_connections(&reactor->host);
    uv_walk(&reactor->loop, close_handle, NULL); /* of a reactor that never ran */
    uv_run(&reactor->loop, UV_RUN_DEFAULT);
    int busy = uv_loop_close(&reactor->loop);
    assert(busy == 0);
    (void)busy;
    while (reactor->first != NULL) {
        struct arrival *next = reactor->first->next;
        arrival_destroy(reactor->first);
        reactor->first = next;
    }
    allow_release(reactor->allow);
    handler_destroy(reactor->host.handler);
    parts_finish(reactor);
    pthread_mutex_destroy(&reactor->lock);
    free(reactor);
}
