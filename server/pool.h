/* A pool cuts memory into blocks for what grows in small steps: the rows and the indexes of tables.
 *
 * Blocks are whole pages of 4 KiB, aligned to 64 bytes. Those below 256 KiB are cut from regions of 2 MiB, each where
 * the first pages in a row are free; of regions, one is taken that has little more than is needed. Regions that are
 * free go back, so memory of a table that is dropped is not kept. Larger blocks are passed on. One thread uses a pool.
 * What it does never shows in a result. */
#ifndef CANYON_SERVER_POOL_H
#define CANYON_SERVER_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "server/memory.h"

#define POOL_LEAST ((size_t)4 << 10)
#define POOL_LARGE ((size_t)256 << 10) /* and more is passed on */
#define POOL_MOST  ((size_t)2 << 20)

struct pool;

/* Memory is taken from `memory`, borrowed for the pool's life. NULL when it cannot be had. */
struct pool *pool_create(const struct memory *memory);
/* Every block must have been given back. Safe on NULL. */
void pool_destroy(struct pool *pool);

/* A block of `bytes`, a multiple of POOL_LEAST up to POOL_MOST; its content is undefined. Owned: pool_give. NULL when
 * memory cannot be had. */
void *pool_take(struct pool *pool, size_t bytes);

/* Gives a block back that was taken with as many bytes. Safe on NULL. */
void pool_give(struct pool *pool, void *block, size_t bytes);

/* Bytes of all blocks that are taken; bytes that the pool has for them. */
uint64_t pool_taken(const struct pool *pool);
uint64_t pool_held(const struct pool *pool);

#endif
