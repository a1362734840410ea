#define _GNU_SOURCE /* accept4, ppoll */
#include "tests/faults/proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/faults/socket.h"

#define SECOND      1000000000u
#define MILLISECOND 1000000u
#define FAREWELL    (5ull * SECOND) /* after a cut with FIN, for both sides to close */

struct link {
    int sides[2]; /* by side; -1 when closed */
    bool connecting;
    bool cut;          /* told both sides; what they still send is thrown away */
    uint64_t farewell; /* until when */
    struct pipe pipes[2];
    struct transcript transcript;
};

struct proxy {
    char to[PROXY_ADDRESS_BYTES], address[PROXY_ADDRESS_BYTES];
    int socket_bytes;
    bool record;
    int reservation, wake;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the following */
    pthread_cond_t turned;
    uint64_t turns;
    int listening; /* -1 while it refuses */
    bool stop;
    struct proxy_faults coming[2];
    uint64_t coming_left[2]; /* connections to come that these are for */
    struct link **links;     /* all there were */
    size_t count, room;
};

/* ---- One connection, on the thread ------------------------------------------------------------------------------ */

static enum proxy_side source_of(enum proxy_way way) {
    return way == PROXY_UP ? PROXY_CLIENT : PROXY_SERVER;
}

static enum proxy_side sink_of(enum proxy_way way) {
    return way == PROXY_UP ? PROXY_SERVER : PROXY_CLIENT;
}

static bool live(const struct link *link) {
    return link->sides[PROXY_CLIENT] >= 0 || link->sides[PROXY_SERVER] >= 0;
}

/* Closes a side; the pipe from it has no more to come, the pipe to it nowhere to go. */
static void close_side(struct link *link, enum proxy_side side, enum proxy_end end) {
    struct pipe *from = &link->pipes[side == PROXY_CLIENT ? PROXY_UP : PROXY_DOWN];
    struct pipe *into = &link->pipes[side == PROXY_CLIENT ? PROXY_DOWN : PROXY_UP];
    if (link->sides[side] < 0)
        return;
    if (end == PROXY_RST)
        socket_reset(link->sides[side]);
    else
        close(link->sides[side]);
    link->sides[side] = -1;
    if (!from->source_ended) {
        from->source_ended = true;
        from->ended_by = end;
    }
    into->sink_broken = true;
}

static void close_both(struct link *link, enum proxy_end end) {
    close_side(link, PROXY_CLIENT, end);
    close_side(link, PROXY_SERVER, end);
    pipe_finish(&link->pipes[PROXY_UP]);
    pipe_finish(&link->pipes[PROXY_DOWN]);
}

/* The end that a cut is. A close with unread input would be a reset, so an end in order is told first. */
static void cut(struct link *link, enum proxy_end end) {
    if (end == PROXY_RST) {
        close_both(link, PROXY_RST);
        return;
    }
    for (int side = 0; side < 2; side++) {
        if (link->sides[side] >= 0)
            shutdown(link->sides[side], SHUT_WR);
    }
    link->cut = true;
    link->farewell = clock_now() + FAREWELL;
}

