#define _GNU_SOURCE /* accept4, gettid */
#include "server/acceptor.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "server/acceptor_strangers.h"
#include "server/seldom.h"

#define PAUSE_MS 100 /* without descriptors, before the next try */
#define ACCEPTS  64  /* in one go */
#define NICENESS 8

struct acceptor {
    struct acceptor_options options;
    uv_loop_t loop;
    uv_async_t stop;
    uv_poll_t listening;
    uv_timer_t pause;
    struct strangers strangers;
    struct seldom exhausted, shed;
    int reserve[ACCEPTOR_RESERVE]; /* open descriptors, of no use but to be closed when one is needed */
    size_t reserved;
    pthread_t thread;
};

/* ---- accepting ---- */

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

static void fill_reserve(struct acceptor *acceptor) {
    while (acceptor->reserved < ACCEPTOR_RESERVE) {
        int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (descriptor < 0) {
            break;
        }
        acceptor->reserve[acceptor->reserved++] = descriptor;
    }
}

static int accept_one(struct acceptor *acceptor, struct sockaddr_storage *name, socklen_t *bytes) {
    *bytes = sizeof *name;
    name->ss_family = AF_UNSPEC;
    return accept4(acceptor->options.descriptor, (struct sockaddr *)name, bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* There is no descriptor for a newcomer, if there is one: the kernel does not say. One of the reserve is given to see.
 * Whoever comes takes the place of a stranger who has been silent, or is sent away: so it learns at least that, and
 * does not wait in the listening queue, where it would keep waking us. False when nobody waits, or the reserve is of no
 * help (errno). */
static bool squeeze_in(struct acceptor *acceptor) {
    struct sockaddr_storage name;
    socklen_t bytes;
    if (acceptor->reserved == 0) {
        return false;
    }
    close(acceptor->reserve[--acceptor->reserved]);
    int descriptor = accept_one(acceptor, &name, &bytes), reason = errno;
    if (descriptor >= 0 && strangers_make_place(&acceptor->strangers)) {
        strangers_meet(&acceptor->strangers, descriptor, (struct sockaddr *)&name, bytes);
    } else if (descriptor >= 0) {
        close(descriptor);
        atomic_fetch_add(&acceptor->options.tally->turned_away, 1);
        seldom_log(&acceptor->shed, acceptor->options.log, LOG_WARNING, "shed", "-", NULL,
                   "no descriptor is left for another connection: raise the limit on open files");
    }
    fill_reserve(acceptor);
    errno = reason;
    return descriptor >= 0;
}

static void on_listening(uv_poll_t *handle, int status, int events) {
    struct acceptor *acceptor = handle->data;
    (void)events;
    if (status < 0) {
        pause_accepting(acceptor, EBADF);
        return;
    }
    for (int i = 0; i < ACCEPTS; ++i) {
        struct sockaddr_storage name;
        socklen_t bytes;
        int descriptor = accept_one(acceptor, &name, &bytes);
        if (descriptor >= 0) {
            strangers_meet(&acceptor->strangers, descriptor, (struct sockaddr *)&name, bytes);
            continue;
        }
        if ((errno == EMFILE || errno == ENFILE) && squeeze_in(acceptor)) {
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
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
    /* Of this thread alone, on Linux. A flood at the door is not to slow down those inside. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS);
    uv_run(&acceptor->loop, UV_RUN_DEFAULT);
    return NULL;
}

/* Accepted sockets inherit it: who sends its first message byte by byte wakes nobody. After as many bytes as a header
 * has, it shows who speaks plaintext; for the rest handshake_ready sees to it. */
static void wait_for_many(const struct acceptor *acceptor) {
    const int bytes = acceptor->options.key != NULL ? FRAME_HEADER_BYTES : 1;
    (void)setsockopt(acceptor->options.descriptor, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
}

static int loop_init(struct acceptor *acceptor, struct allow *allow) {
    strangers_init(&acceptor->strangers, &acceptor->loop, &acceptor->options, allow);
    int failure = uv_async_init(&acceptor->loop, &acceptor->stop, on_stop);
    if (failure != 0) {
        return failure;
    }
    uv_timer_init(&acceptor->loop, &acceptor->pause);
    acceptor->stop.data = acceptor;
    acceptor->pause.data = acceptor;
    failure = uv_poll_init_socket(&acceptor->loop, &acceptor->listening, acceptor->options.descriptor);
    if (failure != 0) {
        return failure;
    }
    acceptor->listening.data = acceptor;
    wait_for_many(acceptor);
    return uv_poll_start(&acceptor->listening, UV_READABLE, on_listening);
}

static void close_handle(uv_handle_t *handle, void *user) {
    (void)user;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

static void destroy(struct acceptor *acceptor) {
    int busy = uv_loop_close(&acceptor->loop);
    assert(busy == 0);
    (void)busy;
    while (acceptor->reserved > 0) {
        close(acceptor->reserve[--acceptor->reserved]);
    }
    strangers_finish(&acceptor->strangers);
    free(acceptor);
}

void acceptor_allow(struct acceptor *acceptor, struct allow *allow) {
    strangers_allow(&acceptor->strangers, allow);
}

struct acceptor *acceptor_start(const struct acceptor_options *options, struct allow *allow, struct error *error) {
    int failure = UV_ENOMEM;
    struct acceptor *acceptor = calloc(1, sizeof *acceptor);
    if (acceptor == NULL) {
        goto no_memory;
    }
    assert((options->key != NULL) == (allow != NULL) && options->strangers <= ACCEPTOR_STRANGERS);
    acceptor->options = *options;
    failure = uv_loop_init(&acceptor->loop);
    if (failure != 0) {
        goto no_loop;
    }
    fill_reserve(acceptor);
    failure = loop_init(acceptor, allow);
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
    destroy(acceptor);
    acceptor = NULL;
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
    destroy(acceptor);
}
