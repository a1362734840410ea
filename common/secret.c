#include "common/secret.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#define STACK_BYTES 16384 /* more than any calls here and in libsodium take */

/* A slab is one mapping, aligned to its size so that a cell's address leads to it. Its first page holds the
 * book-keeping, the others granules; a cell is a run of them. Only the granules are locked, kept out of dumps, and zero
 * in a child made by fork: the book-keeping stays right there. */
#define SLAB_BYTES   65536u
#define HEADER_BYTES 4096u
#define GRANULE      64u
#define GRANULES     ((SLAB_BYTES - HEADER_BYTES) / GRANULE)
#define CONTINUED    255u /* in `runs`: not the first of its cell */

struct slab {
    struct slab *next, **link; /* link: what points here */
    unsigned used;             /* granules */
    uint8_t runs[GRANULES];    /* 0: free; at a cell's first granule how many it has */
};

_Static_assert(sizeof(struct slab) <= HEADER_BYTES, "the book-keeping does not fit its page");
_Static_assert(SECRET_LIMIT_BYTES / GRANULE < CONTINUED, "a run's length does not fit its byte");

static struct {
    pthread_mutex_t mutex;
    struct slab *slabs;
    pid_t owner; /* the process that locked them */
    bool unlocked;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static uint8_t *granules_of(struct slab *slab) {
    return (uint8_t *)slab + HEADER_BYTES;
}

static void pool_enter(void) {
    int failed = pthread_mutex_lock(&pool.mutex);
    assert(!failed);
}

static void pool_leave(void) {
    int failed = pthread_mutex_unlock(&pool.mutex);
    assert(!failed);
}

/* Twice the size is mapped and what lies outside the aligned half given back. */
static struct slab *slab_map(void) {
    uint8_t *wide = mmap(NULL, 2 * SLAB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (wide == MAP_FAILED) {
        return NULL;
    }
    const size_t before = (SLAB_BYTES - (uintptr_t)wide % SLAB_BYTES) % SLAB_BYTES;
    if (before > 0) {
        (void)munmap(wide, before);
    }
    (void)munmap(wide + before + SLAB_BYTES, SLAB_BYTES - before);
    return (struct slab *)(void *)(wide + before);
}

static struct slab *slab_create(void) {
    struct slab *slab = slab_map();
    if (slab == NULL) {
        return NULL;
    }
    if (mlock(granules_of(slab), SLAB_BYTES - HEADER_BYTES) != 0) {
        pool.unlocked = true;
    }
    /* An old kernel that knows neither is no reason to refuse. */
    (void)madvise(granules_of(slab), SLAB_BYTES - HEADER_BYTES, MADV_DONTDUMP);
#ifdef MADV_WIPEONFORK
    (void)madvise(granules_of(slab), SLAB_BYTES - HEADER_BYTES, MADV_WIPEONFORK);
#endif
    return slab;
}

static void slab_push(struct slab *slab) {
    slab->next = pool.slabs;
    slab->link = &pool.slabs;
    if (slab->next != NULL) {
        slab->next->link = &slab->next;
    }
    pool.slabs = slab;
}

static void slab_unlink(struct slab *slab) {
    *slab->link = slab->next;
    if (slab->next != NULL) {
        slab->next->link = slab->link;
    }
}

/* The first run of `count` free granules becomes a cell. */
static void *slab_take(struct slab *slab, unsigned count) {
    unsigned found = 0;
    if (GRANULES - slab->used < count) {
        return NULL;
    }
    for (unsigned i = 0; i < GRANULES; i++) {
        found = slab->runs[i] == 0 ? found + 1 : 0;
        if (found == count) {
            const unsigned first = i + 1 - count;
            memset(slab->runs + first, CONTINUED, count);
            slab->runs[first] = (uint8_t)count;
            slab->used += count;
            return granules_of(slab) + (size_t)first * GRANULE;
        }
    }
    return NULL;
}

/* A child made by fork has its parent's slabs, and they are kept out of dumps as before, but locks are not inherited.
 */
static void pool_own(void) {
    const pid_t self = getpid();
    if (pool.owner == self) {
        return;
    }
    pool.owner = self;
    for (struct slab *slab = pool.slabs; slab != NULL; slab = slab->next) {
        if (mlock(granules_of(slab), SLAB_BYTES - HEADER_BYTES) != 0) {
            pool.unlocked = true;
        }
    }
}

void *secret_alloc(size_t bytes) {
    assert(bytes >= 1 && bytes <= SECRET_LIMIT_BYTES);
    const unsigned count = (unsigned)((bytes + GRANULE - 1) / GRANULE);
    void *cell = NULL;
    pool_enter();
    pool_own();
    for (struct slab *slab = pool.slabs; slab != NULL && cell == NULL; slab = slab->next) {
        cell = slab_take(slab, count);
    }
    if (cell == NULL) {
        struct slab *slab = slab_create();
        if (slab != NULL) {
            slab_push(slab);
            cell = slab_take(slab, count);
        }
    }
    pool_leave();
    /* It is zero: from the system, or wiped when it was given back. */
    return cell;
}

void secret_free(void *secret) {
    if (secret == NULL) {
        return;
    }
    const uintptr_t offset = (uintptr_t)secret % SLAB_BYTES;
    struct slab *slab = (struct slab *)(void *)((uint8_t *)secret - offset);
    const size_t first = (offset - HEADER_BYTES) / GRANULE;
    assert(offset >= HEADER_BYTES && offset % GRANULE == 0);
    pool_enter();
    const unsigned count = slab->runs[first];
    assert(count > 0 && count != CONTINUED);
    sodium_memzero(secret, (size_t)count * GRANULE);
    memset(slab->runs + first, 0, count);
    slab->used -= count;
    if (slab->used == 0 && (pool.slabs != slab || slab->next != NULL)) {
        slab_unlink(slab);
        (void)munmap(slab, SLAB_BYTES); /* unlocks it as well */
    }
    pool_leave();
}

size_t secret_in_use(void) {
    size_t granules = 0;
    pool_enter();
    for (const struct slab *slab = pool.slabs; slab != NULL; slab = slab->next) {
        granules += slab->used;
    }
    pool_leave();
    return granules * GRANULE;
}

void secret_wipe(void *bytes, size_t count) {
    sodium_memzero(bytes, count);
}

void secret_wipe_stack(void) {
    sodium_stackzero(STACK_BYTES);
}

bool secret_equal(const void *one, const void *two, size_t count) {
    return sodium_memcmp(one, two, count) == 0;
}

bool secret_locked(void) {
    pool_enter();
    const bool locked = !pool.unlocked;
    pool_leave();
    return locked;
}
