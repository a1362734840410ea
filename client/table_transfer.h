/* A table transfer is one batch of ids under way: gradients out, weights in, or rows erased. */
#ifndef CANYON_CLIENT_TABLE_TRANSFER_H
#define CANYON_CLIENT_TABLE_TRANSFER_H

#include "client/batch.h"
#include "client/missing.h"
#include "client/table.h"

struct table_order {
    struct canyon_table *table;
    uint16_t type;          /* FRAME_TABLE_PUSH, FRAME_TABLE_PULL, FRAME_TABLE_PUSH_PULL or FRAME_TABLE_ERASE */
    bool create;            /* of a pull */
    const uint64_t *ids;    /* borrowed for the call */
    size_t count;           /* at most CANYON_MAX_BATCH */
    const float *gradients; /* [count x dim], borrowed until the future is done, or NULL */
    float *weights;         /* likewise */
    uint64_t clock;
    uint32_t wait_ms;             /* that a pull may wait for other workers */
    struct canyon_batch *results; /* whose counters are filled in just before the future is done; or NULL */
    uint64_t *erased;             /* likewise; or NULL */
    uint64_t deadline;
};

/* Begins it; on OK *future holds one reference of the caller's. Within client_begin only. NO_MEMORY: nothing was begun.
 */
enum canyon_status table_transfer_begin(const struct table_order *order, bool attended, struct canyon_future **future,
                                        struct error *error);

/* Begins it and waits for its end. */
enum canyon_status table_transfer_run(const struct table_order *order, struct error *error);

/* ---- For table_transfer.c (its beginning) and table_reply.c (what comes back, and its end) ---- */

#define TABLE_MESSAGE_BYTES 64 /* a struct message_rows packs into at most this */

struct table_transfer;

/* One frame of the split and its request. */
struct table_frame {
    struct session_request request;
    struct table_transfer *transfer;
    const struct row_split_frame *part;
    struct iovec slices[4]; /* runs, ids, zeros, values */
    float *sums;            /* where gradients are to be encoded: room for those of one row; else NULL */
    bool gathered;
    uint8_t message[TABLE_MESSAGE_BYTES];
};

/* Why rows were refused: the first reason, except that a missing table goes before all others. */
struct table_refusal {
    enum canyon_status status;
    size_t lane;
    char text[ERROR_TEXT_BYTES];
};

struct table_transfer {
    struct batch batch;       /* first; its future's lock guards the counts and the refusal */
    struct table_order order; /* its ids are not to be used any more */
    enum codec codec, reply;
    size_t row_out, row_in; /* bytes of a row's values each way; 0 for none */
    struct row_split split;
    struct table_frame *frames;
    uint8_t *values;         /* gradients as they travel, in the order of places */
    struct client_room room; /* of all that */
    uint64_t created, staleness, refused;
    uint64_t refused_ids[CANYON_BATCH_REFUSED];
    bool applied; /* something was changed on a server */
    struct table_refusal refusal;
    /* Zeroed at first up to its message, and nothing from there on. */
    struct missing missing;
};

static inline bool table_changes_state(const struct table_order *order) {
    return order->type != FRAME_TABLE_PULL || order->create;
}

/* A frame's request ended: a session_request's `done`; its `user` is the struct table_frame. */
void table_frame_done(struct session_request *request, enum canyon_status status, const char *text,
                      const struct frame *reply);

/* The batch's `settle`: asks shard 0 about a table that is missing, or concludes. */
bool table_transfer_settle(struct batch *batch);

#endif
