/* A channel makes one TCP connection private and authentic: Noise_XK_25519_ChaChaPoly_SHA512, or _AESGCM_, from bytes
 * in to bytes out. No socket, no clock; the only randomness is the ephemeral key.
 *
 * Both ends name the same protocol beforehand and nothing is negotiated. The initiator (a client) knows the responder's
 * (a server's) public key; the responder learns the initiator's from the third message, encrypted.
 *
 *     -> first    64 bytes   mac1 (16: BLAKE2b-128 of the rest, keyed with a hash of the server's key), e, es
 *     <- second   48 bytes   e, ee
 *     -> third    2 + 64 + n the length of what follows (u16), then s, se and n bytes of hello, encrypted
 *     <> records  2 + 16 + n the length of what follows (u16), then n bytes encrypted; n = 0 is the last record
 *
 * All lengths little-endian. A record's key is replaced by Noise's Rekey() after every CHANNEL_REKEY_RECORDS. The end
 * of the TCP stream without a last record is an abort, never an end of data. PROTOCOL.md describes the bytes, the Noise
 * Protocol Framework (revision 34) the cryptography. None of these is thread-safe; each belongs to one connection. A
 * child made by fork has none of their keys: what it inherits fails at every call and is only to be destroyed. */
#ifndef CANYON_COMMON_CHANNEL_H
#define CANYON_COMMON_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/key.h"
#include "common/status.h"

#define CHANNEL_FIRST_BYTES       64
#define CHANNEL_SECOND_BYTES      48
#define CHANNEL_THIRD_LEAST_BYTES 66  /* with an empty hello */
#define CHANNEL_THIRD_LIMIT_BYTES 514 /* its length field included */
#define CHANNEL_HELLO_LIMIT_BYTES (CHANNEL_THIRD_LIMIT_BYTES - CHANNEL_THIRD_LEAST_BYTES)

#define CHANNEL_LENGTH_BYTES  2
#define CHANNEL_TAG_BYTES     16
#define CHANNEL_RECORD_BYTES  (CHANNEL_LENGTH_BYTES + CHANNEL_TAG_BYTES) /* what a record adds to its plaintext */
#define CHANNEL_BULK_BYTES    32768                                      /* plaintext that a sender puts into one */
#define CHANNEL_REKEY_RECORDS 65536ull

enum channel_cipher { CHANNEL_CHACHA20POLY1305 = 0, CHANNEL_AES256GCM = 1 };

/* "chacha20poly1305", "aes256gcm". */
const char *channel_cipher_name(enum channel_cipher cipher);
/* False for a name that is none. */
bool channel_cipher_parse(const char *name, enum channel_cipher *cipher);
/* Whether this CPU can do it; ChaCha20-Poly1305 always. */
bool channel_cipher_usable(enum channel_cipher cipher);

/* ---- The handshake ---------------------------------------------------------------------------------------------- */

/* In secret memory. */
struct channel_handshake;

/* Whether these 64 bytes were made by someone who knows the server's public key: one hash, no state, no curve. */
bool channel_first_plausible(const uint8_t server[KEY_BYTES], const uint8_t first[CHANNEL_FIRST_BYTES]);

/* `own` is borrowed for the handshake's life. `seed` gives the ephemeral secret key: 32 unpredictable bytes, used for
 * this one handshake only (tests give known ones). NULL when memory cannot be had, or the CPU lacks the cipher
 * (channel_cipher_usable). No curve is computed here. destroy wipes; safe on NULL. */
struct channel_handshake *channel_initiate(enum channel_cipher cipher, const struct key_pair *own,
                                           const uint8_t server[KEY_BYTES], const uint8_t seed[KEY_BYTES]);
struct channel_handshake *channel_respond(enum channel_cipher cipher, const struct key_pair *own,
                                          const uint8_t seed[KEY_BYTES]);
void channel_handshake_destroy(struct channel_handshake *handshake);

/* The initiator's three steps, in this order; out of order INTERNAL, with nothing changed. PROTOCOL when the
 * responder's bytes do not prove the key (in write_first: when the key given for it is no key); the handshake can then
 * only be destroyed. write_third takes at most CHANNEL_HELLO_LIMIT_BYTES (TOO_LARGE) and says how many bytes it wrote.
 */
