#include "server/members.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/mutant.h"

#define NANOSECONDS_PER_MS 1000000ull
#define SMOOTHING          4 /* an interval counts for one in so many */

struct members {
    uint64_t lease;
    struct member **entries; /* in order of serial numbers */
    size_t count, room;
    uint32_t live;
    uint64_t serial, reached;
    uint64_t lowest;   /* clock of live ones, 0 without any, */
    uint32_t behind;   /* and how many are there */
    uint64_t earliest; /* no lease ends before */
    members_forget forget;
    void *user;
    uint64_t *clocks; /* LIMIT_MEMBERS of them, to be sorted */
};

struct members *members_create(uint32_t lease_ms) {
    struct members *members = calloc(1, sizeof *members);
    if (members != NULL) {
        members->lease = lease_ms * NANOSECONDS_PER_MS;
        members->earliest = UINT64_MAX;
        members->clocks = malloc(LIMIT_MEMBERS * sizeof *members->clocks);
    }
    if (members != NULL && members->clocks == NULL) {
        free(members);
        members = NULL;
    }
    return members;
}

void members_destroy(struct members *members) {
    if (members != NULL) {
        for (size_t i = 0; i < members->count; i++) {
            free(members->entries[i]);
        }
        free(members->entries);
        free(members->clocks);
        free(members);
    }
}

uint32_t members_lease_ms(const struct members *members) {
    return (uint32_t)(members->lease / NANOSECONDS_PER_MS);
}

void members_watch(struct members *members, members_forget forget, void *user) {
    members->forget = forget;
    members->user = user;
}

/* ---- who ---- */

struct member *members_find(const struct members *members, const uint8_t session[SESSION_BYTES]) {
    for (size_t i = 0; i < members->count; i++) {
        if (memcmp(members->entries[i]->session, session, SESSION_BYTES) == 0) {
            return members->entries[i];
        }
    }
    return NULL;
}

struct member *members_find_tag(const struct members *members, uint64_t tag) {
    for (size_t i = 0; i < members->count; i++) {
        if (members->entries[i]->tag == tag) {
            return members->entries[i];
        }
    }
    return NULL;
}

static struct member *holder(const struct members *members, uint32_t rank) {
    for (size_t i = 0; i < members->count; i++) {
        if (members->entries[i]->live && members->entries[i]->rank == rank) {
            return members->entries[i];
        }
    }
    return NULL;
}

static uint32_t lowest_free(const struct members *members) {
    uint64_t taken[LIMIT_MEMBERS / 64] = {0};
    uint32_t rank = 0;
    for (size_t i = 0; i < members->count; i++) {
        const struct member *member = members->entries[i];
        if (member->live) {
            taken[member->rank / 64] |= UINT64_C(1) << member->rank % 64;
        }
    }
    while ((taken[rank / 64] >> rank % 64 & 1) != 0) {
        rank++; /* fewer live than there are ranks */
    }
    return rank;
}

static uint32_t choose_rank(struct members *members, const struct member_entry *entry) {
    struct member *there = entry->wanted > 0 ? holder(members, entry->wanted - 1) : NULL;
    if (there != NULL && entry->rules) {
        members_leave(members, there);
        there = NULL;
    }
    if (entry->wanted > 0 && there == NULL) {
        return entry->wanted - 1;
    }
    return lowest_free(members);
}

/* Forgets who was heard of longest ago, of those who do not live. */
static void make_room(struct members *members) {
    size_t oldest = members->count;
    for (size_t i = 0; i < members->count; i++) {
        if (!members->entries[i]->live &&
            (oldest == members->count || members->entries[i]->seen < members->entries[oldest]->seen)) {
            oldest = i;
        }
    }
    assert(oldest < members->count); /* at most half of the entries live */
    struct member *gone = members->entries[oldest];
    if (members->forget != NULL) {
        members->forget(members->user, gone);
    }
    members->count--;
    memmove(members->entries + oldest, members->entries + oldest + 1,
            (members->count - oldest) * sizeof(struct member *));
    free(gone);
}

