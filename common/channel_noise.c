#include "common/channel_noise.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "common/secret.h"

_Static_assert(CHANNEL_NOISE_HASH_BYTES == crypto_hash_sha512_BYTES, "SHA-512");
_Static_assert(CHANNEL_NOISE_HASH_BYTES == crypto_auth_hmacsha512_BYTES, "HMAC-SHA-512");
_Static_assert(KEY_BYTES == crypto_scalarmult_BYTES, "X25519");

enum token { E, S, EE, ES, SE };

/* What each message of XK carries, and how many bytes that makes with an empty payload's tag. */
static const struct {
    enum token tokens[2];
    size_t least;
} messages[CHANNEL_NOISE_MESSAGES] = {
    {{E, ES}, KEY_BYTES + CHANNEL_TAG_BYTES},
    {{E, EE}, KEY_BYTES + CHANNEL_TAG_BYTES},
    {{S, SE}, KEY_BYTES + CHANNEL_TAG_BYTES + CHANNEL_TAG_BYTES},
};

/* ---- SymmetricState ---------------------------------------------------------------------------------------------- */

static void mix_hash(struct channel_noise *noise, const void *bytes, size_t count) {
    crypto_hash_sha512_state state;
    crypto_hash_sha512_init(&state);
    crypto_hash_sha512_update(&state, noise->hash, sizeof noise->hash);
    crypto_hash_sha512_update(&state, bytes, count);
    crypto_hash_sha512_final(&state, noise->hash);
}

/* HKDF with two outputs. */
static void derive(const uint8_t chaining[CHANNEL_NOISE_HASH_BYTES], const uint8_t *input, size_t count,
                   uint8_t first[CHANNEL_NOISE_HASH_BYTES], uint8_t second[CHANNEL_NOISE_HASH_BYTES]) {
    crypto_auth_hmacsha512_state keyed, state;
    uint8_t key[CHANNEL_NOISE_HASH_BYTES];
    crypto_auth_hmacsha512_init(&state, chaining, CHANNEL_NOISE_HASH_BYTES);
    crypto_auth_hmacsha512_update(&state, input, count);
    crypto_auth_hmacsha512_final(&state, key);
    crypto_auth_hmacsha512_init(&keyed, key, sizeof key); /* used for both outputs */
    state = keyed;
    crypto_auth_hmacsha512_update(&state, (const uint8_t *)"\1", 1);
    crypto_auth_hmacsha512_final(&state, first);
    state = keyed;
    crypto_auth_hmacsha512_update(&state, first, CHANNEL_NOISE_HASH_BYTES);
    crypto_auth_hmacsha512_update(&state, (const uint8_t *)"\2", 1);
    crypto_auth_hmacsha512_final(&state, second);
    secret_wipe(key, sizeof key);
    secret_wipe(&keyed, sizeof keyed);
    secret_wipe(&state, sizeof state);
}

static void mix_key(struct channel_noise *noise, const uint8_t shared[KEY_BYTES]) {
    uint8_t key[CHANNEL_NOISE_HASH_BYTES], chaining[CHANNEL_NOISE_HASH_BYTES];
    derive(noise->chaining, shared, KEY_BYTES, chaining, key);
    memcpy(noise->chaining, chaining, sizeof chaining);
    channel_cipher_start(&noise->state, noise->cipher, key, NULL); /* too few messages to prepare for */
    noise->keyed = true;
    secret_wipe(key, sizeof key);
    secret_wipe(chaining, sizeof chaining);
}

static void encrypt_and_hash(struct channel_noise *noise, const uint8_t *plain, size_t count, uint8_t *out) {
    assert(noise->keyed); /* XK has a key before anything is encrypted */
    bool sealed = channel_cipher_seal(&noise->state, noise->hash, sizeof noise->hash, plain, count, out);
    assert(sealed);
    mix_hash(noise, out, count + CHANNEL_TAG_BYTES);
}

static bool decrypt_and_hash(struct channel_noise *noise, const uint8_t *sealed, size_t count, uint8_t *plain) {
    assert(noise->keyed);
    if (!channel_cipher_open(&noise->state, noise->hash, sizeof noise->hash, sealed, count, plain)) {
        return false;
    }
    mix_hash(noise, sealed, count);
    return true;
}

/* ---- HandshakeState ---------------------------------------------------------------------------------------------- */

void channel_noise_init(struct channel_noise *noise, enum channel_cipher cipher, enum channel_noise_role role,
                        const void *prologue, size_t prologue_bytes, const struct key_pair *own, const uint8_t *remote,
                        const uint8_t ephemeral[KEY_BYTES]) {
    const char *name =
        cipher == CHANNEL_AES256GCM ? "Noise_XK_25519_AESGCM_SHA512" : "Noise_XK_25519_ChaChaPoly_SHA512";
    assert((role == CHANNEL_NOISE_INITIATOR) == (remote != NULL));
    memset(noise, 0, sizeof *noise);
    noise->cipher = cipher;
    noise->role = role;
    noise->own = own;
    memcpy(noise->ephemeral, ephemeral, KEY_BYTES);
    if (remote != NULL) {
        memcpy(noise->remote, remote, KEY_BYTES);
    }
    memcpy(noise->hash, name, strlen(name)); /* shorter than a hash: padded with zeroes */
    memcpy(noise->chaining, noise->hash, sizeof noise->chaining);
    mix_hash(noise, prologue, prologue_bytes);
    mix_hash(noise, remote != NULL ? remote : own->public, KEY_BYTES);
}

