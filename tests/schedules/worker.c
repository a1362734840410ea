#include "tests/schedules/worker.h"

#include <stdio.h>
#include <string.h>

#include "tests/schedules/push.h"

void worker_init(struct worker *worker, struct stage *stage, unsigned index) {
    memset(worker, 0, sizeof *worker);
    worker->stage = stage;
    worker->index = index;
    worker->reads = stage->reader && index + 1 == WORKER_MOST;
    snprintf(worker->name, sizeof worker->name, "%s %u", worker->reads ? WORKER_READER : "worker", index);
}

/* ---- what it does ---- */

static void on_left(struct session_request *request, enum canyon_status status, const char *text,
                    const struct frame *reply) {
    (void)request;
    (void)status;
    (void)text;
    (void)reply;
}

/* As client/connect.c does when a client is closed: where numbers were sent, and all is answered. */
static void say_goodbye(struct worker *worker) {
    for (size_t i = 0; i < worker->line_count; i++) {
        struct line *line = &worker->lines[i];
        if (session_state(line->session) == SESSION_READY && session_outstanding(line->session) == 0 &&
            session_has_numbers(line->session)) {
            worker->goodbyes[i] = (struct session_request){
                .type = FRAME_LEAVE, .deadline = UINT64_MAX, .changes_state = true, .done = on_left};
            session_submit(line->session, &worker->goodbyes[i]);
            line_pump(line);
        }
    }
}

static void act(void *user, uint64_t generation) {
    struct worker *worker = user;
    struct stage *stage = worker->stage;
    if (generation != worker->generation || !worker->up) {
        return;
    }
    if (worker->leaving && !worker->stopped) {
        if (worker->outstanding == 0) {
            pacer_leave(worker);
            say_goodbye(worker);
        } else {
            schedule_at(stage->schedule, stage->schedule->now + MILLISECOND, act, worker, generation);
        }
        return;
    }
    if (stage->paced && !worker->stopped) {
        const uint64_t pause = step_act(worker);
        if (pause > 0) {
            schedule_at(stage->schedule, stage->schedule->now + pause, act, worker, generation);
        }
        return;
    }
    const bool free = worker->outstanding < stage->depth;
    if (worker->stopped || worker->quota == 0) {
        return; /* worker_work calls it again */
    }
    if (free && push_make(worker)) {
        worker->quota--;
    }
    const uint64_t pause = free || stage->pause > MILLISECOND ? stage->pause : MILLISECOND;
    schedule_at(stage->schedule, stage->schedule->now + schedule_between(stage->schedule, 1, pause), act, worker,
                generation);
}

void worker_work(struct worker *worker, unsigned requests) {
    worker->quota += requests;
    worker->generation++;
    schedule_at(worker->stage->schedule, worker->stage->schedule->now, act, worker, worker->generation);
}

/* ---- life ---- */

void worker_come(struct worker *worker) {
    struct stage *stage = worker->stage;
    uint8_t session_id[SESSION_BYTES];
    worker->life = oracle_begin(stage->oracle);
    worker->up = true;
    worker->stopped = worker->leaving = false;
    worker->line_count = 0;
    worker->step = STEP_ENTER;
    worker->blocked = false;
    pacer_init(&worker->pacer);
    schedule_trace(stage->schedule, "%s begins life %u", worker->name, worker->life);
    schedule_bytes(stage->schedule, session_id, sizeof session_id);
    for (uint32_t i = 0; i < stage->host_count; i++) {
        for (uint32_t thread = 0; thread < stage->hosts[i].threads; thread++) {
            line_init(&worker->lines[worker->line_count++], worker, &stage->hosts[i], thread, session_id);
        }
    }
    worker_work(worker, 0);
}

static void finish_life(struct worker *worker) {
    worker->up = false;
    worker->generation++;
    for (size_t i = 0; i < worker->line_count; i++) {
        line_finish(&worker->lines[i]);
    }
    oracle_end(worker->stage->oracle, worker->life);
    push_free_all(worker);
    pacer_finish(&worker->pacer);
    worker->outstanding = 0;
}

void worker_die(struct worker *worker) {
    schedule_trace(worker->stage->schedule, "%s dies", worker->name);
    finish_life(worker);
}

void worker_finish(struct worker *worker) {
    if (worker->up) {
        finish_life(worker);
    }
}

void worker_leave(struct worker *worker) {
    schedule_trace(worker->stage->schedule, "%s leaves", worker->name);
    worker->leaving = true;
    worker_work(worker, 0);
}

static void go_on(void *user, uint64_t generation) {
    struct worker *worker = user;
    if (!worker->up || !worker->stopped || generation != worker->stops) {
        return;
    }
    schedule_trace(worker->stage->schedule, "%s goes on", worker->name);
    worker->stopped = false;
    worker_work(worker, 0);
    for (size_t i = 0; i < worker->line_count; i++) {
        line_go_on(&worker->lines[i]);
    }
}

void worker_stop(struct worker *worker, uint64_t duration) {
    schedule_trace(worker->stage->schedule, "%s is stopped", worker->name);
    worker->stopped = true;
    worker->stops++;
    schedule_at(worker->stage->schedule, worker->stage->schedule->now + duration, go_on, worker, worker->stops);
}

bool worker_is_done(const struct worker *worker) {
    bool done =
        step_is_done(worker) && worker->up && !worker->stopped && worker->quota == 0 && worker->outstanding == 0;
    for (size_t i = 0; i < worker->line_count && done; i++) {
        done = session_outstanding(worker->lines[i].session) == 0;
    }
    return done;
}
