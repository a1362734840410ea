#define _GNU_SOURCE /* MAP_ANONYMOUS, madvise */

#include "server/pages.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_BYTES ((size_t)2 * 1024 * 1024)
/* Of address space: what is not touched takes no memory, and what does not fill the last huge page of a region is
 * little beside it. */
#define REGION_BYTES ((size_t)512 * 1024 * 1024)
#define UNIT_BYTES   ((size_t)4096)
#define SMALL_BYTES  (4 * UNIT_BYTES) /* less is the C library's affair */

/* Free bytes, with this at their beginning, in the order of their addresses. */
struct extent {
    struct extent *next;
    size_t bytes;
};

struct region {
    struct region *next;
    uint8_t *begin; /* a multiple of HUGE_BYTES, as is the length */
    size_t bytes;
};

struct pages {
    struct memory memory;
    struct extent *free;
    struct region *regions;
    size_t reserved, used;
};

static size_t round_up(size_t bytes, size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

/* ---- regions ---- */

/* Address space aligned to huge pages: more than is needed is mapped, and the ends go back. */
static uint8_t *map_aligned(size_t bytes) {
    uint8_t *all =
        mmap(NULL, bytes + HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) {
        return NULL;
    }
    size_t before = (HUGE_BYTES - (uintptr_t)all % HUGE_BYTES) % HUGE_BYTES;
    if (before > 0) {
        munmap(all, before);
    }
    munmap(all + before + bytes, HUGE_BYTES - before);
    /* Not having huge pages is no error: everything works in small ones. */
    (void)madvise(all + before, bytes, MADV_HUGEPAGE);
    return all + before;
}

/* ---- free extents ---- */

static uint8_t *end_of(struct extent *extent) {
    return (uint8_t *)extent + extent->bytes;
}

/* Gives the whole huge pages of a free extent back to the system, but the one that holds the extent's head. */
static void release_pages(struct extent *extent) {
    uintptr_t begin = round_up((uintptr_t)extent + sizeof *extent, HUGE_BYTES);
    uintptr_t end = (uintptr_t)end_of(extent) / HUGE_BYTES * HUGE_BYTES;
    if (begin < end) {
        (void)madvise((uint8_t *)extent + (begin - (uintptr_t)extent), end - begin, MADV_DONTNEED);
    }
}

/* Puts free bytes into the list, joined with what lies right before and behind them. */
static struct extent *insert(struct pages *pages, uint8_t *begin, size_t bytes) {
    struct extent *before = NULL, *after = pages->free, *extent = (struct extent *)(void *)begin;
    while (after != NULL && (uint8_t *)after < begin) {
        before = after;
        after = after->next;
    }
    extent->next = after;
    extent->bytes = bytes;
    if (after != NULL && end_of(extent) == (uint8_t *)after) {
        extent->bytes += after->bytes;
        extent->next = after->next;
    }
    if (before != NULL && end_of(before) == begin) {
        before->bytes += extent->bytes;
        before->next = extent->next;
        return before;
    }
    *(before != NULL ? &before->next : &pages->free) = extent;
    return extent;
}

/* The first extent that is large enough, cut to size; the list goes on with the rest. NULL when there is none. */
static void *cut(struct pages *pages, size_t bytes) {
    for (struct extent **link = &pages->free; *link != NULL; link = &(*link)->next) {
        struct extent *extent = *link;
        if (extent->bytes >= bytes) {
            if (extent->bytes > bytes) {
                struct extent *rest = (struct extent *)(void *)((uint8_t *)extent + bytes);
                *rest = (struct extent){.next = extent->next, .bytes = extent->bytes - bytes};
                *link = rest;
            } else {
                *link = extent->next;
            }
            return extent;
        }
    }
    return NULL;
}

static bool add_region(struct pages *pages, size_t least) {
    const size_t enough = round_up(least, HUGE_BYTES);
    size_t bytes = enough > REGION_BYTES ? enough : REGION_BYTES;
    struct region *region = malloc(sizeof *region);
    uint8_t *begin = region != NULL ? map_aligned(bytes) : NULL;
    if (begin == NULL && region != NULL && bytes > enough) {
        bytes = enough; /* where address space is counted as memory */
        begin = map_aligned(bytes);
    }
    if (begin == NULL) {
        free(region);
        return false;
    }
    *region = (struct region){.next = pages->regions, .begin = begin, .bytes = bytes};
    pages->regions = region;
    pages->reserved += bytes;
    (void)insert(pages, begin, bytes);
    return true;
}

/* ---- what shards call ---- */

static void *take(void *user, size_t bytes) {
    struct pages *pages = user;
    if (bytes < SMALL_BYTES) {
        return aligned_alloc(MEMORY_ALIGNMENT, round_up(bytes, MEMORY_ALIGNMENT));
    }
    if (bytes > SIZE_MAX / 2) {
        return NULL;
    }
    size_t rounded = round_up(bytes, UNIT_BYTES);
    void *piece = cut(pages, rounded);
    if (piece == NULL && add_region(pages, rounded)) {
        piece = cut(pages, rounded);
    }
    pages->used += piece != NULL ? rounded : 0;
    return piece;
}

static void give(void *user, void *piece, size_t bytes) {
    struct pages *pages = user;
    if (bytes < SMALL_BYTES) {
        free(piece);
        return;
    }
    size_t rounded = round_up(bytes, UNIT_BYTES);
    assert(pages->used >= rounded);
    pages->used -= rounded;
    release_pages(insert(pages, piece, rounded));
}

/* ---- life ---- */

struct pages *pages_create(void) {
    struct pages *pages = calloc(1, sizeof *pages);
    if (pages != NULL) {
        pages->memory = (struct memory){.take = take, .give = give, .user = pages};
    }
    return pages;
}

void pages_destroy(struct pages *pages) {
    if (pages == NULL) {
        return;
    }
    assert(pages->used == 0);
    while (pages->regions != NULL) {
        struct region *region = pages->regions;
        pages->regions = region->next;
        munmap(region->begin, region->bytes);
        free(region);
    }
    free(pages);
}

const struct memory *pages_memory(const struct pages *pages) {
    return &pages->memory;
}

size_t pages_reserved(const struct pages *pages) {
    return pages->reserved;
}

size_t pages_used(const struct pages *pages) {
    return pages->used;
}