void channel_noise_finish(struct channel_noise *noise) {
    secret_wipe(noise, sizeof *noise);
}

static bool whose(const struct channel_noise *noise, bool writes) {
    const bool own_turn = (noise->done % 2 == 0) == (noise->role == CHANNEL_NOISE_INITIATOR);
    return noise->done < CHANNEL_NOISE_MESSAGES && !noise->broken && own_turn == writes;
}

bool channel_noise_writes(const struct channel_noise *noise) {
    return whose(noise, true);
}

bool channel_noise_reads(const struct channel_noise *noise) {
    return whose(noise, false);
}

size_t channel_noise_least(const struct channel_noise *noise) {
    assert(noise->done < CHANNEL_NOISE_MESSAGES);
    return messages[noise->done].least;
}

bool channel_noise_exchange(uint8_t shared[KEY_BYTES], const uint8_t secret[KEY_BYTES],
                            const uint8_t public[KEY_BYTES]) {
    return crypto_scalarmult(shared, secret, public) == 0;
}

/* The exchange that a token names, mixed in. */
static bool mix_shared(struct channel_noise *noise, enum token token) {
    const bool initiator = noise->role == CHANNEL_NOISE_INITIATOR;
    const bool own_static = token == (initiator ? SE : ES);
    const bool their_static = token == (initiator ? ES : SE);
    uint8_t shared[KEY_BYTES];
    const bool ok = channel_noise_exchange(shared, own_static ? noise->own->secret : noise->ephemeral,
                                           their_static ? noise->remote : noise->remote_ephemeral);
    if (ok) {
        mix_key(noise, shared);
    }
    secret_wipe(shared, sizeof shared);
    return ok;
}

bool channel_noise_write(struct channel_noise *noise, const uint8_t *payload, size_t payload_bytes, uint8_t *out) {
    assert(channel_noise_writes(noise));
    assert(payload_bytes <= CHANNEL_NOISE_MESSAGE_LIMIT - channel_noise_least(noise));
    for (size_t i = 0; i < 2; i++) {
        const enum token token = messages[noise->done].tokens[i];
        if (token == E) {
            int failed = crypto_scalarmult_base(out, noise->ephemeral);
            assert(!failed);
            mix_hash(noise, out, KEY_BYTES);
            out += KEY_BYTES;
        } else if (token == S) {
            encrypt_and_hash(noise, noise->own->public, KEY_BYTES, out);
            out += KEY_BYTES + CHANNEL_TAG_BYTES;
        } else if (!mix_shared(noise, token)) {
            noise->broken = true;
            return false;
        }
    }
    encrypt_and_hash(noise, payload, payload_bytes, out);
    noise->done++;
    return true;
}

/* Takes what the token stands for from the message; `least` bytes are there. */
static bool read_token(struct channel_noise *noise, enum token token, const uint8_t **at) {
    const uint8_t *key = *at;
    switch (token) {
    case E:
        memcpy(noise->remote_ephemeral, key, KEY_BYTES);
        mix_hash(noise, key, KEY_BYTES);
        *at += KEY_BYTES;
        return true;
    case S:
        *at += KEY_BYTES + CHANNEL_TAG_BYTES;
        return decrypt_and_hash(noise, key, KEY_BYTES + CHANNEL_TAG_BYTES, noise->remote);
    case EE:
    case ES:
    case SE:
        return mix_shared(noise, token);
    }
    return false;
}

bool channel_noise_read(struct channel_noise *noise, const uint8_t *message, size_t count, uint8_t *payload) {
    assert(channel_noise_reads(noise));
    const uint8_t *at = message;
    bool ok = count >= channel_noise_least(noise) && count <= CHANNEL_NOISE_MESSAGE_LIMIT;
    for (size_t i = 0; i < 2 && ok; i++) {
        ok = read_token(noise, messages[noise->done].tokens[i], &at);
    }
    ok = ok && decrypt_and_hash(noise, at, count - (size_t)(at - message), payload);
    noise->broken = !ok;
    noise->done += ok;
    return ok;
}

void channel_noise_split(struct channel_noise *noise, struct channel_cipher_state *sends, uint8_t *sends_prepared,
                         struct channel_cipher_state *receives, uint8_t *receives_prepared) {
    uint8_t first[CHANNEL_NOISE_HASH_BYTES], second[CHANNEL_NOISE_HASH_BYTES];
    const bool initiator = noise->role == CHANNEL_NOISE_INITIATOR;
    assert(noise->done == CHANNEL_NOISE_MESSAGES && !noise->broken);
    derive(noise->chaining, NULL, 0, first, second);
    channel_cipher_start(sends, noise->cipher, initiator ? first : second, sends_prepared);
    channel_cipher_start(receives, noise->cipher, initiator ? second : first, receives_prepared);
    secret_wipe(first, sizeof first);
    secret_wipe(second, sizeof second);
    secret_wipe(noise->ephemeral, sizeof noise->ephemeral);
    secret_wipe(noise->chaining, sizeof noise->chaining);
    secret_wipe(&noise->state, sizeof noise->state);
    noise->broken = true; /* nothing can follow */
}
