/* The strangers are the accepted connections that are not greeted yet: from the descriptor to an arrival, a refusal, or
 * the end of their time.
 *
 * The acceptor's other half, and for it only: acceptor.c listens and accepts, and owns the loop and its thread. */
#ifndef CANYON_SERVER_ACCEPTOR_STRANGERS_H
#define CANYON_SERVER_ACCEPTOR_STRANGERS_H

#include <stddef.h>
#include <sys/queue.h>
#include <uv.h>

#include "server/acceptor.h"
#include "server/seldom.h"

struct stranger;

/* Must not move between strangers_init and the end of the loop. Only the thread of the loop touches it. */
struct strangers {
    uv_loop_t *loop;
    const struct acceptor_options *options;
    uv_timer_t deadlines;
    TAILQ_HEAD(, stranger) all; /* in the order they came, which is that of their deadlines */
    size_t count;
    struct seldom refused, crowded;
};

/* None yet. Borrows the loop, where it puts a timer, and the options, until the loop has ended. */
void strangers_init(struct strangers *strangers, uv_loop_t *loop, const struct acceptor_options *options);

/* One more, unless there are ACCEPTOR_STRANGERS already. Takes over the descriptor (also when there are); `from` is its
 * address for logs, in ARRIVAL_FROM_BYTES. */
void strangers_meet(struct strangers *strangers, int descriptor, const char *from);

/* Lets all of them go and closes the timer; the loop must run once more for that. */
void strangers_stop(struct strangers *strangers);

#endif
