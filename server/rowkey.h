/* Row keys: the ids of a table's rows in an order that nobody outside can guess.
 *
 * A table's index holds rows by their keys. A key is a permutation of the 64-bit id, chosen by 16 secret bytes: the
 * block cipher Speck64/128 (Beaulieu et al., "The Simon and Speck families of lightweight block ciphers", 2013). A
 * keyed hash would do against ids that are chosen to collide; a permutation does more: no two ids have the same key,
 * and an id comes back from its key, so the index need not be hashed again when it grows. Keys never show in a result:
 * the same commands give the same state under any secret. Pure; any thread may call. */
#ifndef CANYON_SERVER_ROWKEY_H
#define CANYON_SERVER_ROWKEY_H

#include <stddef.h>
#include <stdint.h>

#define ROWKEY_SECRET_BYTES 16
#define ROWKEY_ROUNDS       27

struct rowkey {
    uint32_t rounds[ROWKEY_ROUNDS];
};

/* Prepares a secret: four words of the cipher's key, little-endian, k0 first. */
void rowkey_init(struct rowkey *rowkey, const uint8_t secret[ROWKEY_SECRET_BYTES]);

/* Ids to keys, in the order given; the arrays may be the same. In vectors of the instruction set that optimizer_start
 * chose. */
void rowkey_of(const struct rowkey *rowkey, const uint64_t *ids, size_t count, uint64_t *keys);

/* One key back to its id; several, as above. */
uint64_t rowkey_id(const struct rowkey *rowkey, uint64_t key);
void rowkey_ids(const struct rowkey *rowkey, const uint64_t *keys, size_t count, uint64_t *ids);

#endif
