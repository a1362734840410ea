/* Noise_XK_25519_ChaChaPoly_SHA512 and Noise_XK_25519_AESGCM_SHA512 as the Noise Protocol Framework (revision 34)
 * defines them: any prologue, a payload in every message, the ephemeral key given.
 *
 *     XK:  <- s   ...   -> e, es   <- e, ee   -> s, se
 *
 * The channel's handshake is this with its own prologue and sizes; the published vectors test this. Part of the
 * channel; not thread-safe. */
#ifndef CANYON_COMMON_CHANNEL_NOISE_H
#define CANYON_COMMON_CHANNEL_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/channel_cipher.h"
#include "common/key.h"

#define CHANNEL_NOISE_HASH_BYTES    64
#define CHANNEL_NOISE_MESSAGES      3
#define CHANNEL_NOISE_MESSAGE_LIMIT 65535

enum channel_noise_role { CHANNEL_NOISE_INITIATOR, CHANNEL_NOISE_RESPONDER };

/* In secret memory; only finish to give back. */
struct channel_noise {
    enum channel_cipher cipher;
    enum channel_noise_role role;
    unsigned done; /* messages written or read */
    bool broken;   /* a message could not be read: nothing can follow */
    bool keyed;    /* `state` has a key */
    const struct key_pair *own;
    uint8_t ephemeral[KEY_BYTES];        /* secret */
    uint8_t remote[KEY_BYTES];           /* static public: given to the initiator, from the third message otherwise */
    uint8_t remote_ephemeral[KEY_BYTES]; /* public */
    uint8_t chaining[CHANNEL_NOISE_HASH_BYTES];
    uint8_t hash[CHANNEL_NOISE_HASH_BYTES];
    struct channel_cipher_state state;
};

/* `remote` is the responder's public key, for the initiator; NULL for the responder. `ephemeral` is the secret key to
 * use. `own` is borrowed until finish, which wipes. */
void channel_noise_init(struct channel_noise *noise, enum channel_cipher cipher, enum channel_noise_role role,
                        const void *prologue, size_t prologue_bytes, const struct key_pair *own, const uint8_t *remote,
                        const uint8_t ephemeral[KEY_BYTES]);
void channel_noise_finish(struct channel_noise *noise);

/* True when the next message is this side's to write (to read), false also when all are done or one was broken. */
bool channel_noise_writes(const struct channel_noise *noise);
bool channel_noise_reads(const struct channel_noise *noise);

/* Bytes of the next message without its payload. */
size_t channel_noise_least(const struct channel_noise *noise);

/* Writes the next message: channel_noise_least + payload_bytes to `out`, at most CHANNEL_NOISE_MESSAGE_LIMIT (the
 * caller's care). False when a public key that the peer gave is one that no honest peer has. */
bool channel_noise_write(struct channel_noise *noise, const uint8_t *payload, size_t payload_bytes, uint8_t *out);

/* Reads the next message of `count` bytes, and gives count - channel_noise_least bytes of payload. False when it is not
 * what an honest peer would have written: nothing in `payload` counts, and nothing can follow. */
bool channel_noise_read(struct channel_noise *noise, const uint8_t *message, size_t count, uint8_t *payload);

/* DH(): X25519 of a secret and a public key. False when the result is zero, as with public keys of small order only. */
bool channel_noise_exchange(uint8_t shared[KEY_BYTES], const uint8_t secret[KEY_BYTES],
                            const uint8_t public[KEY_BYTES]);

/* After the last message, once: the keys of both directions, counters at 0; the handshake's secrets are wiped and
 * `hash` stays, which names this handshake. Room as for channel_cipher_start. */
void channel_noise_split(struct channel_noise *noise, struct channel_cipher_state *sends, uint8_t *sends_prepared,
                         struct channel_cipher_state *receives, uint8_t *receives_prepared);

#endif
