#include "client/simulator/load_batch.h"

#include <stdlib.h>

#include "client/simulator/load_rows.h"

bool load_batch_init(struct load_place *place) {
    place->ids = malloc(place->calls->plan->batch * sizeof *place->ids);
    return place->ids != NULL;
}

void load_batch_fill(struct load_place *place) {
    const struct load_calls *calls = place->calls;
    const struct load_plan *plan = calls->plan;
    const uint32_t worker = load_place_worker(place);
    const bool pushes = load_kind_pushes(place->call.kind);
    load_rows_draw(plan, worker, place->call.number, place->ids);
    if (plan->verify && pushes) {
        load_rows_fill(plan, load_rows_base(plan->seed, worker, place->call.number), place->ids, place->gradient);
    }
    canyon_batch_init(&place->batch);
    place->batch.ids = place->ids;
    place->batch.count = plan->batch;
    place->batch.values = plan->elements;
    place->batch.gradients = !pushes ? NULL : plan->verify ? place->gradient : calls->gradient;
    place->batch.weights = load_kind_pulls(place->call.kind) ? place->weights : NULL;
}

enum canyon_status load_batch_step(struct load_place *place, uint32_t client, canyon_future **future) {
    canyon_table *table = place->calls->link->tables[client];
    return future == NULL ? canyon_table_step(table, &place->batch, 0)
                          : canyon_table_step_async(table, &place->batch, 0, future);
}

void load_batch_remember(const struct load_place *place, struct load_failure *failure) {
    const struct canyon_batch *batch = &place->batch;
    failure->tensor = 0;
    failure->certain = batch->refused == batch->rows;
    if (batch->refused == 0 || batch->refused == batch->rows || batch->refused > CANYON_BATCH_REFUSED) {
        load_calls_remember(place->calls, failure); /* all of them, or which ones is not known */
        return;
    }
    failure->certain = true;
    failure->blocks = 1;
    for (uint64_t i = 0; i < batch->refused; i++) {
        failure->first = batch->refused_ids[i];
        load_calls_remember(place->calls, failure);
    }
}

uint64_t load_batch_torn(const struct load_place *place) {
    const struct load_plan *plan = place->calls->plan;
    const struct canyon_batch *batch = &place->batch;
    uint64_t torn = 0;
    for (size_t i = 0; batch->weights != NULL && batch->refused == 0 && i < batch->count; i++) {
        torn += !load_row_whole(plan->dim, batch->weights + i * plan->dim);
    }
    return torn;
}

void load_batch_count(const struct load_place *place) {
    struct load_process *counts = place->calls->counts;
    const struct canyon_batch *batch = &place->batch;
    uint64_t done = batch->rows - batch->refused, bytes = done * place->calls->plan->dim * sizeof(float);
    load_count(counts, LOAD_ROWS, done);
    load_count_moved(counts, batch->gradients != NULL, batch->weights != NULL, done, bytes);
}
