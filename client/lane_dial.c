#include "client/lane_dial.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/congestion.h"
#include "common/status.h"

#define MILLISECOND 1000000u

struct dial {
    uv_loop_t *loop;
    uv_timer_t timer;
    uv_poll_t *poll; /* of the attempt under way; a handle of its own, since closing one takes a turn of the loop */
    uv_getaddrinfo_t lookup;
    bool looking, over;
    int descriptor; /* of the attempt under way, or -1 */
    struct addrinfo *answers, *current;
    uint64_t deadline;
    const char *congestion; /* borrowed */
    struct address address;
    char reason[ERROR_TEXT_BYTES / 2]; /* why the last attempt failed */
    dial_done done;
    void *user;
};

static void dial_next(struct dial *dial);

static void free_handle(uv_handle_t *handle) {
    free(handle);
}

static void dial_timer_closed(uv_handle_t *handle) {
    struct dial *dial = handle->data;
    if (dial->answers != NULL)
        uv_freeaddrinfo(dial->answers);
    free(dial);
}

/* Ends the attempt under way without judging it; the descriptor stays open when the caller took it. */
static void dial_end_attempt(struct dial *dial) {
    if (dial->poll != NULL) {
        uv_close((uv_handle_t *)dial->poll, free_handle);
        dial->poll = NULL;
    }
    if (dial->descriptor >= 0)
        close(dial->descriptor);
    dial->descriptor = -1;
}

/* The dial frees itself once neither the lookup nor the timer needs it. */
static void dial_retire(struct dial *dial) {
    dial_end_attempt(dial);
    dial->over = true;
    if (dial->looking) {
        uv_cancel((uv_req_t *)&dial->lookup);
        uv_timer_stop(&dial->timer);
        return;
    }
    uv_close((uv_handle_t *)&dial->timer, dial_timer_closed);
}

static void dial_finish(struct dial *dial, int descriptor, const char *text) {
    dial_done done = dial->done;
    void *user = dial->user;
    dial_retire(dial);
    done(user, descriptor, text);
}

static void dial_failed(struct dial *dial) {
    char text[ERROR_TEXT_BYTES / 2];
    snprintf(text, sizeof text, "%s", dial->reason);
    dial_finish(dial, -1, text);
}

static void dial_connected(struct dial *dial) {
    int descriptor = dial->descriptor;
    dial->descriptor = -1;
    dial_finish(dial, descriptor, "");
}

static void dial_on_poll(uv_poll_t *poll, int status, int events) {
    struct dial *dial = poll->data;
    int failure = 0;
    socklen_t length = sizeof failure;
    (void)events;
    /* The socket knows why; libuv calls every refused connection a bad descriptor. */
    if (getsockopt(dial->descriptor, SOL_SOCKET, SO_ERROR, &failure, &length) != 0)
        failure = errno;
    if (failure == 0 && status < 0)
        failure = -status;
    if (failure == 0) {
        dial_connected(dial);
        return;
    }
    snprintf(dial->reason, sizeof dial->reason, "%s", strerror(failure));
    dial->current = dial->current->ai_next;
    dial_next(dial);
}

static void dial_on_timer(uv_timer_t *timer) {
    struct dial *dial = timer->data;
    if (dial->descriptor >= 0 || dial->looking) {
        snprintf(dial->reason, sizeof dial->reason, "no answer in time");
        if (dial->current != NULL)
            dial->current = dial->current->ai_next;
    }
    if (dial->looking) {
        dial_failed(dial);
        return;
    }
    dial_next(dial);
}

/* Every attempt gets an equal share of the time that is left. */
static void dial_set_timer(struct dial *dial) {
    uint64_t attempts = 1;
    for (const struct addrinfo *answer = dial->current; answer != NULL && answer->ai_next != NULL;
         answer = answer->ai_next)
        attempts++;
    uint64_t now = clock_now();
    uint64_t left = dial->deadline > now ? (dial->deadline - now) / attempts : 0;
    uv_update_time(dial->loop);
    uv_timer_start(&dial->timer, dial_on_timer, left / MILLISECOND + 1, 0);
}

