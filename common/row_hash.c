#include "common/row_hash.h"

#include <string.h>

#include "common/codec.h"
#include "common/endian.h"
#include "common/hash.h"

void row_hash_init(struct row_hash *hash, const char *table_name) {
    struct hash name;
    uint8_t digest[HASH_BYTES];
    hash_init(&name);
    hash_update(&name, table_name, strlen(table_name));
    hash_final(&name, digest);
    *hash = (struct row_hash){.k0 = load_u64(digest), .k1 = load_u64(digest + 8)};
}

#define ROTATED(x, n) ((x) << (n) | (x) >> (64 - (n)))
#define ROUND(v0, v1, v2, v3)                                                                                          \
    do {                                                                                                               \
        (v0) += (v1);                                                                                                  \
        (v2) += (v3);                                                                                                  \
        (v1) = ROTATED(v1, 13) ^ (v0);                                                                                 \
        (v3) = ROTATED(v3, 16) ^ (v2);                                                                                 \
        (v0) = ROTATED(v0, 32);                                                                                        \
        (v2) += (v1);                                                                                                  \
        (v0) += (v3);                                                                                                  \
        (v1) = ROTATED(v1, 17) ^ (v2);                                                                                 \
        (v3) = ROTATED(v3, 21) ^ (v0);                                                                                 \
        (v2) = ROTATED(v2, 32);                                                                                        \
    } while (0)

/* What stands behind the message: its length, 8, in the highest byte. */
#define LAST_WORD (UINT64_C(8) << 56)

/* One body for every instruction set: compilers make vectors of it (-O3). */
static inline __attribute__((always_inline)) void all(const struct row_hash *hash, const uint64_t *ids, size_t count,
                                                      uint64_t *hashes) {
    const uint64_t k0 = hash->k0, k1 = hash->k1;
    for (size_t i = 0; i < count; i++) {
        const uint64_t id = ids[i];
        uint64_t v0 = k0 ^ UINT64_C(0x736f6d6570736575), v1 = k1 ^ UINT64_C(0x646f72616e646f6d),
                 v2 = k0 ^ UINT64_C(0x6c7967656e657261), v3 = k1 ^ UINT64_C(0x7465646279746573);
        v3 ^= id;
        ROUND(v0, v1, v2, v3);
        v0 ^= id;
        v3 ^= LAST_WORD;
        ROUND(v0, v1, v2, v3);
        v0 ^= LAST_WORD;
        v2 ^= 0xff;
        ROUND(v0, v1, v2, v3);
        ROUND(v0, v1, v2, v3);
        ROUND(v0, v1, v2, v3);
        hashes[i] = v0 ^ v1 ^ v2 ^ v3;
    }
}

#if defined(__x86_64__)
#define TARGET_AVX2 __attribute__((target("avx2")))
#if defined(__clang__)
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"), min_vector_width(512)))
#else
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")))
#endif
#else
#define TARGET_AVX2
#define TARGET_AVX512
#endif

#define ALL(target, name)                                                                                              \
    target static void name(const struct row_hash *hash, const uint64_t *ids, size_t count, uint64_t *hashes) {        \
        all(hash, ids, count, hashes);                                                                                 \
    }
ALL(, all_baseline)
ALL(TARGET_AVX2, all_avx2)
ALL(TARGET_AVX512, all_avx512)

void row_hash_of(const struct row_hash *hash, const uint64_t *ids, size_t count, uint64_t *hashes) {
    static void (*const functions[CODEC_SETS])(const struct row_hash *, const uint64_t *, size_t, uint64_t *) = {
        [CODEC_BASELINE] = all_baseline, [CODEC_AVX2] = all_avx2, [CODEC_AVX512] = all_avx512};
    functions[codec_set_chosen()](hash, ids, count, hashes);
}
