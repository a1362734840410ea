#include "server/acceptor_strangers.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"

#define SECOND        1000000000ull
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
    struct strangers *strangers;
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

static void on_stranger(uv_poll_t *handle, int status, int events);

static void log_seldom(struct strangers *strangers, struct seldom *seldom, const char *event, const char *from,
                       const char *reason) {
    seldom_log(seldom, strangers->options->log, LOG_WARNING, event, from, NULL, reason);
}

/* ---- one stranger ---- */

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}

/* It goes; its descriptor is closed unless it was delivered (-1). */
static void dismiss(struct stranger *stranger) {
    struct strangers *strangers = stranger->strangers;
    assert(stranger->stage != STAGE_GONE);
    stranger->stage = STAGE_GONE;
    TAILQ_REMOVE(&strangers->all, stranger, entry);
    --strangers->count;
    free(stranger->message);
    greeting_answer_finish(&stranger->answer);
    uv_close((uv_handle_t *)&stranger->poll, on_closed);
    if (stranger->descriptor >= 0) {
        close(stranger->descriptor);
    }
}

static void deliver(struct stranger *stranger) {
    struct strangers *strangers = stranger->strangers;
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
        strangers->options->deliver(strangers->options->user, arrival);
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
        log_seldom(stranger->strangers, &stranger->strangers->refused, "hello-refused", stranger->from, error->text);
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
    verdict = greeting_message(stranger->strangers->options->greeting, &stranger->header, stranger->message,
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

/* ---- all of them ---- */

static void on_deadlines(uv_timer_t *timer) {
    struct strangers *strangers = timer->data;
    uint64_t now = clock_now();
    struct stranger *first;
    while ((first = TAILQ_FIRST(&strangers->all)) != NULL && first->deadline <= now) {
        if (first->stage != STAGE_FAREWELL) {
            log_seldom(strangers, &strangers->refused, "hello-refused", first->from, "it took too long");
        }
        dismiss(first);
    }
    if (first != NULL) {
        uv_timer_start(timer, on_deadlines, (first->deadline - now) / 1000000 + 1, 0);
    }
}

void strangers_meet(struct strangers *strangers, int descriptor, const char *from) {
    struct stranger *stranger = NULL;
    if (strangers->count >= ACCEPTOR_STRANGERS) {
        log_seldom(strangers, &strangers->crowded, "crowded", from, "too many connections have not said hello");
        close(descriptor);
        return;
    }
    stranger = calloc(1, sizeof *stranger);
    if (stranger == NULL || uv_poll_init_socket(strangers->loop, &stranger->poll, descriptor) != 0) {
        free(stranger);
        close(descriptor);
        return;
    }
    stranger->poll.data = stranger;
    stranger->strangers = strangers;
    stranger->descriptor = descriptor;
    stranger->deadline = clock_now() + ACCEPTOR_HELLO_SECONDS * SECOND;
    memcpy(stranger->from, from, sizeof stranger->from);
    TAILQ_INSERT_TAIL(&strangers->all, stranger, entry);
    if (++strangers->count == 1 || !uv_is_active((uv_handle_t *)&strangers->deadlines)) {
        uv_update_time(strangers->loop);
        uv_timer_start(&strangers->deadlines, on_deadlines, ACCEPTOR_HELLO_SECONDS * 1000 + 1, 0);
    }
    if (uv_poll_start(&stranger->poll, UV_READABLE, on_stranger) != 0) {
        dismiss(stranger);
    }
}

void strangers_init(struct strangers *strangers, uv_loop_t *loop, const struct acceptor_options *options) {
    memset(strangers, 0, sizeof *strangers);
    strangers->loop = loop;
    strangers->options = options;
    TAILQ_INIT(&strangers->all);
    uv_timer_init(loop, &strangers->deadlines);
    strangers->deadlines.data = strangers;
}

void strangers_stop(struct strangers *strangers) {
    while (!TAILQ_EMPTY(&strangers->all)) {
        dismiss(TAILQ_FIRST(&strangers->all));
    }
    uv_close((uv_handle_t *)&strangers->deadlines, NULL);
}
