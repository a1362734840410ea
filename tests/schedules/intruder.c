#include "tests/schedules/intruder.h"

#include <stdlib.h>
#include <string.h>

#include "tests/schedules/host_state.h"

static void act(void *user, uint64_t argument);

static void plan(struct intruder *intruder) {
    schedule_at(intruder->schedule,
                intruder->schedule->now + schedule_between(intruder->schedule, 10, 1000) * MILLISECOND, act, intruder,
                0);
}

/* ---- a connection ---- */

static void hang_up(struct intruder_line *line) {
    if (line->link != NULL) {
        link_close(line->link, SIDE_CLIENT, false);
        line->link = NULL;
    }
}

static void send_on(void *user) {
    struct intruder_line *line = user;
    if (line->link != NULL && line->sent < line->count) {
        line->sent += link_write(line->link, SIDE_CLIENT, line->bytes + line->sent, line->count - line->sent);
    }
}

/* Whatever it is answered. */
static void listen_on(void *user) {
    struct intruder_line *line = user;
    uint8_t scrap[512];
    while (line->link != NULL && link_read(line->link, SIDE_CLIENT, scrap, sizeof scrap) > 0) {
    }
}

static void on_lost(void *user) {
    hang_up(user);
}

static bool accept_line(void *user, struct link *link) {
    struct intruder_line *line = user;
    if (!host_accept(line->host, link)) {
        return false;
    }
    line->host->seats->echoes = line->replays;
    return true;
}

static void dial(struct intruder_line *line) {
    const struct link_end end = {
        .connected = send_on, .readable = listen_on, .writable = send_on, .lost = on_lost, .user = line};
    line->link = network_connect(line->intruder->network, &end, accept_line, line);
}

/* ---- what it sends ---- */

static void put(struct intruder_line *line, const void *bytes, size_t count) {
    line->bytes = schedule_memory(realloc(line->bytes, line->count + count + 1));
    memcpy(line->bytes + line->count, bytes, count);
    line->count += count;
}

static void put_frame(struct intruder_line *line, uint16_t type, const uint8_t *message, size_t bytes) {
    uint8_t header_bytes[FRAME_HEADER_BYTES];
    const struct frame_header header = {.type = type, .message_bytes = (uint32_t)bytes, .request = line->count};
    frame_header_encode(&header, header_bytes);
    put(line, header_bytes, sizeof header_bytes);
    put(line, message, bytes);
}

/* Somebody's session, with a key of its own. */
static void pretend(struct intruder_line *line, const struct seat *seat) {
    struct message_hello hello = {.protocol = FRAME_VERSION, .thread = seat->thread, .name = INTRUDER_NAME};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    memcpy(hello.session, seat->peer.session, SESSION_BYTES);
    put_frame(line, FRAME_HELLO, bytes, message_pack_hello(&hello, bytes));
    put_frame(line, FRAME_RESUME, bytes, 0);
    put_frame(line, FRAME_LEAVE, bytes, 0);
    line->intruder->pretended++;
}

static const struct seat *choose(struct intruder *intruder, struct host *host) {
    const struct seat *seats[64];
    size_t count = 0;
    for (const struct seat *seat = host->seats; seat != NULL && count < 64; seat = seat->next) {
        if (seat->greeted && !seat->echoes && !seat->closing && !seat->left) {
            seats[count++] = seat;
        }
    }
    return count == 0 ? NULL : seats[schedule_below(intruder->schedule, count)];
}

static void act(void *user, uint64_t argument) {
    struct intruder *intruder = user;
    struct host *host = &intruder->hosts[schedule_below(intruder->schedule, intruder->host_count)];
    const struct seat *seat = choose(intruder, host);
    (void)argument;
    if (intruder->done || intruder->line_count == INTRUDER_LINES) {
        return;
    }
    if (seat != NULL) {
        struct intruder_line *line = &intruder->lines[intruder->line_count++];
        *line = (struct intruder_line){
            .intruder = intruder, .host = host, .replays = schedule_chance(intruder->schedule, 500)};
        if (line->replays) {
            put(line, seat->record, seat->record_bytes);
            intruder->replayed++;
        } else {
            pretend(line, seat);
        }
        dial(line);
    }
    plan(intruder);
}

void intruder_begin(struct intruder *intruder, struct schedule *schedule, struct network *network, struct host *hosts,
                    uint32_t host_count) {
    *intruder = (struct intruder){.schedule = schedule, .network = network, .hosts = hosts, .host_count = host_count};
    plan(intruder);
}

void intruder_stop(struct intruder *intruder) {
    intruder->done = true;
    for (unsigned i = 0; i < intruder->line_count; i++) {
        hang_up(&intruder->lines[i]);
    }
}

void intruder_finish(struct intruder *intruder) {
    for (unsigned i = 0; i < intruder->line_count; i++) {
        free(intruder->lines[i].bytes);
    }
}
