#include "tests/schedules/host_state.h"

#include <stdlib.h>
#include <string.h>

#define OUT_HIGH 65536 /* with more to write, nothing more is read */

void seat_destroy(struct seat *seat) {
    frame_reader_finish(&seat->reader);
    free(seat->out);
    free(seat);
}

/* It stays where callbacks may still find it, but is no connection any more. */
static void seat_over(struct seat *seat, bool abrupt) {
    struct host *host = seat->host;
    if (seat->over) {
        return;
    }
    seat->over = true;
    link_close(seat->link, SIDE_SERVER, abrupt);
    if (seat->greeted && host_is_up(host)) {
        handler_peer_gone(host->handlers[seat->thread], &seat->peer);
    }
    struct seat **place = &host->seats;
    while (*place != seat) {
        place = &(*place)->next;
    }
    *place = seat->next;
    seat->next = host->spent;
    host->spent = seat;
}

void seats_abandon(struct host *host) {
    while (host->seats != NULL) {
        seat_over(host->seats, schedule_chance(host->schedule, 500));
    }
}

/* ---- out ---- */

static void seat_write(struct seat *seat) {
    size_t done = seat->over ? 0 : link_write(seat->link, SIDE_SERVER, seat->out, seat->out_bytes);
    memmove(seat->out, seat->out + done, seat->out_bytes - done);
    seat->out_bytes -= done;
}

static void seat_put(struct seat *seat, const void *bytes, size_t count) {
    if (seat->out_bytes + count > seat->out_room) {
        seat->out_room = (seat->out_bytes + count) * 2;
        seat->out = schedule_memory(realloc(seat->out, seat->out_room));
    }
    memcpy(seat->out + seat->out_bytes, bytes, count);
    seat->out_bytes += count;
}

/* handler_peer's: copies what is borrowed, as the outbox does. */
static void seat_send(struct handler_peer *peer, const struct handler_slice *slices, size_t count) {
    struct seat *seat = (struct seat *)(void *)peer;
    for (size_t i = 0; i < count && !seat->over; i++) {
        seat_put(seat, slices[i].bytes, slices[i].count);
    }
}

/* handler_peer's: it is over when all is written. */
static void seat_close(struct handler_peer *peer) {
    ((struct seat *)(void *)peer)->closing = true;
}

/* ---- in ---- */

static void wake(void *user, uint64_t argument);

static void plan_tick(struct host *host, uint32_t thread) {
    const uint64_t time = handler_wakeup(host->handlers[thread]);
    if (time != UINT64_MAX) {
        schedule_at(host->schedule, time, wake, host, thread);
    }
}

static void write_all(struct host *host) {
    for (struct seat *seat = host->seats; seat != NULL; seat = seat->next) {
        if (seat->out_bytes > 0) {
            seat_write(seat);
        }
    }
}

static void wake(void *user, uint64_t argument) {
    struct host *host = user;
    if (host_is_up(host) && handler_wakeup(host->handlers[argument]) <= host->schedule->now) {
        handler_tick(host->handlers[argument]);
        plan_tick(host, (uint32_t)argument);
        write_all(host);
    }
}

/* The first frame. False when it was refused. */
static bool seat_greet(struct seat *seat, const struct frame *frame) {
    struct host *host = seat->host;
    uint8_t header_bytes[FRAME_HEADER_BYTES];
    struct frame_header header;
    struct greeting_answer answer = {.bytes = NULL};
    struct message_hello hello;
    struct error error = {.status = CANYON_OK};
    frame_header_encode(&frame->header, header_bytes);
    bool good = greeting_header(header_bytes, sizeof header_bytes, &header, &answer, &error) == GREETING_GOOD &&
                greeting_message(&host->greeting, &header, frame->message, &hello, &answer, &error) == GREETING_GOOD;
    if (good) {
        memcpy(seat->peer.session, hello.session, SESSION_BYTES);
        memcpy(seat->peer.name, hello.name, sizeof seat->peer.name);
        seat->thread = hello.thread;
        good = handler_peer_came(host->handlers[seat->thread], &seat->peer, &error) == CANYON_OK;
        seat->greeted = good;
        if (!good) {
            greeting_answer_finish(&answer);
            greeting_refusal(0, &error, &answer);
        }
    }
    if (!good) {
        schedule_trace(host->schedule, "link %u: refused: %s", link_number(seat->link), error.text);
    }
    seat_put(seat, schedule_memory(answer.bytes), answer.count);
    greeting_answer_finish(&answer);
    return good;
}

static void seat_frame(struct seat *seat, const struct frame *frame) {
    struct host *host = seat->host;
    if (!seat->greeted) {
        seat->closing = !seat_greet(seat, frame);
        return;
    }
    host->frames++;
    schedule_trace(host->schedule, "link %u: server %u takes %s %llu", link_number(seat->link), host->index,
                   frame_type_name(frame->header.type), (unsigned long long)frame->header.request);
    handler_frame(host->handlers[seat->thread], &seat->peer, frame);
}

static void seat_read(struct seat *seat) {
    struct host *host = seat->host;
    while (!seat->over && !seat->closing && seat->out_bytes < OUT_HIGH) {
        struct frame frame;
        struct error error;
        const enum frame_reader_result result = frame_reader_next(&seat->reader, &frame, &error);
        if (result == FRAME_READER_FRAME) {
            seat_frame(seat, &frame);
            continue;
        }
        if (result == FRAME_READER_BROKEN) {
            schedule_fail(host->schedule, "link %u: the server cannot read what a worker sent: %s",
                          link_number(seat->link), error.text);
            break;
        }
        uint8_t *at;
        size_t room;
        frame_reader_space(&seat->reader, &at, &room);
        const size_t count = link_read(seat->link, SIDE_SERVER, at, room);
        if (count == 0) {
            break;
        }
        frame_reader_received(&seat->reader, count);
    }
}

/* All that can be done now on behalf of a connection, and what other connections owe to it. */
static void seat_turn(struct seat *seat) {
    struct host *host = seat->host;
    seat_read(seat);
    if (host_is_up(host)) {
        plan_tick(host, seat->thread);
    }
    write_all(host);
    for (struct seat *other = host->seats, *next; other != NULL; other = next) {
        next = other->next;
        if (other->closing && other->out_bytes == 0) {
            seat_over(other, false);
        }
    }
}

static void seat_readable(void *user) {
    struct seat *seat = user;
    if (!seat->over) {
        seat_turn(seat);
    }
}

static void seat_lost(void *user) {
    struct seat *seat = user;
    schedule_trace(seat->host->schedule, "link %u: the server hears that it is over", link_number(seat->link));
    seat_over(seat, true);
}

bool host_accept(void *user, struct link *link) {
    struct host *host = user;
    struct error error;
    if (!host_is_up(host)) {
        return false;
    }
    struct seat *seat = schedule_memory(calloc(1, sizeof *seat));
    seat->host = host;
    seat->link = link;
    seat->peer.send = seat_send;
    seat->peer.close = seat_close;
    seat->peer.role = ROLE_ADMIN;
    if (frame_reader_init(&seat->reader, handler_payload_limit(host->job), NULL, NULL, &error) != CANYON_OK) {
        schedule_memory(NULL);
    }
    seat->next = host->seats;
    host->seats = seat;
    const struct link_end end = {.readable = seat_readable, .writable = seat_readable, .lost = seat_lost, .user = seat};
    link_attach(link, &end, (uint64_t)host->era << 32 | host->restarts);
    return true;
}
