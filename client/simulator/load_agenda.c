#include "client/simulator/load_agenda.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/load_pace.h"

bool load_agenda_init(struct load_agenda *agenda, uint32_t count) {
    assert(count > 0);
    *agenda = (struct load_agenda){.count = count};
    agenda->heap = calloc(count, sizeof *agenda->heap);
    agenda->places = calloc(count, sizeof *agenda->places);
    agenda->times = calloc(count, sizeof *agenda->times);
    if (agenda->heap == NULL || agenda->places == NULL || agenda->times == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        agenda->heap[i] = i;
        agenda->places[i] = i;
        agenda->times[i] = LOAD_NEVER;
    }
    return true;
}

void load_agenda_finish(struct load_agenda *agenda) {
    free(agenda->heap);
    free(agenda->places);
    free(agenda->times);
    memset(agenda, 0, sizeof *agenda);
}

static uint64_t agenda_time(const struct load_agenda *agenda, uint32_t place) {
    return agenda->times[agenda->heap[place]];
}

static void agenda_swap(struct load_agenda *agenda, uint32_t one, uint32_t other) {
    uint32_t kept = agenda->heap[one];
    agenda->heap[one] = agenda->heap[other];
    agenda->heap[other] = kept;
    agenda->places[agenda->heap[one]] = one;
    agenda->places[agenda->heap[other]] = other;
}

void load_agenda_set(struct load_agenda *agenda, uint32_t member, uint64_t time) {
    assert(member < agenda->count);
    uint32_t at = agenda->places[member];
    agenda->times[member] = time;
    while (at > 0 && agenda_time(agenda, (at - 1) / 2) > time) {
        agenda_swap(agenda, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
    for (;;) {
        uint32_t least = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < agenda->count; child++) {
            least = agenda_time(agenda, child) < agenda_time(agenda, least) ? child : least;
        }
        if (least == at) {
            return;
        }
        agenda_swap(agenda, at, least);
        at = least;
    }
}

uint32_t load_agenda_first(const struct load_agenda *agenda, uint64_t *time) {
    *time = agenda_time(agenda, 0);
    return agenda->heap[0];
}
