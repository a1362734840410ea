/* Members are the workers that count clocks on one server thread: who they are, how far, and whether they live.
 *
 * A member lives while its lease runs; whatever it sends renews the lease. When the lease ends, or the member leaves,
 * nobody waits for it any more; its entry stays, for looking at and for its return, until its place is needed. One that
 * comes back, or comes late, begins at the lowest clock of the live ones: nobody is held up by what it missed.
 *
 * A data structure: time goes in as monotonic nanoseconds. Single-threaded. */
#ifndef CANYON_SERVER_MEMBERS_H
#define CANYON_SERVER_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/consistency.h"
#include "common/key.h"
#include "common/limits.h"
#include "common/message.h"
#include "common/status.h"

#define MEMBERS_LEASE_MS 10000u
/* A clock that is told is at most so far above what is known on the thread; while nobody lives there, anything up to
 * the first clock. */
#define MEMBERS_AHEAD (UINT64_C(1) << 20)
#define MEMBERS_FIRST (LIMIT_CLOCK / 2)
/* All workers of a job often have one key, whose live members may be most of LIMIT_MEMBERS; but not all. */
#define MEMBERS_OF_KEY (LIMIT_MEMBERS / 4 * 3)
/* Entries, of live ones and others; the one that was heard of longest ago goes first. */
#define MEMBERS_ENTRIES (2 * LIMIT_MEMBERS)

struct member {
    uint8_t session[SESSION_BYTES];
    uint8_t key[KEY_BYTES]; /* with `keyed`: the one it came with last */
    bool keyed;
    uint64_t serial, tag; /* as the wire has them (proto/canyon.proto) */
    char name[LIMIT_NAME_BYTES];
    uint32_t rank;
    uint32_t wanted; /* one more than the rank that it named last, 0: none yet */
    bool live;
    bool restored; /* what is known of it is from before a restart: it has not told its clock since */
    uint64_t clock;
    uint64_t contributed;    /* the latest synchronous clock that it contributed to, 0: none, */
    uint32_t contributed_as; /* under this rank */
    uint64_t since; /* it contributes to no clock before: another did so under its rank, or itself under another */
    uint64_t lease_end, seen, advanced; /* when: its lease ends, it was heard of, its clock moved */
    uint64_t interval;                  /* ns between its clocks, smoothed; 0: not known yet */
    struct staleness staleness;         /* of its pieces and runs */
};

struct members;

/* NULL when memory cannot be had. destroy is safe on NULL. */
struct members *members_create(uint32_t lease_ms);
void members_destroy(struct members *members);

uint32_t members_lease_ms(const struct members *members);

/* Whether a member may be gone for good, and its entry with it: what was kept of it outside is to be forgotten. */
typedef void (*members_forget)(void *user, struct member *member);
void members_watch(struct members *members, members_forget forget, void *user);

/* A session begins to count, or comes back, or is there already. `wanted`: one more than the rank it would like, 0 for
 * any: it gets the lowest that no live member has, unless what it wants is free. With `rules` (it is known to be its
 * rank) it gets what it wants and a live member that has it is gone. `floor` is the least clock it may have. Its clock
 * is the largest of what it has, `clock`, `floor` and the lowest of the other live ones; without any other, the highest
 * that any had here, and at least 1. `open` is the synchronous clock that is open, or 0: where somebody has contributed
 * to it or a later one under the rank that the session gets, it begins after that, so that two never count as one.
 * *member is borrowed until members_forget tells of it. BUSY with LIMIT_MEMBERS live ones, or MEMBERS_OF_KEY of the
 * same key, NO_MEMORY. */
struct member_entry {
    const uint8_t *session;
    const uint8_t *key; /* NULL in plaintext */
    const char *name;
    uint32_t wanted;
    bool rules;
    uint64_t clock, floor, open, now;
};
enum canyon_status members_enter(struct members *members, const struct member_entry *entry, struct member **member,
                                 struct error *error);

/* The member of a session, live or not, or NULL. */
struct member *members_find(const struct members *members, const uint8_t session[SESSION_BYTES]);
struct member *members_find_tag(const struct members *members, uint64_t tag);

/* Whether a clock may be told: so that one absurd number does not end a job. `known` is the highest that is there
 * beside the members' own. INVALID_ARGUMENT. */
enum canyon_status members_check_clock(const struct members *members, uint64_t clock, uint64_t known,
                                       struct error *error);

/* It was heard of: its lease runs anew. Only of a live one. */
void members_heard(struct members *members, struct member *member, uint64_t now);

/* Its clock is at least this now. Of a live one. */
void members_advance(struct members *members, struct member *member, uint64_t clock, uint64_t now);

/* Whether the member may contribute to a clock, the one that is open: one that does not live only as far as it had
 * come, and while nobody else has its rank or contributed under it. Then it is noted that it does. */
bool members_contribute(const struct members *members, struct member *member, uint64_t clock);

/* Nobody waits for it any more. Nothing for one that does not live. */
void members_leave(struct members *members, struct member *member);

/* Ends the leases that are over; `spared`, when not NULL, says of whom that is not true. Returns how many ended. */
size_t members_expire(struct members *members, uint64_t now, bool (*spared)(void *user, const struct member *member),
                      void *user);
/* All leases that run end so much later. */
void members_postpone(struct members *members, uint64_t by);
/* No lease ends before that; UINT64_MAX without live members. */
uint64_t members_wakeup(const struct members *members);

/* ---- after a restart ---- */

/* A command says that this session contributed to a clock under a rank, in whatever order commands come here; false
 * when memory cannot be had. That its numbers were forgotten (it has left then, or was away for long); and that some
 * member had reached a clock. Before anybody enters. */
bool members_restore(struct members *members, const uint8_t session[SESSION_BYTES], uint64_t clock, uint32_t rank,
                     uint64_t now);
void members_retire(struct members *members, const uint8_t session[SESSION_BYTES]);
void members_prove(struct members *members, uint64_t clock);

/* Those that were restored and contributed to `open`, which is open, or the clock before it, live from now on for a
 * lease, in which they may come back: of several under one rank the one that did so last. */
void members_revive(struct members *members, uint64_t open, uint64_t now);

uint32_t members_live(const struct members *members);
/* Of the live ones: the lowest and highest clock, 0 without any. */
uint64_t members_lowest(const struct members *members);
uint64_t members_highest(const struct members *members);
/* The highest clock that any member ever had here, 0 when there was none. */
uint64_t members_reached(const struct members *members);
/* The clock that `count` of the live ones are at or beyond, count being at least 1 and at most their number, when that
 * is above `above`; otherwise 0, and it costs no more than counting who is. */
uint64_t members_passed_by(const struct members *members, uint32_t count, uint64_t above);
/* The live one that is furthest behind, the lowest rank of several; NULL without any. */
const struct member *members_last(const struct members *members);

/* The entry of the lowest serial number above `after`, or NULL. */
const struct member *members_next(const struct members *members, uint64_t after);

#endif