enum dial_peer dial_peer(int descriptor) {
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof peer;
    if (getpeername(descriptor, (struct sockaddr *)&peer, &length) != 0)
        return DIAL_GONE; /* reset as soon as it stood */
    return address_is_loopback((const struct sockaddr *)&peer) ? DIAL_NEAR : DIAL_FAR;
}

static void dial_set_options(const struct dial *dial, int descriptor, const struct sockaddr *address) {
    int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    congestion_set(descriptor, address, dial->congestion);
}

/* Starts connecting to one answer; false when that failed at once, with the reason. */
static bool dial_attempt(struct dial *dial) {
    const struct addrinfo *answer = dial->current;
    int descriptor = socket(answer->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    uv_poll_t *poll = NULL;
    if (descriptor < 0)
        goto system_failed;
    dial_set_options(dial, descriptor, answer->ai_addr);
    if (connect(descriptor, answer->ai_addr, answer->ai_addrlen) != 0 && errno != EINPROGRESS && errno != EINTR)
        goto system_failed;
    poll = calloc(1, sizeof *poll);
    if (poll == NULL || uv_poll_init_socket(dial->loop, poll, descriptor) != 0)
        goto poll_failed;
    poll->data = dial;
    dial->poll = poll;
    dial->descriptor = descriptor;
    int failure = uv_poll_start(poll, UV_WRITABLE, dial_on_poll);
    assert(failure == 0); /* only a handle that is being closed refuses */
    (void)failure;
    return true;

poll_failed:
    free(poll);
    errno = ENOMEM;
system_failed:
    snprintf(dial->reason, sizeof dial->reason, "%s", strerror(errno));
    if (descriptor >= 0)
        close(descriptor);
    return false;
}

static void dial_next(struct dial *dial) {
    dial_end_attempt(dial);
    while (dial->current != NULL && clock_now() < dial->deadline) {
        if (dial_attempt(dial)) {
            dial_set_timer(dial);
            return;
        }
        dial->current = dial->current->ai_next;
    }
    if (dial->reason[0] == '\0')
        snprintf(dial->reason, sizeof dial->reason, "no address to try");
    dial_failed(dial);
}

static void dial_on_lookup(uv_getaddrinfo_t *lookup, int status, struct addrinfo *answers) {
    struct dial *dial = lookup->data;
    dial->looking = false;
    dial->answers = answers;
    if (dial->over) {
        uv_close((uv_handle_t *)&dial->timer, dial_timer_closed);
        return;
    }
    dial->current = answers;
    if (status != 0)
        snprintf(dial->reason, sizeof dial->reason, "the name \"%.64s\" could not be looked up: %s", dial->address.host,
                 uv_strerror(status));
    dial_next(dial);
}

struct dial *dial_start(uv_loop_t *loop, const struct address *address, const char *congestion, uint64_t deadline,
                        dial_done done, void *user) {
    struct dial *dial = calloc(1, sizeof *dial);
    if (dial == NULL)
        return NULL;
    *dial = (struct dial){.loop = loop,
                          .descriptor = -1,
                          .congestion = congestion,
                          .deadline = deadline,
                          .address = *address,
                          .done = done,
                          .user = user};
    uv_timer_init(loop, &dial->timer);
    dial->timer.data = dial;
    dial->lookup.data = dial;

    char service[8];
    snprintf(service, sizeof service, "%u", (unsigned)address->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    /* A literal address needs no thread of the pool; the attempt itself waits for the loop all the same. */
    if (getaddrinfo(address->host, service, &hints, &dial->answers) == 0) {
        dial->current = dial->answers;
        uv_timer_start(&dial->timer, dial_on_timer, 0, 0);
        return dial;
    }
    dial->answers = NULL;
    hints.ai_flags = AI_NUMERICSERV;
    int failure = uv_getaddrinfo(loop, &dial->lookup, dial_on_lookup, address->host, service, &hints);
    if (failure == 0) {
        dial->looking = true;
        dial_set_timer(dial);
    } else {
        snprintf(dial->reason, sizeof dial->reason, "%s", uv_strerror(failure));
        uv_timer_start(&dial->timer, dial_on_timer, 0, 0);
    }
    return dial;
}

void dial_stop(struct dial *dial) {
    if (dial != NULL)
        dial_retire(dial);
}
