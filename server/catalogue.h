/* The catalogue is shard 0's list of tensors: name, id, state, and the session that creates.
 *
 * State only: shard.c decides which changes are allowed. Pure, not thread-safe. */
#ifndef CANYON_SERVER_CATALOGUE_H
#define CANYON_SERVER_CATALOGUE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/hash.h"
#include "common/message.h"
#include "common/tensor.h"
#include "server/directory.h"

struct catalogue_entry {
    struct directory_key key;       /* id and name of info */
    struct tensor_info info;        /* spec canonical */
    struct optimizer_spec created;  /* the settings it was created with */
    uint8_t creator[SESSION_BYTES]; /* of a CREATING entry and, to let it repeat itself, of a COMPLETE one */
};

struct catalogue {
    struct directory entries;
};

/* A zeroed catalogue is an empty one; finish frees the entries too, and is safe on it and on NULL. */
void catalogue_finish(struct catalogue *catalogue);

/* Adds an entry in state CREATING; neither id nor name is inside. False when memory cannot be had; nothing has changed.
 */
bool catalogue_add(struct catalogue *catalogue, uint64_t id, const struct tensor_spec *spec,
                   const uint8_t session[SESSION_BYTES]);

/* Frees an entry that is inside. */
void catalogue_remove(struct catalogue *catalogue, struct catalogue_entry *entry);

/* NULL when there is none. Borrowed until it is removed. */
struct catalogue_entry *catalogue_find_id(const struct catalogue *catalogue, uint64_t id);
struct catalogue_entry *catalogue_find_name(const struct catalogue *catalogue, const char *name);
struct catalogue_entry *catalogue_next_name(const struct catalogue *catalogue, const char *after);

/* Adds all entries by name, without ids and sessions, to the hash. */
void catalogue_digest(const struct catalogue *catalogue, struct hash *hash);

#endif
