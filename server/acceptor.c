#define _GNU_SOURCE /* accept4 */
#include "server/acceptor.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "common/clock.h"
#include "server/seldom.h"

#define SECOND        1000000000ull
#define PAUSE_MS      100 /* without descriptors, before the next try */
#define ACCEPTS       64  /* in one go */
#define DISCARD_READS 16

enum stage {
    STAGE_HEADER,   /* of the HELLO */
    STAGE_MESSAGE,  /* of the HELLO */
    STAGE_WELCOME,  /* our answer goes out, then it is delivered */
    STAGE_REFUSAL,  /* our answer goes out */
    STAGE_FAREWELL, /* our end is closed; what comes is thrown away until the stranger closes, or its time is over */
    STAGE_GONE
};

struct stranger {
    struct acceptor *acceptor;
    uv_poll_t poll;
    int descriptor;
    enum stage stage;
    uint64_t deadline;
    uint8_t bytes[FRAME_HEADER_BYTES];
    size_t have; /* bytes of the current stage received */
    struct frame_header header;
    uint8_t *message; /* owned; header.message_bytes */
    struct message_hello hello;
    struct greeting_answer answer; /* owned */
    size_t sent;
    char from[ARRIVAL_FROM_BYTES];
    TAILQ_ENTRY(stranger) entry;
};

struct acceptor {
    struct acceptor_options options;
    uv_loop_t loop;
    uv_async_t stop;
    uv_poll_t listening;
    uv_timer_t pause, deadlines;
    TAILQ_HEAD(, stranger) strangers; /* in the order they came, which is that of their deadlines */
    size_t count;
    struct seldom refused, crowded, exhausted;
    pthread_t thread;
};

static void on_stranger(uv_poll_t *handle, int status, int events);

static void log_seldom(struct acceptor *acceptor, struct seldom *seldom, const char *event, const char *from,
                       const char *reason) {
    seldom_log(seldom, acceptor->options.log, LOG_WARNING, event, from, NULL, reason);
}

/* ---- one stranger ---- */

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}

/* It goes; its descriptor is closed unless it was delivered (-1). */
static void dismiss(struct stranger *stranger) {
    struct acceptor *acceptor = stranger->acceptor;
    assert(stranger->stage != STAGE_GONE);
    stranger->stage = STAGE_GONE;
    TAILQ_REMOVE(&acceptor->strangers, stranger, entry);
    --acceptor->count;
    free(stranger->message);
    greeting_answer_finish(&stranger->answer);
    uv_close((uv_handle_t *)&stranger->poll, on_closed);
    if (stranger->descriptor >= 0) {
        close(stranger->descriptor);
    }
}

static void deliver(struct stranger *stranger) {
    struct acceptor *acceptor = stranger->acceptor;
    struct arrival *arrival = calloc(1, sizeof *arrival);
    if (arrival != NULL) {
        arrival->descriptor = stranger->descriptor;
        arrival->thread = stranger->hello.thread;
        memcpy(arrival->session, stranger->hello.session, SESSION_BYTES);
        memcpy(arrival->name, stranger->hello.name, sizeof arrival->name);
        memcpy(arrival->from, stranger->from, sizeof arrival->from);
        stranger->descriptor = -1;
    }
    /* The poll handle must leave this loop before another thread watches the descriptor. */
    dismiss(stranger);
    if (arrival != NULL) {
        acceptor->options.deliver(acceptor->options.user, arrival);
    }
}

/* Sends what is left of the answer; a WELCOME that is out makes a client of it. */
static void answer(struct stranger *stranger) {
    const struct greeting_answer *whole = &stranger->answer;
    ssize_t sent = send(stranger->descriptor, whole->bytes + stranger->sent, whole->count - stranger->sent,
                        MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        dismiss(stranger);
        return;
    }
    stranger->sent += sent > 0 ? (size_t)sent : 0;
    if (stranger->sent < whole->count) {
        if (uv_poll_start(&stranger->poll, UV_WRITABLE, on_stranger) != 0) {
            dismiss(stranger);
        }
    } else if (stranger->stage == STAGE_WELCOME) {
        deliver(stranger);
    } else if (shutdown(stranger->descriptor, SHUT_WR) != 0 ||
               uv_poll_start(&stranger->poll, UV_READABLE, on_stranger) != 0) {
        dismiss(stranger);
    } else {
        /* Closing with unread input would make the kernel destroy the answer on its way. */
        stranger->stage = STAGE_FAREWELL;
    }
}

/* Acts on a verdict that comes with an answer. */
static void conclude(struct stranger *stranger, enum greeting_verdict verdict, const struct error *error) {
    stranger->stage = verdict == GREETING_GOOD ? STAGE_WELCOME : STAGE_REFUSAL;
    if (verdict != GREETING_GOOD) {
        log_seldom(stranger->acceptor, &stranger->acceptor->refused, "hello-refused", stranger->from, error->text);
    }
    if (stranger->answer.bytes == NULL) {
        dismiss(stranger); /* no memory for an answer */
    } else {
        answer(stranger);
    }
}

/* Looks at what came; true when more should be read at once. */
static bool judge(struct stranger *stranger) {
    enum greeting_verdict verdict = GREETING_GOOD;
    struct error error = {.status = CANYON_OK};
    if (stranger->stage == STAGE_HEADER) {
        verdict = greeting_header(stranger->bytes, stranger->have, &stranger->header, &stranger->answer, &error);
        if (verdict == GREETING_NEEDS_MORE) {
            return true;
        }
        if (verdict == GREETING_REFUSED) {
            conclude(stranger, verdict, &error);
            return false;
        }
        stranger->stage = STAGE_MESSAGE;
        stranger->have = 0;
        stranger->message = malloc(stranger->header.message_bytes + 1);
        if (stranger->message == NULL) {
            dismiss(stranger);
            return false;
        }
    }
    if (stranger->have < stranger->header.message_bytes) {
        return true;
    }
    verdict = greeting_message(stranger->acceptor->options.greeting, &stranger->header, stranger->message,
                               &stranger->hello, &stranger->answer, &error);
    conclude(stranger, verdict, &error);
    return false;
}