static struct member *add(struct members *members, const uint8_t session[SESSION_BYTES]) {
    if (members->count >= MEMBERS_ENTRIES) {
        make_room(members);
    }
    if (members->count == members->room) {
        size_t room = members->room == 0 ? 16 : members->room * 2;
        struct member **entries = realloc(members->entries, room * sizeof(struct member *));
        if (entries == NULL) {
            return NULL;
        }
        members->entries = entries;
        members->room = room;
    }
    struct member *member = calloc(1, sizeof *member);
    if (member != NULL) {
        memcpy(member->session, session, SESSION_BYTES);
        member->tag = hash_64(session, SESSION_BYTES);
        member->tag += member->tag == 0; /* 0 is nobody's */
        member->serial = ++members->serial;
        members->entries[members->count++] = member;
    }
    return member;
}

/* One that lives is at this clock from now on. */
static void lowest_with(struct members *members, uint64_t clock) {
    if (members->behind == 0 || clock < members->lowest) {
        members->lowest = clock;
        members->behind = 0;
    }
    members->behind += clock == members->lowest;
}

/* One that lived, or lives, is there no more: looks for the lowest anew only when it was the last there. */
static void lowest_without(struct members *members, uint64_t clock) {
    if (clock != members->lowest || --members->behind > 0) {
        return;
    }
    members->lowest = 0;
    for (size_t i = 0; i < members->count; i++) {
        if (members->entries[i]->live) {
            lowest_with(members, members->entries[i]->clock);
        }
    }
}

static uint64_t largest(uint64_t one, uint64_t other) {
    return one > other ? one : other;
}

/* The first clock that a member may contribute to under its rank. */
static uint64_t first_clock(const struct members *members, const struct member *member, uint64_t open) {
    uint64_t first = member->since;
    for (size_t i = 0; i < members->count && open > 0 && !MUTANT(rank_reused); i++) {
        const struct member *other = members->entries[i];
        bool same = other->contributed_as == member->rank;
        if (other->contributed >= open && (other == member ? !same : same)) {
            first = largest(first, other->contributed + 1);
        }
    }
    return first;
}

/* Live ones; in plaintext there are no keys. */
static uint32_t live_of_key(const struct members *members, const uint8_t *key) {
    uint32_t count = 0;
    for (size_t i = 0; i < members->count && key != NULL; i++) {
        const struct member *member = members->entries[i];
        count += member->live && member->keyed && memcmp(member->key, key, KEY_BYTES) == 0;
    }
    return count;
}

enum canyon_status members_enter(struct members *members, const struct member_entry *entry, struct member **member,
                                 struct error *error) {
    struct member *found = members_find(members, entry->session);
    bool lives = found != NULL && found->live;
    if (!lives && members->live >= LIMIT_MEMBERS) {
        return error_set(error, CANYON_BUSY, "%u workers count clocks already, the most that may", members->live);
    }
    const uint32_t of_key = lives ? 0 : live_of_key(members, entry->key);
    if (of_key >= MEMBERS_OF_KEY) {
        return error_set(error, CANYON_BUSY,
                         "%u workers with this key count clocks already, the most of one key that may", of_key);
    }
    if (found == NULL) {
        found = add(members, entry->session);
    }
    if (found == NULL) {
        return error_set(error, CANYON_NO_MEMORY, "no memory for one more worker beside %zu", members->count);
    }
    found->wanted = entry->wanted > 0 ? entry->wanted : found->wanted;
    found->keyed = entry->key != NULL;
    if (found->keyed) {
        memcpy(found->key, entry->key, KEY_BYTES);
    }
    memset(found->name, 0, sizeof found->name);
    strncpy(found->name, entry->name, sizeof found->name - 1);
    found->restored = false;
    if (!lives) {
        /* Before it lives itself: it is the others' clocks and ranks that count. */
        uint64_t others = members->live > 0 ? members_lowest(members) : members->reached;
        uint32_t rank = choose_rank(members, entry);
        found->clock = largest(largest(found->clock, entry->clock), largest(entry->floor, largest(others, 1)));
        found->clock = MUTANT(enter_at_the_beginning) ? largest(entry->clock, 1) : found->clock;
        found->rank = rank;
        found->since = first_clock(members, found, entry->open);
        found->clock = largest(found->clock, found->since);
        found->live = true;
        found->advanced = entry->now;
        members->live++;
        lowest_with(members, found->clock);
    } else if (entry->rules && entry->wanted > 0 && found->rank != entry->wanted - 1) {
        found->rank = choose_rank(members, entry);
        found->since = first_clock(members, found, entry->open);
    }
    const uint64_t floor = MUTANT(enter_at_the_beginning) ? 0 : entry->floor;
    members_advance(members, found, largest(entry->clock, floor), entry->now);
    members->reached = largest(members->reached, found->clock);
    members_heard(members, found, entry->now);
    *member = found;
    return CANYON_OK;
}

