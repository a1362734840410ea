/* What the parts of the channel share: the state of an established one. Nobody else looks inside but tests. */
#ifndef CANYON_COMMON_CHANNEL_STATE_H
#define CANYON_COMMON_CHANNEL_STATE_H

#include "common/channel.h"
#include "common/channel_cipher.h"

/* Room for the largest record and for reading ahead, so that one recv brings several bulk records. */
#define CHANNEL_SCRATCH_BYTES 131200

/* In secret memory, followed by the expanded keys of a cipher that has them. `alive` reads false in a child made by
 * fork, where the keys read as zeroes and must not be used. */
struct channel_keys {
    bool alive;
    struct channel_cipher_state sends, receives;
};

/* On the heap. Received bytes are scratch[head .. tail): records not opened yet. Of the last opened one, plaintext that
 * did not fit the caller's room is scratch[plain .. plain + plain_left), before head. */
struct channel {
    struct channel_keys *keys;
    enum channel_result end; /* NEEDS_MORE while it goes on; LAST or BROKEN once received */
    bool last_sent;
    uint64_t carried;
    uint8_t *scratch;
    size_t head, tail;
    size_t plain, plain_left;
    size_t reached; /* the scratch beyond was never written */
};

/* Without keys yet: their `prepared` has its room. NULL when memory cannot be had. */
struct channel *channel_create(enum channel_cipher cipher);

/* After every record in either direction. */
static inline void channel_keys_turn(struct channel_cipher_state *state) {
    if (state->counter % CHANNEL_REKEY_RECORDS == 0) {
        channel_cipher_rekey(state);
    }
}

#endif