/* After a cut: throws away what comes until both have closed. */
static void say_farewell(struct link *link) {
    uint8_t waste[4096];
    for (int side = 0; side < 2; side++) {
        ssize_t got = 1;
        while (link->sides[side] >= 0 && got > 0)
            got = recv(link->sides[side], waste, sizeof waste, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            close_side(link, (enum proxy_side)side, PROXY_FIN);
    }
    if (clock_now() >= link->farewell)
        close_both(link, PROXY_RST);
}

/* True when the server's side can be used. */
static bool connected(struct link *link, short events) {
    int failure = 0;
    socklen_t bytes = sizeof failure;
    if (!link->connecting)
        return true;
    if ((events & (POLLOUT | POLLERR | POLLHUP)) == 0)
        return false;
    if (getsockopt(link->sides[PROXY_SERVER], SOL_SOCKET, SO_ERROR, &failure, &bytes) != 0 || failure != 0) {
        close_both(link, PROXY_RST);
        return false;
    }
    link->connecting = false;
    return true;
}

static void pass(struct link *link, enum proxy_way way) {
    struct pipe *pipe = &link->pipes[way];
    int sink = link->sides[sink_of(way)];
    switch (pipe_pass(pipe, sink)) {
    case PIPE_WAITS:
        break;
    case PIPE_PASSED:
        /* Both ends passed: nothing is left to do. */
        if (link->pipes[!way].end_passed || link->pipes[!way].sink_broken)
            close_both(link, PROXY_FIN);
        break;
    case PIPE_BROKEN:
        close_side(link, sink_of(way), PROXY_RST);
        break;
    case PIPE_CUT:
        cut(link, pipe->faults.cut_end);
        break;
    }
}

static void work(struct link *link, const short events[2]) {
    if (link->cut) {
        say_farewell(link);
        return;
    }
    if (!connected(link, events[PROXY_SERVER]))
        return;
    for (int way = 0; way < 2; way++) {
        enum proxy_side source = source_of((enum proxy_way)way);
        bool gone = (events[source] & (POLLERR | POLLHUP)) != 0;
        if (link->sides[source] >= 0 && (gone || (events[source] & POLLIN) != 0))
            pipe_take(&link->pipes[way], link->sides[source], gone);
        if (live(link) && !link->cut)
            pass(link, (enum proxy_way)way);
    }
    /* A side that was reset, or closed while the other way still holds something, is of no use to the other. */
    for (int side = 0; side < 2; side++) {
        if (link->sides[side] >= 0 && (events[side] & POLLERR) != 0)
            close_side(link, (enum proxy_side)side, PROXY_RST);
    }
    bool over = true;
    for (int way = 0; way < 2; way++)
        over = over && (link->pipes[way].end_passed || (link->pipes[way].sink_broken && link->pipes[way].source_ended));
    if (over && live(link))
        close_both(link, PROXY_FIN);
}

/* ---- The thread ------------------------------------------------------------------------------------------------- */

static void set_buffers(const struct proxy *proxy, int descriptor) {
    if (proxy->socket_bytes > 0) {
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &proxy->socket_bytes, sizeof proxy->socket_bytes);
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &proxy->socket_bytes, sizeof proxy->socket_bytes);
    }
}

static void welcome(struct proxy *proxy, int client) {
    struct link *link = calloc(1, sizeof *link);
    int server = link ? socket_connect(proxy->to, true) : -1;
    if (link && proxy->count == proxy->room) {
        size_t room = proxy->room ? 2 * proxy->room : 64;
        struct link **links = realloc(proxy->links, room * sizeof(struct link *));
        proxy->links = links ? links : proxy->links;
        proxy->room = links ? room : proxy->room;
    }
    if (!link || proxy->count == proxy->room) {
        socket_reset(client);
        if (server >= 0)
            close(server);
        free(link);
        return;
    }
    set_buffers(proxy, client);
    link->sides[PROXY_CLIENT] = client;
    link->sides[PROXY_SERVER] = server;
    link->connecting = true;
    for (int way = 0; way < 2; way++) {
        pipe_init(&link->pipes[way], (enum proxy_way)way, proxy->record ? &link->transcript : NULL);
        if (proxy->coming_left[way] > 0) {
            pipe_set(&link->pipes[way], &proxy->coming[way]);
            proxy->coming_left[way]--;
        }
    }
    proxy->links[proxy->count++] = link;
    if (server >= 0)
        set_buffers(proxy, server);
    else
        close_both(link, PROXY_RST);
}

