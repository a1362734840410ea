/* One direction's key with its counter: the CipherState of the Noise Protocol Framework (revision 34, section 5.1).
 *
 * Nonces are the counter as Noise encodes it: four zero bytes, then 8 bytes, little-endian for ChaCha20-Poly1305 and
 * big-endian for AES-256-GCM. The counter's last value is Rekey()'s and never seals anything. Part of the channel; not
 * thread-safe. */
#ifndef CANYON_COMMON_CHANNEL_CIPHER_H
#define CANYON_COMMON_CHANNEL_CIPHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/channel.h"

#define CHANNEL_CIPHER_KEY_BYTES      32
#define CHANNEL_CIPHER_PREPARED_BYTES 512
#define CHANNEL_CIPHER_END            UINT64_MAX /* a counter that has got here seals and opens no more */

/* In secret memory, as the room it borrows. */
struct channel_cipher_state {
    enum channel_cipher cipher;
    uint64_t counter; /* messages sealed or opened since the start */
    uint8_t key[CHANNEL_CIPHER_KEY_BYTES];
    uint8_t *prepared; /* AES-256-GCM's expanded key; NULL: expanded at every message */
};

/* A counter of 0. `prepared` is NULL or CHANNEL_CIPHER_PREPARED_BYTES, 16-byte aligned, borrowed for the state's life;
 * it pays for itself after one message. */
void channel_cipher_start(struct channel_cipher_state *state, enum channel_cipher cipher,
                          const uint8_t key[CHANNEL_CIPHER_KEY_BYTES], uint8_t *prepared);

/* Encrypts `count` bytes (at most 65,519) and authenticates them with `ad`: writes count + CHANNEL_TAG_BYTES to `out`,
 * which may be where `plain` is. False, with nothing done, when the counter has come to its end. */
bool channel_cipher_seal(struct channel_cipher_state *state, const void *ad, size_t ad_bytes, const uint8_t *plain,
                         size_t count, uint8_t *out);

/* The inverse: `count` bytes with their tag; writes count - CHANNEL_TAG_BYTES to `out`, which may be where `sealed` is.
 * False when that is not what the peer sealed next with this key and `ad`: the counter stays, and of the plaintext
 * `out` holds nothing (it may be zeroed). */
bool channel_cipher_open(struct channel_cipher_state *state, const void *ad, size_t ad_bytes, const uint8_t *sealed,
                         size_t count, uint8_t *out);

/* Rekey(): the key becomes a one-way function of itself; the counter goes on. */
void channel_cipher_rekey(struct channel_cipher_state *state);

#endif