enum canyon_status members_check_clock(const struct members *members, uint64_t clock, uint64_t known,
                                       struct error *error) {
    const uint64_t highest = largest(members->reached, known);
    uint64_t most = (highest < LIMIT_CLOCK - MEMBERS_AHEAD ? highest : LIMIT_CLOCK - MEMBERS_AHEAD) + MEMBERS_AHEAD;
    most = members->live == 0 ? largest(most, MEMBERS_FIRST) : most;
    if (clock > most) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "clock %" PRIu64 ": the highest that is known here is %" PRIu64
                         ", and a worker may tell one up to %" PRIu64,
                         clock, highest, most);
    }
    return CANYON_OK;
}

/* ---- life ---- */

void members_heard(struct members *members, struct member *member, uint64_t now) {
    assert(member->live);
    member->seen = now;
    member->lease_end = now + members->lease;
    members->earliest = member->lease_end < members->earliest ? member->lease_end : members->earliest;
}

void members_advance(struct members *members, struct member *member, uint64_t clock, uint64_t now) {
    assert(member->live);
    if (clock > member->clock) {
        uint64_t each = (now - member->advanced) / (clock - member->clock);
        member->interval =
            member->interval == 0 ? each : member->interval - member->interval / SMOOTHING + each / SMOOTHING;
        const uint64_t before = member->clock;
        member->advanced = now;
        member->clock = clock;
        lowest_with(members, clock);
        lowest_without(members, before);
        members->reached = largest(members->reached, clock);
    }
}

bool members_contribute(const struct members *members, struct member *member, uint64_t clock) {
    bool late = !member->live && (clock > member->clock || holder(members, member->rank) != NULL ||
                                  first_clock(members, member, clock) > clock);
    if (late || clock < member->since) {
        return false;
    }
    member->contributed = clock;
    member->contributed_as = member->rank;
    return true;
}

void members_leave(struct members *members, struct member *member) {
    if (member->live) {
        member->live = false;
        members->live--;
        if (members->live == 0 && !MUTANT(last_lease_kept)) {
            members->earliest = UINT64_MAX; /* or who comes next would find a lease that was over long ago */
        }
        if (!MUTANT(dead_member_counts)) {
            lowest_without(members, member->clock);
        }
    }
}

size_t members_expire(struct members *members, uint64_t now, bool (*spared)(void *user, const struct member *member),
                      void *user) {
    size_t ended = 0;
    if (members->earliest > now) {
        return 0;
    }
    members->earliest = UINT64_MAX;
    for (size_t i = 0; i < members->count; i++) {
        struct member *member = members->entries[i];
        if (member->live && member->lease_end <= now) {
            if ((spared != NULL && spared(user, member)) || MUTANT(lease_never_ends)) {
                member->lease_end = now + members->lease;
            } else {
                members_leave(members, member);
                ended++;
            }
        }
        if (member->live && member->lease_end < members->earliest) {
            members->earliest = member->lease_end;
        }
    }
    return ended;
}

