/* A directory finds things by id and by name, and walks them in order of name: the catalogue's entries, a shard's
 * parts.
 *
 * Every item begins with a struct directory_key. Two sorted arrays of pointers, searched by halving. The directory owns
 * the arrays, never the items. Pure, not thread-safe. */
#ifndef CANYON_SERVER_DIRECTORY_H
#define CANYON_SERVER_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* First member of every item; neither field changes while the item is inside. */
struct directory_key {
    uint64_t id;
    const char *name; /* borrowed, usually from the item itself */
};

struct directory {
    struct directory_key **by_id, **by_name;
    size_t count, room;
};

/* A zeroed directory is an empty one. finish is safe on it and on NULL; the items are the caller's. */
void directory_finish(struct directory *directory);

/* Makes room for one more item, so that the next insert cannot fail. False when memory cannot be had. */
bool directory_reserve(struct directory *directory);

/* Room was reserved; neither the id nor the name is inside. */
void directory_insert(struct directory *directory, struct directory_key *item);

/* The item is inside. */
void directory_remove(struct directory *directory, struct directory_key *item);

/* NULL when there is none. */
struct directory_key *directory_find_id(const struct directory *directory, uint64_t id);
struct directory_key *directory_find_name(const struct directory *directory, const char *name);

/* The first item whose name is above `after` in byte order, or NULL. */
struct directory_key *directory_next_name(const struct directory *directory, const char *after);

#endif
