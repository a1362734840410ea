/* The sending side of an established channel. */
#include <assert.h>
#include <string.h>

#include "common/channel_state.h"
#include "common/endian.h"

/* What is left of a slice begins a record of its own from here on. */
#define OWN_RECORD_BYTES 4096

/* A place in the slices. */
struct cursor {
    const struct iovec *slices;
    size_t count, index, offset;
};

static size_t least(size_t one, size_t two) {
    return one < two ? one : two;
}

static size_t left_of(const struct cursor *cursor) {
    return cursor->index < cursor->count ? cursor->slices[cursor->index].iov_len - cursor->offset : 0;
}

static void cursor_skip(struct cursor *cursor, size_t count) {
    while (cursor->index < cursor->count && count >= left_of(cursor)) {
        count -= left_of(cursor);
        cursor->index++;
        cursor->offset = 0;
    }
    cursor->offset += cursor->index < cursor->count ? count : 0;
}

/* How much plaintext the next record is to hold: part of one slice with much left, or small ones together. 0 at the
 * end. The cursor is where a slice has something left. */
static size_t record_wants(struct cursor cursor) {
    size_t wants = left_of(&cursor);
    if (wants >= OWN_RECORD_BYTES) {
        return least(wants, CHANNEL_BULK_BYTES);
    }
    for (size_t i = cursor.index + 1; i < cursor.count && cursor.slices[i].iov_len < OWN_RECORD_BYTES; i++) {
        wants += cursor.slices[i].iov_len;
        if (wants >= CHANNEL_BULK_BYTES) {
            return CHANNEL_BULK_BYTES;
        }
    }
    return wants;
}

/* Moves on by `count` bytes and says where they are: in their slice, or together at `room` when they span several. */
static const uint8_t *cursor_take(struct cursor *cursor, size_t count, uint8_t *room) {
    if (left_of(cursor) >= count) {
        const uint8_t *at = (const uint8_t *)cursor->slices[cursor->index].iov_base + cursor->offset;
        cursor_skip(cursor, count);
        return at;
    }
    for (size_t filled = 0; filled < count;) {
        const size_t some = least(left_of(cursor), count - filled);
        memcpy(room + filled, (const uint8_t *)cursor->slices[cursor->index].iov_base + cursor->offset, some);
        cursor_skip(cursor, some);
        filled += some;
    }
    return room;
}

static bool record_seal(struct channel *channel, const uint8_t *plain, size_t count, uint8_t *out) {
    struct channel_cipher_state *sends = &channel->keys->sends;
    if (!channel->keys->alive || channel->last_sent ||
        !channel_cipher_seal(sends, NULL, 0, plain, count, out + CHANNEL_LENGTH_BYTES)) {
        return false;
    }
    store_u16(out, (uint16_t)(count + CHANNEL_TAG_BYTES));
    channel->carried += count;
    channel_keys_turn(sends);
    return true;
}

size_t channel_seal(struct channel *channel, const struct iovec *slices, size_t count, size_t skip, uint8_t *out,
                    size_t room, size_t *taken) {
    struct cursor cursor = {.slices = slices, .count = count};
    size_t written = 0, wants;
    cursor_skip(&cursor, skip);
    *taken = 0;
    while ((wants = record_wants(cursor)) > 0) {
        const size_t fits = room - written > CHANNEL_RECORD_BYTES ? room - written - CHANNEL_RECORD_BYTES : 0;
        const size_t plain_bytes = least(wants, fits);
        /* The end of the room makes no small records where a larger one can follow in the next call. */
        if (plain_bytes == 0 || (plain_bytes < wants && plain_bytes < OWN_RECORD_BYTES && written > 0)) {
            break;
        }
        /* The last number is kept for the last record. */
        if (channel->keys->sends.counter >= CHANNEL_CIPHER_END - 1) {
            break;
        }
        const uint8_t *plain = cursor_take(&cursor, plain_bytes, out + written + CHANNEL_LENGTH_BYTES);
        if (!record_seal(channel, plain, plain_bytes, out + written)) {
            break;
        }
        written += plain_bytes + CHANNEL_RECORD_BYTES;
        *taken += plain_bytes;
    }
    return written;
}

size_t channel_sealed_most(size_t plain, size_t count) {
    /* A record that is not full is the last of some slice. */
    return plain + CHANNEL_RECORD_BYTES * (plain / CHANNEL_BULK_BYTES + count);
}

void channel_seal_last(struct channel *channel, uint8_t out[CHANNEL_RECORD_BYTES]) {
    assert(!channel->last_sent);
    if (!record_seal(channel, out, 0, out)) {
        memset(out, 0, CHANNEL_RECORD_BYTES); /* without keys: what the peer takes for broken */
    }
    channel->last_sent = true;
}
