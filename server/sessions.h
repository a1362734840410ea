/* Sessions belong to keys: whoever first comes with a session id has it, and the same id under another key is refused.
 *
 * What is remembered is bounded: of sessions without a connection the one that was gone for longest is forgotten when
 * there are more than SESSIONS_REMEMBERED. Ids are 128 random bits that nobody else is told, so this is a fence against
 * mistakes and leaks, not against guessing. Single-threaded; no clock. */
#ifndef CANYON_SERVER_SESSIONS_H
#define CANYON_SERVER_SESSIONS_H

#include "common/key.h"
#include "common/message.h"

#define SESSIONS_REMEMBERED 16384

struct sessions;

/* NULL when memory cannot be had. */
struct sessions *sessions_create(void);
/* Safe on NULL. */
void sessions_destroy(struct sessions *sessions);

/* A connection of this session has come, under this key. DENIED when it belongs to another, NO_MEMORY. */
enum canyon_status sessions_come(struct sessions *sessions, const uint8_t session[SESSION_BYTES],
                                 const uint8_t key[KEY_BYTES], struct error *error);

/* One that had come is gone. */
void sessions_go(struct sessions *sessions, const uint8_t session[SESSION_BYTES]);

#endif
