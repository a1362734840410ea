#include "tests/schedules/host_state.h"
#include "tests/schedules/intruder.h"

#include <stdlib.h>
#include <string.h>

#include "common/rows.h"

#define OUT_HIGH 65536 /* with more to write, nothing more is read */

void seat_destroy(struct seat *seat) {
    frame_reader_finish(&seat->reader);
    free(seat->out);
    free(seat->record);
    free(seat);
}

/* It stays where callbacks may still find it, but is no connection any more. */
static void seat_over(struct seat *seat, bool abrupt) {
    struct host *host = seat->host;
    if (seat->over) {
        return;
    }
    seat->over = true;
    if (seat->greeted && host->oracle != NULL) {
        witness_gone(&host->witnesses[seat->thread], seat);
    }
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
    if (seat->host->oracle != NULL) {
        witness_out(&seat->host->witnesses[seat->thread], seat, slices, count);
    }
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

void seats_tick(struct host *host, uint32_t thread) {
    handler_tick(host->handlers[thread]);
    plan_tick(host, thread);
    write_all(host);
}

static void wake(void *user, uint64_t argument) {
    struct host *host = user;
    if (host_is_up(host) && !host->stopped && handler_wakeup(host->handlers[argument]) <= host->schedule->now) {
        seats_tick(host, (uint32_t)argument);
    }
}

/* Another connection of the same session, to the same thread, that is the session's own. */
static bool has_sibling(const struct seat *seat, const uint8_t session[SESSION_BYTES], uint32_t thread) {
    for (const struct seat *other = seat->host->seats; other != NULL; other = other->next) {
        if (other != seat && other->greeted && !other->echoes && !other->left && other->thread == thread &&
            memcmp(other->peer.session, session, SESSION_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

/* Whose key it is, by the name: everybody's, a reader's, another's. */
static void set_key(struct seat *seat, const char *name) {
    static const struct allow_entry entries[] = {{.role = ROLE_ADMIN, .name = "workers", .key = {1}},
                                                 {.role = ROLE_READER, .name = "readers", .key = {2}},
                                                 {.role = ROLE_ADMIN, .name = "others", .key = {3}}};
    const bool reads = strncmp(name, SEAT_READER, strlen(SEAT_READER)) == 0;
    seat->peer.entry = &entries[strcmp(name, INTRUDER_NAME) == 0 ? 2 : reads ? 1 : 0];
    seat->peer.role = seat->peer.entry->role;
}

/* What was refused or taken against the rules; false when the connection is to end. */
static bool check_key(struct seat *seat, const struct message_hello *hello, bool good) {
    const bool owned = has_sibling(seat, hello->session, hello->thread);
    if (good && owned && strcmp(hello->name, INTRUDER_NAME) == 0) {
        schedule_fail(seat->host->schedule, "link %u: somebody's session is taken from another with another key",
                      link_number(seat->link));
    }
    return good && (owned || (!seat->echoes && strcmp(hello->name, INTRUDER_NAME) != 0));
}

static void record(struct seat *seat, const struct frame *frame) {
    const size_t message = frame->header.message_bytes, payload = frame->header.payload_bytes;
    const size_t count = FRAME_HEADER_BYTES + message + payload;
    const unsigned type = frame->header.type;
    const bool takes = type == FRAME_HELLO || type == FRAME_PUSH || type == FRAME_PUSH_PULL || type == FRAME_PULL ||
                       type == FRAME_ASSIGN || rows_push(type) || rows_pull(type) || type == FRAME_TABLE_ERASE;
    if (!takes || seat->echoes || seat->record_bytes + count > SEAT_RECORD) {
        return;
    }
    seat->record = schedule_memory(realloc(seat->record, seat->record_bytes + count));
    uint8_t *at = seat->record + seat->record_bytes;
    frame_header_encode(&frame->header, at);
    if (message > 0) {
        memcpy(at + FRAME_HEADER_BYTES, frame->message, message);
    }
    if (payload > 0) {
        memcpy(at + FRAME_HEADER_BYTES + message, frame->payload, payload);
    }
    seat->record_bytes += count;
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
        set_key(seat, hello.name);
        good = handler_peer_came(host->handlers[seat->thread], &seat->peer, &error) == CANYON_OK;
        seat->greeted = good;
        if (good && host->oracle != NULL) {
            (void)witness_heard(&host->witnesses[seat->thread], hello.session);
        }
        if (good && !check_key(seat, &hello, good)) {
            greeting_answer_finish(&answer);
            return false;
        }
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
    if (seat->echoes && seat->greeted && !has_sibling(seat, seat->peer.session, seat->thread)) {
        seat->closing = true; /* with the session gone it would count anew */
        return;
    }
    record(seat, frame);
    if (!seat->greeted) {
        seat->closing = !seat_greet(seat, frame);
        return;
    }
    host->frames++;
    seat->left = seat->left || frame->header.type == FRAME_LEAVE;
    schedule_trace(host->schedule, "link %u: server %u takes %s %llu", link_number(seat->link), host->index,
                   frame_type_name(frame->header.type), (unsigned long long)frame->header.request);
    struct witness *witness = host->oracle != NULL ? &host->witnesses[seat->thread] : NULL;
    if (witness != NULL) {
        witness_in(witness, seat, seat->peer.session, frame);
    }
    const uint64_t request = frame->header.request;
    handler_frame(host->handlers[seat->thread], &seat->peer, frame);
    if (witness != NULL) {
        witness_done(witness, seat, request);
    }
}

static void seat_read(struct seat *seat) {
    struct host *host = seat->host;
    while (!seat->over && !seat->closing && seat->out_bytes < OUT_HIGH) {
        if (seat->greeted && handler_go_on(host->handlers[seat->thread], &seat->peer)) {
            continue; /* what waited for others comes first */
        }
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

static void be_woken(void *user, uint64_t argument) {
    struct seat *seat = user;
    (void)argument;
    if (!seat->over && !seat->host->stopped) {
        seat_turn(seat);
    }
}

/* handler_peer's: something that waited may go on. */
static void seat_wake(struct handler_peer *peer) {
    struct seat *seat = (struct seat *)(void *)peer;
    schedule_at(seat->host->schedule, seat->host->schedule->now, be_woken, seat, 0);
}

static void seat_readable(void *user) {
    struct seat *seat = user;
    if (!seat->over && !seat->host->stopped) {
        seat_turn(seat);
    }
}

static void seat_lost(void *user) {
    struct seat *seat = user;
    if (seat->host->stopped) {
        seat->lost = true;
        return;
    }
    schedule_trace(seat->host->schedule, "link %u: the server hears that it is over", link_number(seat->link));
    seat_over(seat, true);
}

void seats_go_on(struct host *host) {
    for (uint32_t thread = 0; thread < host->threads; thread++) {
        plan_tick(host, thread);
    }
    /* A turn may end other connections. */
    for (struct seat *seat = host->seats; seat != NULL;) {
        const bool waits = seat->waited != host->stops;
        seat->waited = host->stops;
        if (waits) {
            seat_turn(seat);
        }
        seat = waits ? host->seats : seat->next;
    }
    for (struct seat *seat = host->seats, *next; seat != NULL; seat = next) {
        next = seat->next;
        if (seat->lost) {
            seat_lost(seat);
        }
    }
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
    seat->peer.wake = seat_wake;
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
