/* What a transfer is made of, for its own files only: transfer.c (its beginning), transfer_reply.c (what comes back,
 * and its end). */
#ifndef CANYON_CLIENT_TRANSFER_STATE_H
#define CANYON_CLIENT_TRANSFER_STATE_H

#include "client/batch.h"
#include "client/missing.h"
#include "client/transfer.h"

/* What became of one item. */
struct transfer_tally {
    uint64_t version; /* the lowest so far */
    uint64_t staleness;
    uint64_t refused, refused_block;
};

struct transfer;

/* One frame of the plan and its request. */
struct transfer_frame {
    struct session_request request;
    struct transfer *transfer;
    const struct plan_frame *plan;
    uint8_t *room; /* for its gradients that are to be encoded, which is done when it is about to be sent: once */
    bool encoded;
};

/* Why blocks were refused: the first reason, except that a missing tensor goes before all others. */
struct transfer_refusal {
    enum canyon_status status;
    size_t item, lane;
    uint32_t block;
    char text[ERROR_TEXT_BYTES];
};

/* What a step of few tensors needs, in one piece with the transfer. */
#define TRANSFER_FEW           PLAN_FEW
#define TRANSFER_MESSAGE_BYTES 58 /* a piece packs into at most this */
/* With its place among the shards and, as far as it is the first of its frame, what the pieces of a frame share. */
#define TRANSFER_HEAD_BYTES  18 /* clock and waiting */
#define TRANSFER_PIECE_BYTES (sizeof(uint32_t) + TRANSFER_MESSAGE_BYTES + TRANSFER_HEAD_BYTES)

struct transfer {
    struct batch batch; /* first; its future's lock guards tallies, refusal, applied and undone */
    size_t count;
    struct transfer_item *items;
    struct transfer_tally *tallies;
    struct canyon_item *results; /* the caller's, or NULL */
    struct client_room copy;     /* of the gradients, or nothing */
    struct client_room
        encoded;    /* gradients in another form than float32; behind them room for a block that is decoded */
    float *decoded; /* in `encoded`: that room */
    uint64_t deadline;
    uint64_t clock;   /* it is made at; 0: none is counted */
    uint32_t wait_ms; /* that a pull may wait for other workers */
    struct plan plan;
    struct transfer_frame *frames;
    struct iovec *slices; /* one for each piece, in the order of their frames */
    uint32_t *shards;     /* likewise each piece's; behind them */
    uint8_t *messages;    /* of all frames, one after another */
    bool applied;         /* something was changed on a server; */
    bool undone;          /* something that was to be changed was not, for want of an answer or of time */
    struct transfer_refusal refusal;
    /* Zeroed at first up to its message, and nothing from there on. */
    struct missing missing;
    struct transfer_item few_items[TRANSFER_FEW];
    struct transfer_tally few_tallies[TRANSFER_FEW];
    struct transfer_frame few_frames[TRANSFER_FEW];
    struct iovec few_slices[TRANSFER_FEW];
    uint32_t few_shards[TRANSFER_FEW * TRANSFER_PIECE_BYTES / sizeof(uint32_t)];
};

static inline bool type_changes_state(uint16_t type) {
    return type != FRAME_PULL;
}

/* A frame was encoded and then not sent: its tensors' residuals are as if it had not been. (transfer.c) */
void transfer_undo(struct transfer_frame *frame);

/* A frame's request ended: a session_request's `done`; its `user` is the struct transfer_frame. */
void transfer_done(struct session_request *request, enum canyon_status status, const char *text,
                   const struct frame *reply);

/* The batch's `settle`: asks shard 0 about a tensor that is missing, or concludes. */
bool transfer_settle(struct batch *batch);

#endif
