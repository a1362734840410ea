/* A batch is a set of requests, to any lanes, that has one future.
 *
 * Its owner adds requests and submits them; each request's `done` ends with batch_ended. When all have ended, `settle`
 * may begin more (and the batch goes on) or let the future end with the batch's error. */
#ifndef CANYON_CLIENT_BATCH_H
#define CANYON_CLIENT_BATCH_H

#include "client/client.h"
#include "client/future.h"

struct batch_lane {
    struct session_request *first, *last; /* added, not yet submitted */
    uint64_t bytes;                       /* the larger of what they send and what comes back */
    size_t pending;                       /* submitted, not ended */
};

/* Lanes of a small job have their place in the batch itself. */
#define BATCH_FEW 8

struct batch {
    struct canyon_future future; /* first: its lock guards `pending` and `error` */
    struct lane_task task;
    struct canyon_client *client;
    struct batch_lane *lanes; /* one for each of the client's, owned */
    struct batch_lane few[BATCH_FEW];
    size_t pending;
    bool begun;         /* submitted once: it holds a reference to itself and to the client until it is over */
    struct error error; /* the first failure; CANYON_OK while there is none */
    /* All requests ended; no lock is held. False: it submitted more. NULL: the batch is over. */
    bool (*settle)(struct batch *batch);
    /* Frees the batch and what embeds it, after batch_finish. */
    void (*destroy)(struct batch *batch);
};

/* `settle` and `destroy` are set by the owner afterwards; the caller holds the future's one reference, and must be
 * within client_begin. NO_MEMORY: there is nothing to finish. */
enum canyon_status batch_init(struct batch *batch, struct canyon_client *client, struct error *error);
void batch_finish(struct batch *batch);

/* Adds a request for a lane; its `done` must end with batch_ended(batch, lane, ...). Not after submit, except in
 * settle. */
void batch_add(struct batch *batch, size_t lane, struct session_request *request);

/* Sends what was added. The batch may be over when this returns. `attended`: the caller will wait for the future at
 * once; never so from settle. */
void batch_submit(struct batch *batch, bool attended);

/* A request of the batch ended; called under its lane's lock. `error` with another status than OK becomes the batch's,
 * if it is the first; OUTCOME_UNKNOWN also in place of TIMEOUT and UNAVAILABLE. */
void batch_ended(struct batch *batch, size_t lane, const struct error *error);

#endif
