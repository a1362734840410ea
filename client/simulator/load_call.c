#include "client/simulator/load_call.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/simulator/counter.h"
#include "client/simulator/load_batch.h"
#include "client/simulator/load_gradient.h"
#include "client/simulator/news.h"

#define GRADIENT_STREAM UINT64_C(0x6772640000000000) /* apart from every other use of the seed */
#define GRADIENT_SCALE  0.01f

/* ---- places ---- */

static bool place_init(struct load_calls *calls, struct load_place *place, uint32_t index) {
    const struct load_plan *plan = calls->plan;
    size_t floats = (size_t)plan->tensors * plan->elements;
    place->calls = calls;
    place->worker = index / plan->pace.in_flight;
    place->items = calls->items + (size_t)index * plan->tensors;
    place->next = calls->free[place->worker];
    calls->free[place->worker] = place;
    if (load_plan_pulls(plan)) {
        place->weights = calloc(floats, sizeof *place->weights);
    }
    if (plan->verify) {
        place->gradient = calloc(floats, sizeof *place->gradient);
    }
    if (plan->table && !load_batch_init(place)) {
        return false;
    }
    return (place->weights != NULL || !load_plan_pulls(plan)) && (place->gradient != NULL || !plan->verify);
}

/* The gradient that everybody pushes, again and again: small numbers, different everywhere. */
static bool calls_draw_gradient(struct load_calls *calls) {
    size_t floats = (size_t)calls->plan->tensors * calls->plan->elements;
    calls->gradient = malloc(floats * sizeof *calls->gradient);
    for (size_t i = 0; calls->gradient != NULL && i < floats; i++) {
        calls->gradient[i] = GRADIENT_SCALE * counter_sign_unit(calls->plan->seed, GRADIENT_STREAM, i);
    }
    return calls->gradient != NULL;
}

bool load_calls_init(struct load_calls *calls, const struct load_plan *plan, struct load_process *counts,
                     struct load_link *link, uint32_t process, uint32_t workers) {
    pthread_condattr_t attributes;
    *calls = (struct load_calls){.plan = plan, .counts = counts, .link = link, .process = process};
    calls->last = &calls->first;
    calls->blocks = plan->elements / link->job.block_elements + (plan->elements % link->job.block_elements != 0);
    pthread_mutex_init(&calls->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&calls->ended, &attributes);
    pthread_condattr_destroy(&attributes);
    uint32_t places = workers * plan->pace.in_flight;
    calls->places = calloc(places, sizeof *calls->places);
    calls->free = calloc(workers, sizeof *calls->free);
    calls->items = calloc((size_t)places * plan->tensors, sizeof *calls->items);
    bool made = calls->places != NULL && calls->free != NULL && calls->items != NULL;
    for (; made && calls->place_count < places; calls->place_count++) {
        made = place_init(calls, &calls->places[calls->place_count], calls->place_count);
    }
    return made && (plan->verify || !load_plan_pushes(plan) || calls_draw_gradient(calls));
}

void load_calls_finish(struct load_calls *calls) {
    for (uint32_t i = 0; calls->places != NULL && i < calls->place_count; i++) {
        free(calls->places[i].ids);
        free(calls->places[i].weights);
        free(calls->places[i].gradient);
    }
    free(calls->places);
    free(calls->free);
    free(calls->items);
    free(calls->gradient);
    pthread_cond_destroy(&calls->ended);
    pthread_mutex_destroy(&calls->lock);
}

/* ---- beginning ---- */

uint32_t load_place_worker(const struct load_place *place) {
    return place->calls->process + place->worker * place->calls->plan->processes;
}

static void place_fill(struct load_place *place, uint32_t client) {
    const struct load_calls *calls = place->calls;
    const struct load_plan *plan = calls->plan;
    if (plan->table) {
        load_batch_fill(place);
        return;
    }
    const float *gradient = plan->verify ? place->gradient : calls->gradient;
    uint8_t values[LOAD_CLASSES];
    load_values(plan->seed, load_place_worker(place), place->call.number, values);
    for (uint32_t t = 0; t < plan->tensors; t++) {
        size_t offset = (size_t)t * plan->elements;
        bool pushes = load_kind_pushes(place->call.kind);
        if (plan->verify && pushes) {
            load_gradient_fill(values, t, plan->elements, place->gradient + offset);
        }
        place->items[t] =
            (struct canyon_item){.tensor = calls->link->tensors[(size_t)client * plan->tensors + t],
                                 .gradient = pushes ? gradient + offset : NULL,
                                 .weights = load_kind_pulls(place->call.kind) ? place->weights + offset : NULL};
    }
}

