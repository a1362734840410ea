#include "client/simulator/gather.h"

#include <stdlib.h>
#include <string.h>

#include "client/simulator/counter.h"
#include "client/simulator/room.h"

#define FIRST_MARKS 1024u

struct gather_mark {
    uint32_t round; /* free unless it is this round's */
    uint32_t place;
};

void gather_begin(struct gather *gather) {
    gather->count = 0;
    gather->round++;
    if (gather->round == 0) { /* marks of 2^32 rounds ago would be taken for new ones */
        if (gather->marks != NULL) {
            memset(gather->marks, 0, gather->mark_count * sizeof *gather->marks);
        }
        gather->round = 1;
    }
}

/* The mark of an id, or the free one where it belongs. */
static struct gather_mark *mark_of(const struct gather *gather, uint64_t id) {
    size_t mask = gather->mark_count - 1, at = (size_t)counter_bits(0, 0, id) & mask;
    while (gather->marks[at].round == gather->round && gather->ids[gather->marks[at].place] != id) {
        at = (at + 1) & mask;
    }
    return &gather->marks[at];
}

static bool marks_grow(struct gather *gather) {
    size_t count = gather->mark_count == 0 ? FIRST_MARKS : 2 * gather->mark_count;
    struct gather_mark *marks = calloc(count, sizeof *marks);
    if (marks == NULL) {
        return false;
    }
    free(gather->marks);
    gather->marks = marks;
    gather->mark_count = count;
    gather->round = gather->round == 0 ? 1 : gather->round;
    for (size_t i = 0; i < gather->count; i++) {
        *mark_of(gather, gather->ids[i]) = (struct gather_mark){.round = gather->round, .place = (uint32_t)i};
    }
    return true;
}

size_t gather_place(struct gather *gather, uint64_t id) {
    if ((2 * (gather->count + 1) >= gather->mark_count && !marks_grow(gather)) || gather->count >= UINT32_MAX) {
        return SIZE_MAX;
    }
    struct gather_mark *mark = mark_of(gather, id);
    if (mark->round == gather->round) {
        return mark->place;
    }
    if (!room_make(&gather->ids, &gather->capacity, gather->count + 1, sizeof *gather->ids)) {
        return SIZE_MAX;
    }
    *mark = (struct gather_mark){.round = gather->round, .place = (uint32_t)gather->count};
    gather->ids[gather->count] = id;
    return gather->count++;
}

void gather_finish(struct gather *gather) {
    free(gather->ids);
    free(gather->marks);
    memset(gather, 0, sizeof *gather);
}
