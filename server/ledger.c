#include "server/ledger.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/endian.h"
#include "common/mutant.h"

#define LEAST_ROOM ((size_t)4)
#define CODE_BITS  8
#define CODE_MASK  0x7fu
#define FORGOTTEN  0x80u /* of the oldest run: there were others before it */

_Static_assert(sizeof(struct ledger_entry) == 64, "one cache line");
_Static_assert((unsigned)CANYON_STATUS_LAST <= CODE_MASK, "codes fit beside their numbers");

__extension__ typedef unsigned __int128 wide;

/* Both halves of a product of both halves of the id, each masked with a half of the secret. */
static size_t home(const struct ledger *ledger, const uint8_t session[SESSION_BYTES]) {
    const uint64_t low = load_u64(session) ^ ledger->secret[0] ^ 0x9e3779b97f4a7c15u;
    const uint64_t high = load_u64(session + 8) ^ ledger->secret[1] ^ 0xd1b54a32d192ed03u;
    const wide product = (wide)low * high;
    return (size_t)((uint64_t)product ^ (uint64_t)(product >> 64)) & (ledger->room - 1);
}

/* Where the session is, or would go. There is always an empty place. */
static size_t place_of(const struct ledger *ledger, const uint8_t session[SESSION_BYTES]) {
    size_t place = home(ledger, session);
    while (ledger->entries[place].last != 0 && memcmp(ledger->entries[place].session, session, SESSION_BYTES) != 0) {
        place = (place + 1) & (ledger->room - 1);
    }
    return place;
}

/* Looks first where it looked last: a number is judged, reserved for and taken one after another. NULL when it is not
 * here. */
static struct ledger_entry *find(struct ledger *ledger, const uint8_t session[SESSION_BYTES]) {
    if (ledger->room == 0) {
        return NULL;
    }
    struct ledger_entry *entry = &ledger->entries[ledger->recent];
    if (entry->last == 0 || memcmp(entry->session, session, SESSION_BYTES) != 0) {
        ledger->recent = place_of(ledger, session);
        entry = &ledger->entries[ledger->recent];
    }
    return entry->last != 0 ? entry : NULL;
}

void ledger_finish(struct ledger *ledger) {
    free(ledger->entries);
    memset(ledger, 0, sizeof *ledger);
}

void ledger_keep_secret(struct ledger *ledger, const uint8_t secret[LEDGER_SECRET_BYTES]) {
    assert(ledger->count == 0);
    memcpy(ledger->secret, secret, LEDGER_SECRET_BYTES);
}

void ledger_expect(const struct ledger *ledger, const uint8_t session[SESSION_BYTES]) {
    if (ledger->room > 0) {
        __builtin_prefetch(&ledger->entries[home(ledger, session)]);
    }
}

uint64_t ledger_last(struct ledger *ledger, const uint8_t session[SESSION_BYTES]) {
    const struct ledger_entry *entry = find(ledger, session);
    return entry != NULL ? entry->last : 0;
}

/* Whether it comes before the oldest run that is remembered, and others are not. */
static bool before_all(const struct ledger_entry *entry, uint64_t number) {
    const uint64_t oldest = entry->refusals[LEDGER_REFUSALS - 1];
    return (oldest & FORGOTTEN) != 0 && number < (oldest >> CODE_BITS) - entry->more[LEDGER_REFUSALS - 1];
}

enum canyon_status ledger_refusal(struct ledger *ledger, const uint8_t session[SESSION_BYTES], uint64_t number) {
    const struct ledger_entry *entry = find(ledger, session);
    for (size_t i = 0; entry != NULL && i < (MUTANT(ring_forgets) ? 1 : LEDGER_REFUSALS); i++) {
        const uint64_t last = entry->refusals[i] >> CODE_BITS, more = MUTANT(ring_forgets) ? 0 : entry->more[i];
        if (number <= last && last - number <= more) {
            return (enum canyon_status)(entry->refusals[i] & CODE_MASK);
        }
    }
    return entry != NULL && before_all(entry, number) ? CANYON_OUTCOME_UNKNOWN : CANYON_OK;
}

/* With one more session. */
static size_t room_wanted(const struct ledger *ledger) {
    const bool fits = ledger->count + 1 <= ledger->room / 4 * 3;
    return fits ? ledger->room : ledger->room > 0 ? ledger->room * 2 : LEAST_ROOM;
}

