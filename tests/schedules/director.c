#include "tests/schedules/director.h"

#include <stdlib.h>
#include <string.h>

static void change(void *user, uint64_t argument);

/* Modes that differ in their minimum alone follow one another often enough. */
static struct consistency draw(struct director *director) {
    struct schedule *schedule = director->schedule;
    const uint64_t what = schedule_below(schedule, 8); /* most of it synchronous: there is most to see */
    struct consistency mode = {.mode = what < 1 ? CONSISTENCY_ASYNC : what < 3 ? CONSISTENCY_SSP : CONSISTENCY_SYNC};
    if (mode.mode == CONSISTENCY_SSP) {
        mode.staleness = (uint32_t)schedule_below(schedule, 4);
    } else if (mode.mode == CONSISTENCY_SYNC) {
        mode.combine = schedule_chance(schedule, 500) ? CONSISTENCY_SUM : CONSISTENCY_MEAN;
        mode.order = schedule_chance(schedule, 500) ? CONSISTENCY_RANK : CONSISTENCY_ARRIVAL;
        mode.minimum = schedule_chance(schedule, 400) ? (uint32_t)schedule_between(schedule, 1, 3) : 0;
    }
    if (director->last.minimum > 0 && schedule_chance(schedule, 600)) {
        mode = director->last;
        mode.minimum = 0;
    }
    director->last = mode;
    return mode;
}

/* Of one thread. */
static enum canyon_status ask(struct director *director, struct host *host, uint32_t thread,
                              const struct message_consistency *message, struct message_consistency_is *is) {
    struct host_reply reply;
    struct error error;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    enum canyon_status status = host_try(host, &director->inner, thread, FRAME_CONSISTENCY, bytes,
                                         message_pack_consistency(message, bytes), &reply, &error);
    if (status == CANYON_OK) {
        status = message_unpack_consistency_is(reply.message, reply.header.message_bytes, is, &error);
    }
    return status;
}

void director_found(struct director *director, struct schedule *schedule, struct host *hosts, uint32_t host_count) {
    struct message_consistency message = {.set = true, .from = 1};
    struct message_consistency_is is;
    *director =
        (struct director){.schedule = schedule, .hosts = hosts, .host_count = host_count, .inner = director->inner};
    memset(director->inner.peer.session, 0xdd, SESSION_BYTES);
    message.mode = draw(director);
    if (schedule_chance(schedule, 150)) {
        return; /* nobody sets one */
    }
    for (uint32_t i = 0; i < host_count; i++) {
        for (uint32_t thread = 0; thread < hosts[i].threads; thread++) {
            if (ask(director, &hosts[i], thread, &message, &is) != CANYON_OK) {
                schedule_fail(schedule, "server %u, thread %u does not take the first mode", i, thread);
            }
        }
    }
}

/* ---- changes ---- */

static void plan(struct director *director) {
    schedule_at(director->schedule,
                director->schedule->now + schedule_between(director->schedule, 20 * MILLISECOND, director->pause),
                change, director, 0);
}

static void end(void *user, uint64_t argument) {
    struct director *director = user;
    (void)argument;
    director->disagreed = director->refused;
    if (!director->done) {
        plan(director);
    }
}

/* Tells one thread. One that was started again since it was asked may have forgotten who was how far. */
static void tell(void *user, uint64_t argument) {
    struct director *director = user;
    struct host *host = &director->hosts[argument >> 8];
    struct message_consistency_is is;
    if (!host_is_up(host) || host->stopped || host->restarts != director->restarts[argument >> 8]) {
        director->refused = true;
        return;
    }
    const enum canyon_status status = ask(director, host, (uint32_t)(argument & 0xff), &director->message, &is);
    director->refused = director->refused || status != CANYON_OK;
    director->conflicts += status == CANYON_CONFLICT;
    schedule_trace(director->schedule, "the director is told %s by server %u, thread %u", status_name(status),
                   host->index, (unsigned)(argument & 0xff));
    /* BUSY: its workers have not told their clocks since. */
    const bool again = status == CANYON_BUSY && host->restarts > 0;
    if (status != CANYON_OK && status != CANYON_CONFLICT && !again) {
        schedule_fail(director->schedule, "server %u answers a mode with %s", host->index, status_name(status));
    }
}

/* What all threads know of; false when one is down. */
static bool look(struct director *director) {
    const struct message_consistency asks = {.set = false};
    bool all = true;
    for (uint32_t i = 0; i < director->host_count; i++) {
        struct host *host = &director->hosts[i];
        director->restarts[i] = host->restarts;
        for (uint32_t thread = 0; thread < host->threads; thread++) {
            struct message_consistency_is is;
            if (!host_is_up(host) || host->stopped || ask(director, host, thread, &asks, &is) != CANYON_OK) {
                all = false;
                continue;
            }
            director->highest = is.highest > director->highest ? is.highest : director->highest;
        }
    }
    return all;
}

static void change(void *user, uint64_t argument) {
    struct director *director = user;
    struct schedule *schedule = director->schedule;
    uint64_t last = schedule->now;
    (void)argument;
    if (director->done) {
        return;
    }
    if (!look(director)) {
        plan(director);
        return;
    }
    director->message = (struct message_consistency){.set = true,
                                                     .mode = draw(director),
                                                     .from = director->highest + schedule_between(schedule, 1, 3),
                                                     .highest = director->highest};
    char text[CONSISTENCY_TEXT_BYTES];
    schedule_trace(schedule, "the director sets %s from clock %llu on",
                   consistency_text(&director->message.mode, text, sizeof text),
                   (unsigned long long)director->message.from);
    director->refused = false;
    director->disagreed = true;
    director->changes++;
    for (uint64_t i = 0; i < director->host_count; i++) {
        for (uint64_t thread = 0; thread < director->hosts[i].threads; thread++) {
            const uint64_t time = schedule->now + schedule_below(schedule, 10 * MILLISECOND);
            last = time > last ? time : last;
            schedule_at(schedule, time, tell, director, i << 8 | thread);
        }
    }
    schedule_at(schedule, last + 1, end, director, 0);
}

void director_begin(struct director *director, uint64_t pause) {
    director->pause = pause;
    plan(director);
}

void director_stop(struct director *director) {
    director->done = true;
}

/* ---- the end ---- */

void director_judge(struct director *director) {
    const struct message_consistency asks = {.set = false};
    struct message_consistency_is first = {.set = false}, is;
    bool known = false;
    (void)look(director);
    for (uint32_t i = 0; i < director->host_count && !director->disagreed; i++) {
        for (uint32_t thread = 0; thread < director->hosts[i].threads; thread++) {
            if (director->hosts[i].era > 0 || ask(director, &director->hosts[i], thread, &asks, &is) != CANYON_OK) {
                continue; /* it has lost what it was told */
            }
            if (known && (is.from != first.from || !consistency_equal(&is.next, &first.next) ||
                          (is.from > director->highest && !consistency_equal(&is.now, &first.now)))) {
                schedule_fail(director->schedule,
                              "server %u, thread %u is of another mode than others, from clock %llu on and not %llu", i,
                              thread, (unsigned long long)is.from, (unsigned long long)first.from);
            }
            first = known ? first : is;
            known = true;
        }
    }
}

void director_finish(struct director *director) {
    free(director->inner.bytes);
}
