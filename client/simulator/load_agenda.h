/* Who is due next among many: a binary heap with one time for every member. */
#ifndef CANYON_SIMULATOR_LOAD_AGENDA_H
#define CANYON_SIMULATOR_LOAD_AGENDA_H

#include <stdbool.h>
#include <stdint.h>

struct load_agenda {
    uint32_t count;
    uint32_t *heap;   /* members, the earliest first */
    uint32_t *places; /* of each member in the heap */
    uint64_t *times;  /* of each member */
};

/* `count` members (above 0), all at LOAD_NEVER. False without memory. Finish it in any case. */
bool load_agenda_init(struct load_agenda *agenda, uint32_t count);
void load_agenda_finish(struct load_agenda *agenda);

/* O(log count). */
void load_agenda_set(struct load_agenda *agenda, uint32_t member, uint64_t time);

/* The member with the earliest time, and that time. */
uint32_t load_agenda_first(const struct load_agenda *agenda, uint64_t *time);

#endif
