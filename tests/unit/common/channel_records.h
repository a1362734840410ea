/* Records to and fro between both ends of a channel, for tests. */
#ifndef CANYON_TESTS_UNIT_CHANNEL_RECORDS_H
#define CANYON_TESTS_UNIT_CHANNEL_RECORDS_H

#include <stdint.h>
#include <string.h>

#include "channel_pair.h"
#include "common/channel_state.h"

#define MANY (1u << 20)

/* Large arrays, made once. */
static uint8_t plain[MANY], wire[MANY + 65536], heard[MANY];

static inline size_t seal_one(struct channel *channel, const uint8_t *bytes, size_t count, uint8_t *out, size_t room) {
    const struct iovec slice = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = count};
    size_t taken;
    const size_t written = channel_seal(channel, &slice, 1, 0, out, room, &taken);
    assert_int_equal(taken, count);
    assert_true(written <= channel_sealed_most(count, 1));
    return written;
}

/* Feeds the whole and reads all there is into `heard`, in calls of at most `room`; says how much came, and how it
 * ended: NEEDS_MORE, LAST or BROKEN. */
static inline size_t hear(struct channel *channel, const uint8_t *bytes, size_t count, size_t room,
                          enum channel_result *result) {
    size_t total = 0, fed = 0;
    for (;;) {
        size_t got = 0;
        *result = channel_read(channel, heard + total, room, &got);
        if (*result == CHANNEL_BYTES) {
            assert_in_range(got, 1, room);
            total += got;
            continue;
        }
        assert_int_equal(got, 0);
        if (*result != CHANNEL_NEEDS_MORE || fed == count) {
            return total;
        }
        const size_t some = channel_pair_feed(channel, bytes + fed, count - fed);
        assert_true(some > 0);
        fed += some;
    }
}

/* Rewinds the receiving end to where it was made. */
static inline void rewind_to(struct channel *channel, const struct channel_keys *keys) {
    memcpy(channel->keys, keys, sizeof *keys);
    channel->end = CHANNEL_NEEDS_MORE;
    channel->head = channel->tail = channel->plain = channel->plain_left = 0;
    channel->carried = 0;
}

/* What `plain` holds is the same in every run. */
static inline void records_begin(void) {
    for (size_t i = 0; i < sizeof plain; i++) {
        plain[i] = (uint8_t)(i * 2654435761u >> 13);
    }
}

#endif
