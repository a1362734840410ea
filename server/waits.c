#include "server/waits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/sessions.h"

#define ALIGNMENT 64 /* of a frame's payload */

static void drop(struct waits *waits, struct wait *wait) {
    waits_take(waits, wait);
    waits_free(wait);
}

void waits_finish(struct waits *waits) {
    while (waits_due(waits) != NULL) {
        drop(waits, waits_due(waits));
    }
    while (waits->ready.first != NULL) {
        drop(waits, waits->ready.first);
    }
    for (size_t part = 0; part < WAIT_PARTS; part++) {
        heap_finish(&waits->clocks[part]);
    }
    heap_finish(&waits->deadlines);
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

/* ---- What is at hand ---- */

static enum wait_part part_of(const struct waits *waits, const struct wait *wait) {
    return wait->by_clock.key < waits->from ? WAIT_BEFORE : WAIT_FROM;
}

/* So that either part can have all of them. */
static bool reserve(struct waits *waits) {
    const size_t count = waits->deadlines.count + 1;
    return heap_reserve(&waits->clocks[WAIT_BEFORE], count) && heap_reserve(&waits->clocks[WAIT_FROM], count) &&
           heap_reserve(&waits->deadlines, count);
}

void waits_split(struct waits *waits, uint64_t from) {
    if (from == waits->from) {
        return;
    }
    waits->from = from;
    waits->clocks[WAIT_BEFORE].count = waits->clocks[WAIT_FROM].count = 0;
    for (size_t i = 0; i < waits->deadlines.count; i++) {
        struct wait *wait = waits->deadlines.nodes[i]->thing;
        heap_add(&waits->clocks[part_of(waits, wait)], &wait->by_clock);
    }
}

struct wait *waits_least(const struct waits *waits, enum wait_part part) {
    return heap_first(&waits->clocks[part]);
}

struct wait *waits_due(const struct waits *waits) {
    return heap_first(&waits->deadlines);
}

/* It waits no more. */
static void withdraw(struct waits *waits, struct wait *wait) {
    struct handler_peer *peer = wait->peer;
    struct wait_list list = {.first = peer->waiting_first, .last = peer->waiting_last};
    heap_remove(&waits->clocks[part_of(waits, wait)], &wait->by_clock);
    heap_remove(&waits->deadlines, &wait->by_deadline);
    leave(&list, wait);
    peer->waiting_first = list.first;
    peer->waiting_last = list.last;
    peer->waiting--;
}

static void wait_on(struct waits *waits, struct wait *wait) {
    struct handler_peer *peer = wait->peer;
    struct wait_list list = {.first = peer->waiting_first, .last = peer->waiting_last};
    wait->by_clock = (struct heap_node){.key = wait->clock, .order = waits->arrivals, .thing = wait};
    wait->by_deadline = (struct heap_node){.key = wait->deadline, .order = waits->arrivals, .thing = wait};
    waits->arrivals++;
    heap_add(&waits->clocks[part_of(waits, wait)], &wait->by_clock);
    heap_add(&waits->deadlines, &wait->by_deadline);
    append(&list, wait);
    peer->waiting_first = list.first;
    peer->waiting_last = list.last;
    peer->waiting++;
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
    struct wait *wait = reserve(waits) ? copy_of(frame) : NULL;
    if (wait == NULL) {
        return error_set(error, CANYON_NO_MEMORY, "no memory to let a pull wait");
    }
    wait->peer = peer;
    wait->clock = clock;
    wait->wait_ms = wait_ms;
    wait->deadline = deadline;
    wait_on(waits, wait);
    waits->count++;
    waits->bytes += wait->bytes;
    if (peer->share != NULL) {
        peer->share->waits++;
        peer->share->wait_bytes += wait->bytes;
    }
    return CANYON_OK;
}

void waits_release(struct waits *waits, struct wait *wait) {
    struct handler_peer *peer = wait->peer;
    withdraw(waits, wait);
    append(&waits->ready, wait);
    wait->ready = true;
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
    waits->count--;
    waits->bytes -= wait->bytes;
    if (peer->share != NULL) {
        peer->share->waits--;
        peer->share->wait_bytes -= wait->bytes;
    }
    if (!wait->ready) {
        withdraw(waits, wait);
        return;
    }
    leave(&waits->ready, wait);
    assert(peer->ready_first == wait);
    peer->ready--;
    peer->ready_first = wait->behind;
    peer->ready_last = wait->behind != NULL ? peer->ready_last : NULL;
}

void waits_free(struct wait *wait) {
    free(wait);
}
