#include "common/channel_cipher.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "common/endian.h"
#include "common/secret.h"

#define NONCE_BYTES 12

_Static_assert(CHANNEL_CIPHER_KEY_BYTES == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "256-bit keys");
_Static_assert(CHANNEL_CIPHER_KEY_BYTES == crypto_aead_aes256gcm_KEYBYTES, "256-bit keys");
_Static_assert(CHANNEL_TAG_BYTES == crypto_aead_chacha20poly1305_ietf_ABYTES, "128-bit tags");
_Static_assert(CHANNEL_TAG_BYTES == crypto_aead_aes256gcm_ABYTES, "128-bit tags");
_Static_assert(NONCE_BYTES == crypto_aead_chacha20poly1305_ietf_NPUBBYTES, "96-bit nonces");
_Static_assert(NONCE_BYTES == crypto_aead_aes256gcm_NPUBBYTES, "96-bit nonces");
_Static_assert(CHANNEL_CIPHER_PREPARED_BYTES == sizeof(crypto_aead_aes256gcm_state), "the expanded key's room");

static const char *const names[] = {"chacha20poly1305", "aes256gcm"};

const char *channel_cipher_name(enum channel_cipher cipher) {
    return (unsigned)cipher < sizeof names / sizeof names[0] ? names[cipher] : "unknown";
}

bool channel_cipher_parse(const char *name, enum channel_cipher *cipher) {
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            *cipher = (enum channel_cipher)i;
            return true;
        }
    }
    return false;
}

bool channel_cipher_usable(enum channel_cipher cipher) {
    switch (cipher) {
    case CHANNEL_CHACHA20POLY1305:
        return true;
    case CHANNEL_AES256GCM:
        return crypto_aead_aes256gcm_is_available() != 0;
    }
    return false;
}

static crypto_aead_aes256gcm_state *prepared_of(const struct channel_cipher_state *state) {
    return (crypto_aead_aes256gcm_state *)(void *)state->prepared;
}

static void prepare(struct channel_cipher_state *state) {
    if (state->prepared != NULL && state->cipher == CHANNEL_AES256GCM) {
        int failed = crypto_aead_aes256gcm_beforenm(prepared_of(state), state->key);
        assert(!failed);
    }
}

void channel_cipher_start(struct channel_cipher_state *state, enum channel_cipher cipher,
                          const uint8_t key[CHANNEL_CIPHER_KEY_BYTES], uint8_t *prepared) {
    assert((uintptr_t)prepared % 16 == 0);
    state->cipher = cipher;
    state->counter = 0;
    memcpy(state->key, key, CHANNEL_CIPHER_KEY_BYTES);
    state->prepared = prepared;
    prepare(state);
}

static void put_nonce(enum channel_cipher cipher, uint64_t counter, uint8_t nonce[NONCE_BYTES]) {
    memset(nonce, 0, NONCE_BYTES);
    store_u64(nonce + 4, cipher == CHANNEL_AES256GCM ? __builtin_bswap64(counter) : counter);
}

/* ENCRYPT of the framework. */
static void encrypt(const struct channel_cipher_state *state, uint64_t counter, const void *ad, size_t ad_bytes,
                    const uint8_t *plain, size_t count, uint8_t *out) {
    uint8_t nonce[NONCE_BYTES];
    int failed;
    put_nonce(state->cipher, counter, nonce);
    if (state->cipher == CHANNEL_CHACHA20POLY1305) {
        failed =
            crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain, count, ad, ad_bytes, NULL, nonce, state->key);
    } else if (state->prepared != NULL) {
        failed = crypto_aead_aes256gcm_encrypt_afternm(out, NULL, plain, count, ad, ad_bytes, NULL, nonce,
                                                       prepared_of(state));
    } else {
        failed = crypto_aead_aes256gcm_encrypt(out, NULL, plain, count, ad, ad_bytes, NULL, nonce, state->key);
    }
    assert(!failed);
}

bool channel_cipher_seal(struct channel_cipher_state *state, const void *ad, size_t ad_bytes, const uint8_t *plain,
                         size_t count, uint8_t *out) {
    if (state->counter == CHANNEL_CIPHER_END) {
        return false;
    }
    encrypt(state, state->counter, ad, ad_bytes, plain, count, out);
    state->counter++;
    return true;
}

bool channel_cipher_open(struct channel_cipher_state *state, const void *ad, size_t ad_bytes, const uint8_t *sealed,
                         size_t count, uint8_t *out) {
    uint8_t nonce[NONCE_BYTES];
    int failed;
    if (state->counter == CHANNEL_CIPHER_END || count < CHANNEL_TAG_BYTES) {
        return false;
    }
    put_nonce(state->cipher, state->counter, nonce);
    if (state->cipher == CHANNEL_CHACHA20POLY1305) {
        failed =
            crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, count, ad, ad_bytes, nonce, state->key);
    } else if (state->prepared != NULL) {
        failed = crypto_aead_aes256gcm_decrypt_afternm(out, NULL, NULL, sealed, count, ad, ad_bytes, nonce,
                                                       prepared_of(state));
    } else {
        failed = crypto_aead_aes256gcm_decrypt(out, NULL, NULL, sealed, count, ad, ad_bytes, nonce, state->key);
    }
    state->counter += failed == 0;
    return failed == 0;
}

void channel_cipher_rekey(struct channel_cipher_state *state) {
    static const uint8_t zeros[CHANNEL_CIPHER_KEY_BYTES];
    uint8_t sealed[CHANNEL_CIPHER_KEY_BYTES + CHANNEL_TAG_BYTES];
    encrypt(state, CHANNEL_CIPHER_END, NULL, 0, zeros, sizeof zeros, sealed);
    memcpy(state->key, sealed, CHANNEL_CIPHER_KEY_BYTES);
    secret_wipe(sealed, sizeof sealed);
    prepare(state);
}
