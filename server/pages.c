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
#define CLASSES      40               /* free extents of 2^c up to 2^(c+1) units, for c below it */
#define PIECE_MOST   ((size_t)1 << 50)
#define TRIES        8 /* extents of the own class, which may be too short, that are looked at */

/* A free run of units, with this at its beginning. */
struct extent {
    struct extent *next, *previous; /* of its class */
    struct region *region;
    size_t first, count; /* units of the region */
};

/* Address space, and where in it free extents begin and end. */
struct region {
    struct region *next;
    uint8_t *begin; /* a multiple of HUGE_BYTES, as is the length */
    size_t units;
    struct extent **edges; /* of every unit: the free extent of which it is the first or last one, or NULL */
};

struct pages {
    struct memory memory;
    struct extent *free[CLASSES];
    struct region *regions;
    size_t reserved, used; /* bytes */
};

static size_t round_up(size_t bytes, size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

/* ---- free extents ---- */

static unsigned class_of(size_t units) {
    unsigned class = 0;
    while (units >>= 1) {
        ++class;
    }
    assert(class < CLASSES);
    return class;
}

static void link_extent(struct pages *pages, struct extent *extent) {
    struct extent **head = &pages->free[class_of(extent->count)];
    extent->previous = NULL;
    extent->next = *head;
    if (*head != NULL) {
        (*head)->previous = extent;
    }
    *head = extent;
    extent->region->edges[extent->first] = extent;
    extent->region->edges[extent->first + extent->count - 1] = extent;
}

static void unlink_extent(struct pages *pages, struct extent *extent) {
    if (extent->previous != NULL) {
        extent->previous->next = extent->next;
    } else {
        pages->free[class_of(extent->count)] = extent->next;
    }
    if (extent->next != NULL) {
        extent->next->previous = extent->previous;
    }
    extent->region->edges[extent->first] = NULL;
    extent->region->edges[extent->first + extent->count - 1] = NULL;
}

/* Makes units free, joined with what is free right before and behind them. */
static struct extent *make_free(struct pages *pages, struct region *region, size_t first, size_t count) {
    struct extent *before = first > 0 ? region->edges[first - 1] : NULL;
    struct extent *after = first + count < region->units ? region->edges[first + count] : NULL;
    if (before != NULL) {
        unlink_extent(pages, before);
        first = before->first;
        count += before->count;
    }
    if (after != NULL) {
        unlink_extent(pages, after);
        count += after->count;
    }
    struct extent *extent = (struct extent *)(void *)(region->begin + first * UNIT_BYTES);
    *extent = (struct extent){.region = region, .first = first, .count = count};
    link_extent(pages, extent);
    return extent;
}

/* Gives the whole huge pages of a free extent back to the system, but the one that holds the extent's head. */
static void release_pages(const struct extent *extent) {
    const struct region *region = extent->region;
    size_t begin = round_up(extent->first * UNIT_BYTES + sizeof *extent, HUGE_BYTES);
    size_t end = (extent->first + extent->count) * UNIT_BYTES / HUGE_BYTES * HUGE_BYTES;
    if (begin < end) {
        (void)madvise(region->begin + begin, end - begin, MADV_DONTNEED);
    }
}

/* A free extent of at least so many units, or NULL. */
static struct extent *find(const struct pages *pages, size_t units) {
    unsigned class = class_of(units);
    struct extent *extent = pages->free[class];
    for (int i = 0; i < TRIES && extent != NULL; ++i, extent = extent->next) {
        if (extent->count >= units) {
            return extent;
        }
    }
    do {
        ++class;
    } while (class < CLASSES && pages->free[class] == NULL);
    return class < CLASSES ? pages->free[class] : NULL;
}

/* The beginning of a free extent, whose rest stays free. */
static void *cut(struct pages *pages, struct extent *extent, size_t units) {
    struct region *region = extent->region;
    size_t first = extent->first, rest = extent->count - units;
    unlink_extent(pages, extent);
    if (rest > 0) {
        (void)make_free(pages, region, first + units, rest);
    }
    return region->begin + first * UNIT_BYTES;
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

static bool add_region(struct pages *pages, size_t least) {
    const size_t enough = round_up(least, HUGE_BYTES);
    size_t bytes = enough > REGION_BYTES ? enough : REGION_BYTES;
    struct region *region = calloc(1, sizeof *region);
    if (region == NULL) {
        return false;
    }
    region->begin = map_aligned(bytes);
    if (region->begin == NULL && bytes > enough) {
        bytes = enough; /* where address space is counted as memory */
        region->begin = map_aligned(bytes);
    }
    region->units = bytes / UNIT_BYTES;
    region->edges = region->begin != NULL ? calloc(region->units, sizeof(struct extent *)) : NULL;
    if (region->edges == NULL) {
        if (region->begin != NULL) {
            munmap(region->begin, bytes);
        }
        free(region);
        return false;
    }
    region->next = pages->regions;
    pages->regions = region;
    pages->reserved += bytes;
    (void)make_free(pages, region, 0, region->units);
    return true;
}

static struct region *region_of(const struct pages *pages, const uint8_t *piece) {
    struct region *region = pages->regions;
    while (piece < region->begin || piece >= region->begin + region->units * UNIT_BYTES) {
        region = region->next;
        assert(region != NULL);
    }
    return region;
}

/* ---- what shards call ---- */

static void *take(void *user, size_t bytes) {
    struct pages *pages = user;
    if (bytes < SMALL_BYTES) {
        return aligned_alloc(MEMORY_ALIGNMENT, round_up(bytes, MEMORY_ALIGNMENT));
    }
    if (bytes > PIECE_MOST) {
        return NULL;
    }
    size_t rounded = round_up(bytes, UNIT_BYTES), units = rounded / UNIT_BYTES;
    struct extent *extent = find(pages, units);
    if (extent == NULL && add_region(pages, rounded)) {
        extent = find(pages, units);
    }
    if (extent == NULL) {
        return NULL;
    }
    pages->used += rounded;
    return cut(pages, extent, units);
}

static void give(void *user, void *piece, size_t bytes) {
    struct pages *pages = user;
    if (bytes < SMALL_BYTES) {
        free(piece);
        return;
    }
    size_t rounded = round_up(bytes, UNIT_BYTES);
    struct region *region = region_of(pages, piece);
    assert(pages->used >= rounded);
    pages->used -= rounded;
    size_t first = (size_t)((uint8_t *)piece - region->begin) / UNIT_BYTES;
    release_pages(make_free(pages, region, first, rounded / UNIT_BYTES));
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
        munmap(region->begin, region->units * UNIT_BYTES);
        free(region->edges);
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