void members_postpone(struct members *members, uint64_t by) {
    for (size_t i = 0; i < members->count; i++) {
        members->entries[i]->lease_end += members->entries[i]->live ? by : 0;
    }
    members->earliest += members->live > 0 ? by : 0;
}

uint64_t members_wakeup(const struct members *members) {
    return members->live > 0 ? members->earliest : UINT64_MAX;
}

/* ---- after a restart ---- */

bool members_restore(struct members *members, const uint8_t session[SESSION_BYTES], uint64_t clock, uint32_t rank,
                     uint64_t now) {
    struct member *member = members_find(members, session);
    member = member != NULL ? member : add(members, session);
    if (member == NULL) {
        return false;
    }
    member->restored = true;
    member->seen = now;
    if (member->name[0] == '\0') {
        member->name[0] = '-'; /* until it comes */
    }
    if (clock >= member->contributed) {
        member->contributed = member->clock = clock;
        member->contributed_as = member->rank = rank;
    }
    members_prove(members, clock);
    return true;
}

void members_retire(struct members *members, const uint8_t session[SESSION_BYTES]) {
    struct member *member = members_find(members, session);
    if (member != NULL) {
        member->restored = false;
    }
}

void members_prove(struct members *members, uint64_t clock) {
    members->reached = largest(members->reached, clock);
}

/* Whether another of those that were restored had its rank after it. */
static bool has_heir(const struct members *members, const struct member *member) {
    for (size_t i = 0; i < members->count; i++) {
        const struct member *other = members->entries[i];
        if (other->restored && other->rank == member->rank && other->contributed > member->contributed) {
            return true;
        }
    }
    return false;
}

void members_revive(struct members *members, uint64_t open, uint64_t now) {
    for (size_t i = 0; i < members->count && members->live < LIMIT_MEMBERS; i++) {
        struct member *member = members->entries[i];
        if (!member->restored || member->live || member->contributed + 1 < open || has_heir(members, member) ||
            holder(members, member->rank) != NULL) {
            continue;
        }
        member->since = first_clock(members, member, open);
        member->live = true;
        member->advanced = now;
        members->live++;
        lowest_with(members, member->clock);
        members_heard(members, member, now);
    }
}

/* ---- clocks ---- */

uint32_t members_live(const struct members *members) {
    return members->live;
}

const struct member *members_last(const struct members *members) {
    const struct member *last = NULL;
    for (size_t i = 0; i < members->count; i++) {
        const struct member *member = members->entries[i];
        if (member->live && (last == NULL || member->clock < last->clock ||
                             (member->clock == last->clock && member->rank < last->rank))) {
            last = member;
        }
    }
    return last;
}

uint64_t members_lowest(const struct members *members) {
    return members->lowest;
}

uint64_t members_highest(const struct members *members) {
    uint64_t highest = 0;
    for (size_t i = 0; i < members->count; i++) {
        highest = members->entries[i]->live ? largest(highest, members->entries[i]->clock) : highest;
    }
    return highest;
}

uint64_t members_reached(const struct members *members) {
    return members->reached;
}

static int descending(const void *one, const void *other) {
    uint64_t a, b;
    memcpy(&a, one, sizeof a);
    memcpy(&b, other, sizeof b);
    return a < b ? 1 : a > b ? -1 : 0;
}

uint64_t members_passed_by(const struct members *members, uint32_t count, uint64_t above) {
    size_t beyond = 0;
    if (count >= members->live) {
        return members_lowest(members) > above ? members_lowest(members) : 0;
    }
    for (size_t i = 0; i < members->count; i++) {
        if (members->entries[i]->live && members->entries[i]->clock > above) {
            members->clocks[beyond++] = members->entries[i]->clock;
        }
    }
    if (beyond < count) {
        return 0;
    }
    qsort(members->clocks, beyond, sizeof *members->clocks, descending);
    return members->clocks[count - 1];
}

const struct member *members_next(const struct members *members, uint64_t after) {
    for (size_t i = 0; i < members->count; i++) {
        if (members->entries[i]->serial > after) {
            return members->entries[i];
        }
    }
    return NULL;
}
