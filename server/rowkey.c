#include "server/rowkey.h"

#include <string.h>

#include "common/endian.h"
#include "server/optimizers/optimizer.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

#define RIGHT(x, n) ((x) >> (n) | (x) << (32 - (n)))
#define LEFT(x, n)  ((x) << (n) | (x) >> (32 - (n)))

/* A block is two words, the upper half of an id and the lower one. */
#define ROUND(upper, lower, key) ((upper) = (RIGHT(upper, 8) + (lower)) ^ (key), (lower) = LEFT(lower, 3) ^ (upper))

void rowkey_init(struct rowkey *rowkey, const uint8_t secret[ROWKEY_SECRET_BYTES]) {
    uint32_t key = load_u32(secret), rest[3];
    for (size_t i = 0; i < 3; i++) {
        rest[i] = load_u32(secret + 4 + 4 * i);
    }
    for (uint32_t i = 0; i < ROWKEY_ROUNDS; i++) {
        rowkey->rounds[i] = key;
        ROUND(rest[i % 3], key, i);
    }
}

static uint64_t key_of(const struct rowkey *rowkey, uint64_t id) {
    uint32_t upper = (uint32_t)(id >> 32), lower = (uint32_t)id;
    for (size_t i = 0; i < ROWKEY_ROUNDS; i++) {
        ROUND(upper, lower, rowkey->rounds[i]);
    }
    return (uint64_t)upper << 32 | lower;
}

uint64_t rowkey_id(const struct rowkey *rowkey, uint64_t key) {
    uint32_t upper = (uint32_t)(key >> 32), lower = (uint32_t)key;
    for (size_t i = ROWKEY_ROUNDS; i > 0; i--) {
        lower = RIGHT(lower ^ upper, 3);
        upper = LEFT((upper ^ rowkey->rounds[i - 1]) - lower, 8);
    }
    return (uint64_t)upper << 32 | lower;
}

typedef void all_function(const struct rowkey *rowkey, const uint64_t *ids, size_t count, uint64_t *keys);

static void all_baseline(const struct rowkey *rowkey, const uint64_t *ids, size_t count, uint64_t *keys) {
    for (size_t i = 0; i < count; i++) {
        keys[i] = key_of(rowkey, ids[i]);
    }
}

#if defined(__x86_64__)
/* Eight words side by side; as they lie in an array of ids; and their bytes. */
typedef uint32_t lanes __attribute__((vector_size(32)));
typedef uint32_t lanes_in_ids __attribute__((vector_size(32), aligned(8), may_alias));
typedef uint8_t lane_bytes __attribute__((vector_size(32)));

#define LANES 8
#define WIDE  4 /* vectors under way at once: each round waits for the one before, so others fill the time */
#define BATCH ((size_t)LANES * WIDE)

/* The halves of two vectors of ids are drawn apart within 128 bits, which is cheapest; the way back puts them where
 * they were. */
ALWAYS_INLINE void load(const uint64_t *ids, lanes *upper, lanes *lower) {
    const lanes_in_ids *from = (const lanes_in_ids *)ids;
    const lanes first = from[0], second = from[1];
    *lower = __builtin_shufflevector(first, second, 0, 2, 8, 10, 4, 6, 12, 14);
    *upper = __builtin_shufflevector(first, second, 1, 3, 9, 11, 5, 7, 13, 15);
}

ALWAYS_INLINE void store(uint64_t *keys, const lanes *upper, const lanes *lower) {
    lanes_in_ids *to = (lanes_in_ids *)keys;
    to[0] = __builtin_shufflevector(*lower, *upper, 0, 8, 1, 9, 4, 12, 5, 13);
    to[1] = __builtin_shufflevector(*lower, *upper, 2, 10, 3, 11, 6, 14, 7, 15);
}

/* Bytes trade places in one instruction, where a shift either way takes three. */
#define TURN(a) (a) + 1, (a) + 2, (a) + 3, (a)
#define TURNED(x)                                                                                                      \
    ((lanes)__builtin_shufflevector((lane_bytes)(x), (lane_bytes)(x), TURN(0), TURN(4), TURN(8), TURN(12), TURN(16),   \
                                    TURN(20), TURN(24), TURN(28)))
#define ROUNDS(upper, lower, key) ((upper) = (TURNED(upper) + (lower)) ^ (key), (lower) = LEFT(lower, 3) ^ (upper))

/* BATCH ids at once. Spelt out, so that every compiler keeps all of it in registers. */
ALWAYS_INLINE void batch(const struct rowkey *rowkey, const uint64_t *ids, uint64_t *keys) {
    lanes u0, u1, u2, u3, l0, l1, l2, l3;
    load(ids, &u0, &l0);
    load(ids + LANES, &u1, &l1);
    load(ids + 2 * LANES, &u2, &l2);
    load(ids + 3 * LANES, &u3, &l3);
    for (size_t i = 0; i < ROWKEY_ROUNDS; i++) {
        const lanes key = rowkey->rounds[i] - (lanes){0};
        ROUNDS(u0, l0, key);
        ROUNDS(u1, l1, key);
        ROUNDS(u2, l2, key);
        ROUNDS(u3, l3, key);
    }
    store(keys, &u0, &l0);
    store(keys + LANES, &u1, &l1);
    store(keys + 2 * LANES, &u2, &l2);
    store(keys + 3 * LANES, &u3, &l3);
}

ALWAYS_INLINE void all_wide(const struct rowkey *rowkey, const uint64_t *ids, size_t count, uint64_t *keys) {
    size_t at = 0;
    for (; at + BATCH <= count; at += BATCH) {
        batch(rowkey, ids + at, keys + at);
    }
    if (count - at > BATCH / 4) {
        uint64_t rest[BATCH] = {0};
        memcpy(rest, ids + at, (count - at) * sizeof rest[0]);
        batch(rowkey, rest, rest);
        memcpy(keys + at, rest, (count - at) * sizeof rest[0]);
        at = count;
    }
    for (; at < count; at++) {
        keys[at] = key_of(rowkey, ids[at]);
    }
}

#define TARGET_AVX2   __attribute__((target("avx2")))
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))

#define ALL_WIDE(target, name)                                                                                         \
    target static void name(const struct rowkey *rowkey, const uint64_t *ids, size_t count, uint64_t *keys) {          \
        all_wide(rowkey, ids, count, keys);                                                                            \
    }
ALL_WIDE(TARGET_AVX2, all_avx2)
ALL_WIDE(TARGET_AVX512, all_avx512)
#else
#define all_avx2   all_baseline
#define all_avx512 all_baseline
#endif

void rowkey_of(const struct rowkey *rowkey, const uint64_t *ids, size_t count, uint64_t *keys) {
    static all_function *const functions[OPTIMIZER_SETS] = {all_baseline, all_avx2, all_avx512};
    functions[optimizer_set_chosen()](rowkey, ids, count, keys);
}

void rowkey_ids(const struct rowkey *rowkey, const uint64_t *keys, size_t count, uint64_t *ids) {
    for (size_t i = 0; i < count; i++) {
        ids[i] = rowkey_id(rowkey, keys[i]);
    }
}
