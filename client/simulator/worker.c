#include "client/simulator/worker.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/parameters.h"
#include "client/simulator/sampler.h"

#define BARRIER_MS 60000u /* the slowest worker to connect; the parent ends all of them when one fails */

struct worker {
    const struct plan *plan;
    uint32_t index;
    int news;
    struct parameters parameters;
    struct sampler sampler;
    float *dhidden; /* of model_pass, for the largest batch */
};

/* False when the parent is gone: there is nobody to work for. */
static bool worker_tell(const struct worker *worker, enum news_kind kind) {
    struct news news = {.kind = kind, .nanoseconds = news_clock()};
    return news_write(worker->news, &news);
}

static void worker_tell_failure(const struct worker *worker, enum canyon_status status) {
    struct news news = {.kind = NEWS_FAILED, .status = status};
    memcpy(news.text, worker->parameters.text, sizeof news.text);
    news_write(worker->news, &news);
}

static bool worker_tell_step(const struct worker *worker, double loss) {
    struct news news = {.kind = NEWS_STEP,
                        .loss = loss,
                        .pushes = (uint32_t)worker->plan->model.tensor_count,
                        .clipped = worker->parameters.clipped};
    for (size_t t = 0; t < worker->plan->model.tensor_count; t++) {
        uint64_t staleness = worker->parameters.items[t].staleness;
        news.staleness_sum += staleness;
        news.staleness_max = staleness > news.staleness_max ? staleness : news.staleness_max;
    }
    return news_write(worker->news, &news);
}

/* Everything before the first step; when it returns all workers stand at the same weights. */
static enum canyon_status worker_begin(struct worker *worker) {
    struct parameters *parameters = &worker->parameters;
    char name[CANYON_NAME_BYTES];
    uint32_t rank = 0, count = 0;
    snprintf(name, sizeof name, "canyon-sim worker %u", worker->index);
    enum canyon_status status = parameters_connect(parameters, worker->plan, name);
    if (status != CANYON_OK) {
        return status;
    }
    size_t largest = worker->plan->batch == 0 ? SPLIT_TRAIN : (size_t)worker->plan->batch;
    size_t floats = model_pass_floats(&worker->plan->model, largest);
    worker->dhidden = calloc(floats + 1, sizeof *worker->dhidden);
    if (worker->dhidden == NULL) {
        snprintf(parameters->text, sizeof parameters->text, "no memory for the hidden units of %zu images", largest);
        return CANYON_NO_MEMORY;
    }
    if ((status = parameters_create(parameters)) != CANYON_OK || (status = parameters_pull(parameters)) != CANYON_OK) {
        return status;
    }
    status = canyon_join(parameters->client, 0, &rank, &count);
    if (status == CANYON_OK) {
        snprintf(name, sizeof name, "%sstart", worker->plan->prefix);
        status = canyon_barrier(parameters->client, name, worker->plan->workers, BARRIER_MS);
    }
    if (status != CANYON_OK) {
        snprintf(parameters->text, sizeof parameters->text, "cannot meet the other workers: %s", canyon_error_text());
    }
    return status;
}

/* Pushes the gradient layer by layer, the last one's while the first one's is computed. */
static enum canyon_status worker_push_layers(struct worker *worker, struct model_pass *pass) {
    struct parameters *parameters = &worker->parameters;
    enum canyon_status status = CANYON_OK;
    while (status == CANYON_OK && pass->layer > 0) {
        status = parameters_begin(parameters, pass->layer);
        model_pass_next(pass);
    }
    return status == CANYON_OK ? parameters_end(parameters, 0) : status;
}

/* Pushes the gradient of all layers at once: to be clipped, it must be known as a whole. */
static enum canyon_status worker_push_whole(struct worker *worker, struct model_pass *pass) {
    while (model_pass_next(pass)) {
    }
    return parameters_step(&worker->parameters);
}

/* One batch. *told becomes false when the parent is gone. */
static enum canyon_status worker_step(struct worker *worker, const uint32_t *indices, size_t count, bool *told) {
    struct parameters *parameters = &worker->parameters;
    struct model_pass pass;
    double loss = model_pass_begin(&pass, &worker->plan->model, parameters->weights, worker->plan->digits, indices,
                                   count, parameters->gradient, worker->dhidden);
    if (!isfinite(loss)) {
        snprintf(parameters->text, sizeof parameters->text,
                 "the loss is not a finite number any more: training with '%s' diverged; use a smaller lr",
                 worker->plan->optimizer);
        return CANYON_NOT_FINITE;
    }
    enum canyon_status status =
        worker->plan->clip_norm > 0.0 ? worker_push_whole(worker, &pass) : worker_push_layers(worker, &pass);
    *told = status != CANYON_OK || worker_tell_step(worker, loss);
    return status;
}

/* With the bytes of values that moved since `before`. */
static bool worker_tell_done(const struct worker *worker, const struct canyon_client_counters *before) {
    struct news news = {.kind = NEWS_DONE, .nanoseconds = news_clock()};
    struct canyon_client_counters now;
    if (canyon_client_counters(worker->parameters.client, &now) == CANYON_OK) {
        news.sent = now.sent - before->sent;
        news.received = now.received - before->received;
        news.single = now.sent_single - before->sent_single + now.received_single - before->received_single;
    }
    return news_write(worker->news, &news);
}

static enum canyon_status worker_train(struct worker *worker) {
    const struct plan *plan = worker->plan;
    const uint32_t *indices = NULL;
    struct canyon_client_counters before;
    size_t count = 0;
    enum canyon_status begun = parameters_encode(&worker->parameters);
    if (begun == CANYON_OK) {
        begun = canyon_client_counters(worker->parameters.client, &before);
    }
    if (begun != CANYON_OK) {
        return begun;
    }
    sampler_init(&worker->sampler, plan->split, worker->index, plan->workers, plan->batch, plan->epochs, plan->seed);
    bool told = worker_tell(worker, NEWS_BEGUN);
    while (told && (count = sampler_next(&worker->sampler, &indices)) > 0) {
        enum canyon_status status = worker_step(worker, indices, count, &told);
        if (status != CANYON_OK) {
            return status;
        }
    }
    return told && worker_tell_done(worker, &before) ? CANYON_OK : CANYON_CLOSED;
}

int worker_task(void *context, uint32_t index, int news, int orders) {
    struct worker worker = {.plan = context, .index = index, .news = news};
    (void)orders; /* a worker's only order is SIGTERM or SIGKILL */
    enum canyon_status status = worker_begin(&worker);
    if (status == CANYON_OK) {
        status = worker_train(&worker);
    }
    if (status != CANYON_OK) {
        worker_tell_failure(&worker, status);
    }
    parameters_close(&worker.parameters);
    free(worker.dhidden);
    return status == CANYON_OK ? 0 : 1;
}
