#include "server/pool.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define REGION  ((size_t)2 << 20)
#define PAGES   ((unsigned)(REGION / POOL_LEAST))
#define WORDS   (PAGES / 64)
#define CLASSES 10 /* of regions: by the power of two in their longest run of free pages */
#define LOOKS   8  /* regions of one class that are looked at before another is taken */

_Static_assert(PAGES == 1u << (CLASSES - 1), "a region that is free has a class");

struct region {
    uint8_t *memory;
    uint64_t free[WORDS];        /* a bit for each page */
    unsigned longest;            /* run of free pages */
    struct region *next, **from; /* others of its class; `from` points to what points here. Unused where longest is 0 */
};

struct pool {
    const struct memory *memory;
    struct region **regions; /* by address */
    size_t count, room;
    struct region *classes[CLASSES];
    uint64_t taken, large;
};

/* ---- Pages of a region ---- */

/* The first page from `page` on that is free, or is not; PAGES when there is none. */
static unsigned next_page(const struct region *region, unsigned page, bool is_free) {
    while (page < PAGES) {
        uint64_t word = region->free[page / 64];
        word = (is_free ? word : ~word) >> page % 64;
        if (word != 0) {
            return page + (unsigned)__builtin_ctzll(word);
        }
        page = (page / 64 + 1) * 64;
    }
    return PAGES;
}

/* Where the first run of so many free pages begins; it is there. */
static unsigned find_run(const struct region *region, unsigned pages) {
    unsigned begin = next_page(region, 0, true), end = next_page(region, begin, false);
    while (end - begin < pages) {
        assert(begin < PAGES);
        begin = next_page(region, end, true);
        end = next_page(region, begin, false);
    }
    return begin;
}

static unsigned longest_run(const struct region *region) {
    unsigned longest = 0, end = 0;
    for (unsigned begin = next_page(region, 0, true); begin < PAGES; begin = next_page(region, end, true)) {
        end = next_page(region, begin, false);
        longest = end - begin > longest ? end - begin : longest;
    }
    return longest;
}

static unsigned class_of(unsigned pages) {
    return 31 - (unsigned)__builtin_clz(pages);
}

/* Turns the pages over and puts the region among those of its class. */
static void turn(struct pool *pool, struct region *region, unsigned first, unsigned pages) {
    if (region->longest > 0) {
        *region->from = region->next;
        if (region->next != NULL) {
            region->next->from = region->from;
        }
    }
    for (unsigned page = first; page < first + pages; page++) {
        region->free[page / 64] ^= UINT64_C(1) << page % 64;
    }
    region->longest = longest_run(region);
    if (region->longest > 0) {
        struct region **class = &pool->classes[class_of(region->longest)];
        region->next = *class;
        region->from = class;
        if (region->next != NULL) {
            region->next->from = &region->next;
        }
        *class = region;
    }
}

/* ---- Regions ---- */

/* How many regions begin at or below an address. */
static size_t regions_up_to(const struct pool *pool, const uint8_t *memory) {
    size_t low = 0, high = pool->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if ((uintptr_t)pool->regions[middle]->memory <= (uintptr_t)memory) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool make_room(struct pool *pool) {
    if (pool->count < pool->room) {
        return true;
    }
    size_t room = pool->room == 0 ? 16 : 2 * pool->room;
    struct region **regions = realloc(pool->regions, room * sizeof(struct region *));
    if (regions != NULL) {
        pool->regions = regions;
        pool->room = room;
    }
    return regions != NULL;
}

static struct region *add_region(struct pool *pool) {
    struct region *region = make_room(pool) ? calloc(1, sizeof *region) : NULL;
    if (region == NULL || (region->memory = memory_take(pool->memory, REGION)) == NULL) {
        free(region);
        return NULL;
    }
    size_t place = regions_up_to(pool, region->memory);
    memmove(pool->regions + place + 1, pool->regions + place, (pool->count - place) * sizeof(struct region *));
    pool->regions[place] = region;
    pool->count++;
    turn(pool, region, 0, PAGES);
    return region;
}

/* All its pages are free. */
static void drop_region(struct pool *pool, size_t place) {
    struct region *region = pool->regions[place];
    turn(pool, region, 0, PAGES); /* out of its class */
    pool->count--;
    memmove(pool->regions + place, pool->regions + place + 1, (pool->count - place) * sizeof(struct region *));
    memory_give(pool->memory, region->memory, REGION);
    free(region);
}

/* A region with a run of so many pages, as short a one as is found without looking long. */
static struct region *find_region(const struct pool *pool, unsigned pages) {
    unsigned class = class_of(pages), looks = 0;
    struct region *region = pool->classes[class];
    while (region != NULL && region->longest < pages) {
        region = ++looks < LOOKS ? region->next : NULL;
    }
    while (region == NULL && ++class < CLASSES) {
        region = pool->classes[class];
    }
    return region;
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
        assert(pool->taken == 0 && pool->count == 0);
        free(pool->regions);
        free(pool);
    }
}

void *pool_take(struct pool *pool, size_t bytes) {
    assert(bytes > 0 && bytes % POOL_LEAST == 0 && bytes <= POOL_MOST);
    uint8_t *block = NULL;
    if (bytes >= POOL_LARGE) {
        block = memory_take(pool->memory, bytes);
        pool->large += block == NULL ? 0 : bytes;
    } else {
        unsigned pages = (unsigned)(bytes / POOL_LEAST);
        struct region *region = find_region(pool, pages);
        region = region == NULL ? add_region(pool) : region;
        if (region != NULL) {
            unsigned first = find_run(region, pages);
            turn(pool, region, first, pages);
            block = region->memory + first * POOL_LEAST;
        }
    }
    pool->taken += block == NULL ? 0 : bytes;
    return block;
}

void pool_give(struct pool *pool, void *block, size_t bytes) {
    if (block == NULL) {
        return;
    }
    pool->taken -= bytes;
    if (bytes >= POOL_LARGE) {
        pool->large -= bytes;
        memory_give(pool->memory, block, bytes);
        return;
    }
    size_t place = regions_up_to(pool, block);
    assert(place > 0);
    struct region *region = pool->regions[place - 1];
    size_t offset = (size_t)((uint8_t *)block - region->memory);
    assert(offset + bytes <= REGION);
    turn(pool, region, (unsigned)(offset / POOL_LEAST), (unsigned)(bytes / POOL_LEAST));
    if (region->longest == PAGES) {
        drop_region(pool, place - 1);
    }
}

uint64_t pool_taken(const struct pool *pool) {
    return pool->taken;
}

uint64_t pool_held(const struct pool *pool) {
    return pool->count * (uint64_t)REGION + pool->large;
}
