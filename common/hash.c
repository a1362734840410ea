#include "common/hash.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "common/endian.h"

_Static_assert(sizeof(crypto_generichash_state) <= sizeof(struct hash), "the state does not fit its opaque room");
_Static_assert(_Alignof(crypto_generichash_state) <= _Alignof(struct hash), "the state needs more alignment");
_Static_assert(HASH_BYTES == crypto_generichash_BYTES, "BLAKE2b-256 is expected");

static crypto_generichash_state *state_of(struct hash *hash) {
    return (crypto_generichash_state *)(void *)hash->opaque;
}

void hash_init(struct hash *hash) {
    int failed = crypto_generichash_init(state_of(hash), NULL, 0, HASH_BYTES);
    assert(!failed);
}

void hash_update(struct hash *hash, const void *bytes, size_t count) {
    int failed = count == 0 ? 0 : crypto_generichash_update(state_of(hash), bytes, count);
    assert(!failed);
}

void hash_u32(struct hash *hash, uint32_t value) {
    uint8_t bytes[4];
    store_u32(bytes, value);
    hash_update(hash, bytes, sizeof bytes);
}

void hash_u64(struct hash *hash, uint64_t value) {
    uint8_t bytes[8];
    store_u64(bytes, value);
    hash_update(hash, bytes, sizeof bytes);
}

void hash_f64(struct hash *hash, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    hash_u64(hash, bits);
}

void hash_text(struct hash *hash, const char *text) {
    size_t length = strlen(text);
    hash_u64(hash, length);
    hash_update(hash, text, length);
}

void hash_final(struct hash *hash, uint8_t digest[HASH_BYTES]) {
    int failed = crypto_generichash_final(state_of(hash), digest, HASH_BYTES);
    assert(!failed);
}

uint64_t hash_64(const void *bytes, size_t count) {
    uint8_t digest[HASH_BYTES];
    int failed = crypto_generichash(digest, sizeof digest, bytes, count, NULL, 0);
    assert(!failed);
    return load_u64(digest);
}
