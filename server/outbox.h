/* An outbox holds the bytes of one connection that its socket did not take yet: whole-order, pooled and capped.
 *
 * Sans-I/O: bytes are copied in, offered as slices, and let go as the caller reports them sent. Memory comes in chunks
 * of one size from a pool that the connections of a thread share, so that a burst of replies costs no malloc.
 * Invariant: every chunk of an outbox holds something, and but for the first is wholly unsent. Not thread-safe. */
#ifndef CANYON_SERVER_OUTBOX_H
#define CANYON_SERVER_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/status.h"

#define OUTBOX_CHUNK_BYTES ((size_t)64 * 1024)

struct outbox_chunk;

/* `keep` bounds the free chunks that are kept for the next burst, `limit` those in outboxes. */
struct outbox_pool {
    struct outbox_chunk *free;
    size_t free_count, keep, limit;
    size_t used; /* chunks in outboxes */
};

void outbox_pool_init(struct outbox_pool *pool, size_t keep_bytes, size_t limit_bytes);
/* Every outbox of it must be finished. */
void outbox_pool_finish(struct outbox_pool *pool);

struct outbox {
    struct outbox_pool *pool; /* borrowed */
    size_t cap;
    size_t bytes; /* queued now */
    struct outbox_chunk *first, *last;
};

/* `cap` is the most bytes it may ever hold. finish gives the chunks back; safe on a zeroed outbox. */
void outbox_init(struct outbox *outbox, struct outbox_pool *pool, size_t cap);
void outbox_finish(struct outbox *outbox);

/* Copies the slices less their first `skip` bytes (which are sent already). All or nothing: TOO_LARGE above the cap,
 * NO_MEMORY when chunks cannot be had, or the pool's limit is reached. */
enum canyon_status outbox_add(struct outbox *outbox, const struct iovec *slices, size_t count, size_t skip);

/* Room behind what is queued, at least `least` bytes (at most 4 KiB) in one piece, for the caller to write the next
 * bytes to; then filled says how many they were, more than none. TOO_LARGE when the cap leaves less, NO_MEMORY. */
enum canyon_status outbox_space(struct outbox *outbox, size_t least, uint8_t **at, size_t *room);
void outbox_filled(struct outbox *outbox, size_t count);

/* The oldest bytes, as up to `most` slices; returns how many. They stay valid until outbox_sent or finish. */
size_t outbox_slices(const struct outbox *outbox, struct iovec *slices, size_t most);

/* The `count` oldest bytes went out. */
void outbox_sent(struct outbox *outbox, size_t count);

static inline bool outbox_empty(const struct outbox *outbox) {
    return outbox->bytes == 0;
}

#endif