uint64_t ledger_bytes(const struct ledger *ledger) {
    return ledger->room * sizeof *ledger->entries;
}

uint64_t ledger_growth(const struct ledger *ledger) {
    return (room_wanted(ledger) - ledger->room) * sizeof *ledger->entries;
}

bool ledger_reserve(struct ledger *ledger) {
    const size_t room = room_wanted(ledger);
    if (room == ledger->room) {
        return true;
    }
    struct ledger old = *ledger;
    ledger->room = room;
    ledger->entries = aligned_alloc(sizeof *ledger->entries, ledger->room * sizeof *ledger->entries);
    ledger->recent = 0;
    if (ledger->entries == NULL) {
        *ledger = old;
        return false;
    }
    memset(ledger->entries, 0, ledger->room * sizeof *ledger->entries);
    for (size_t i = 0; i < old.room; i++) {
        if (old.entries[i].last != 0) {
            ledger->entries[place_of(ledger, old.entries[i].session)] = old.entries[i];
        }
    }
    free(old.entries);
    return true;
}

void ledger_take(struct ledger *ledger, const uint8_t session[SESSION_BYTES], enum canyon_status refused) {
    struct ledger_entry *entry = find(ledger, session);
    if (entry == NULL) {
        assert(ledger->count + 1 <= ledger->room / 4 * 3);
        entry = &ledger->entries[ledger->recent];
        memset(entry, 0, sizeof *entry);
        memcpy(entry->session, session, SESSION_BYTES);
        ledger->count++;
    }
    entry->last++;
    const uint64_t goes_on = (entry->last - 1) << CODE_BITS | (uint64_t)refused;
    if (refused != CANYON_OK && entry->refusals[0] == goes_on && entry->more[0] < LEDGER_RUN - 1) {
        entry->refusals[0] = entry->last << CODE_BITS | (uint64_t)refused;
        entry->more[0]++;
    } else if (refused != CANYON_OK) {
        const bool forgets = entry->refusals[LEDGER_REFUSALS - 1] != 0;
        memmove(entry->more + 1, entry->more, (LEDGER_REFUSALS - 1) * sizeof entry->more[0]);
        entry->more[0] = 0;
        memmove(entry->refusals + 1, entry->refusals, (LEDGER_REFUSALS - 1) * sizeof entry->refusals[0]);
        entry->refusals[0] = entry->last << CODE_BITS | (uint64_t)refused;
        entry->refusals[LEDGER_REFUSALS - 1] |= forgets ? FORGOTTEN : 0;
    }
}

bool ledger_forget(struct ledger *ledger, const uint8_t session[SESSION_BYTES]) {
    const struct ledger_entry *entry = find(ledger, session);
    if (entry == NULL) {
        return false;
    }
    size_t hole = ledger->recent;
    const size_t mask = ledger->room - 1;
    /* What lies behind it, up to an empty place, moves up where the hole is on the way from its home. */
    for (size_t at = (hole + 1) & mask; ledger->entries[at].last != 0; at = (at + 1) & mask) {
        const size_t way = (at - home(ledger, ledger->entries[at].session)) & mask;
        if (way >= ((at - hole) & mask)) {
            ledger->entries[hole] = ledger->entries[at];
            hole = at;
        }
    }
    memset(&ledger->entries[hole], 0, sizeof ledger->entries[hole]);
    ledger->count--;
    return true;
}

void ledger_digest(const struct ledger *ledger, struct hash *hash) {
    uint64_t sum[HASH_BYTES / sizeof(uint64_t)] = {0};
    hash_u64(hash, ledger->count);
    for (size_t i = 0; i < ledger->room; i++) {
        const struct ledger_entry *entry = &ledger->entries[i];
        struct hash one;
        uint8_t digest[HASH_BYTES];
        if (entry->last == 0) {
            continue;
        }
        hash_init(&one);
        hash_u64(&one, entry->last);
        for (size_t j = 0; j < LEDGER_REFUSALS; j++) {
            hash_u64(&one, entry->refusals[j]);
            hash_u32(&one, entry->more[j]);
        }
        hash_final(&one, digest);
        for (size_t j = 0; j < sizeof sum / sizeof sum[0]; j++) {
            sum[j] += load_u64(digest + j * sizeof(uint64_t));
        }
    }
    for (size_t j = 0; ledger->count > 0 && j < sizeof sum / sizeof sum[0]; j++) {
        hash_u64(hash, sum[j]);
    }
}
