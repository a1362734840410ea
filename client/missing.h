/* What a server does not have: lost by it, or dropped by somebody? Shard 0 knows.
 *
 * Part of a batch of requests whose reply said NOT_FOUND. From the batch's `settle`: missing_ask, which goes on with
 * the batch; when that settles again, missing_answer. */
#ifndef CANYON_CLIENT_MISSING_H
#define CANYON_CLIENT_MISSING_H

#include "client/batch.h"
#include "client/tensor.h"

struct missing {
    struct batch *batch;
    const struct canyon_tensor *tensor;
    size_t lane;   /* to the server that does not have it */
    char what[32]; /* "block 3 of tensor" */
    bool asked;
    struct session_request question;
    struct error answer;
    uint8_t message[LIMIT_MESSAGE_BYTES];
};

/* Asks. The caller fills in batch, tensor, lane and what; `asked` was false. */
void missing_ask(struct missing *missing, uint64_t deadline);

/* Afterwards: STATE_LOST, NOT_FOUND, or why it could not be found out. */
void missing_answer(const struct missing *missing, struct error *error);

#endif
