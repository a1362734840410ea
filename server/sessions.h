/* Sessions belong to keys: whoever first comes with a session id has it, and the same id under another key is refused.
 * In plaintext there are no keys, and sessions are nobody's. Some sessions have numbers in the shards of the thread
 * (server/ledger.h); this is who they are, and whose numbers may be forgotten.
 *
 * What is remembered is bounded. Of sessions without a connection and without numbers the one that was gone for longest
 * is forgotten when there are more than SESSIONS_REMEMBERED. Numbers are forgotten only when there is no room for those
 * of another session, and then those of the session that was gone for longest, if that is SESSIONS_AWAY_NS or more.
 * Ids are 128 random bits that nobody else is told, so keys are a fence against mistakes and leaks, not against
 * guessing. Single-threaded; time goes in. */
#ifndef CANYON_SERVER_SESSIONS_H
#define CANYON_SERVER_SESSIONS_H

#include <stdbool.h>

#include "common/key.h"
#include "common/message.h"

#define SESSIONS_REMEMBERED 16384
#ifndef SESSIONS_NUMBERED       /* tests/schedules has less room and less patience */
#define SESSIONS_NUMBERED 16384 /* sessions that have numbers, at most, */
#define SESSIONS_AWAY_NS  (600 * 1000000000ull)
#endif
#define SESSIONS_OF_KEY    4096 /* and of one key, */
#define SESSIONS_OF_READER 64   /* or of one that may only read */

struct sessions;

/* What a key has of the thread's room for other things: counted, and kept within bounds, by those who give it. */
struct sessions_share {
    size_t waits; /* pulls that wait (server/waits.h), */
    uint64_t wait_bytes;
};

/* NULL when memory cannot be had. */
struct sessions *sessions_create(void);
/* Safe on NULL. */
void sessions_destroy(struct sessions *sessions);

/* A connection of this session has come, under this key (NULL in plaintext). DENIED when it belongs to another,
 * NO_MEMORY. */
enum canyon_status sessions_come(struct sessions *sessions, const uint8_t session[SESSION_BYTES], const uint8_t *key,
                                 struct error *error);

/* Of the key of a session that has a connection, and valid as long; NULL when it is nobody's. */
struct sessions_share *sessions_share(struct sessions *sessions, const uint8_t session[SESSION_BYTES]);

/* One that had come is gone. `now` is in monotonic nanoseconds. */
void sessions_go(struct sessions *sessions, const uint8_t session[SESSION_BYTES], uint64_t now);

/* A session that has a connection is to have numbers from now on; `most` sessions of its key may. OK when it has some
 * already. With *evicts there was no room, and the numbers of `evicted` are to be forgotten for it: it has none any
 * more, as far as this module knows. BUSY when nobody was gone for long enough; nothing has changed then. */
enum canyon_status sessions_number(struct sessions *sessions, const uint8_t session[SESSION_BYTES], size_t most,
                                   uint64_t now, bool *evicts, uint8_t evicted[SESSION_BYTES], struct error *error);

/* A session was found to have numbers in a shard, as after a restart, whoever it is: it is as one that has just gone,
 * and belongs to the key that it comes with next. NO_MEMORY. */
enum canyon_status sessions_restore(struct sessions *sessions, const uint8_t session[SESSION_BYTES], uint64_t now,
                                    struct error *error);

/* The session has no numbers any more. Not known, or without any: nothing. */
void sessions_forget(struct sessions *sessions, const uint8_t session[SESSION_BYTES]);

/* Sessions that have numbers. */
size_t sessions_numbered(const struct sessions *sessions);

#endif
