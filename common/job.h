/* A job is what all servers and clients of one training run must agree on, and how blocks find their place in it.
 *
 * Placement is arithmetic, not a table: block b of a tensor lives in shard (home + b) mod shards, where home is a hash
 * of the tensor's name; a row of a table lives in the shard that its hash names; shard s is owned by server s mod
 * servers, and there by thread (s / servers) mod threads. */
#ifndef CANYON_COMMON_JOB_H
#define CANYON_COMMON_JOB_H

#include <stdint.h>

#include "common/limits.h"
#include "common/status.h"

#define JOB_DIGEST_BYTES 32

struct job {
    char name[LIMIT_NAME_BYTES];
    uint32_t shards; /* a power of two */
    uint32_t block;  /* elements of a block */
    uint32_t server_count;
    char (*servers)[LIMIT_ADDRESS_BYTES]; /* owned; advertised addresses, in the order that decides ownership */
};

/* Empty job; finish frees the list and is safe on a zeroed job and on NULL. */
void job_init(struct job *job);
void job_finish(struct job *job);

/* Replaces the server list by the `separator`-separated addresses in `text` (blanks around them are ignored, and one
 * separator after the last); they are kept in their canonical form (address_text). INVALID_ARGUMENT for an empty list,
 * a bad, repeated or empty address or port 0; TOO_LARGE for more than LIMIT_SERVERS. On error the job is unchanged. */
enum canyon_status job_set_servers(struct job *job, const char *text, size_t bytes, char separator,
                                   struct error *error);

/* Name, shards, block and list within the limits. */
enum canyon_status job_check(const struct job *job, struct error *error);

/* BLAKE2b-256 over protocol version (u32), name (u64 length, bytes), shards, block and number of servers (u32 each),
 * then every address (u64 length, bytes), all little-endian: equal digests, equal job. */
void job_digest(const struct job *job, uint8_t digest[JOB_DIGEST_BYTES]);

/* The index of an address (in canonical form) in the list, or server_count. */
uint32_t job_find_server(const struct job *job, const char *address);

/* home: the first 64 bits (little-endian) of BLAKE2b of the tensor's name. */
uint64_t job_home(const char *tensor_name);
uint32_t job_shard_of(const struct job *job, uint64_t home, uint64_t block);
/* The shard of a row of a table, by its hash (common/row_hash.h). */
static inline uint32_t job_row_shard(const struct job *job, uint64_t hash) {
    return (uint32_t)hash & (job->shards - 1);
}
uint32_t job_server_of(const struct job *job, uint32_t shard);
uint32_t job_thread_of(const struct job *job, uint32_t shard, uint32_t threads);

/* Blocks of a tensor of `elements` elements, and the length of one of them (the last may be short; 0 for none). */
uint64_t job_block_count(const struct job *job, uint64_t elements);
uint32_t job_block_elements(const struct job *job, uint64_t elements, uint64_t block);

/* Most payload bytes of a frame that brings values to a server of this job: a block's as float32, and at least 1 MiB so
 * that small pieces can share a frame. */
uint32_t job_payload_limit(const struct job *job);

#endif
