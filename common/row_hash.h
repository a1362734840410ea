/* Where the rows of a table live: a hash of their ids.
 *
 * SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012, with the rounds that hash tables use)
 * of the id as 8 bytes, little-endian. Its key is public, made of the table's name: placement is arithmetic that every
 * client repeats, no defence. (A server's own index has a secret key.) The shard is the hash modulo the job's shards:
 * job_row_shard of common/job.h. Pure and thread-safe. */
#ifndef CANYON_COMMON_ROW_HASH_H
#define CANYON_COMMON_ROW_HASH_H

#include <stddef.h>
#include <stdint.h>

struct row_hash {
    uint64_t k0, k1; /* the key's 16 bytes, little-endian */
};

/* The first 16 bytes of BLAKE2b-256 of the table's name; the first 8 are its home (job_home). */
void row_hash_init(struct row_hash *hash, const char *table_name);

/* ids to hashes, in the order given; the arrays may be the same. In vectors of the instruction set that codec_start
 * chose; the same results in each. */
void row_hash_of(const struct row_hash *hash, const uint64_t *ids, size_t count, uint64_t *hashes);

#endif
