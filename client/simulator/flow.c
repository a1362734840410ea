#include "client/simulator/flow.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/room.h"

enum stage { FREE, PULLED, PUSHED }; /* the last call that began */

struct place {
    enum stage stage;
    struct flow_part parts[FLOW_TABLES];
    size_t weight_capacity[FLOW_TABLES], gradient_capacity[FLOW_TABLES]; /* in rows */
    struct rows_call calls[FLOW_TABLES];
};

struct flow {
    const struct flow_maker *maker;
    struct rows *const *tables;
    size_t table_count, ahead, place_count;
    struct place *places;
    uint64_t made, computed; /* batches; the next one's place is this modulo place_count */
    char *text;
    size_t bytes;
};

/* Waits for what is under way in a place; the first failure is told. */
static enum canyon_status place_wait(const struct flow *flow, struct place *place, bool tell) {
    enum canyon_status first = CANYON_OK;
    char unheard[8];
    for (size_t t = 0; t < flow->table_count && place->stage != FREE; t++) {
        bool told = tell && first == CANYON_OK;
        enum canyon_status status = rows_wait(flow->tables[t], &place->calls[t], told ? flow->text : unheard,
                                              told ? flow->bytes : sizeof unheard);
        first = first == CANYON_OK ? status : first;
    }
    place->stage = FREE;
    return first;
}

static bool place_room(const struct flow *flow, struct place *place) {
    bool good = true;
    for (size_t t = 0; t < flow->table_count && good; t++) {
        struct flow_part *part = &place->parts[t];
        size_t row = flow->tables[t]->dim * sizeof(float);
        good = room_make(&part->weights, &place->weight_capacity[t], part->count, row) &&
               room_make(&part->gradient, &place->gradient_capacity[t], part->count, row);
    }
    if (!good) {
        snprintf(flow->text, flow->bytes, "no memory for the rows of a batch");
    }
    return good;
}

/* Makes the next batch and begins to pull its rows. */
static enum canyon_status flow_make(struct flow *flow, bool *more) {
    size_t which = flow->made % flow->place_count;
    struct place *place = &flow->places[which];
    enum canyon_status status = place_wait(flow, place, true);
    if (status == CANYON_OK) {
        status = flow->maker->make(flow->maker->context, which, place->parts, more, flow->text, flow->bytes);
    }
    if (status != CANYON_OK || !*more) {
        return status;
    }
    if (!place_room(flow, place)) {
        return CANYON_NO_MEMORY;
    }
    for (size_t t = 0; t < flow->table_count; t++) {
        struct flow_part *part = &place->parts[t];
        rows_pull(flow->tables[t], part->ids, part->count, part->weights, &place->calls[t]);
    }
    place->stage = PULLED;
    flow->made++;
    return CANYON_OK;
}

/* Computes the oldest batch that is not, and begins to push its gradients. */
static enum canyon_status flow_compute(struct flow *flow) {
    size_t which = flow->computed % flow->place_count;
    struct place *place = &flow->places[which];
    enum canyon_status status = place_wait(flow, place, true);
    if (status == CANYON_OK) {
        status = flow->maker->compute(flow->maker->context, which, place->parts, flow->text, flow->bytes);
    }
    if (status != CANYON_OK) {
        return status;
    }
    for (size_t t = 0; t < flow->table_count; t++) {
        struct flow_part *part = &place->parts[t];
        rows_push(flow->tables[t], part->ids, part->count, part->gradient, &place->calls[t]);
    }
    place->stage = PUSHED;
    flow->computed++;
    return CANYON_OK;
}

/* Waits for the rest, and frees. */
static enum canyon_status flow_end(struct flow *flow, enum canyon_status status) {
    for (size_t p = 0; p < flow->place_count; p++) {
        struct place *place = &flow->places[(flow->computed + p) % flow->place_count];
        enum canyon_status ended = place_wait(flow, place, status == CANYON_OK);
        status = status == CANYON_OK ? ended : status;
        for (size_t t = 0; t < flow->table_count; t++) {
            free(place->parts[t].weights);
            free(place->parts[t].gradient);
        }
    }
    free(flow->places);
    return status;
}

enum canyon_status flow_run(const struct flow_maker *maker, struct rows *const *tables, size_t table_count,
                            size_t ahead, char *text, size_t bytes) {
    struct flow flow = {.maker = maker,
                        .tables = tables,
                        .table_count = table_count,
                        .ahead = ahead,
                        .place_count = FLOW_PLACES(ahead),
                        .text = text,
                        .bytes = bytes};
    enum canyon_status status = CANYON_OK;
    bool more = true;
    assert(table_count >= 1 && table_count <= FLOW_TABLES && ahead <= FLOW_AHEAD_HIGH);
    flow.places = calloc(flow.place_count, sizeof *flow.places);
    if (flow.places == NULL) {
        snprintf(text, bytes, "no memory for batches");
        return CANYON_NO_MEMORY;
    }
    while (status == CANYON_OK && (more || flow.computed < flow.made)) {
        if (more && flow.made - flow.computed <= flow.ahead) {
            status = flow_make(&flow, &more);
        } else {
            status = flow_compute(&flow);
        }
    }
    return flow_end(&flow, status);
}
