/* A ledger is what a shard keeps of its sessions, so that a push counts exactly once: the last number of each, and the
 * codes of its last refusals: a whole push that is refused gives every block of a shard one, so that numbers one after
 * another with the same code are one run. What becomes of the numbers before those, when there were more, it does not
 * know any more, and does not say. Part of the shard's state, changed with it and by commands alone.
 *
 * Open addressing, an entry a cache line, at most three quarters full. Sessions choose their ids: where an entry lies
 * depends on a secret that they do not know, so that nobody can crowd one place; it never shows in a result. Memory is
 * taken by ledger_reserve alone, so that what follows it cannot fail: 256 bytes for the first session, 85 to 171 for
 * each from two on. How many sessions there may be is decided above (server/sessions.h). Not thread-safe. */
#ifndef CANYON_SERVER_LEDGER_H
#define CANYON_SERVER_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/hash.h"
#include "common/message.h"
#include "common/mutant.h"
#include "common/status.h"

#define LEDGER_REFUSALS     4     /* runs of them that are remembered of a session, */
#define LEDGER_RUN          65536 /* numbers at most in each */
#define LEDGER_SECRET_BYTES 16

struct ledger_entry {
    uint8_t session[SESSION_BYTES];
    uint64_t last;                      /* number that was taken, applied or refused; 0: no entry lies here */
    uint64_t refusals[LEDGER_REFUSALS]; /* the latest first: its last number << 8 | its code; 0 for none. The oldest: |
                                         * 128 when there were others before it */
    uint16_t more[LEDGER_REFUSALS];     /* numbers of the run before its last one */
};

struct ledger {
    struct ledger_entry *entries; /* `room` of them, a power of two; NULL while it is 0 */
    size_t count, room;
    uint64_t secret[LEDGER_SECRET_BYTES / sizeof(uint64_t)];
    size_t recent; /* where the entry was that was looked for last, or would have gone */
};

/* What a number is to a session. */
enum ledger_verdict {
    LEDGER_NEXT,      /* to be carried out, or refused, and taken */
    LEDGER_DUPLICATE, /* taken before */
    LEDGER_GAP,       /* there are others before it */
    LEDGER_UNKNOWN    /* a gap, of a session that is not here */
};

/* A zeroed ledger is an empty one, with a secret that everybody knows. finish is safe on it. */
void ledger_finish(struct ledger *ledger);

/* While it is empty. */
void ledger_keep_secret(struct ledger *ledger, const uint8_t secret[LEDGER_SECRET_BYTES]);

/* Begins to bring into the cache what will be looked for soon. */
void ledger_expect(const struct ledger *ledger, const uint8_t session[SESSION_BYTES]);

/* The last number of a session; 0 when it is not here. */
uint64_t ledger_last(struct ledger *ledger, const uint8_t session[SESSION_BYTES]);

/* What `number`, which is not 0, is to a session whose last number is `last`. */
static inline enum ledger_verdict ledger_judge(uint64_t last, uint64_t number) {
    if ((MUTANT(accept_gap) && last > 0 && number > last) ||
        (MUTANT(unknown_session_accepted) && last < 3 && number > last)) {
        return LEDGER_NEXT;
    }
    return number <= last       ? LEDGER_DUPLICATE
           : number == last + 1 ? LEDGER_NEXT
           : last == 0          ? LEDGER_UNKNOWN
                                : LEDGER_GAP;
}

/* The code that a number was refused with, or OK; for a number before the last LEDGER_REFUSALS runs of refusals, when
 * there were more of them, OUTCOME_UNKNOWN. Of a number that was taken. */
enum canyon_status ledger_refusal(struct ledger *ledger, const uint8_t session[SESSION_BYTES], uint64_t number);

/* Bytes that it takes, and by how many ledger_reserve would let it grow. */
uint64_t ledger_bytes(const struct ledger *ledger);
uint64_t ledger_growth(const struct ledger *ledger);

/* Room for one more session. False when memory cannot be had; nothing has changed. Otherwise the next ledger_take
 * cannot fail. */
bool ledger_reserve(struct ledger *ledger);

/* Takes the number after the session's last one, its first one if it is not here, and remembers the code if it was
 * refused (OK: it was not). There is room. */
void ledger_take(struct ledger *ledger, const uint8_t session[SESSION_BYTES], enum canyon_status refused);

/* Forgets a session; false when it was not here. */
bool ledger_forget(struct ledger *ledger, const uint8_t session[SESSION_BYTES]);

/* Adds what is known of the sessions, without their ids, to the hash: how many there are and, where there are any, the
 * sum (of 64-bit words) over all of them of BLAKE2b-256 of last number, refusals and lengths of runs. A sum has no
 * order. */
void ledger_digest(const struct ledger *ledger, struct hash *hash);

#endif
