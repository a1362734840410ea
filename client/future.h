/* A future is the outcome of something under way: waited for, polled, or called back about, exactly once.
 *
 * It counts references (its owner's and the work's) and knows nothing of the network: the work it stands for gives it a
 * table of three functions. Thread-safe. canyon_future of the public API is this struct. */
#ifndef CANYON_CLIENT_FUTURE_H
#define CANYON_CLIENT_FUTURE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/include/canyon.h"
#include "common/status.h"

struct future_work {
    /* Keeps what `drive` needs alive; called with the future's lock held while it is not done. May be NULL. */
    void (*enter)(struct canyon_future *future);
    void (*leave)(struct canyon_future *future);
    /* Brings the work forward on this thread until it is done or `deadline` (monotonic ns) passed. NULL: just wait. */
    void (*drive)(struct canyon_future *future, uint64_t deadline);
    /* The last reference is gone. */
    void (*destroy)(struct canyon_future *future);
};

/* Embedded first in what it is the future of. */
struct canyon_future {
    const struct future_work *work;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    unsigned references;
    bool done;
    unsigned wakes; /* of future_wake */
    struct error outcome;
    canyon_future_callback callback;
    void *user;
};

/* One reference, held by the caller. */
void future_init(struct canyon_future *future, const struct future_work *work);
void future_finish(struct canyon_future *future);

void future_reference(struct canyon_future *future);

/* Drops a reference; the last one destroys. */
void future_release(struct canyon_future *future);

/* It is done: wakes who waits and calls back. Once. No lock may be held. */
void future_end(struct canyon_future *future, const struct error *outcome);

bool future_is_done(struct canyon_future *future);

/* For `drive`, when it has nothing to drive: waits until it is done, future_wake was called, or `deadline` passed. */
void future_await_change(struct canyon_future *future, uint64_t deadline);

/* Ends future_await_change everywhere: there is something to drive again. */
void future_wake(struct canyon_future *future);

/* Waits, driving the work, until it is done or `deadline` passed; true when done, with the outcome in `outcome`. */
bool future_wait(struct canyon_future *future, uint64_t deadline, struct error *outcome);

/* True on a thread that is inside a future's callback: there a blocking call would wait for itself. */
bool future_in_callback(void);

#endif