/* Receives exactly what the stage lacks, never a byte of what follows the HELLO. */
static void listen_to(struct stranger *stranger) {
    bool more = true;
    while (more) {
        bool header = stranger->stage == STAGE_HEADER;
        uint8_t *at = header ? stranger->bytes : stranger->message;
        size_t whole = header ? sizeof stranger->bytes : stranger->header.message_bytes;
        ssize_t got = recv(stranger->descriptor, at + stranger->have, whole - stranger->have, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
            return;
        }
        if (got <= 0) {
            dismiss(stranger);
            return;
        }
        stranger->have += (size_t)got;
        more = judge(stranger);
    }
}

static void discard(struct stranger *stranger) {
    uint8_t waste[1024];
    for (int i = 0; i < DISCARD_READS; ++i) {
        ssize_t got = recv(stranger->descriptor, waste, sizeof waste, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
            dismiss(stranger);
            return;
        }
        if (got < 0) {
            return;
        }
    }
}

static void on_stranger(uv_poll_t *handle, int status, int events) {
    struct stranger *stranger = handle->data;
    (void)events;
    if (status < 0) {
        dismiss(stranger);
        return;
    }
    switch (stranger->stage) {
    case STAGE_HEADER:
    case STAGE_MESSAGE:
        listen_to(stranger);
        break;
    case STAGE_WELCOME:
    case STAGE_REFUSAL:
        answer(stranger);
        break;
    case STAGE_FAREWELL:
        discard(stranger);
        break;
    case STAGE_GONE:
        break;
    }
}

/* ---- accepting ---- */

static void on_deadlines(uv_timer_t *timer) {
    struct acceptor *acceptor = timer->data;
    uint64_t now = clock_now();
    struct stranger *first;
    while ((first = TAILQ_FIRST(&acceptor->strangers)) != NULL && first->deadline <= now) {
        if (first->stage != STAGE_FAREWELL) {
            log_seldom(acceptor, &acceptor->refused, "hello-refused", first->from, "it took too long");
        }
        dismiss(first);
    }
    if (first != NULL) {
        uv_timer_start(timer, on_deadlines, (first->deadline - now) / 1000000 + 1, 0);
    }
}

static void name_peer(const struct sockaddr_storage *name, socklen_t bytes, char from[ARRIVAL_FROM_BYTES]) {
    char host[48], port[8];
    if (getnameinfo((const struct sockaddr *)name, bytes, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        snprintf(from, ARRIVAL_FROM_BYTES, "unknown");
    } else {
        snprintf(from, ARRIVAL_FROM_BYTES, name->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    }
}

/* Takes over the descriptor. */
static void meet(struct acceptor *acceptor, int descriptor, const char *from) {
    struct stranger *stranger = NULL;
    if (acceptor->count >= ACCEPTOR_STRANGERS) {
        log_seldom(acceptor, &acceptor->crowded, "crowded", from, "too many connections have not said hello");
        close(descriptor);
        return;
    }
    stranger = calloc(1, sizeof *stranger);
    if (stranger == NULL || uv_poll_init_socket(&acceptor->loop, &stranger->poll, descriptor) != 0) {
        free(stranger);
        close(descriptor);
        return;
    }
    stranger->poll.data = stranger;
    stranger->acceptor = acceptor;
    stranger->descriptor = descriptor;
    stranger->deadline = clock_now() + ACCEPTOR_HELLO_SECONDS * SECOND;
    memcpy(stranger->from, from, sizeof stranger->from);
    TAILQ_INSERT_TAIL(&acceptor->strangers, stranger, entry);
    if (++acceptor->count == 1 || !uv_is_active((uv_handle_t *)&acceptor->deadlines)) {
        uv_update_time(&acceptor->loop);
        uv_timer_start(&acceptor->deadlines, on_deadlines, ACCEPTOR_HELLO_SECONDS * 1000 + 1, 0);
    }
    if (uv_poll_start(&stranger->poll, UV_READABLE, on_stranger) != 0) {
        dismiss(stranger);
    }
}

static void on_listening(uv_poll_t *handle, int status, int events);

static void on_pause_over(uv_timer_t *timer) {
    struct acceptor *acceptor = timer->data;
    uv_poll_start(&acceptor->listening, UV_READABLE, on_listening);
}

/* Descriptors or memory ran out: trying again at once would only burn the processor. */
static void pause_accepting(struct acceptor *acceptor, int reason) {
    log_seldom(acceptor, &acceptor->exhausted, "accept-paused", "-", strerror(reason));
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
            meet(acceptor, descriptor, from);
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
    while (!TAILQ_EMPTY(&acceptor->strangers)) {
        dismiss(TAILQ_FIRST(&acceptor->strangers));
    }
    uv_close((uv_handle_t *)&acceptor->listening, NULL);
    uv_close((uv_handle_t *)&acceptor->pause, NULL);
    uv_close((uv_handle_t *)&acceptor->deadlines, NULL);
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
    uv_timer_init(&acceptor->loop, &acceptor->deadlines);
    acceptor->stop.data = acceptor;
    acceptor->pause.data = acceptor;
    acceptor->deadlines.data = acceptor;
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
    TAILQ_INIT(&acceptor->strangers);
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
