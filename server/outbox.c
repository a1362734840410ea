#include "server/outbox.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct outbox_chunk {
    struct outbox_chunk *next;
    size_t start, end; /* unsent bytes */
    uint8_t bytes[OUTBOX_CHUNK_BYTES - 3 * sizeof(size_t)];
};

#define CHUNK_ROOM sizeof(((struct outbox_chunk *)0)->bytes)

void outbox_pool_init(struct outbox_pool *pool, size_t keep_bytes, size_t limit_bytes) {
    *pool = (struct outbox_pool){.keep = keep_bytes / OUTBOX_CHUNK_BYTES, .limit = limit_bytes / OUTBOX_CHUNK_BYTES};
}

void outbox_pool_finish(struct outbox_pool *pool) {
    assert(pool->used == 0);
    while (pool->free != NULL) {
        struct outbox_chunk *chunk = pool->free;
        pool->free = chunk->next;
        free(chunk);
    }
    pool->free_count = 0;
}

static struct outbox_chunk *pool_take(struct outbox_pool *pool) {
    struct outbox_chunk *chunk = pool->free;
    if (pool->used >= pool->limit) {
        return NULL;
    }
    if (chunk != NULL) {
        pool->free = chunk->next;
        --pool->free_count;
    } else {
        chunk = malloc(sizeof *chunk);
    }
    if (chunk != NULL) {
        chunk->next = NULL;
        chunk->start = 0;
        chunk->end = 0;
        ++pool->used;
    }
    return chunk;
}

static void pool_give(struct outbox_pool *pool, struct outbox_chunk *chunk) {
    --pool->used;
    if (pool->free_count < pool->keep) {
        chunk->next = pool->free;
        pool->free = chunk;
        ++pool->free_count;
    } else {
        free(chunk);
    }
}

void outbox_init(struct outbox *outbox, struct outbox_pool *pool, size_t cap) {
    *outbox = (struct outbox){.pool = pool, .cap = cap};
}

static void give_list(struct outbox_pool *pool, struct outbox_chunk *chunk) {
    while (chunk != NULL) {
        struct outbox_chunk *next = chunk->next;
        pool_give(pool, chunk);
        chunk = next;
    }
}

void outbox_finish(struct outbox *outbox) {
    give_list(outbox->pool, outbox->first);
    outbox->first = NULL;
    outbox->last = NULL;
    outbox->bytes = 0;
}

/* Takes the chunks that `need` bytes ask for beyond the last chunk's room, as a list; false when memory is short. */
static bool take_chunks(struct outbox *outbox, size_t need, struct outbox_chunk **list) {
    size_t room = outbox->last != NULL ? CHUNK_ROOM - outbox->last->end : 0;
    *list = NULL;
    while (need > room) {
        struct outbox_chunk *chunk = pool_take(outbox->pool);
        if (chunk == NULL) {
            give_list(outbox->pool, *list);
            return false;
        }
        chunk->next = *list;
        *list = chunk;
        room += CHUNK_ROOM;
    }
    return true;
}

enum canyon_status outbox_add(struct outbox *outbox, const struct iovec *slices, size_t count, size_t skip) {
    size_t need = 0;
    struct outbox_chunk *fresh;
    for (size_t i = 0; i < count; ++i) {
        need += slices[i].iov_len;
    }
    assert(skip <= need);
    need -= skip;
    if (need > outbox->cap - outbox->bytes) {
        return CANYON_TOO_LARGE;
    }
    if (!take_chunks(outbox, need, &fresh)) {
        return CANYON_NO_MEMORY;
    }
    outbox->bytes += need;
    for (size_t i = 0; i < count; ++i) {
        size_t skipped = skip < slices[i].iov_len ? skip : slices[i].iov_len;
        const uint8_t *from = (const uint8_t *)slices[i].iov_base + skipped;
        size_t left = slices[i].iov_len - skipped;
        skip -= skipped;
        while (left > 0) {
            struct outbox_chunk *last = outbox->last;
            if (last == NULL || last->end == CHUNK_ROOM) {
                struct outbox_chunk *chunk = fresh;
                fresh = chunk->next;
                chunk->next = NULL;
                *(last != NULL ? &last->next : &outbox->first) = chunk;
                outbox->last = chunk;
                continue;
            }
            size_t part = left < CHUNK_ROOM - last->end ? left : CHUNK_ROOM - last->end;
            memcpy(last->bytes + last->end, from, part);
            last->end += part;
            from += part;
            left -= part;
        }
    }
    assert(fresh == NULL);
    return CANYON_OK;
}

enum canyon_status outbox_space(struct outbox *outbox, size_t least, uint8_t **at, size_t *room) {
    struct outbox_chunk *last = outbox->last;
    size_t left = outbox->cap - outbox->bytes;
    assert(least > 0 && least <= 4096);
    if (left < least) {
        return CANYON_TOO_LARGE;
    }
    if (last == NULL || CHUNK_ROOM - last->end < least) {
        struct outbox_chunk *chunk = pool_take(outbox->pool);
        if (chunk == NULL) {
            return CANYON_NO_MEMORY;
        }
        *(last != NULL ? &last->next : &outbox->first) = chunk;
        outbox->last = chunk;
        last = chunk;
    }
    *at = last->bytes + last->end;
    *room = CHUNK_ROOM - last->end < left ? CHUNK_ROOM - last->end : left;
    return CANYON_OK;
}

void outbox_filled(struct outbox *outbox, size_t count) {
    assert(count > 0 && outbox->last != NULL && count <= CHUNK_ROOM - outbox->last->end);
    outbox->last->end += count;
    outbox->bytes += count;
}

size_t outbox_slices(const struct outbox *outbox, struct iovec *slices, size_t most) {
    size_t count = 0;
    for (struct outbox_chunk *chunk = outbox->first; chunk != NULL && count < most; chunk = chunk->next) {
        slices[count++] = (struct iovec){.iov_base = chunk->bytes + chunk->start, .iov_len = chunk->end - chunk->start};
    }
    return count;
}

void outbox_sent(struct outbox *outbox, size_t count) {
    assert(count <= outbox->bytes);
    outbox->bytes -= count;
    while (count > 0) {
        struct outbox_chunk *chunk = outbox->first;
        size_t have = chunk->end - chunk->start;
        size_t part = count < have ? count : have;
        chunk->start += part;
        count -= part;
        if (chunk->start == chunk->end) {
            outbox->first = chunk->next;
            pool_give(outbox->pool, chunk);
        }
    }
    if (outbox->first == NULL) {
        outbox->last = NULL;
    }
}
