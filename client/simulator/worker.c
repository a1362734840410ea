#include "client/simulator/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/worker_state.h"

#define BARRIER_MS 60000u /* the slowest worker to connect; the parent ends all of them when one fails */

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

/* Meets the others before the first clock, so that none of them has passed it when another comes. */
static enum canyon_status worker_meet(struct worker *worker) {
    struct parameters *parameters = &worker->parameters;
    char name[CANYON_NAME_BYTES];
    uint32_t count = 0, workers = worker->plan->workers;
    enum canyon_status status = canyon_join(parameters->client, 0, &worker->part, &count);
    if (status == CANYON_OK && worker->plan->pacing.mode != NULL) {
        status = canyon_clock(parameters->client, &worker->first);
        status = status == CANYON_OK ? canyon_rank(parameters->client, &worker->part) : status;
    }
    if (status == CANYON_OK && worker->plan->pacing.sync && worker->part >= workers) {
        snprintf(parameters->text, sizeof parameters->text,
                 "rank %u of %u workers: others train on this job too, and a synchronous clock waits for all of them",
                 worker->part, workers);
        return CANYON_CONFLICT;
    }
    if (status == CANYON_OK) {
        worker->clock = worker->first;
        snprintf(name, sizeof name, "%sstart", worker->plan->prefix);
        status = canyon_barrier(parameters->client, name, workers, BARRIER_MS);
    }
    if (status != CANYON_OK) {
        snprintf(parameters->text, sizeof parameters->text, "cannot meet the other workers: %s", canyon_error_text());
    }
    return status;
}

/* Everything before the first step; when it returns all workers stand at the same weights. */
static enum canyon_status worker_begin(struct worker *worker) {
    struct parameters *parameters = &worker->parameters;
    char name[CANYON_NAME_BYTES];
    snprintf(name, sizeof name, "canyon-sim worker %u", worker->index);
    enum canyon_status status = parameters_connect(parameters, worker->plan, name, worker->plan->pacing.mode);
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
    return worker_meet(worker);
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

/* The next clock. One that was left behind by a synchronous job finds that batches are over without it. */
static enum canyon_status worker_clock(struct worker *worker) {
    enum canyon_status status = CANYON_OK;
    if (worker->plan->pacing.mode != NULL && worker->batches > 0) { /* the first one began before the barrier */
        status = canyon_clock(worker->parameters.client, &worker->clock);
    }
    if (status != CANYON_OK) {
        snprintf(worker->parameters.text, sizeof worker->parameters.text, "cannot go on to the next clock: %s",
                 canyon_error_text());
    }
    return status;
}

/* False when all epochs are through. */
static bool worker_next(struct worker *worker, struct worker_batch *batch) {
    bool more = sampler_next_part(&worker->sampler, &batch->indices, &batch->count, &batch->whole);
    worker->batches++;
    while (more && worker->plan->pacing.sync && worker->batches <= worker->clock - worker->first) {
        more = sampler_next_part(&worker->sampler, &batch->indices, &batch->count, &batch->whole);
        worker->batches++;
    }
    return more;
}

static enum canyon_status worker_batches(struct worker *worker, bool *told) {
    struct worker_batch batch;
    enum canyon_status status = CANYON_OK;
    while (*told && status == CANYON_OK && (status = worker_clock(worker)) == CANYON_OK &&
           worker_next(worker, &batch)) {
        status = worker_step(worker, &batch, told);
    }
    /* The last synchronous clock is applied when all have passed it, as this one has; a pull waits for that. */
    if (*told && status == CANYON_OK && worker->plan->pacing.sync) {
        status = parameters_pull(&worker->parameters);
    }
    return status;
}

static enum canyon_status worker_train(struct worker *worker) {
    const struct plan *plan = worker->plan;
    struct canyon_client_counters before;
    enum canyon_status status = parameters_encode(&worker->parameters);
    if (status == CANYON_OK) {
        status = canyon_client_counters(worker->parameters.client, &before);
    }
    if (status != CANYON_OK) {
        return status;
    }
    if (plan->pacing.sync) {
        sampler_init_together(&worker->sampler, plan->split, worker->part, plan->workers, plan->batch, plan->epochs,
                              plan->seed);
    } else {
        sampler_init(&worker->sampler, plan->split, worker->index, plan->workers, plan->batch, plan->epochs,
                     plan->seed);
    }
    bool told = worker_tell(worker, NEWS_BEGUN);
    status = worker_batches(worker, &told);
    if (status != CANYON_OK) {
        return status;
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
