/* The receiving side of an established channel. */
#include <assert.h>
#include <string.h>

#include "common/channel_state.h"
#include "common/endian.h"
#include "common/idle_memory.h"
#include "common/secret.h"

/* With less room behind what waits, it is moved to the front. */
#define ROOM_LEAST_BYTES (CHANNEL_BULK_BYTES + CHANNEL_RECORD_BYTES)

void channel_space(struct channel *channel, uint8_t **at, size_t *room) {
    const size_t from = channel->plain_left > 0 ? channel->plain : channel->head;
    if (from > 0 && (from == channel->tail || CHANNEL_SCRATCH_BYTES - channel->tail < ROOM_LEAST_BYTES)) {
        memmove(channel->scratch, channel->scratch + from, channel->tail - from);
        channel->plain -= channel->plain_left > 0 ? from : channel->plain;
        channel->head -= from;
        channel->tail -= from;
    }
    *at = channel->scratch + channel->tail;
    *room = CHANNEL_SCRATCH_BYTES - channel->tail;
}

void channel_received(struct channel *channel, size_t count) {
    assert(count <= CHANNEL_SCRATCH_BYTES - channel->tail);
    const size_t tail = channel->tail + count;
    channel->reached = tail > channel->reached ? tail : channel->reached;
    if (channel->end == CHANNEL_NEEDS_MORE) {
        channel->tail = tail;
    } /* else nothing is read any more */
}

/* Nothing received afterwards, or before and not opened, is read. */
static enum channel_result end_with(struct channel *channel, enum channel_result end) {
    channel->end = end;
    channel->tail = channel->head;
    return end;
}

static enum channel_result give_waiting(struct channel *channel, uint8_t *at, size_t room, size_t *got) {
    *got = channel->plain_left < room ? channel->plain_left : room;
    memcpy(at, channel->scratch + channel->plain, *got);
    channel->plain += *got;
    channel->plain_left -= *got;
    return CHANNEL_BYTES;
}

/* The record at head, which is there as a whole. */
static enum channel_result record_open(struct channel *channel, size_t length, uint8_t *at, size_t room, size_t *got) {
    struct channel_cipher_state *receives = &channel->keys->receives;
    const size_t plain = channel->head + CHANNEL_LENGTH_BYTES, plain_bytes = length - CHANNEL_TAG_BYTES;
    uint8_t *sealed = channel->scratch + plain;
    const bool straight = plain_bytes <= room;
    if (!channel->keys->alive || !channel_cipher_open(receives, NULL, 0, sealed, length, straight ? at : sealed)) {
        return end_with(channel, CHANNEL_BROKEN);
    }
    channel_keys_turn(receives);
    channel->head += CHANNEL_LENGTH_BYTES + length;
    channel->carried += plain_bytes;
    if (plain_bytes == 0) {
        return end_with(channel, CHANNEL_LAST);
    }
    if (!straight) {
        channel->plain = plain;
        channel->plain_left = plain_bytes;
        return give_waiting(channel, at, room, got);
    }
    *got = plain_bytes;
    return CHANNEL_BYTES;
}

enum channel_result channel_read(struct channel *channel, uint8_t *at, size_t room, size_t *got) {
    const size_t there = channel->tail - channel->head;
    assert(room > 0);
    *got = 0;
    if (channel->plain_left > 0) {
        return give_waiting(channel, at, room, got);
    }
    if (channel->end != CHANNEL_NEEDS_MORE || there < CHANNEL_LENGTH_BYTES) {
        return channel->end;
    }
    const size_t length = load_u16(channel->scratch + channel->head);
    if (length < CHANNEL_TAG_BYTES) {
        return end_with(channel, CHANNEL_BROKEN);
    }
    return there < CHANNEL_LENGTH_BYTES + length ? CHANNEL_NEEDS_MORE : record_open(channel, length, at, room, got);
}

bool channel_idle(const struct channel *channel) {
    return channel->plain_left == 0 && channel->head == channel->tail;
}

void channel_rest(struct channel *channel) {
    if (channel_idle(channel)) {
        secret_wipe(channel->scratch, channel->reached); /* parts of pages stay */
        idle_memory_release(channel->scratch, CHANNEL_SCRATCH_BYTES);
        channel->head = 0;
        channel->tail = 0;
        channel->plain = 0;
        channel->reached = 0;
    }
}
