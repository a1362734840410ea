#include <stdio.h>
#include <string.h>

#include "tests/schedules/worker.h"

#define SLICES 8

static void dial(void *user, uint64_t attempt);

/* ---- memory ---- */

static bool starvation; /* malloc answers NULL */

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes) {
    return starvation ? NULL : __real_malloc(bytes);
}

static struct schedule *schedule_of(const struct line *line) {
    return line->worker->stage->schedule;
}

/* ---- connections ---- */

/* Another attempt, when the real back-off says so; or the last of this line's patience is over. */
static void redial(struct line *line) {
    struct schedule *schedule = schedule_of(line);
    line->dial++;
    schedule_at(schedule, schedule->now + backoff_next(&line->backoff) * MILLISECOND, dial, line, line->dial);
}

static void hang_up(struct line *line, bool abrupt) {
    if (line->link != NULL) {
        link_close(line->link, SIDE_CLIENT, abrupt);
        line->link = NULL;
    }
    line->connected = false;
}

/* As client/lane_lost.c has it: what can wait waits for another connection, but not for ever. */
static void lose(struct line *line, enum canyon_status status, const char *why) {
    const bool wrong = status == CANYON_FENCED || status == CANYON_SESSION_UNKNOWN || status == CANYON_PROTOCOL ||
                       (status == CANYON_GAP && !line->starved);
    if (wrong) {
        schedule_fail(schedule_of(line), "%s is sent away by server %u with %s: %s", line->worker->name,
                      line->host->index, status_name(status), why);
    }
    struct schedule *schedule = schedule_of(line);
    const struct stage *stage = line->worker->stage;
    schedule_trace(schedule, "%s loses its connection to server %u, thread %u: %s", line->worker->name,
                   line->host->index, line->thread, why);
    line->lost_since = line->lost_since == 0 ? schedule->now : line->lost_since;
    line->lost_answers = session_count(line->session).answered;
    if (session_may_return(status) && schedule->now - line->lost_since < stage->patience) {
        hang_up(line, schedule_chance(schedule, 500));
        session_lose(line->session, status, why);
    } else {
        schedule_trace(schedule, "%s waits no longer", line->worker->name);
        line->failing = true;
        session_fail(line->session, status, why);
        line->failing = false;
        oracle_forsake(stage->oracle, line->worker->life, line->host->index, line->thread, line->host->threads);
        hang_up(line, schedule_chance(schedule, 500));
        line->lost_since = 0;
    }
    redial(line);
}

struct age line_age(const struct line *line) {
    return line->aged ? line->age : host_age(line->host);
}

static void on_connected(void *user) {
    struct line *line = user;
    struct error error;
    line->welcome = line->worker->stopped;
    line->age = (struct age){.era = (unsigned)(link_tag(line->link) >> 32), .restarts = (unsigned)link_tag(line->link)};
    line->aged = true;
    if (line->worker->stopped) {
        return;
    }
    line->connected = true;
    if (session_begin(line->session, NULL, &error) != CANYON_OK) {
        lose(line, error.status, error.text);
        return;
    }
    line_pump(line);
}

static bool receive(struct line *line) {
    struct error error = {.status = CANYON_OK};
    for (;;) {
        uint8_t *at;
        size_t room;
        session_space(line->session, &at, &room);
        const size_t count = link_read(line->link, SIDE_CLIENT, at, room);
        if (count == 0) {
            return true;
        }
        if (session_received(line->session, count, &error) != CANYON_OK) {
            lose(line, error.status, error.text);
            return false;
        }
        /* One that greets and then hangs up is not back: its answers are, where some are waited for. */
        if (session_count(line->session).answered > line->lost_answers ||
            (session_state(line->session) == SESSION_READY && session_outstanding(line->session) == 0)) {
            backoff_reset(&line->backoff);
            line->lost_since = 0;
        }
    }
}

static void on_bytes(void *user) {
    struct line *line = user;
    if (!line->worker->stopped && line->connected && receive(line)) {
        line_pump(line);
    }
}

static void on_lost(void *user) {
    struct line *line = user;
    if (line->worker->stopped) {
        line->missed = true;
    } else if (line->link != NULL && (!line->connected || receive(line))) {
        lose(line, CANYON_UNAVAILABLE, "the connection is over");
    }
}

static void dial(void *user, uint64_t attempt) {
    struct line *line = user;
    struct worker *worker = line->worker;
    if (attempt != line->dial || !worker->up) {
        return;
    }
    const struct link_end end = {
        .connected = on_connected, .readable = on_bytes, .writable = on_bytes, .lost = on_lost, .user = line};
    line->link = network_connect(worker->stage->network, &end, host_accept, line->host);
    schedule_trace(schedule_of(line), "link %u: %s dials server %u, thread %u", link_number(line->link), worker->name,
                   line->host->index, line->thread);
}

/* ---- time ---- */

static void tick(void *user, uint64_t time) {
    struct line *line = user;
    if (line->session == NULL || line->wakeup != time || line->worker->stopped) {
        return;
    }
    line->wakeup = UINT64_MAX;
    line->starving = schedule_chance(schedule_of(line), line->worker->stage->starved);
    line->starved = line->starved || line->starving;
    starvation = line->starving;
    const bool usable = session_tick(line->session, schedule_of(line)->now);
    starvation = line->starving = false;
    if (!usable) {
        lose(line, CANYON_UNAVAILABLE, "a request was given up while it was being sent");
    }
    line_pump(line);
}

void line_pump(struct line *line) {
    while (line->connected) {
        struct iovec slices[SLICES];
        const size_t count = session_output(line->session, slices, SLICES);
        size_t sent = 0, offered = 0;
        for (size_t i = 0; i < count && sent == offered; i++) {
            offered += slices[i].iov_len;
            sent += link_write(line->link, SIDE_CLIENT, slices[i].iov_base, slices[i].iov_len);
        }
        session_sent(line->session, sent);
        if (count == 0 || sent < offered) {
            break;
        }
    }
    const uint64_t time = session_wakeup(line->session);
    if (time != UINT64_MAX && time < line->wakeup) {
        line->wakeup = time;
        schedule_at(schedule_of(line), time, tick, line, time);
    }
}

void line_go_on(struct line *line) {
    if (line->link == NULL) {
        return;
    }
    if (line->missed) {
        line->missed = false;
        on_lost(line);
    } else if (line->welcome) {
        on_connected(line);
        on_bytes(line);
    } else {
        tick(line, line->wakeup);
        on_bytes(line);
    }
}

/* ---- life ---- */

void line_init(struct line *line, struct worker *worker, struct host *host, uint32_t thread,
               const uint8_t *session_id) {
    struct session_options options = {.name = worker->name,
                                      .address = host->job->servers[host->index],
                                      .thread = thread,
                                      .window_bytes = worker->stage->window};
    memcpy(options.session_id, session_id, SESSION_BYTES);
    line->worker = worker;
    line->host = host;
    line->thread = thread;
    line->session = schedule_memory(session_create(&options));
    line->link = NULL;
    line->connected = line->welcome = line->missed = false;
    line->wakeup = UINT64_MAX;
    line->poisoned = 0;
    line->aged = line->starved = false;
    line->lost_since = 0;
    backoff_init(&line->backoff, schedule_below(schedule_of(line), UINT64_MAX));
    redial(line);
}

void line_finish(struct line *line) {
    if (line->session == NULL) {
        return;
    }
    hang_up(line, schedule_chance(schedule_of(line), 500));
    session_fail(line->session, CANYON_CLOSED, "the worker is gone");
    session_destroy(line->session);
    line->session = NULL;
    line->dial++;
}
