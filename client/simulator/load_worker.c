#include "client/simulator/load_worker.h"

#include <assert.h>

static void worker_free_place(struct load_worker *worker, uint64_t ready) {
    uint32_t at = (worker->first + worker->free) % LOAD_IN_FLIGHT_HIGH;
    assert(worker->free < worker->pace->in_flight);
    /* The ring stays in order even if a caller's times went back. */
    if (worker->free > 0) {
        uint64_t last = worker->ready[(at + LOAD_IN_FLIGHT_HIGH - 1) % LOAD_IN_FLIGHT_HIGH];
        ready = ready < last ? last : ready;
    }
    worker->ready[at] = ready;
    worker->free++;
}

void load_worker_init(struct load_worker *worker, const struct load_pace *pace, uint32_t index, uint64_t start) {
    assert(index < pace->workers && pace->in_flight >= 1 && pace->in_flight <= LOAD_IN_FLIGHT_HIGH);
    *worker = (struct load_worker){.pace = pace, .index = index, .start = start};
    double share = (double)index / pace->workers;
    uint64_t first = start + (uint64_t)((double)pace->think * share) + load_pace_delay(pace, index);
    for (uint32_t i = 0; i < pace->in_flight && pace->rate <= 0.0; i++) {
        worker_free_place(worker, first);
    }
}

uint64_t load_worker_due(const struct load_worker *worker) {
    const struct load_pace *pace = worker->pace;
    if (worker->under_way == pace->in_flight) {
        return LOAD_NEVER;
    }
    uint64_t due = worker->ready[worker->first];
    if (pace->rate > 0.0) {
        due = worker->start + load_pace_due(pace, worker->index, worker->begun) + load_pace_delay(pace, worker->index);
    }
    return due > worker->held ? due : worker->held;
}

struct load_call load_worker_begin(struct load_worker *worker, uint64_t now) {
    const struct load_pace *pace = worker->pace;
    struct load_call call = {.number = worker->begun, .intended = now};
    assert(load_worker_due(worker) <= now);
    call.kind = load_pace_kind(pace, worker->index, worker->begun);
    if (pace->rate > 0.0) {
        call.intended = worker->start + load_pace_due(pace, worker->index, worker->begun);
    } else {
        worker->first = (worker->first + 1) % LOAD_IN_FLIGHT_HIGH;
        worker->free--;
    }
    worker->begun++;
    worker->under_way++;
    return call;
}

void load_worker_hold(struct load_worker *worker, uint64_t until) {
    worker->held = until > worker->held ? until : worker->held;
}

void load_worker_end(struct load_worker *worker, uint64_t now) {
    const struct load_pace *pace = worker->pace;
    assert(worker->under_way > 0);
    worker->under_way--;
    if (pace->rate <= 0.0) {
        worker_free_place(worker, now + pace->think + load_pace_delay(pace, worker->index));
    }
}