/* On whichever thread ended it. */
static void place_ended(void *user, enum canyon_status status, const char *text) {
    struct load_place *place = user;
    struct load_calls *calls = place->calls;
    place->ended = news_clock();
    place->status = status;
    place->next = NULL;
    pthread_mutex_lock(&calls->lock);
    if (status != CANYON_OK && calls->counts->text[0] == '\0') {
        snprintf(calls->counts->text, sizeof calls->counts->text, "%s", text);
    }
    bool first = calls->first == NULL;
    *calls->last = place;
    calls->last = &place->next;
    if (first) {
        pthread_cond_signal(&calls->ended);
    }
    pthread_mutex_unlock(&calls->lock);
}

static enum canyon_status place_step(struct load_place *place, uint32_t client, canyon_future **future) {
    const struct load_calls *calls = place->calls;
    if (calls->plan->table) {
        return load_batch_step(place, client, future);
    }
    canyon_client *through = calls->link->clients[client];
    return future == NULL ? canyon_step(through, place->items, calls->plan->tensors, 0)
                          : canyon_step_async(through, place->items, calls->plan->tensors, 0, future);
}

void load_calls_begin(struct load_calls *calls, uint32_t worker, const struct load_call *call, bool blocking) {
    struct load_place *place = calls->free[worker];
    uint32_t client = worker % calls->link->count;
    canyon_future *future = NULL;
    assert(place != NULL);
    calls->free[worker] = place->next;
    calls->under_way++;
    place->call = *call;
    place_fill(place, client);
    if (call->intended == LOAD_NEVER) {
        place->call.intended = news_clock();
    }
    if (blocking) {
        enum canyon_status status = place_step(place, client, NULL);
        place_ended(place, status, status == CANYON_OK ? "" : canyon_error_text());
        return;
    }
    enum canyon_status status = place_step(place, client, &future);
    if (status != CANYON_OK) {
        place_ended(place, status, canyon_error_text());
        return;
    }
    status = canyon_future_then(future, place_ended, place);
    assert(status == CANYON_OK); /* the future is new and the callback its first */
    canyon_future_release(future);
}

struct load_place *load_calls_wait(struct load_calls *calls, uint64_t until) {
    const struct timespec at = {.tv_sec = (time_t)(until / 1000000000u), .tv_nsec = (long)(until % 1000000000u)};
    pthread_mutex_lock(&calls->lock);
    while (calls->first == NULL && news_clock() < until) {
        pthread_cond_timedwait(&calls->ended, &calls->lock, &at);
    }
    struct load_place *ended = calls->first;
    calls->first = NULL;
    calls->last = &calls->first;
    pthread_mutex_unlock(&calls->lock);
    return ended;
}

/* ---- the end ---- */

static uint64_t place_refused(const struct load_place *place) {
    uint64_t refused = place->calls->plan->table ? place->batch.refused : 0;
    for (uint32_t t = 0; t < place->calls->plan->tensors && !place->calls->plan->table; t++) {
        refused += place->items[t].refused;
    }
    return refused;
}

/* The servers answered every part of the call; some blocks may be refused. */
static bool place_answered(const struct load_place *place) {
    uint64_t refused = place_refused(place);
    bool refusal = place->status == CANYON_REFUSED || place->status == CANYON_NOT_FINITE ||
                   place->status == CANYON_DENIED || place->status == CANYON_NOT_FOUND ||
                   place->status == CANYON_STATE_LOST ||
                   (place->calls->plan->table &&
                    (place->status == CANYON_TOO_LARGE || place->status == CANYON_NO_MEMORY || /* caps, and limits */
                     place->status == CANYON_BUSY));
    return place->status == CANYON_OK || (refusal && refused > 0);
}

