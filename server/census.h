/* The census counts the greeted connections of a server, in all and of each key, and says when there are enough.
 *
 * The acceptor enters a connection before it welcomes it; whoever closes it, on whatever thread, lets it leave. So one
 * key, however many clients share it, leaves room for the others. Thread-safe. */
#ifndef CANYON_SERVER_CENSUS_H
#define CANYON_SERVER_CENSUS_H

#include <stddef.h>
#include <stdint.h>

#include "server/allow.h"

struct census;

/* `most` connections in all, and `per_key` of one key. NULL when memory cannot be had. */
struct census *census_create(uint32_t most, uint32_t per_key);
/* Everybody must have left. Safe on NULL. */
void census_destroy(struct census *census);

/* One more, of this entry's key; of nobody's when it is NULL (plaintext). BUSY with a text that names the limit,
 * NO_MEMORY. */
enum canyon_status census_enter(struct census *census, const struct allow_entry *entry, struct error *error);

/* One that entered with this key (NULL for nobody's) is gone. */
void census_leave(struct census *census, const uint8_t key[KEY_BYTES]);

size_t census_count(struct census *census);

#endif
