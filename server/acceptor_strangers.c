#include "server/acceptor_strangers.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/secret.h"

#define SECOND        1000000000ull
#define DISCARD_READS 16
#define LATE          256 /* let go in one go */
#define TURNS         8   /* computed before the loop looks at its sockets and timers again: some 2 milliseconds */

static void on_stranger(uv_poll_t *handle, int status, int events);
static void on_turns(uv_idle_t *idle);

static bool would_block(int number) {
    return number == EAGAIN || number == EWOULDBLOCK || number == EINTR;
}

/* ---- names, ranks and the end of one ---- */

char *stranger_from(const struct stranger *stranger, char text[ARRIVAL_FROM_BYTES]) {
    char host[48], port[8];
    bool six = stranger->address.any.sa_family == AF_INET6;
    socklen_t bytes = six ? sizeof stranger->address.six : sizeof stranger->address.four;
    if (getnameinfo(&stranger->address.any, bytes, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        snprintf(text, ARRIVAL_FROM_BYTES, "unknown");
    } else {
        snprintf(text, ARRIVAL_FROM_BYTES, six ? "[%s]:%s" : "%s:%s", host, port);
    }
    return text;
}

static void set_rank(struct stranger *stranger, enum stranger_rank rank) {
    struct strangers *strangers = stranger->strangers;
    TAILQ_REMOVE(&strangers->ranks[stranger->rank], stranger, peers);
    strangers->knocking -= stranger->rank == RANK_KNOCKING;
    stranger->rank = (uint8_t)rank;
    strangers->knocking += rank == RANK_KNOCKING;
    TAILQ_INSERT_TAIL(&strangers->ranks[rank], stranger, peers);
}

static void end_introduction(struct stranger *stranger) {
    struct introduction *introduction = stranger->introduction;
    if (introduction != NULL) {
        if (stranger->stage == STAGE_TURN) {
            TAILQ_REMOVE(&stranger->strangers->waiting, introduction, turn);
        }
        channel_handshake_destroy(introduction->handshake);
        free(introduction);
        stranger->introduction = NULL;
    }
}

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}

/* Its descriptor was delivered (-1), or is closed. */
static void leave(struct stranger *stranger) {
    struct strangers *strangers = stranger->strangers;
    assert(stranger->stage != STAGE_GONE);
    end_introduction(stranger);
    stranger->stage = STAGE_GONE;
    TAILQ_REMOVE(&strangers->all, stranger, all);
    TAILQ_REMOVE(&strangers->ranks[stranger->rank], stranger, peers);
    strangers->knocking -= stranger->rank == RANK_KNOCKING;
    --strangers->count;
    free(stranger->answer);
    arrival_destroy(stranger->arrival);
    uv_close((uv_handle_t *)&stranger->poll, on_closed);
    if (stranger->descriptor >= 0) {
        close(stranger->descriptor);
    }
}

void stranger_dismiss(struct stranger *stranger) {
    if (stranger->stage != STAGE_FAREWELL) { /* that one was counted when it was refused */
        atomic_fetch_add(&stranger->strangers->options->tally->turned_away, 1);
    }
    leave(stranger);
}

/* A flood is not worth an address each. */
static void log_seldom(const struct stranger *stranger, struct seldom *seldom, const char *event, const char *reason) {
    char from[ARRIVAL_FROM_BYTES];
    if (!seldom_suppresses(seldom)) {
        seldom_log(seldom, stranger->strangers->options->log, LOG_WARNING, event, stranger_from(stranger, from), NULL,
                   reason);
    }
}

void stranger_dismiss_for(struct stranger *stranger, struct seldom *seldom, const char *event, const char *reason) {
    log_seldom(stranger, seldom, event, reason);
    stranger_dismiss(stranger);
}

/* ---- bytes in and out ---- */

void stranger_watch(struct stranger *stranger) {
    int events = UV_READABLE, failure;
    if (stranger->stage == STAGE_SECOND || stranger->stage == STAGE_WELCOME || stranger->stage == STAGE_REFUSAL) {
        events = UV_WRITABLE;
    }
    failure = stranger->stage == STAGE_TURN ? uv_poll_stop(&stranger->poll)
                                            : uv_poll_start(&stranger->poll, events, on_stranger);
    if (failure != 0) {
        stranger_dismiss(stranger);
    }
}

bool stranger_receive(struct stranger *stranger, uint8_t *at, size_t whole) {
    while (stranger->have < whole) {
        ssize_t got = recv(stranger->descriptor, at + stranger->have, whole - stranger->have, MSG_DONTWAIT);
        if (got <= 0) {
            if (got == 0 || !would_block(errno)) {
                stranger_dismiss(stranger);
            }
            return false;
        }
        const bool more = (size_t)got == whole - stranger->have;
        stranger->have += (uint32_t)got;
        if (!more) { /* it came short: the socket is empty, and the loop will tell when more has come */
            return false;
        }
    }
    return true;
}

