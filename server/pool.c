#include "server/pool.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ORDERS 10 /* sizes: POOL_LEAST << 0 ... POOL_LEAST << 9 */
#define BITS   (2u << (ORDERS - 1))

_Static_assert(POOL_LEAST << (ORDERS - 1) == POOL_MOST, "a region is one block of the largest size");

/* A free block holds its place in the list of free blocks of its size. */
struct vacancy {
    struct vacancy *next, **from; /* `from` points to what points here */
};

/* Bit (1 << (ORDERS - 1 - order)) + i of `vacant` is set where block i of that order is free as such,
 * neither cut up nor joined into a larger one. */
struct region {
    uint8_t *memory; /* POOL_MOST bytes */
    uint64_t vacant[BITS / 64];
};

struct pool {
    const struct memory *memory;
    struct vacancy *free[ORDERS];
    struct region *regions; /* by address */
    size_t count, room;
    uint64_t taken;
};

/* ---- Which region an address belongs to ---- */

/* How many regions begin at or below an address. */
static size_t regions_up_to(const struct pool *pool, const uint8_t *memory) {
    size_t low = 0, high = pool->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if ((uintptr_t)pool->regions[middle].memory <= (uintptr_t)memory) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct region *region_of(const struct pool *pool, const uint8_t *block) {
    size_t count = regions_up_to(pool, block);
    assert(count > 0 && block < pool->regions[count - 1].memory + POOL_MOST);
    return &pool->regions[count - 1];
}

/* Room in the list for one region more. */
static bool make_room(struct pool *pool) {
    if (pool->count < pool->room) {
        return true;
    }
    size_t room = pool->room == 0 ? 16 : 2 * pool->room;
    struct region *regions = realloc(pool->regions, room * sizeof *regions);
    if (regions != NULL) {
        pool->regions = regions;
        pool->room = room;
    }
    return regions != NULL;
}

/* ---- Free blocks ---- */

static unsigned bit_of(const struct region *region, const void *block, unsigned order) {
    size_t index = (size_t)((const uint8_t *)block - region->memory) / (POOL_LEAST << order);
    return (1u << (ORDERS - 1 - order)) + (unsigned)index;
}

static bool is_vacant(const struct region *region, unsigned bit) {
    return region->vacant[bit / 64] >> bit % 64 & 1;
}

static void insert(struct pool *pool, struct region *region, void *block, unsigned order) {
    struct vacancy *vacancy = block;
    unsigned bit = bit_of(region, block, order);
    vacancy->next = pool->free[order];
    vacancy->from = &pool->free[order];
    if (vacancy->next != NULL) {
        vacancy->next->from = &vacancy->next;
    }
    pool->free[order] = vacancy;
    region->vacant[bit / 64] |= UINT64_C(1) << bit % 64;
}

static void extract(struct region *region, struct vacancy *vacancy, unsigned order) {
    unsigned bit = bit_of(region, vacancy, order);
    *vacancy->from = vacancy->next;
    if (vacancy->next != NULL) {
        vacancy->next->from = vacancy->from;
    }
    region->vacant[bit / 64] &= ~(UINT64_C(1) << bit % 64);
}

static bool add_region(struct pool *pool) {
    uint8_t *memory = make_room(pool) ? memory_take(pool->memory, POOL_MOST) : NULL;
    if (memory == NULL) {
        return false;
    }
    size_t place = regions_up_to(pool, memory);
    struct region *region = &pool->regions[place];
    memmove(region + 1, region, (pool->count - place) * sizeof *region);
    memset(region, 0, sizeof *region);
    region->memory = memory;
    pool->count++;
    insert(pool, region, memory, ORDERS - 1);
    return true;
}

static void drop_region(struct pool *pool, struct region *region) {
    size_t place = (size_t)(region - pool->regions);
    memory_give(pool->memory, region->memory, POOL_MOST);
    pool->count--;
    memmove(region, region + 1, (pool->count - place) * sizeof *region);
}

/* Of the smallest piece that has so many bytes. */
static unsigned order_of(size_t bytes) {
    unsigned order = 0;
    while (POOL_LEAST << order < bytes) {
        order++;
    }
    assert(order < ORDERS && bytes > 0 && bytes % POOL_LEAST == 0);
    return order;
}

static uint8_t *take_piece(struct pool *pool, unsigned wanted) {
    unsigned order = wanted;
    while (order < ORDERS && pool->free[order] == NULL) {
        order++;
    }
    if (order == ORDERS) {
        if (!add_region(pool)) {
            return NULL;
        }
        order = ORDERS - 1;
    }
    uint8_t *piece = (uint8_t *)pool->free[order];
    struct region *region = region_of(pool, piece);
    extract(region, pool->free[order], order);
    while (order > wanted) {
        order--;
        insert(pool, region, piece + (POOL_LEAST << order), order); /* the upper half; the lower one is cut on */
    }
    return piece;
}

static void give_piece(struct pool *pool, uint8_t *piece, unsigned order) {
    struct region *region = region_of(pool, piece);
    while (order < ORDERS - 1) {
        size_t size = POOL_LEAST << order, offset = (size_t)(piece - region->memory);
        uint8_t *half = region->memory + (offset ^ size);
        if (!is_vacant(region, bit_of(region, half, order))) {
            break;
        }
        extract(region, (struct vacancy *)(void *)half, order);
        piece = half < piece ? half : piece;
        order++;
    }
    if (order == ORDERS - 1) {
        drop_region(pool, region);
    } else {
        insert(pool, region, piece, order);
    }
}

/* Gives back the bytes from `begin` to `end` of a piece, both counted from its beginning: in the largest pieces that
 * stand between. */
static void give_part(struct pool *pool, uint8_t *piece, size_t begin, size_t end) {
    while (begin < end) {
        unsigned order = 0;
        while (order + 1 < ORDERS && begin % (POOL_LEAST << (order + 1)) == 0 &&
               begin + (POOL_LEAST << (order + 1)) <= end) {
            order++;
        }
        give_piece(pool, piece + begin, order);
        begin += POOL_LEAST << order;
    }
}

/* ---- What the header promises ---- */

struct pool *pool_create(const struct memory *memory) {
    struct pool *pool = calloc(1, sizeof *pool);
    if (pool != NULL) {
        pool->memory = memory;
    }
    return pool;
}

void pool_destroy(struct pool *pool) {
    if (pool != NULL) {
        for (size_t i = 0; i < pool->count; i++) {
            memory_give(pool->memory, pool->regions[i].memory, POOL_MOST);
        }
        free(pool->regions);
        free(pool);
    }
}

void *pool_take(struct pool *pool, size_t bytes) {
    unsigned order = order_of(bytes);
    uint8_t *block = take_piece(pool, order);
    if (block != NULL) {
        give_part(pool, block, bytes, POOL_LEAST << order);
        pool->taken += bytes;
    }
    return block;
}

void pool_give(struct pool *pool, void *block, size_t bytes) {
    if (block != NULL) {
        (void)order_of(bytes); /* that it is a size */
        pool->taken -= bytes;
        give_part(pool, block, 0, bytes);
    }
}

uint64_t pool_taken(const struct pool *pool) {
    return pool->taken;
}

uint64_t pool_held(const struct pool *pool) {
    return pool->count * (uint64_t)POOL_MOST;
}
