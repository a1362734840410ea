/* Numbers: each piece or run that changes a shard has its own, and they are taken in the order of sending. */
#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "client/session_state.h"
#include "common/mutant.h"
#include "common/rows.h"

bool number_next(const struct session_request *request, struct number_cursor *cursor, uint32_t *shard,
                 uint8_t **place) {
    if (cursor->index >= request->piece_count)
        return false;
    if (request->shards != NULL) {
        *shard = request->shards[cursor->index];
        *place = message_piece_number(request->message, request->message_bytes, &cursor->at);
        assert(*place != NULL);
    } else {
        uint8_t *run = (uint8_t *)request->payload[0].iov_base + cursor->index * sizeof(struct rows_run);
        memcpy(shard, run + offsetof(struct rows_run, shard), sizeof *shard);
        *place = run + offsetof(struct rows_run, number);
    }
    cursor->index++;
    return true;
}

void number_take(struct session *session, struct session_request *request) {
    struct number_cursor cursor = {.index = 0};
    uint32_t shard = 0;
    uint8_t *place = NULL;
    while (number_next(request, &cursor, &shard, &place)) {
        assert(shard < session->shard_count);
        const uint64_t number = ++session->shards[MUTANT(session_shared_across_shards) ? 0 : shard].taken;
        memcpy(place, &number, sizeof number);
    }
    request->numbered = true;
}

static void number_give(struct session *session, struct session_request *request) {
    struct number_cursor cursor = {.index = 0};
    uint32_t shard = 0;
    uint8_t *place = NULL;
    while (number_next(request, &cursor, &shard, &place))
        session->shards[shard].taken--;
    request->numbered = false;
}

void number_drop(struct session *session, const struct session_request *request) {
    struct number_cursor cursor = {.index = 0};
    uint32_t shard = 0;
    uint8_t *place = NULL;
    while (number_next(request, &cursor, &shard, &place)) {
        uint64_t number = 0;
        memcpy(&number, place, sizeof number);
        session->shards[shard].dropped = session->shards[shard].dropped || number == 1;
    }
}

void number_take_back(struct session *session) {
    if (MUTANT(tentative_numbers_kept))
        return;
    /* They are the last ones of their shards: nothing that was begun came after them. */
    for (struct session_request *request = session->queue.first; request != NULL; request = request->next)
        if (request->numbered && !request->begun)
            number_give(session, request);
}