bool stranger_send(struct stranger *stranger, const uint8_t *bytes, size_t whole) {
    ssize_t sent =
        send(stranger->descriptor, bytes + stranger->have, whole - stranger->have, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && !would_block(errno)) {
        stranger_dismiss(stranger);
        return false;
    }
    stranger->have += sent > 0 ? (uint32_t)sent : 0;
    if (stranger->have < whole) {
        stranger_watch(stranger);
    }
    return stranger->have == whole;
}

/* ---- introductions and answers ---- */

bool stranger_knock(struct stranger *stranger) {
    struct strangers *strangers = stranger->strangers;
    struct introduction *introduction = calloc(1, sizeof *introduction);
    if (introduction == NULL) {
        stranger_dismiss(stranger);
        return false;
    }
    introduction->stranger = stranger;
    stranger->introduction = introduction;
    if (strangers->knocking >= ACCEPTOR_HANDSHAKES) {
        stranger_dismiss_for(TAILQ_FIRST(&strangers->ranks[RANK_KNOCKING]), &strangers->crowded, "crowded",
                             "too many connections are introducing themselves");
    }
    set_rank(stranger, RANK_KNOCKING);
    return true;
}

void stranger_advance(struct stranger *stranger) {
    set_rank(stranger, RANK_KNOCKING);
}

void stranger_queue(struct stranger *stranger) {
    struct strangers *strangers = stranger->strangers;
    stranger->stage = STAGE_TURN;
    if (stranger->introduction->handshake != NULL) {
        TAILQ_INSERT_HEAD(&strangers->waiting, stranger->introduction, turn);
    } else {
        TAILQ_INSERT_TAIL(&strangers->waiting, stranger->introduction, turn);
    }
    uv_idle_start(&strangers->turns, on_turns);
    stranger_watch(stranger);
}

struct arrival *stranger_arrival(const struct stranger *stranger, const struct message_hello *hello) {
    struct arrival *arrival = calloc(1, sizeof *arrival);
    if (arrival != NULL) {
        arrival->descriptor = -1; /* until it is delivered */
        arrival->thread = hello->thread;
        memcpy(arrival->session, hello->session, SESSION_BYTES);
        memcpy(arrival->name, hello->name, sizeof arrival->name);
        stranger_from(stranger, arrival->from);
    }
    return arrival;
}

static void deliver(struct stranger *stranger) {
    const struct acceptor_options *options = stranger->strangers->options;
    struct arrival *arrival = stranger->arrival;
    arrival->descriptor = stranger->descriptor;
    stranger->arrival = NULL;
    stranger->descriptor = -1;
    /* The poll handle must leave this loop before another thread watches the descriptor. */
    leave(stranger);
    options->deliver(options->user, arrival);
}

/* Sends what is left of the answer; a WELCOME that is out makes a client of it. */
static void answer(struct stranger *stranger) {
    if (!stranger_send(stranger, stranger->answer, stranger->answer_bytes)) {
        return;
    }
    if (stranger->stage == STAGE_WELCOME) {
        deliver(stranger);
    } else if (shutdown(stranger->descriptor, SHUT_WR) != 0) {
        stranger_dismiss(stranger);
    } else {
        /* Closing with unread input would make the kernel destroy the answer on its way. */
        atomic_fetch_add(&stranger->strangers->options->tally->turned_away, 1);
        stranger->stage = STAGE_FAREWELL;
        set_rank(stranger, RANK_SILENT);
        stranger_watch(stranger);
    }
}

void stranger_answer(struct stranger *stranger, enum stranger_stage stage, uint8_t *bytes, size_t count,
                     const char *reason) {
    assert(stage == STAGE_WELCOME ? stranger->arrival != NULL : stage == STAGE_REFUSAL);
    if (stage == STAGE_REFUSAL) {
        log_seldom(stranger, &stranger->strangers->refused, "hello-refused", reason);
    }
    end_introduction(stranger);
    set_rank(stranger, RANK_KNOWN);
    stranger->stage = (uint8_t)stage;
    stranger->answer = bytes;
    stranger->answer_bytes = (uint32_t)count;
    stranger->have = 0;
    if (bytes == NULL) {
        stranger_dismiss(stranger);
    } else {
        answer(stranger);
    }
}

static void discard(struct stranger *stranger) {
    uint8_t waste[1024];
    for (int i = 0; i < DISCARD_READS; ++i) {
        ssize_t got = recv(stranger->descriptor, waste, sizeof waste, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && !would_block(errno))) {
            stranger_dismiss(stranger);
            return;
        }
        if (got < 0) {
            return;
        }
    }
}

/* ---- what the loop calls ---- */

static void on_stranger(uv_poll_t *handle, int status, int events) {
    struct stranger *stranger = handle->data;
    (void)events;
    if (status < 0) {
        stranger_dismiss(stranger);
        return;
    }
    switch (stranger->stage) {
    case STAGE_FIRST:
    case STAGE_SECOND:
    case STAGE_THIRD:
        (stranger->strangers->options->key != NULL ? handshake_ready : hello_ready)(stranger);
        break;
    case STAGE_WELCOME:
    case STAGE_REFUSAL:
        answer(stranger);
        break;
    case STAGE_FAREWELL:
        discard(stranger);
        break;
    default:
        break;
    }
}

