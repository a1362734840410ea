#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/simulator/worker_state.h"

#define ATTEMPTS 100 /* to push one gradient before others make it too stale */

/* What became of a step's gradient, beside the items' own numbers. */
struct fate {
    double loss;
    uint32_t refused;
    bool late, lost;
};

static bool tell(const struct worker *worker, const struct worker_batch *batch, const struct fate *fate) {
    struct news news = {.kind = fate->late || fate->lost || batch->count == 0 ? NEWS_LOST : NEWS_STEP,
                        .loss = fate->loss,
                        .pushes = (uint32_t)worker->plan->model.tensor_count,
                        .clipped = worker->parameters.clipped,
                        .refused = fate->refused,
                        .late = fate->late};
    for (size_t t = 0; t < worker->plan->model.tensor_count; t++) {
        uint64_t staleness = worker->parameters.items[t].staleness;
        news.staleness_sum += staleness;
        news.staleness_max = staleness > news.staleness_max ? staleness : news.staleness_max;
    }
    return news_write(worker->news, &news);
}

/* The mean of the workers' gradients of a clock is the mean over all its images when each counts by how many it has. */
static void weigh(const struct worker *worker, const struct worker_batch *batch, size_t layer) {
    const struct plan *plan = worker->plan;
    uint32_t workers = plan->workers;
    if (!plan->pacing.sync || batch->count * workers == batch->whole) {
        return;
    }
    float weight = (float)((double)(batch->count * workers) / (double)batch->whole);
    for (size_t t = 2 * layer; t < 2 * layer + 2; t++) {
        const struct model_tensor *tensor = &plan->model.tensors[t];
        for (size_t i = 0; i < tensor->elements; i++) {
            worker->parameters.gradient[tensor->offset + i] *= weight;
        }
    }
}

/* Pushes the gradient layer by layer, the last one's while the first one's is computed. */
static enum canyon_status push_layers(struct worker *worker, const struct worker_batch *batch,
                                      struct model_pass *pass) {
    struct parameters *parameters = &worker->parameters;
    enum canyon_status status = CANYON_OK;
    weigh(worker, batch, pass->layer);
    while (status == CANYON_OK && pass->layer > 0) {
        status = parameters_begin(parameters, pass->layer);
        model_pass_next(pass);
        weigh(worker, batch, pass->layer);
    }
    return status == CANYON_OK ? parameters_end(parameters, 0) : status;
}

/* The whole gradient, for pushes that take all of it at once: to be clipped, it must be known as a whole. */
static void pass_through(const struct worker *worker, const struct worker_batch *batch, struct model_pass *pass) {
    do {
        weigh(worker, batch, pass->layer);
    } while (model_pass_next(pass));
}

/* One gradient at the weights that are here; `again` pushes only what was refused. */
static enum canyon_status compute_and_push(struct worker *worker, const struct worker_batch *batch, bool again,
                                           double *loss) {
    struct parameters *parameters = &worker->parameters;
    const struct plan *plan = worker->plan;
    struct model_pass pass;
    pacing_sleep(&plan->pacing, worker->index);
    if (batch->count == 0) { /* the others' images are all there are in this clock: it takes part with nothing */
        memset(parameters->gradient, 0, plan->model.parameters * sizeof *parameters->gradient);
        return again ? parameters_again(parameters) : parameters_step(parameters);
    }
    *loss = model_pass_begin(&pass, &plan->model, parameters->weights, plan->digits, batch->indices, batch->count,
                             parameters->gradient, worker->dhidden);
    if (!isfinite(*loss)) {
        snprintf(parameters->text, sizeof parameters->text,
                 "the loss is not a finite number any more: training with '%s' diverged; use a smaller lr",
                 plan->optimizer);
        return CANYON_NOT_FINITE;
    }
    if (!again && plan->clip_norm <= 0.0) {
        return push_layers(worker, batch, &pass);
    }
    pass_through(worker, batch, &pass);
    return again ? parameters_again(parameters) : parameters_step(parameters);
}

enum canyon_status worker_step(struct worker *worker, const struct worker_batch *batch, bool *told) {
    struct fate fate = {.loss = 0.0};
    enum canyon_status status = CANYON_OK;
    if (worker->plan->pacing.mode != NULL) {
        status = parameters_pull(&worker->parameters);
    }
    if (status == CANYON_OK) {
        status = compute_and_push(worker, batch, false, &fate.loss);
    }
    while (status == CANYON_STALE && fate.refused + 1 < ATTEMPTS) {
        fate.refused++;
        status = parameters_pull(&worker->parameters);
        status = status == CANYON_OK ? compute_and_push(worker, batch, true, &fate.loss) : status;
    }
    if (status == CANYON_STALE) { /* others are always faster: the next batch, then */
        fate.refused++;
        fate.lost = true;
        status = parameters_pull(&worker->parameters);
    } else if (status == CANYON_LATE) { /* the next clock is the one that is open */
        fate.late = true;
        status = CANYON_OK;
    }
    *told = status != CANYON_OK || tell(worker, batch, &fate);
    return status;
}
