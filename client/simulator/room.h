/* Arrays that grow. */
#ifndef CANYON_SIMULATOR_ROOM_H
#define CANYON_SIMULATOR_ROOM_H

#include <stdbool.h>
#include <stddef.h>

/* Room for `needed` items of `size` bytes in *items (from malloc, or NULL with *capacity 0), which at least doubles
 * when it has to grow. False when there is no memory; the items are as they were then. `items` is the address of a
 * pointer to any object. */
bool room_make(void *items, size_t *capacity, size_t needed, size_t size);

#endif