static void on_turns(uv_idle_t *idle) {
    struct strangers *strangers = idle->data;
    for (int i = 0; i < TURNS && !TAILQ_EMPTY(&strangers->waiting); ++i) {
        struct introduction *first = TAILQ_FIRST(&strangers->waiting);
        TAILQ_REMOVE(&strangers->waiting, first, turn);
        first->stranger->stage = STAGE_THIRD; /* or what the step makes of it */
        handshake_turn(first->stranger);
    }
    secret_wipe_stack();
    if (TAILQ_EMPTY(&strangers->waiting)) {
        uv_idle_stop(idle);
    }
}

static void on_deadlines(uv_timer_t *timer) {
    struct strangers *strangers = timer->data;
    uint64_t now = clock_now();
    struct stranger *first;
    for (int i = 0; (first = TAILQ_FIRST(&strangers->all)) != NULL && first->deadline <= now && i < LATE; ++i) {
        if (first->stage == STAGE_FAREWELL) {
            stranger_dismiss(first);
        } else {
            stranger_dismiss_for(first, &strangers->refused, "hello-refused", "it took too long");
        }
    }
    if (first != NULL) {
        uv_timer_start(timer, on_deadlines, first->deadline > now ? (first->deadline - now) / 1000000 + 1 : 1, 0);
    }
}

/* ---- all of them ---- */

bool strangers_make_place(struct strangers *strangers) {
    for (int rank = RANK_SILENT; rank < RANK_KNOWN; ++rank) {
        if (!TAILQ_EMPTY(&strangers->ranks[rank])) {
            stranger_dismiss_for(TAILQ_FIRST(&strangers->ranks[rank]), &strangers->crowded, "crowded",
                                 "too many connections have not said hello");
            return true;
        }
    }
    return false;
}

void strangers_meet(struct strangers *strangers, int descriptor, const struct sockaddr *address, socklen_t bytes) {
    struct stranger *stranger = NULL;
    if (strangers->count < strangers->options->strangers || strangers_make_place(strangers)) {
        stranger = calloc(1, sizeof *stranger);
    }
    if (stranger == NULL || uv_poll_init_socket(strangers->loop, &stranger->poll, descriptor) != 0) {
        atomic_fetch_add(&strangers->options->tally->turned_away, 1);
        free(stranger);
        close(descriptor);
        return;
    }
    stranger->poll.data = stranger;
    stranger->strangers = strangers;
    stranger->descriptor = descriptor;
    stranger->deadline = clock_now() + ACCEPTOR_HELLO_SECONDS * SECOND;
    if (bytes <= sizeof stranger->address) {
        memcpy(&stranger->address, address, bytes);
    }
    TAILQ_INSERT_TAIL(&strangers->all, stranger, all);
    TAILQ_INSERT_TAIL(&strangers->ranks[RANK_SILENT], stranger, peers);
    ++strangers->count;
    if (!uv_is_active((uv_handle_t *)&strangers->deadlines)) {
        uv_update_time(strangers->loop);
        uv_timer_start(&strangers->deadlines, on_deadlines, ACCEPTOR_HELLO_SECONDS * 1000 + 1, 0);
    }
    stranger_watch(stranger);
}

void strangers_init(struct strangers *strangers, uv_loop_t *loop, const struct acceptor_options *options,
                    struct allow *allow) {
    memset(strangers, 0, sizeof *strangers);
    strangers->loop = loop;
    strangers->options = options;
    strangers->allow = allow != NULL ? allow_hold(allow) : NULL;
    pthread_mutex_init(&strangers->lock, NULL);
    TAILQ_INIT(&strangers->all);
    for (int rank = 0; rank < RANKS; ++rank) {
        TAILQ_INIT(&strangers->ranks[rank]);
    }
    TAILQ_INIT(&strangers->waiting);
    uv_timer_init(loop, &strangers->deadlines);
    uv_idle_init(loop, &strangers->turns);
    strangers->deadlines.data = strangers;
    strangers->turns.data = strangers;
}

void strangers_allow(struct strangers *strangers, struct allow *allow) {
    struct allow *old;
    allow_hold(allow);
    pthread_mutex_lock(&strangers->lock);
    old = strangers->allow;
    strangers->allow = allow;
    pthread_mutex_unlock(&strangers->lock);
    allow_release(old);
}

void strangers_stop(struct strangers *strangers) {
    while (!TAILQ_EMPTY(&strangers->all)) {
        leave(TAILQ_FIRST(&strangers->all));
    }
    uv_close((uv_handle_t *)&strangers->deadlines, NULL);
    uv_close((uv_handle_t *)&strangers->turns, NULL);
}

void strangers_finish(struct strangers *strangers) {
    allow_release(strangers->allow);
    strangers->allow = NULL;
    pthread_mutex_destroy(&strangers->lock);
}
