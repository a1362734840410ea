#include "common/channel.h"

#include <stdlib.h>
#include <string.h>

#include "common/channel_state.h"
#include "common/secret.h"

#define KEYS_BYTES ((sizeof(struct channel_keys) + 63) / 64 * 64)

_Static_assert(KEYS_BYTES + 2 * CHANNEL_CIPHER_PREPARED_BYTES <= SECRET_LIMIT_BYTES, "the keys do not fit one cell");
_Static_assert(CHANNEL_SCRATCH_BYTES >= 2 * (CHANNEL_LENGTH_BYTES + UINT16_MAX), "no room to read ahead");

static struct channel_keys *keys_create(enum channel_cipher cipher) {
    const size_t prepared = cipher == CHANNEL_AES256GCM ? CHANNEL_CIPHER_PREPARED_BYTES : 0;
    struct channel_keys *keys = secret_alloc(KEYS_BYTES + 2 * prepared);
    if (keys != NULL && prepared > 0) {
        keys->sends.prepared = (uint8_t *)keys + KEYS_BYTES;
        keys->receives.prepared = keys->sends.prepared + prepared;
    }
    return keys;
}

struct channel *channel_create(enum channel_cipher cipher) {
    struct channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL) {
        return NULL;
    }
    channel->end = CHANNEL_NEEDS_MORE;
    channel->scratch = malloc(CHANNEL_SCRATCH_BYTES);
    channel->keys = keys_create(cipher);
    if (channel->scratch == NULL || channel->keys == NULL) {
        channel_destroy(channel);
        return NULL;
    }
    return channel;
}

void channel_destroy(struct channel *channel) {
    if (channel == NULL) {
        return;
    }
    secret_free(channel->keys);
    if (channel->scratch != NULL) {
        secret_wipe(channel->scratch, channel->reached); /* it may hold plaintext */
    }
    free(channel->scratch);
    free(channel);
}

enum channel_cipher channel_cipher_of(const struct channel *channel) {
    return channel->keys->sends.cipher;
}

uint64_t channel_carried(const struct channel *channel) {
    return channel->carried;
}
