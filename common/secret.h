/* Memory for keys: locked against swapping, left out of core dumps, wiped when it is given back.
 *
 * Cells from a pool of shared pages, since one locked mapping per key would cost pages each. When the system refuses to
 * lock more (RLIMIT_MEMLOCK), cells are handed out unlocked and secret_locked says so, once for all: the caller decides
 * whether to warn or to refuse. In a child made by fork every cell reads as zeroes (Linux 4.14 and later): a secret has
 * one owner, and a channel finds its keys gone. The first cell that a child takes locks its pages anew. Thread-safe
 * after random_start. */
#ifndef CANYON_COMMON_SECRET_H
#define CANYON_COMMON_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#define SECRET_LIMIT_BYTES 4096 /* of one cell */

/* Zeroed memory of `bytes` (1 .. SECRET_LIMIT_BYTES), 64-byte aligned; NULL when it cannot be had. */
void *secret_alloc(size_t bytes);

/* Wipes and gives back what secret_alloc returned. Safe on NULL. */
void secret_free(void *secret);

/* Bytes in the cells that are handed out now, each counted in whole 64s. Leak checkers do not see cells; tests do. */
size_t secret_in_use(void);

/* Wipes memory that is not from secret_alloc, such as a buffer on the stack, so that the compiler cannot leave it out.
 */
void secret_wipe(void *bytes, size_t count);

/* Wipes what calls that have returned left on this thread's stack: arithmetic on secrets copies them there, in code
 * that is not ours too. Some microseconds. */
void secret_wipe_stack(void);

/* True when the bytes are equal, in a time that does not depend on where they differ. */
bool secret_equal(const void *one, const void *two, size_t count);

/* False once a cell had to be handed out without being locked. */
bool secret_locked(void);

#endif