enum canyon_status channel_write_first(struct channel_handshake *handshake, uint8_t first[CHANNEL_FIRST_BYTES]);
enum canyon_status channel_read_second(struct channel_handshake *handshake, const uint8_t second[CHANNEL_SECOND_BYTES]);
enum canyon_status channel_write_third(struct channel_handshake *handshake, const void *hello, size_t hello_bytes,
                                       uint8_t third[CHANNEL_THIRD_LIMIT_BYTES], size_t *third_bytes);

/* The responder's. read_first checks mac1 before anything else. channel_third_bytes gives the whole length of the third
 * message from its first two bytes, or 0 when it is out of range. read_third gives the hello (into
 * CHANNEL_HELLO_LIMIT_BYTES) and the initiator's public key, which is proven when it returns OK and worth nothing
 * otherwise. PROTOCOL for anything that is not right: close without a word. */
enum canyon_status channel_read_first(struct channel_handshake *handshake, const uint8_t first[CHANNEL_FIRST_BYTES]);
enum canyon_status channel_write_second(struct channel_handshake *handshake, uint8_t second[CHANNEL_SECOND_BYTES]);
size_t channel_third_bytes(const uint8_t length[CHANNEL_LENGTH_BYTES]);
enum canyon_status channel_read_third(struct channel_handshake *handshake, const uint8_t *third, size_t third_bytes,
                                      uint8_t hello[CHANNEL_HELLO_LIMIT_BYTES], size_t *hello_bytes,
                                      uint8_t client[KEY_BYTES]);

/* ---- Records ---------------------------------------------------------------------------------------------------- */

/* Both directions of an established connection; keys in secret memory, and a scratch for what is received. */
struct channel;

/* After the last step of a handshake, once; the handshake is to be destroyed afterwards. NULL when memory cannot be had
 * (the handshake is as before), or the handshake did not get there. May be handed to another thread as a whole. destroy
 * wipes; safe on NULL. */
struct channel *channel_establish(struct channel_handshake *handshake);
void channel_destroy(struct channel *channel);

enum channel_cipher channel_cipher_of(const struct channel *channel);

/* Plaintext bytes carried so far, both directions together: a connection should be replaced in good time. */
uint64_t channel_carried(const struct channel *channel);

/* Seals bytes of the slices, less the first `skip` of them, into records at `out`, as many as fit into `room`. Returns
 * the bytes written and, in `taken`, the plaintext bytes they hold; 0 when not even one record of one byte fits. Small
 * slices share a record; a slice with much left (at least 4 KiB) begins one of its own, so that the receiver can
 * decrypt it straight to where it belongs. Never a record without plaintext. Always 0 after channel_seal_last, and
 * after 2^64 - 2 records. */
size_t channel_seal(struct channel *channel, const struct iovec *slices, size_t count, size_t skip, uint8_t *out,
                    size_t room, size_t *taken);

/* The most bytes channel_seal can need for `plain` bytes in `count` slices. */
size_t channel_sealed_most(size_t plain, size_t count);

/* Writes the last record, once; nothing is sealed afterwards. */
void channel_seal_last(struct channel *channel, uint8_t out[CHANNEL_RECORD_BYTES]);

/* Where to receive next and how much fits (> 0 after channel_read said NEEDS_MORE), and that so many bytes came. */
void channel_space(struct channel *channel, uint8_t **at, size_t *room);
void channel_received(struct channel *channel, size_t count);

enum channel_result {
    CHANNEL_BYTES,      /* *got bytes of plaintext were put at `at` */
    CHANNEL_NEEDS_MORE, /* no whole record is there */
    CHANNEL_LAST,       /* the peer said that this is all; nothing after it is read */
    CHANNEL_BROKEN      /* a record that the peer did not seal, here and now; again on every later call */
};

/* As recv on a plain socket: the next plaintext bytes, at most `room` (> 0), at `at`. A record that fits is decrypted
 * straight there; of a larger one the rest comes with the next calls. Bytes come out only after their record's tag was
 * checked; on BROKEN none do, though what stood at `at` may be zeroed: close at once, without a word. */
enum channel_result channel_read(struct channel *channel, uint8_t *at, size_t room, size_t *got);

/* True when nothing received waits: neither a part of a record nor plaintext. */
bool channel_idle(const struct channel *channel);

/* An idle channel lets the pages of its scratch, with the plaintext that may still be in them, go back to the system
 * until they are needed again. Elsewhere it does nothing. */
void channel_rest(struct channel *channel);

#endif
