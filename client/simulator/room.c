#include "client/simulator/room.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 64

bool room_make(void *items, size_t *capacity, size_t needed, size_t size) {
    void *old = NULL, *bigger = NULL;
    size_t next = *capacity < ROOM_FIRST ? ROOM_FIRST : *capacity;
    if (needed <= *capacity) {
        return true;
    }
    if (needed > SIZE_MAX / 2 / size) {
        return false;
    }
    while (next < needed) {
        next *= 2;
    }
    memcpy(&old, items, sizeof old);
    bigger = realloc(old, next * size);
    if (bigger == NULL) {
        return false;
    }
    memcpy(items, &bigger, sizeof bigger);
    *capacity = next;
    return true;
}
