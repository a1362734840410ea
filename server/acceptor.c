#define _GNU_SOURCE /* accept4 */
#include "server/acceptor.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "server/acceptor_strangers.h"
#include "server/seldom.h"

#define PAUSE_MS 100 /* without descriptors, before the next try */
#define ACCEPTS  64  /* in one go */

struct acceptor {
    struct acceptor_options options;
    uv_loop_t loop;
    uv_async_t stop;
    uv_poll_t listening;
    uv_timer_t pause;
    struct strangers strangers;
    struct seldom exhausted;
    pthread_t thread;
};

/* ---- accepting ---- */

static void name_peer(const struct sockaddr_storage *name, socklen_t bytes, char from[ARRIVAL_FROM_BYTES]) {
    char host[48], port[8];
    if (getnameinfo((const struct sockaddr *)name, bytes, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        snprintf(from, ARRIVAL_FROM_BYTES, "unknown");
    } else {
        snprintf(from, ARRIVAL_FROM_BYTES, name->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    }
}

static void on_listening(uv_poll_t *handle, int status, int events);

static void on_pause_over(uv_timer_t *timer) {
    struct acceptor *acceptor = timer->data;
    uv_poll_start(&acceptor->listening, UV_READABLE, on_listening);
}

/* Descriptors or memory ran out: trying again at once would only burn the processor. */
static void pause_accepting(struct acceptor *acceptor, int reason) {
    seldom_log(&acceptor->exhausted, acceptor->options.log, LOG_WARNING, "accept-paused", "-", NULL, strerror(reason));
    uv_poll_stop(&acceptor->listening);
    uv_update_time(&acceptor->loop);
    uv_timer_start(&acceptor->pause, on_pause_over, PAUSE_MS, 0);
}

static void on_listening(uv_poll_t *handle, int status, int events) {
    struct acceptor *acceptor = handle->data;
    (void)events;
    if (status < 0) {
        pause_accepting(acceptor, EBADF);
        return;
    }
    for (int i = 0; i < ACCEPTS; ++i) {
        struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
        socklen_t bytes = sizeof name;
        char from[ARRIVAL_FROM_BYTES];
        int descriptor =
            accept4(acceptor->options.descriptor, (struct sockaddr *)&name, &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor >= 0) {
            name_peer(&name, bytes, from);
            strangers_meet(&acceptor->strangers, descriptor, from);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(acceptor, errno);
            break;
        }
        /* Anything else concerns the one connection, which is gone already. */
    }
}

/* ---- life ---- */

static void on_stop(uv_async_t *async) {
    struct acceptor *acceptor = async->data;
    strangers_stop(&acceptor->strangers);
    uv_close((uv_handle_t *)&acceptor->listening, NULL);
    uv_close((uv_handle_t *)&acceptor->pause, NULL);
    uv_close((uv_handle_t *)&acceptor->stop, NULL);
}

static void *run(void *user) {
    struct acceptor *acceptor = user;
    uv_run(&acceptor->loop, UV_RUN_DEFAULT);
    return NULL;
}

static int loop_init(struct acceptor *acceptor) {
    int failure = uv_async_init(&acceptor->loop, &acceptor->stop, on_stop);
    if (failure != 0) {
        return failure;
    }
    uv_timer_init(&acceptor->loop, &acceptor->pause);
    strangers_init(&acceptor->strangers, &acceptor->loop, &acceptor->options);
    acceptor->stop.data = acceptor;
    acceptor->pause.data = acceptor;
    failure = uv_poll_init_socket(&acceptor->loop, &acceptor->listening, acceptor->options.descriptor);
    if (failure != 0) {
        return failure;
    }
    acceptor->listening.data = acceptor;
    return uv_poll_start(&acceptor->listening, UV_READABLE, on_listening);
}

static void close_handle(uv_handle_t *handle, void *user) {
    (void)user;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

struct acceptor *acceptor_start(const struct acceptor_options *options, struct error *error) {
    int failure = UV_ENOMEM;
    struct acceptor *acceptor = calloc(1, sizeof *acceptor);
    if (acceptor == NULL) {
        goto no_memory;
    }
    acceptor->options = *options;
    failure = uv_loop_init(&acceptor->loop);
    if (failure != 0) {
        goto no_loop;
    }
    failure = loop_init(acceptor);
    if (failure == 0) {
        failure = uv_translate_sys_error(pthread_create(&acceptor->thread, NULL, run, acceptor));
    }
    if (failure != 0) {
        goto no_thread;
    }
    return acceptor;

no_thread:
    uv_walk(&acceptor->loop, close_handle, NULL);
    uv_run(&acceptor->loop, UV_RUN_DEFAULT);
    uv_loop_close(&acceptor->loop);
no_loop:
    free(acceptor);
no_memory:
    error_set(error, CANYON_NO_MEMORY, "the accepting thread cannot be started: %s", uv_strerror(failure));
    return NULL;
}

void acceptor_stop(struct acceptor *acceptor) {
    if (acceptor == NULL) {
        return;
    }
    uv_async_send(&acceptor->stop);
    pthread_join(acceptor->thread, NULL);
    int busy = uv_loop_close(&acceptor->loop);
    assert(busy == 0);
    (void)busy;
    free(acceptor);
}
