#include "server/contributions.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/mutant.h"

/* Of a block: who contributed, in order of ranks. By rank each has its own values; else the first entry has all. */
struct contribution {
    uint32_t rank;
    float *values; /* NULL: no memory was taken for it yet */
};

struct contribution_set {
    struct contribution *entries;
    size_t count, room; /* entries from `count` on are for the next ones; their values, where they have any, too */
    bool by_rank;       /* where count > 0 */
};

struct contributions {
    const struct memory *source;
    size_t places;
    size_t bytes; /* of one block's values, as they are taken */
    uint64_t taken;
    struct contribution_set sets[];
};

uint64_t contributions_block_bytes(size_t elements) {
    return (elements * sizeof(float) + MEMORY_ALIGNMENT - 1) / MEMORY_ALIGNMENT * MEMORY_ALIGNMENT;
}

struct contributions *contributions_create(const struct memory *source, size_t places, size_t elements) {
    if (places > (SIZE_MAX / 2 - sizeof(struct contributions)) / sizeof(struct contribution_set)) {
        return NULL;
    }
    struct contributions *contributions = calloc(1, sizeof *contributions + places * sizeof(struct contribution_set));
    if (contributions != NULL) {
        contributions->source = source;
        contributions->places = places;
        contributions->bytes = contributions_block_bytes(elements);
    }
    return contributions;
}

void contributions_destroy(struct contributions *contributions) {
    for (size_t place = 0; contributions != NULL && place < contributions->places; place++) {
        struct contribution_set *set = &contributions->sets[place];
        for (size_t i = 0; i < set->room; i++) {
            memory_give(contributions->source, set->entries[i].values, contributions->bytes);
        }
        free(set->entries);
    }
    free(contributions);
}

/* ---- room ---- */

/* The place of a rank among the entries, or where it would stand. */
static size_t find(const struct contribution_set *set, uint32_t rank) {
    size_t at = 0;
    while (at < set->count && set->entries[at].rank < rank) {
        at++;
    }
    return at;
}

static bool is_there(const struct contribution_set *set, uint32_t rank) {
    size_t at = find(set, rank);
    return at < set->count && set->entries[at].rank == rank;
}

/* What a block has begun with holds until it is taken, whatever the mode becomes meanwhile: a sum has no parts, and
 * parts are no sum. */
static enum consistency_order order_of(const struct contribution_set *set, enum consistency_order wanted) {
    return set->count == 0 ? wanted : set->by_rank ? CONSISTENCY_RANK : CONSISTENCY_ARRIVAL;
}

/* Whether the next entry must have values that it has not got. */
static bool wants_values(const struct contribution_set *set, enum consistency_order order) {
    bool needs = order_of(set, order) == CONSISTENCY_RANK || set->count == 0;
    return needs && (set->count == set->room || set->entries[set->count].values == NULL);
}

uint64_t contributions_bytes(const struct contributions *contributions) {
    return contributions == NULL ? 0 : contributions->taken;
}

uint64_t contributions_growth(const struct contributions *contributions, size_t place, uint32_t rank,
                              enum consistency_order order) {
    const struct contribution_set *set = &contributions->sets[place];
    return !is_there(set, rank) && wants_values(set, order) ? contributions->bytes : 0;
}

bool contributions_reserve(struct contributions *contributions, size_t place, uint32_t rank,
                           enum consistency_order order) {
    struct contribution_set *set = &contributions->sets[place];
    if (is_there(set, rank)) {
        return true;
    }
    if (set->count == set->room) {
        size_t room = set->room == 0 ? 2 : set->room * 2;
        struct contribution *entries = realloc(set->entries, room * sizeof *entries);
        if (entries == NULL) {
            return false;
        }
        memset(entries + set->room, 0, (room - set->room) * sizeof *entries);
        set->entries = entries;
        set->room = room;
    }
    if (wants_values(set, order)) {
        set->entries[set->count].values = memory_take(contributions->source, contributions->bytes);
        contributions->taken += set->entries[set->count].values != NULL ? contributions->bytes : 0;
        return set->entries[set->count].values != NULL;
    }
    return true;
}

/* ---- adding up ---- */

static void add(float *restrict to, const float *restrict from, size_t elements) {
    for (size_t i = 0; i < elements; i++) {
        to[i] += from[i];
    }
}

void contributions_add(struct contributions *contributions, size_t place, uint32_t rank, enum consistency_order order,
                       const float *values, size_t elements) {
    struct contribution_set *set = &contributions->sets[place];
    bool first = set->count == 0, there = is_there(set, rank);
    float *one = first ? NULL : set->entries[0].values; /* the sum, where there is one for all */
    size_t at = find(set, rank);
    order = order_of(set, order);
    set->by_rank = order == CONSISTENCY_RANK;
    if (!there) {
        /* The entry that was made ready moves to where the rank belongs. */
        assert(set->count < set->room);
        struct contribution next = set->entries[set->count];
        memmove(set->entries + at + 1, set->entries + at, (set->count - at) * sizeof next);
        next.rank = rank;
        set->entries[at] = next;
        set->count++;
    }
    if (MUTANT(contribution_twice) && one != NULL) {
        add(one, values, elements);
    }
    if (order == CONSISTENCY_RANK || first) {
        float *to = set->entries[at].values;
        if (there) {
            add(to, values, elements);
        } else {
            memcpy(to, values, elements * sizeof(float));
        }
        return;
    }
    if (!there && at == 0) {
        /* The sum goes with the first entry, whichever that is. */
        float *spare = set->entries[0].values;
        set->entries[0].values = one;
        set->entries[1].values = spare;
    }
    add(one, values, elements);
}

size_t contributions_count(const struct contributions *contributions, size_t place) {
    return contributions == NULL ? 0 : contributions->sets[place].count;
}

const float *contributions_take(struct contributions *contributions, size_t place, enum consistency_combine combine,
                                size_t elements) {
    struct contribution_set *set = &contributions->sets[place];
    size_t count = set->count;
    assert(count > 0);
    float *sum = set->entries[0].values;
    for (size_t i = 1; i < count && set->by_rank; i++) {
        add(sum, set->entries[i].values, elements);
    }
    if (combine == CONSISTENCY_MEAN && count > 1 && !MUTANT(mean_is_the_sum)) {
        for (size_t i = 0; i < elements; i++) {
            sum[i] /= (float)count;
        }
    }
    set->count = MUTANT(contribution_survives_close) ? count : 0;
    return sum;
}

void contributions_digest(const struct contributions *contributions, struct hash *hash,
                          uint32_t (*length)(const void *user, size_t place), const void *user) {
    for (size_t place = 0; contributions != NULL && place < contributions->places; place++) {
        const struct contribution_set *set = &contributions->sets[place];
        if (set->count > 0) {
            hash_u64(hash, place);
            hash_u64(hash, set->count);
        }
        for (size_t i = 0; i < set->count; i++) {
            hash_u32(hash, set->entries[i].rank);
            if (set->by_rank || i == 0) {
                hash_update(hash, set->entries[i].values, length(user, place) * sizeof(float));
            }
        }
    }
}
