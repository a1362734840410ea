/* A plan cuts a model step into frames: which blocks of which tensors travel together to which server thread.
 *
 * Blocks of 64 KiB and more, as they are encoded in either direction, travel alone, so that each is applied while the
 * next is on its way and its fresh weights land straight in the caller's memory. Smaller ones bound for the same thread
 * share frames. Pure arithmetic, no network. */
#ifndef CANYON_CLIENT_PLAN_H
#define CANYON_CLIENT_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/codec.h"
#include "common/job.h"
#include "common/status.h"

#define PLAN_ALONE_BYTES  (64u * 1024)   /* a block of at least this many payload bytes has a frame of its own */
#define PLAN_FRAME_BYTES  (256u * 1024)  /* most payload bytes of a shared frame */
#define PLAN_SINGLE_BYTES (1024u * 1024) /* most bytes that they are as float32: servers take no more */
#define PLAN_NONE         SIZE_MAX

/* Where shards are. Borrowed while planning. */
struct plan_layout {
    const struct job *job;
    const uint32_t *threads;   /* of each server */
    const size_t *first_lanes; /* the lane of each server's thread 0; its others follow */
    size_t lane_count;
};

/* The lane that owns block `block` of a tensor whose home is `home`. */
size_t plan_lane_of(const struct plan_layout *layout, uint64_t home, uint64_t block);

struct plan_item {
    uint64_t tensor; /* id */
    uint64_t home;
    uint64_t elements; /* of the tensor */
    bool per_block;    /* what travels is 8 bytes for each block, not its elements */
    uint16_t type;     /* FRAME_ASSIGN, FRAME_PUSH, FRAME_PULL or FRAME_PUSH_PULL */
    enum codec codec;  /* of what is sent, */
    double fraction;   /* for topk: of the elements of a block; */
    enum codec reply;  /* and of what comes back */
};

/* One block of one item. */
struct plan_piece {
    size_t item;
    uint64_t offset; /* of its first element in the caller's array, in units of 4 bytes */
    uint32_t block, shard;
    uint32_t elements; /* of 4 bytes that travel */
    uint32_t kept;     /* of topk, of those; else 0 */
    uint32_t out, in;  /* bytes in the request's payload and in the reply's */
    size_t next;       /* the frame's next piece, or PLAN_NONE */
};

struct plan_frame {
    size_t lane;
    uint16_t type;
    uint32_t count;   /* pieces */
    uint32_t out, in; /* payload bytes of the request, and of the reply when no piece is refused */
    uint64_t single;  /* bytes of its elements as float32 */
    size_t first, last;
};

/* Small steps need no memory but the plan's own. */
#define PLAN_FEW 4

struct plan {
    struct plan_frame *frames; /* owned */
    size_t frame_count;
    struct plan_piece *pieces; /* owned; chained through `next` frame by frame */
    size_t piece_count;
    struct plan_frame few_frames[PLAN_FEW]; /* where they are when they are few: a plan is not to be moved */
    struct plan_piece few_pieces[PLAN_FEW];
};

/* Fills `plan`, whatever it held; finish it in any case. Pieces of one item stay in block order on each lane.
 *   INVALID_ARGUMENT  the same tensor twice: its blocks would be updated twice by one step
 *   NO_MEMORY */
enum canyon_status plan_make(struct plan *plan, const struct plan_layout *layout, const struct plan_item *items,
                             size_t count, struct error *error);

/* Safe on a zeroed plan and on NULL. */
void plan_finish(struct plan *plan);

#endif
