#include "server/parked.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void parked_finish(struct parked_list *list) {
    if (list != NULL) {
        while (list->first != NULL) {
            parked_remove(list, list->first);
        }
        free(list->heap);
        memset(list, 0, sizeof *list);
    }
}

/* ---- The heap: no deadline is before its parent's ---- */

static void heap_put(struct parked_list *list, size_t place, struct parked *parked) {
    list->heap[place] = parked;
    parked->heap_place = place;
}

static void heap_up(struct parked_list *list, size_t place, struct parked *parked) {
    while (place > 0 && list->heap[(place - 1) / 2]->deadline > parked->deadline) {
        heap_put(list, place, list->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    heap_put(list, place, parked);
}

static void heap_down(struct parked_list *list, size_t count, size_t place, struct parked *parked) {
    for (;;) {
        size_t child = 2 * place + 1;
        if (child + 1 < count && list->heap[child + 1]->deadline < list->heap[child]->deadline) {
            child++;
        }
        if (child >= count || list->heap[child]->deadline >= parked->deadline) {
            break;
        }
        heap_put(list, place, list->heap[child]);
        place = child;
    }
    heap_put(list, place, parked);
}

static bool heap_reserve(struct parked_list *list) {
    if (list->count == list->heap_room) {
        size_t room = list->heap_room == 0 ? 16 : list->heap_room * 2;
        struct parked **heap = realloc(list->heap, room * sizeof(struct parked *));
        if (heap == NULL) {
            return false;
        }
        list->heap = heap;
        list->heap_room = room;
    }
    return true;
}

/* ---- The list ---- */

static struct parked *copy_of(const struct parked *request, const struct tensor_spec *spec) {
    struct parked *parked = malloc(sizeof *parked);
    if (parked == NULL) {
        return NULL;
    }
    *parked = *request;
    parked->spec = NULL;
    if (spec != NULL) {
        parked->spec = malloc(sizeof *parked->spec);
        if (parked->spec == NULL) {
            free(parked);
            return NULL;
        }
        *parked->spec = *spec;
    }
    return parked;
}

enum canyon_status parked_add(struct parked_list *list, const struct parked *request, const struct tensor_spec *spec,
                              struct parked **added, struct error *error) {
    if (request->peer->parked >= HANDLER_PARKED_PER_PEER) {
        return error_set(error, CANYON_BUSY, "%u requests of this connection wait already, the most that may (%d)",
                         request->peer->parked, HANDLER_PARKED_PER_PEER);
    }
    if (list->count >= HANDLER_PARKED) {
        return error_set(error, CANYON_BUSY, "%zu requests wait on this server thread, the most that may (%d)",
                         list->count, HANDLER_PARKED);
    }
    struct parked *parked = heap_reserve(list) ? copy_of(request, spec) : NULL;
    if (parked == NULL) {
        return error_set(error, CANYON_NO_MEMORY, "no memory to let a request wait");
    }
    parked->next = NULL;
    parked->previous = list->last;
    if (list->last != NULL) {
        list->last->next = parked;
    } else {
        list->first = parked;
    }
    list->last = parked;
    heap_up(list, list->count, parked);
    list->count++;
    parked->peer->parked++;
    *added = parked;
    return CANYON_OK;
}

void parked_remove(struct parked_list *list, struct parked *parked) {
    struct parked *last = list->heap[list->count - 1];
    size_t place = parked->heap_place;
    assert(list->heap[place] == parked && parked->peer->parked > 0);
    list->count--;
    if (last != parked) {
        heap_up(list, place, last);
        heap_down(list, list->count, last->heap_place, last);
    }
    if (parked->previous != NULL) {
        parked->previous->next = parked->next;
    } else {
        list->first = parked->next;
    }
    if (parked->next != NULL) {
        parked->next->previous = parked->previous;
    } else {
        list->last = parked->previous;
    }
    parked->peer->parked--;
    free(parked->spec);
    free(parked);
}

struct parked *parked_earliest(const struct parked_list *list) {
    return list->count > 0 ? list->heap[0] : NULL;
}