void load_calls_remember(struct load_calls *calls, const struct load_failure *failure) {
    struct load_process *counts = calls->counts;
    if (counts->failure_count == LOAD_FAILURES_HIGH) {
        counts->failures_lost = true;
    } else {
        counts->failures[counts->failure_count++] = *failure;
    }
}

/* What a verified load must know of a push that did not go as it should. */
static void place_remember(const struct load_place *place, bool answered) {
    struct load_calls *calls = place->calls;
    struct load_failure failure = {
        .worker = load_place_worker(place), .number = place->call.number, .blocks = UINT64_MAX};
    if (!answered) {
        failure.tensor = LOAD_EVERY_TENSOR;
        failure.certain = place->status == CANYON_UNAVAILABLE || place->status == CANYON_TIMEOUT;
        load_calls_remember(calls, &failure);
        return;
    }
    if (calls->plan->table) {
        load_batch_remember(place, &failure);
        return;
    }
    for (uint32_t t = 0; t < calls->plan->tensors; t++) {
        const struct canyon_item *item = &place->items[t];
        if (item->refused == 0) {
            continue;
        }
        /* One block that is named, or all: certain. Otherwise the first of them is, and the others are behind it. */
        failure.tensor = t;
        failure.first = item->refused_block;
        failure.certain = item->refused == 1 || item->refused == calls->blocks;
        failure.blocks = item->refused == 1 ? 1 : UINT64_MAX;
        load_calls_remember(calls, &failure);
    }
}

static uint64_t place_torn(const struct load_place *place) {
    const struct load_calls *calls = place->calls;
    uint64_t block = calls->link->job.block_elements, elements = calls->plan->elements, torn = 0;
    if (calls->plan->table) {
        return load_batch_torn(place);
    }
    for (uint32_t t = 0; t < calls->plan->tensors; t++) {
        const struct canyon_item *item = &place->items[t];
        for (uint64_t b = 0; item->weights != NULL && item->refused == 0 && b < calls->blocks; b++) {
            uint64_t first = b * block, count = elements - first < block ? elements - first : block;
            torn += !load_weights_whole(t, first, count, item->weights + first);
        }
    }
    return torn;
}

/* What went over the network within the measure. */
static void place_count(const struct load_place *place) {
    struct load_calls *calls = place->calls;
    struct load_process *counts = calls->counts;
    uint64_t bytes = calls->plan->elements * sizeof(float);
    uint64_t block = calls->link->job.block_elements * sizeof(float);
    load_count(counts, LOAD_CALLS, 1);
    if (calls->plan->table) {
        load_batch_count(place);
        return;
    }
    for (uint32_t t = 0; t < calls->plan->tensors; t++) {
        const struct canyon_item *item = &place->items[t];
        uint64_t done = calls->blocks - item->refused, missing = item->refused * block;
        uint64_t moved = done == 0 || missing > bytes ? 0 : bytes - missing;
        load_count_moved(counts, item->gradient != NULL, item->weights != NULL, done, moved);
    }
}

bool load_calls_settle(struct load_calls *calls, struct load_place *place, uint64_t measure, uint64_t end) {
    struct load_process *counts = calls->counts;
    uint64_t intended = place->call.intended;
    bool answered = place_answered(place), pushes = load_kind_pushes(place->call.kind);
    if (calls->plan->verify && pushes && place->status != CANYON_OK) {
        place_remember(place, answered);
    }
    if (answered) {
        load_count(counts, LOAD_REFUSED, place_refused(place));
        load_count(counts, LOAD_ACCEPTED, pushes);
        load_count(counts, LOAD_TORN, calls->plan->verify ? place_torn(place) : 0);
        if (intended >= measure && intended < end) {
            uint64_t latency = place->ended > intended ? place->ended - intended : 0;
            histogram_record(&counts->latencies[place->call.kind], latency);
        }
        if (place->ended >= measure && place->ended < end) {
            place_count(place);
        }
    } else {
        load_count(counts, LOAD_FAILED, 1);
        load_count(counts, LOAD_UNKNOWN, place->status == CANYON_OUTCOME_UNKNOWN);
    }
    calls->under_way--;
    place->next = calls->free[place->worker];
    calls->free[place->worker] = place;
    return !answered;
}
