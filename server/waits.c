#include "server/waits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/sessions.h"

#define ALIGNMENT 64 /* of a frame's payload */

static void finish(struct waits *waits, const struct wait_list *list) {
    while (list->first != NULL) {
        struct wait *wait = list->first;
        waits_take(waits, wait);
        waits_free(wait);
    }
}

void waits_finish(struct waits *waits) {
    finish(waits, &waits->waiting);
    finish(waits, &waits->ready);
}

/* ---- Lists ---- */

static void append(struct wait_list *list, struct wait *wait) {
    wait->next = NULL;
    wait->previous = list->last;
    if (list->last != NULL) {
        list->last->next = wait;
    } else {
        list->first = wait;
    }
    list->last = wait;
}

static void leave(struct wait_list *list, struct wait *wait) {
    if (wait->previous != NULL) {
        wait->previous->next = wait->next;
    } else {
        list->first = wait->next;
    }
    if (wait->next != NULL) {
        wait->next->previous = wait->previous;
    } else {
        list->last = wait->previous;
    }
    wait->next = wait->previous = NULL;
}

/* ---- Waits ---- */

static size_t aligned(size_t bytes) {
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static struct wait *copy_of(const struct frame *frame) {
    const size_t message = aligned(sizeof(struct wait)), payload = message + aligned(frame->header.message_bytes);
    const size_t bytes = payload + aligned(frame->header.payload_bytes);
    uint8_t *memory = aligned_alloc(ALIGNMENT, bytes);
    if (memory == NULL) {
        return NULL;
    }
    struct wait *wait = (struct wait *)(void *)memory;
    memset(wait, 0, sizeof *wait);
    wait->bytes = bytes;
    wait->frame = (struct frame){.header = frame->header, .message = memory + message, .payload = memory + payload};
    if (frame->header.message_bytes > 0) {
        memcpy(memory + message, frame->message, frame->header.message_bytes);
    }
    if (frame->header.payload_bytes > 0) {
        memcpy(memory + payload, frame->payload, frame->header.payload_bytes);
    }
    return wait;
}

enum canyon_status waits_add(struct waits *waits, struct handler_peer *peer, const struct frame *frame, uint64_t clock,
                             uint32_t wait_ms, uint64_t deadline, struct error *error) {
    if (peer->waiting + peer->ready >= HANDLER_WAITS_PER_PEER) {
        return error_set(error, CANYON_BUSY, "%u pulls of this connection wait already, the most that may (%d)",
                         peer->waiting + peer->ready, HANDLER_WAITS_PER_PEER);
    }
    if (waits->count >= HANDLER_WAITS || waits->bytes >= HANDLER_WAIT_BYTES) {
        return error_set(error, CANYON_BUSY,
                         "%zu pulls of %llu bytes wait on this server thread, the most that may (%d, %u bytes)",
                         waits->count, (unsigned long long)waits->bytes, HANDLER_WAITS, HANDLER_WAIT_BYTES);
    }
    const struct sessions_share *share = peer->share;
    if (share != NULL && (share->waits >= HANDLER_WAITS_OF_KEY || share->wait_bytes >= HANDLER_WAIT_BYTES_OF_KEY)) {
        return error_set(
            error, CANYON_BUSY,
            "%zu pulls of this key, of %llu bytes, wait on this server thread, the most of one key that may "
            "(%d, %u bytes)",
            share->waits, (unsigned long long)share->wait_bytes, HANDLER_WAITS_OF_KEY, HANDLER_WAIT_BYTES_OF_KEY);
    }
    struct wait *wait = copy_of(frame);
    if (wait == NULL) {
        return error_set(error, CANYON_NO_MEMORY, "no memory to let a pull wait");
    }
    wait->peer = peer;
    wait->clock = clock;
    wait->wait_ms = wait_ms;
    wait->deadline = deadline;
    waits->earliest = waits->waiting.first == NULL || deadline < waits->earliest ? deadline : waits->earliest;
    append(&waits->waiting, wait);
    waits->count++;
    waits->bytes += wait->bytes;
    if (peer->share != NULL) {
        peer->share->waits++;
        peer->share->wait_bytes += wait->bytes;
    }
    peer->waiting++;
    return CANYON_OK;
}

void waits_release(struct waits *waits, struct wait *wait) {
    struct handler_peer *peer = wait->peer;
    leave(&waits->waiting, wait);
    append(&waits->ready, wait);
    wait->ready = true;
    peer->waiting--;
    peer->ready++;
    if (peer->ready_last != NULL) {
        peer->ready_last->behind = wait;
    } else {
        peer->ready_first = wait;
    }
    peer->ready_last = wait;
}

void waits_take(struct waits *waits, struct wait *wait) {
    struct handler_peer *peer = wait->peer;
    leave(wait->ready ? &waits->ready : &waits->waiting, wait);
    waits->count--;
    waits->bytes -= wait->bytes;
    if (peer->share != NULL) {
        peer->share->waits--;
        peer->share->wait_bytes -= wait->bytes;
    }
    if (!wait->ready) {
        peer->waiting--;
        return;
    }
    assert(peer->ready_first == wait);
    peer->ready--;
    peer->ready_first = wait->behind;
    peer->ready_last = wait->behind != NULL ? peer->ready_last : NULL;
}

void waits_free(struct wait *wait) {
    free(wait);
}

void waits_look(struct waits *waits) {
    waits->earliest = UINT64_MAX;
    for (const struct wait *wait = waits->waiting.first; wait != NULL; wait = wait->next) {
        waits->earliest = wait->deadline < waits->earliest ? wait->deadline : waits->earliest;
    }
}
