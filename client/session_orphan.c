/* What outlives its owner: a numbered request that was begun and is given up. Its numbers are used, so that it has to
 * arrive for those after it to count; its owner's memory does not wait for that. */
#include <stdlib.h>
#include <string.h>

#include "client/session_state.h"
#include "common/mutant.h"

struct orphan {
    struct session_request request; /* first */
    struct iovec payload;
    uint8_t bytes[]; /* shards, payload, message */
};

static void orphan_done(struct session_request *request, enum canyon_status status, const char *text,
                        const struct frame *reply) {
    (void)status;
    (void)text;
    (void)reply;
    free(request); /* the orphan's first member */
}

struct session_request *orphan_create(const struct session_request *request) {
    const size_t shards = request->shards != NULL ? request->piece_count * sizeof *request->shards : 0;
    struct orphan *orphan = malloc(sizeof *orphan + shards + request->payload_bytes + request->message_bytes);
    if (orphan == NULL)
        return NULL;
    orphan->request = *request;
    uint8_t *at = orphan->bytes;
    if (shards > 0) {
        memcpy(at, request->shards, shards);
        orphan->request.shards = (const uint32_t *)(const void *)at;
        at += shards;
    }
    orphan->payload = (struct iovec){.iov_base = at, .iov_len = request->payload_bytes};
    for (size_t i = 0; i < request->payload_count; i++) {
        if (request->payload[i].iov_len > 0)
            memcpy(at, request->payload[i].iov_base, request->payload[i].iov_len);
        at += request->payload[i].iov_len;
    }
    if (request->message_bytes > 0)
        memcpy(at, request->message, request->message_bytes);
    orphan->request.message = at;
    orphan->request.payload = &orphan->payload;
    orphan->request.payload_count = request->payload_bytes > 0 ? 1 : 0;
    if (MUTANT(orphan_copied_late)) {
        orphan->request.payload = request->payload;
        orphan->request.payload_count = request->payload_count;
    }
    orphan->request.destination = NULL;
    orphan->request.deadline = UINT64_MAX;
    orphan->request.prepare = NULL;
    orphan->request.done = orphan_done;
    orphan->request.user = NULL;
    return &orphan->request;
}
