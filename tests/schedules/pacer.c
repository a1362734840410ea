#include "tests/schedules/pacer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/schedules/worker.h"

#define UNDER_WAY 64 /* clocks that are told and not answered, at most */

void pacer_init(struct pacer *pacer) {
    const uint64_t beat = pacer->beat;
    memset(pacer, 0, sizeof *pacer);
    pacer->beat = beat + 1;
}

void pacer_finish(struct pacer *pacer) {
    while (pacer->requests != NULL) {
        struct pacer_request *request = pacer->requests;
        pacer->requests = request->next;
        free(request);
    }
    pacer->beat++;
}

void pacer_catch_up(struct pacer *pacer, uint64_t clock) {
    pacer->floor = clock > pacer->floor ? clock : pacer->floor;
}

/* The line of shard 0, whose thread gives ranks. */
static size_t first_line(const struct worker *worker) {
    const struct stage *stage = worker->stage;
    const uint32_t server = job_server_of(stage->job, 0);
    const uint32_t thread = job_thread_of(stage->job, 0, stage->hosts[server].threads);
    size_t line = 0;
    while (worker->lines[line].host->index != server || worker->lines[line].thread != thread) {
        line++;
    }
    return line;
}

static struct pacer_request *take_request(struct worker *worker, size_t line, uint16_t type, session_done done) {
    struct pacer_request *request = worker->pacer.requests;
    while (request != NULL && request->busy) {
        request = request->next;
    }
    if (request == NULL) {
        request = schedule_memory(calloc(1, sizeof *request));
        request->next = worker->pacer.requests;
        worker->pacer.requests = request;
    }
    struct pacer_request *next = request->next;
    *request = (struct pacer_request){.worker = worker, .line = line, .busy = true, .next = next};
    request->request =
        (struct session_request){.type = type, .message = request->message, .deadline = UINT64_MAX, .done = done};
    return request;
}

static void submit(struct pacer_request *request, const uint8_t *packed, size_t bytes) {
    assert(bytes <= sizeof request->message);
    memcpy(request->message, packed, bytes);
    request->request.message_bytes = bytes;
    session_submit(request->worker->lines[request->line].session, &request->request);
    line_pump(&request->worker->lines[request->line]);
}

/* ---- clocks ---- */

static void on_clocked(struct session_request *ended, enum canyon_status status, const char *text,
                       const struct frame *reply) {
    struct pacer_request *request = (struct pacer_request *)(void *)ended;
    struct pacer *pacer = &request->worker->pacer;
    struct message_clocked clocked;
    struct error error = {.status = CANYON_OK};
    (void)text;
    request->busy = false;
    pacer->under_way--;
    if (status == CANYON_OK && !request->leaves &&
        message_unpack_clocked(reply->message, reply->header.message_bytes, &clocked, &error) == CANYON_OK) {
        pacer_catch_up(pacer, clocked.clock);
        if (request->line == first_line(request->worker) && clocked.clock > 0) {
            pacer->rank = clocked.rank + 1;
        }
    }
}

static void tell(struct worker *worker, bool leaves) {
    struct pacer *pacer = &worker->pacer;
    const struct message_clock message = {.clock = pacer->clock, .rank = leaves ? 0 : pacer->rank, .leave = leaves};
    uint8_t packed[LIMIT_MESSAGE_BYTES];
    const size_t bytes = message_pack_clock(&message, packed);
    for (size_t i = 0; i < worker->line_count; i++) {
        struct pacer_request *request = take_request(worker, i, FRAME_CLOCK, on_clocked);
        request->leaves = leaves;
        pacer->under_way++;
        submit(request, packed, bytes);
    }
}

static void beat(void *user, uint64_t which) {
    struct worker *worker = user;
    struct pacer *pacer = &worker->pacer;
    struct schedule *schedule = worker->stage->schedule;
    if (!worker->up || pacer->beat != which || pacer->clock == 0) {
        return;
    }
    if (!worker->stopped && pacer->under_way < UNDER_WAY * worker->line_count) {
        tell(worker, false);
    }
    schedule_at(schedule, schedule->now + worker->stage->lease / 3, beat, worker, which);
}

uint64_t pacer_step(struct worker *worker) {
    struct pacer *pacer = &worker->pacer;
    struct schedule *schedule = worker->stage->schedule;
    const bool first = !pacer->beating;
    pacer->clock = pacer->clock + 1 > pacer->floor ? pacer->clock + 1 : pacer->floor;
    tell(worker, false);
    if (first) {
        pacer->beating = true;
        pacer->beat++;
        schedule_at(schedule, schedule->now + worker->stage->lease / 3, beat, worker, pacer->beat);
    }
    return pacer->clock;
}

/* ---- coming and going ---- */

static void on_entered(struct session_request *ended, enum canyon_status status, const char *text,
                       const struct frame *reply) {
    struct pacer_request *request = (struct pacer_request *)(void *)ended;
    struct pacer *pacer = &request->worker->pacer;
    struct message_entered entered;
    struct error error = {.status = CANYON_OK};
    (void)text;
    request->busy = false;
    pacer->entering--;
    if (status != CANYON_OK ||
        message_unpack_entered(reply->message, reply->header.message_bytes, &entered, &error) != CANYON_OK) {
        pacer->failed = true;
        return;
    }
    pacer_catch_up(pacer, entered.clock);
    if (request->line == first_line(request->worker)) {
        pacer->rank = entered.rank + 1;
    }
}

static void ask(struct worker *worker, size_t line) {
    const struct message_enter message = {.rank = worker->pacer.rank};
    uint8_t packed[LIMIT_MESSAGE_BYTES];
    struct pacer_request *request = take_request(worker, line, FRAME_ENTER, on_entered);
    worker->pacer.entering++;
    submit(request, packed, message_pack_enter(&message, packed));
}

bool pacer_enter(struct worker *worker) {
    struct pacer *pacer = &worker->pacer;
    const size_t first = first_line(worker);
    if (pacer->clock > 0) {
        return true;
    }
    if (pacer->entering > 0) {
        return false;
    }
    if (pacer->asked_all && !pacer->failed) {
        return true;
    }
    if (pacer->failed || pacer->rank == 0) {
        pacer->asked_all = pacer->failed = false;
        pacer->rank = 0;
        ask(worker, first);
        return false;
    }
    pacer->asked_all = true;
    for (size_t i = 0; i < worker->line_count; i++) {
        if (i != first) {
            ask(worker, i);
        }
    }
    return pacer->entering == 0;
}

void pacer_leave(struct worker *worker) {
    struct pacer *pacer = &worker->pacer;
    if (pacer->clock > 0) {
        tell(worker, true);
    }
    pacer->clock = 0;
    pacer->asked_all = pacer->beating = false;
    pacer->beat++;
}
