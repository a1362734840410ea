#include "client/simulator/embed_worker.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define FETCH_ROWS 4096u /* at a time */

struct trainer {
    const struct embed_context *context;
    struct skipgram_way *way;
    struct skipgram_batch *batches; /* FLOW_PLACES(ahead) */
    struct team_tally *tally;
};

static enum canyon_status trainer_make(void *trainer_context, size_t place, struct flow_part *parts, bool *more,
                                       char *text, size_t bytes) {
    struct trainer *trainer = trainer_context;
    struct skipgram_batch *batch = &trainer->batches[place];
    (void)text;
    (void)bytes;
    *more = skipgram_way_next(trainer->way, batch);
    parts[EMBED_INPUTS].ids = batch->inputs.ids;
    parts[EMBED_INPUTS].count = batch->inputs.count;
    parts[EMBED_OUTPUTS].ids = batch->outputs.ids;
    parts[EMBED_OUTPUTS].count = batch->outputs.count;
    return CANYON_OK;
}

static enum canyon_status trainer_compute(void *trainer_context, size_t place, const struct flow_part *parts,
                                          char *text, size_t bytes) {
    struct trainer *trainer = trainer_context;
    const struct skipgram_batch *batch = &trainer->batches[place];
    const struct flow_part *inputs = &parts[EMBED_INPUTS], *outputs = &parts[EMBED_OUTPUTS];
    double loss = skipgram_gradient(batch, trainer->context->model->settings.negatives, trainer->context->dim,
                                    inputs->weights, outputs->weights, inputs->gradient, outputs->gradient);
    if (!isfinite(loss)) {
        snprintf(text, bytes, "the loss is not a finite number any more: the training diverged; use a smaller lr");
        return CANYON_NOT_FINITE;
    }
    team_add_loss(trainer->tally, loss, batch->neighbour_count);
    atomic_fetch_add_explicit(&trainer->tally->rows, inputs->count + outputs->count, memory_order_relaxed);
    atomic_fetch_add_explicit(&trainer->tally->work, batch->words, memory_order_relaxed);
    return CANYON_OK;
}

enum canyon_status embed_train(void *plan_context, uint32_t worker, struct rows *const *tables,
                               struct team_tally *tally, char *text, size_t bytes) {
    const struct embed_context *context = plan_context;
    const struct skipgram_model *model = context->model;
    struct trainer trainer = {.context = context, .tally = tally};
    const struct flow_maker maker = {.context = &trainer, .make = trainer_make, .compute = trainer_compute};
    enum canyon_status status = CANYON_NO_MEMORY;
    size_t places = FLOW_PLACES(context->ahead);
    trainer.way = skipgram_way_create(model, worker, context->workers);
    trainer.batches = calloc(places, sizeof *trainer.batches);
    bool good = trainer.way != NULL && trainer.batches != NULL;
    for (size_t b = 0; b < places && good; b++) {
        good = skipgram_batch_make(&trainer.batches[b], model);
    }
    if (good) {
        status = flow_run(&maker, tables, EMBED_TABLES, context->ahead, text, bytes);
    } else {
        snprintf(text, bytes, "no memory for batches");
    }
    for (size_t b = 0; b < places && trainer.batches != NULL; b++) {
        skipgram_batch_finish(&trainer.batches[b]);
    }
    free(trainer.batches);
    skipgram_way_destroy(trainer.way);
    return status;
}

enum canyon_status embed_fetch(void *plan_context, struct rows *const *tables, char *text, size_t bytes) {
    const struct embed_context *context = plan_context;
    uint32_t size = vocabulary_size(context->model->corpus->vocabulary);
    uint64_t ids[FETCH_ROWS];
    enum canyon_status status = CANYON_OK;
    for (uint32_t at = 0; at < size && status == CANYON_OK; at += FETCH_ROWS) {
        uint32_t count = size - at < FETCH_ROWS ? size - at : FETCH_ROWS;
        for (uint32_t i = 0; i < count; i++) {
            ids[i] = at + i;
        }
        status = rows_read(tables[EMBED_INPUTS], ids, count, context->vectors + (size_t)at * context->dim, text, bytes);
    }
    return status;
}
