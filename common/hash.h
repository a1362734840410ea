/* Hashes that the protocol and the state rest on: BLAKE2b (RFC 7693) through libsodium. The only hash module. */
#ifndef CANYON_COMMON_HASH_H
#define CANYON_COMMON_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_BYTES 32

/* An incremental BLAKE2b-256; lives on the caller's memory, needs no finish. Not thread-safe. */
struct hash {
    _Alignas(64) uint8_t opaque[384];
};

void hash_init(struct hash *hash);
void hash_update(struct hash *hash, const void *bytes, size_t count);
void hash_u32(struct hash *hash, uint32_t value);    /* as 4 bytes, little-endian */
void hash_u64(struct hash *hash, uint64_t value);    /* as 8 bytes, little-endian */
void hash_f64(struct hash *hash, double value);      /* its IEEE-754 bits, little-endian */
void hash_text(struct hash *hash, const char *text); /* length as u64, then the bytes: no two lists of texts collide */
void hash_final(struct hash *hash, uint8_t digest[HASH_BYTES]);

/* The first 64 bits (little-endian) of BLAKE2b-256 of the bytes. */
uint64_t hash_64(const void *bytes, size_t count);

#endif