static void accept_all(struct proxy *proxy) {
    int client;
    while (proxy->listening >= 0 && (client = accept4(proxy->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        welcome(proxy, client);
}

static short wanted(const struct link *link, enum proxy_side side) {
    const struct pipe *from = &link->pipes[side == PROXY_CLIENT ? PROXY_UP : PROXY_DOWN];
    const struct pipe *into = &link->pipes[side == PROXY_CLIENT ? PROXY_DOWN : PROXY_UP];
    if (link->cut)
        return POLLIN;
    if (link->connecting)
        return side == PROXY_SERVER ? POLLOUT : 0;
    return (short)((pipe_wants_input(from) ? POLLIN : 0) | (into->blocked ? POLLOUT : 0));
}

/* What one turn of poll watches: the wake-up, the listening socket, then two for each live link. */
struct watch {
    struct pollfd *fds;
    struct link **links;
    size_t count, room; /* of links */
    uint64_t wakeup;
};

static bool watch_room(struct watch *watch, size_t links) {
    if (links <= watch->room)
        return true;
    struct pollfd *fds = realloc(watch->fds, (2 + 2 * links) * sizeof *fds);
    watch->fds = fds ? fds : watch->fds;
    struct link **list = fds ? realloc(watch->links, links * sizeof(struct link *)) : NULL;
    watch->links = list ? list : watch->links;
    watch->room = list ? links : watch->room;
    return list != NULL;
}

static uint64_t link_wakeup(const struct link *link) {
    uint64_t up = link->pipes[PROXY_UP].wakeup, down = link->pipes[PROXY_DOWN].wakeup;
    if (link->cut)
        return link->farewell;
    return link->connecting ? PROXY_NEVER : up < down ? up : down;
}

static void watch_fill(struct watch *watch, struct proxy *proxy) {
    watch->fds[0] = (struct pollfd){.fd = proxy->wake, .events = POLLIN};
    watch->fds[1] = (struct pollfd){.fd = proxy->listening, .events = POLLIN};
    watch->count = 0;
    watch->wakeup = PROXY_NEVER;
    for (size_t i = 0; i < proxy->count; i++) {
        struct link *link = proxy->links[i];
        uint64_t wakeup = link_wakeup(link);
        if (!live(link))
            continue;
        for (int side = 0; side < 2; side++) {
            struct pipe *from = &link->pipes[side == PROXY_CLIENT ? PROXY_UP : PROXY_DOWN];
            short events = wanted(link, (enum proxy_side)side);
            /* A side that has ended and that nothing is to be written to would be reported for ever. */
            bool quiet = events == 0 && (link->connecting || from->source_ended);
            watch->fds[2 + 2 * watch->count + (size_t)side] =
                (struct pollfd){.fd = quiet ? -1 : link->sides[side], .events = events};
        }
        watch->wakeup = wakeup < watch->wakeup ? wakeup : watch->wakeup;
        watch->links[watch->count++] = link;
    }
}

static void rest(struct watch *watch) {
    uint64_t now = clock_now();
    uint64_t left = watch->wakeup > now ? watch->wakeup - now : 0;
    struct timespec time = {.tv_sec = (time_t)(left / SECOND), .tv_nsec = (long)(left % SECOND)};
    if (ppoll(watch->fds, 2 + 2 * watch->count, watch->wakeup == PROXY_NEVER ? NULL : &time, NULL) < 0) {
        for (size_t i = 0; i < 2 + 2 * watch->count; i++)
            watch->fds[i].revents = 0;
    }
}

static void *run(void *user) {
    struct proxy *proxy = user;
    struct watch watch = {0};
    pthread_mutex_lock(&proxy->lock);
    while (!proxy->stop && watch_room(&watch, proxy->count + 1)) {
        uint64_t woken = 0;
        watch_fill(&watch, proxy);
        pthread_mutex_unlock(&proxy->lock);
        rest(&watch);
        pthread_mutex_lock(&proxy->lock);
        if ((watch.fds[0].revents & POLLIN) != 0 && read(proxy->wake, &woken, sizeof woken) < 0)
            woken = 0;
        for (size_t i = 0; i < watch.count; i++)
            work(watch.links[i], (short[2]){watch.fds[2 + 2 * i].revents, watch.fds[3 + 2 * i].revents});
        if ((watch.fds[1].revents & POLLIN) != 0)
            accept_all(proxy);
        proxy->turns++;
        pthread_cond_broadcast(&proxy->turned);
    }
    for (size_t i = 0; i < proxy->count; i++)
        close_both(proxy->links[i], PROXY_RST);
    pthread_mutex_unlock(&proxy->lock);
    free(watch.fds);
    free(watch.links);
    return NULL;
}

static void nudge(struct proxy *proxy) {
    uint64_t one = 1;
    if (write(proxy->wake, &one, sizeof one) < 0)
        return; /* it is awake */
}

/* Waits, with the lock, for two turns: the first may have begun before. */
static void turn_twice(struct proxy *proxy) {
    uint64_t turns = proxy->turns + 2;
    while (proxy->turns < turns && !proxy->stop) {
        nudge(proxy);
        pthread_cond_wait(&proxy->turned, &proxy->lock);
    }
}

/* ---- Life ------------------------------------------------------------------------------------------------------- */

struct proxy *proxy_start(const struct proxy_options *options, char text[PROXY_TEXT_BYTES]) {
    struct proxy *proxy = calloc(1, sizeof *proxy);
    const char *listen_text = options->listen ? options->listen : "127.0.0.1:0";
    int failure = ENOMEM;
    if (!proxy)
        goto no_memory;
    proxy->record = options->record;
    proxy->socket_bytes = options->socket_bytes;
    snprintf(proxy->to, sizeof proxy->to, "%s", options->to);
    proxy_faults_init(&proxy->coming[PROXY_UP]);
    proxy_faults_init(&proxy->coming[PROXY_DOWN]);
    proxy->coming_left[PROXY_UP] = proxy->coming_left[PROXY_DOWN] = UINT64_MAX;
    proxy->reservation = socket_listen(listen_text, true, proxy->address, sizeof proxy->address);
    failure = errno;
    if (proxy->reservation < 0)
        goto no_reservation;
    proxy->listening = socket_listen(proxy->address, false, proxy->address, sizeof proxy->address);
    failure = errno;
    if (proxy->listening < 0)
        goto no_listening;
    proxy->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    failure = errno;
    if (proxy->wake < 0)
        goto no_wake;
    pthread_mutex_init(&proxy->lock, NULL);
    pthread_cond_init(&proxy->turned, NULL);
    failure = pthread_create(&proxy->thread, NULL, run, proxy);
    if (failure != 0)
        goto no_thread;
    return proxy;

no_thread:
    pthread_cond_destroy(&proxy->turned);
    pthread_mutex_destroy(&proxy->lock);
    close(proxy->wake);
no_wake:
    close(proxy->listening);
no_listening:
    close(proxy->reservation);
no_reservation:
    free(proxy);
no_memory:
    snprintf(text, PROXY_TEXT_BYTES, "a proxy cannot be started on %s: %s", listen_text, strerror(failure));
    return NULL;
}

void proxy_stop(struct proxy *proxy) {
    if (!proxy)
        return;
    pthread_mutex_lock(&proxy->lock);
    proxy->stop = true;
    nudge(proxy);
    pthread_mutex_unlock(&proxy->lock);
    pthread_join(proxy->thread, NULL);
    for (size_t i = 0; i < proxy->count; i++) {
        transcript_finish(&proxy->links[i]->transcript);
        free(proxy->links[i]);
    }
    free(proxy->links);
    close(proxy->wake);
    close(proxy->reservation);
    if (proxy->listening >= 0)
        close(proxy->listening);
    pthread_cond_destroy(&proxy->turned);
    pthread_mutex_destroy(&proxy->lock);
    free(proxy);
}

const char *proxy_address(const struct proxy *proxy) {
    return proxy->address;
}

/* ---- Changing what it does --------------------------------------------------------------------------------------- */

static bool meant(int which, size_t number) {
    return which == PROXY_EVERY || which == PROXY_LIVE || (which >= 0 && (size_t)which == number);
}

void proxy_set(struct proxy *proxy, int which, enum proxy_way way, const struct proxy_faults *faults) {
    pthread_mutex_lock(&proxy->lock);
    if (which == PROXY_EVERY || which == PROXY_COMING) {
        proxy->coming[way] = *faults;
        proxy->coming_left[way] = UINT64_MAX;
    }
    for (size_t i = 0; i < proxy->count; i++) {
        if (meant(which, i) && live(proxy->links[i]))
            pipe_set(&proxy->links[i]->pipes[way], faults);
    }
    /* A link that is done with input must be looked at for what it may now pass. */
    for (size_t i = 0; i < proxy->count; i++) {
        if (meant(which, i))
            proxy->links[i]->pipes[way].wakeup = 0;
    }
    nudge(proxy);
    pthread_mutex_unlock(&proxy->lock);
}

void proxy_set_next(struct proxy *proxy, unsigned count, enum proxy_way way, const struct proxy_faults *faults) {
    pthread_mutex_lock(&proxy->lock);
    proxy->coming[way] = *faults;
    proxy->coming_left[way] = count;
    pthread_mutex_unlock(&proxy->lock);
}

void proxy_clear(struct proxy *proxy) {
    struct proxy_faults none;
    proxy_faults_init(&none);
    proxy_set(proxy, PROXY_EVERY, PROXY_UP, &none);
    proxy_set(proxy, PROXY_EVERY, PROXY_DOWN, &none);
}

void proxy_aim(struct proxy *proxy, const char *to) {
    pthread_mutex_lock(&proxy->lock);
    snprintf(proxy->to, sizeof proxy->to, "%s", to);
    pthread_mutex_unlock(&proxy->lock);
}

void proxy_refuse(struct proxy *proxy, bool refuse) {
    char bound[PROXY_ADDRESS_BYTES];
    pthread_mutex_lock(&proxy->lock);
    if (refuse && proxy->listening >= 0) {
        close(proxy->listening);
        proxy->listening = -1;
    } else if (!refuse && proxy->listening < 0) {
        proxy->listening = socket_listen(proxy->address, false, bound, sizeof bound);
    }
    /* The thread's poll may hold the old socket open until it turns. */
    turn_twice(proxy);
    pthread_mutex_unlock(&proxy->lock);
}

void proxy_end(struct proxy *proxy, int which, enum proxy_side side, enum proxy_end end) {
    pthread_mutex_lock(&proxy->lock);
    for (size_t i = 0; i < proxy->count; i++) {
        struct link *link = proxy->links[i];
        if (!meant(which, i) || link->sides[side] < 0)
            continue;
        if (link->sides[!side] < 0) {
            close_both(link, end);
            continue;
        }
        /* What has come is kept. */
        pipe_take(&link->pipes[side == PROXY_CLIENT ? PROXY_UP : PROXY_DOWN], link->sides[side], true);
        close_side(link, side, end);
        link->connecting = link->connecting && side != PROXY_SERVER; /* nothing is waited for then */
        link->pipes[PROXY_UP].wakeup = 0;
    }
    turn_twice(proxy);
    pthread_mutex_unlock(&proxy->lock);
}

/* ---- Looking ---------------------------------------------------------------------------------------------------- */

unsigned proxy_count(struct proxy *proxy) {
    pthread_mutex_lock(&proxy->lock);
    unsigned count = (unsigned)proxy->count;
    pthread_mutex_unlock(&proxy->lock);
    return count;
}

unsigned proxy_live(struct proxy *proxy) {
    unsigned count = 0;
    pthread_mutex_lock(&proxy->lock);
    for (size_t i = 0; i < proxy->count; i++)
        count += live(proxy->links[i]);
    pthread_mutex_unlock(&proxy->lock);
    return count;
}

bool proxy_look(struct proxy *proxy, int number, struct proxy_view *view) {
    pthread_mutex_lock(&proxy->lock);
    bool there = number >= 0 && (size_t)number < proxy->count;
    if (there) {
        const struct link *link = proxy->links[number];
        *view = (struct proxy_view){.live = live(link)};
        for (int i = 0; i < 2; i++) {
            view->open[i] = link->sides[i] >= 0;
            view->came[i] = link->pipes[i].came;
            view->passed[i] = link->pipes[i].passed;
            view->swallowed[i] = link->pipes[i].swallowed;
            view->flipped[i] = link->pipes[i].flipped;
            view->queued[i] = link->pipes[i].queued;
        }
    }
    pthread_mutex_unlock(&proxy->lock);
    return there;
}

/* Waits with the lock; false when the time is over. */
static bool wait_turn(struct proxy *proxy, uint64_t end) {
    uint64_t now = clock_now();
    if (now >= end)
        return false;
    pthread_mutex_unlock(&proxy->lock);
    struct timespec rest_time = {.tv_nsec = MILLISECOND};
    nanosleep(&rest_time, NULL);
    pthread_mutex_lock(&proxy->lock);
    return true;
}

bool proxy_await(struct proxy *proxy, int number, enum proxy_way way, uint64_t bytes, uint32_t wait_ms) {
    uint64_t end = clock_now() + (uint64_t)wait_ms * MILLISECOND;
    bool good = false;
    pthread_mutex_lock(&proxy->lock);
    do {
        good = number >= 0 && (size_t)number < proxy->count && proxy->links[number]->pipes[way].came >= bytes;
    } while (!good && wait_turn(proxy, end));
    pthread_mutex_unlock(&proxy->lock);
    return good;
}

bool proxy_await_end(struct proxy *proxy, uint32_t wait_ms) {
    uint64_t end = clock_now() + (uint64_t)wait_ms * MILLISECOND;
    bool good = false;
    pthread_mutex_lock(&proxy->lock);
    do {
        good = true;
        for (size_t i = 0; i < proxy->count; i++)
            good = good && !live(proxy->links[i]);
    } while (!good && wait_turn(proxy, end));
    pthread_mutex_unlock(&proxy->lock);
    return good;
}

bool proxy_transcript(struct proxy *proxy, int number, struct transcript *transcript) {
    pthread_mutex_lock(&proxy->lock);
    bool good = proxy->record && number >= 0 && (size_t)number < proxy->count &&
                transcript_copy(transcript, &proxy->links[number]->transcript);
    pthread_mutex_unlock(&proxy->lock);
    return good;
}
