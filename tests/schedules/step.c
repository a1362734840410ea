/* What a paced worker does: a training loop. */
#include "tests/schedules/push.h"

#define SOON (200 * MICROSECOND)

/* Pulls at the clock from every thread, or nearly: what was not pulled may be pushed to too early. */
static void pull(struct worker *worker) {
    const struct stage *stage = worker->stage;
    worker->pull_failed = false;
    for (size_t i = 0; i < worker->line_count; i++) {
        const bool rows = schedule_chance(stage->schedule, 400);
        const struct push_order order = {.line = &worker->lines[i],
                                         .type = rows ? FRAME_TABLE_PULL : FRAME_PULL,
                                         .clock = worker->pacer.clock,
                                         .wait_ms = (uint32_t)schedule_between(stage->schedule, 1, stage->wait_ms)};
        if (!schedule_chance(stage->schedule, stage->hasty)) {
            push_send(worker, &order);
        }
    }
}

static void push(struct worker *worker) {
    static const uint16_t types[] = {FRAME_PUSH,       FRAME_PUSH,       FRAME_PUSH_PULL,
                                     FRAME_TABLE_PUSH, FRAME_TABLE_PUSH, FRAME_TABLE_PUSH_PULL,
                                     FRAME_TABLE_PULL};
    const struct stage *stage = worker->stage;
    for (uint64_t i = schedule_between(stage->schedule, 1, 4); i > 0; i--) {
        struct push_order order = {.line = &worker->lines[schedule_below(stage->schedule, worker->line_count)],
                                   .type = types[schedule_below(stage->schedule, sizeof types / sizeof types[0])],
                                   .clock = worker->pacer.clock};
        order.creates = order.type == FRAME_TABLE_PULL;
        push_send(worker, &order);
    }
}

static void next_clock(struct worker *worker) {
    /* A clock never goes back; that it passes each number nobody asks. */
    if (worker->stage->hasty > HASTE && schedule_chance(worker->stage->schedule, 400)) {
        worker->pacer.clock += schedule_between(worker->stage->schedule, 1, 3);
    }
    pacer_step(worker);
    worker->stage->steps++;
    worker->step = STEP_PULL;
}

uint64_t step_act(struct worker *worker) {
    struct stage *stage = worker->stage;
    struct schedule *schedule = stage->schedule;
    switch (worker->step) {
    case STEP_ENTER:
        if (worker->quota == 0) {
            return 0;
        }
        if (pacer_enter(worker)) {
            next_clock(worker);
        }
        return schedule_between(schedule, 1, 5 * MILLISECOND);
    case STEP_PULL:
        pull(worker);
        worker->step = STEP_ASKED;
        worker->blocked = worker->outstanding > 0;
        return worker->blocked ? 0 : SOON;
    case STEP_ASKED:
        worker->blocked = worker->outstanding > 0;
        if (!worker->blocked) {
            stage->timeouts += worker->pull_failed;
            worker->step = worker->pull_failed ? STEP_PULL : STEP_PUSH;
        }
        return worker->blocked ? 0 : SOON;
    case STEP_PUSH:
        push(worker);
        worker->quota--;
        worker->step = STEP_WAIT;
        return schedule_between(schedule, 1, stage->pause);
    case STEP_WAIT:
        break;
    }
    if (worker->outstanding > 0 && (worker->outstanding >= stage->depth || schedule_chance(schedule, 300))) {
        worker->blocked = true;
        return 0;
    }
    if (worker->quota > 0) {
        next_clock(worker);
        return schedule_between(schedule, 1, MILLISECOND);
    }
    /* The clock that it is done with is over for it. */
    pacer_step(worker);
    pacer_leave(worker);
    worker->step = STEP_ENTER;
    return 0;
}

bool step_is_done(const struct worker *worker) {
    return !worker->stage->paced || worker->step == STEP_ENTER;
}
