/* A transfer moves the values of one or more tensors: a step's gradients out, its fresh weights in. */
#ifndef CANYON_CLIENT_TRANSFER_H
#define CANYON_CLIENT_TRANSFER_H

#include "client/client.h"
#include "client/future.h"
#include "client/tensor.h"

struct transfer_item {
    struct canyon_tensor *tensor;
    uint16_t type;    /* FRAME_ASSIGN, FRAME_PUSH, FRAME_PULL or FRAME_PUSH_PULL */
    uint8_t slot;     /* what is assigned or pulled: enum slot, or between; for a push SLOT_WEIGHTS */
    const float *out; /* values to assign or the gradient; borrowed until the future is done; NULL for a pull */
    float *in;        /* where weights go; borrowed until the future is done; NULL when none are wanted */
    /* Of gradients and of weights, as the tensor's handle has them when the transfer begins, which fills them in: */
    struct codec_choice codec, reply;
};

/* A slot that is a number for each block travels as 8 bytes a block, in the order of the blocks: `out` and `in` then
 * point to those. */

/* What is to be moved. */
struct transfer_order {
    const struct transfer_item *items; /* copied */
    size_t count;
    struct canyon_item *results; /* NULL, or public items whose counters are filled in just before the future is done */
    struct client_room copy;     /* where gradients are read from instead of the caller's memory, or zeroed; the
                                    transfer's from the call on, also when it fails: it gives it back to the client */
    uint64_t deadline;
};

/* Begins it; on OK *future holds one reference of the caller's. Within client_begin only. INVALID_ARGUMENT (the same
 * tensor twice), NO_MEMORY: nothing was begun. */
enum canyon_status transfer_begin(struct canyon_client *client, const struct transfer_order *order, bool attended,
                                  struct canyon_future **future, struct error *error);

/* Begins it and waits for its end. */
enum canyon_status transfer_run(struct canyon_client *client, const struct transfer_order *order, struct error *error);

#endif
