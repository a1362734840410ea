#include "server/parked.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void parked_finish(struct parked_list *list) {
    if (list != NULL) {
        while (list->first != NULL) {
            parked_remove(list, list->first);
        }
        heap_finish(&list->heap);
        memset(list, 0, sizeof *list);
    }
}

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
    struct parked *parked = heap_reserve(&list->heap, list->count + 1) ? copy_of(request, spec) : NULL;
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
    parked->by_deadline = (struct heap_node){.key = parked->deadline, .order = list->arrivals++, .thing = parked};
    heap_add(&list->heap, &parked->by_deadline);
    list->count++;
    parked->peer->parked++;
    *added = parked;
    return CANYON_OK;
}

void parked_remove(struct parked_list *list, struct parked *parked) {
    assert(parked->peer->parked > 0);
    heap_remove(&list->heap, &parked->by_deadline);
    list->count--;
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
    return heap_first(&list->heap);
}
