#include "tests/schedules/rogue.h"

#include <stdlib.h>
#include <string.h>

#include "common/endian.h"

static void act(void *user, uint64_t argument);

static void plan(struct rogue *rogue) {
    struct schedule *schedule = rogue->stage->schedule;
    schedule_at(schedule, schedule->now + schedule_between(schedule, 1, 20 * MILLISECOND), act, rogue, 0);
}

/* ---- lives ---- */

static void begin_life(struct rogue *rogue) {
    rogue->life = oracle_begin(rogue->stage->oracle);
    rogue->era = rogue->host->era;
    rogue->resumes = false;
    schedule_bytes(rogue->stage->schedule, rogue->session, sizeof rogue->session);
    memset(rogue->last, 0, sizeof rogue->last);
    memset(rogue->refusals, 0, sizeof rogue->refusals);
}

static void hang_up(struct rogue_line *line) {
    if (line->link != NULL) {
        link_close(line->link, SIDE_CLIENT, false);
        line->link = NULL;
    }
    frame_reader_finish(&line->reader);
    line->reading = line->greeted = false;
}

/* The connection it waits on is gone: what was under way may or may not have come to pass, and with it what the server
 * knows of the session. */
static void give_up(struct rogue *rogue) {
    const bool between = !rogue->racing && (rogue->state == ROGUE_IDLE || rogue->state == ROGUE_GREETING ||
                                            rogue->state == ROGUE_RESUMING);
    hang_up(&rogue->lines[0]);
    hang_up(&rogue->lines[1]);
    if (!between || rogue->host->era != rogue->era) {
        oracle_end(rogue->stage->oracle, rogue->life);
        begin_life(rogue);
    }
    rogue->state = ROGUE_IDLE;
    rogue->racing = false;
}

void rogue_init(struct rogue *rogue, struct stage *stage, unsigned quota) {
    memset(rogue, 0, sizeof *rogue);
    rogue->stage = stage;
    rogue->host = &stage->hosts[schedule_below(stage->schedule, stage->host_count)];
    rogue->thread = (uint32_t)schedule_below(stage->schedule, rogue->host->threads);
    rogue->quota = quota;
    rogue->lines[0].rogue = rogue->lines[1].rogue = rogue;
    begin_life(rogue);
    plan(rogue);
}

void rogue_finish(struct rogue *rogue) {
    if (rogue->stage != NULL) {
        hang_up(&rogue->lines[0]);
        hang_up(&rogue->lines[1]);
        oracle_end(rogue->stage->oracle, rogue->life);
    }
}

bool rogue_is_done(const struct rogue *rogue) {
    return rogue->stage == NULL || (rogue->quota == 0 && rogue->state == ROGUE_IDLE);
}

/* ---- answers ---- */

static void complain(struct rogue *rogue, const struct frame *frame, const char *what) {
    struct error said = {.status = CANYON_OK}, error;
    if (frame->header.type == FRAME_ERROR) {
        (void)message_unpack_error(frame->message, frame->header.message_bytes, &said, &error);
    }
    schedule_fail(rogue->stage->schedule, "the rogue was answered %s %s instead of %s",
                  frame_type_name(frame->header.type), said.status == CANYON_OK ? "" : said.text, what);
}

/* The code of an ERROR that ends the connection; OK for any other frame. */
static enum canyon_status end_of(const struct frame *frame) {
    struct error said = {.status = CANYON_OK}, error;
    if (frame->header.type == FRAME_ERROR && frame->header.request == 0) {
        (void)message_unpack_error(frame->message, frame->header.message_bytes, &said, &error);
    }
    return said.status;
}

/* There is no room for one more session: nothing has come to pass. */
static bool take_busy(struct rogue *rogue, struct rogue_line *line, const struct frame *frame) {
    bool fresh = end_of(frame) == CANYON_BUSY;
    for (uint32_t shard = 0; shard < HOST_SHARDS; shard++) {
        fresh = fresh && rogue->before[shard] == 0;
    }
    if (fresh) {
        for (uint32_t i = 0; i < rogue->count; i++) {
            oracle_told(rogue->stage->oracle, rogue->pieces[i].cell, rogue->pieces[i].n, OUTCOME_REFUSED, rogue->era);
        }
        memset(rogue->last, 0, sizeof rogue->last);
        memset(rogue->refusals, 0, sizeof rogue->refusals);
        hang_up(line);
    }
    return fresh;
}

static void take_pushed(struct rogue *rogue, const struct frame *frame) {
    struct message_piece_results results;
    struct error error;
    if (frame->header.type != FRAME_PUSHED ||
        message_unpack_piece_results(frame->message, frame->header.message_bytes, &results, &error) != CANYON_OK ||
        results.count != rogue->count) {
        complain(rogue, frame, "PUSHED");
        return;
    }
    for (uint32_t i = 0; i < rogue->count; i++) {
        const struct rogue_piece *piece = &rogue->pieces[i];
        const struct message_piece_result *result = &results.results[i];
        const uint64_t last = rogue->last[piece->cell->shard];
        if (result->status != piece->code || result->applied < piece->number || result->applied > last ||
            result->stable != result->applied) {
            schedule_fail(rogue->stage->schedule,
                          "the rogue's number %llu in shard %u was answered %s (applied %llu, stable %llu) instead of "
                          "%s (the last is %llu)",
                          (unsigned long long)piece->number, piece->cell->shard, status_name(result->status),
                          (unsigned long long)result->applied, (unsigned long long)result->stable,
                          status_name(piece->code), (unsigned long long)last);
        }
        oracle_told(rogue->stage->oracle, piece->cell, piece->n, piece->outcome, rogue->era);
    }
}

/* The push that went over the older connection came before RESUME, or has to be fenced off. */
static void settle_race(struct rogue *rogue, bool came) {
    for (uint32_t i = 0; i < rogue->count; i++) {
        oracle_told(rogue->stage->oracle, rogue->pieces[i].cell, rogue->pieces[i].n,
                    came ? OUTCOME_OK : OUTCOME_REFUSED, rogue->era);
    }
    if (!came) {
        memcpy(rogue->last, rogue->before, sizeof rogue->last);
    }
    rogue->racing = false;
}

static void take_resumed(struct rogue *rogue, const struct frame *frame) {
    uint64_t found[HOST_SHARDS] = {0};
    if (frame->header.type != FRAME_RESUMED) {
        complain(rogue, frame, "RESUMED");
        return;
    }
    for (size_t at = 0; at + MESSAGE_RESUMED_ENTRY_BYTES <= frame->header.payload_bytes;
         at += MESSAGE_RESUMED_ENTRY_BYTES) {
        found[load_u32(frame->payload + at) % HOST_SHARDS] = load_u64(frame->payload + at + 8);
    }
    if (rogue->racing) {
        settle_race(rogue, found[rogue->pieces[0].cell->shard] == rogue->last[rogue->pieces[0].cell->shard]);
    }
    for (uint32_t shard = 0; shard < HOST_SHARDS; shard++) {
        if (found[shard] != rogue->last[shard]) {
            schedule_fail(rogue->stage->schedule, "RESUMED says %llu of shard %u, where the rogue's last is %llu",
                          (unsigned long long)found[shard], shard, (unsigned long long)rogue->last[shard]);
        }
    }
}

/* Nothing of what it sent has come to pass, and the connection ends. */
static void take_expulsion(struct rogue *rogue, struct rogue_line *line, const struct frame *frame) {
    if (end_of(frame) != rogue->expels) {
        complain(rogue, frame, status_name(rogue->expels));
    }
    for (uint32_t i = 0; i < rogue->count; i++) {
        oracle_told(rogue->stage->oracle, rogue->pieces[i].cell, rogue->pieces[i].n, OUTCOME_REFUSED, rogue->era);
    }
    hang_up(line);
}

/* Over the older connection comes the answer to what raced, or that it is fenced. */
static void take_older(struct rogue *rogue, struct rogue_line *line, const struct frame *frame) {
    const enum canyon_status end = end_of(frame);
    if (frame->header.type == FRAME_PUSHED) {
        return;
    }
    if (end != CANYON_FENCED && end != CANYON_BUSY) {
        complain(rogue, frame, "FENCED");
    }
    hang_up(line);
}

static void take(struct rogue *rogue, struct rogue_line *line, const struct frame *frame) {
    const enum rogue_state state = rogue->state;
    if (line != &rogue->lines[rogue->current]) {
        take_older(rogue, line, frame);
        return;
    }
    rogue->state = ROGUE_IDLE;
    switch (state) {
    case ROGUE_GREETING:
        line->greeted = frame->header.type == FRAME_WELCOME;
        break;
    case ROGUE_RESUMING:
        take_resumed(rogue, frame);
        rogue->resumes = false;
        break;
    case ROGUE_PUSHING:
    case ROGUE_EXPELLED:
        if (!take_busy(rogue, line, frame) && state == ROGUE_PUSHING) {
            take_pushed(rogue, frame);
        } else if (line->link != NULL) {
            take_expulsion(rogue, line, frame);
        }
        break;
    case ROGUE_LEAVING:
        if (frame->header.type != FRAME_LEFT) {
            complain(rogue, frame, "LEFT");
        }
        memset(rogue->last, 0, sizeof rogue->last);
        memset(rogue->refusals, 0, sizeof rogue->refusals);
        break;
    case ROGUE_IDLE:
        rogue->state = ROGUE_IDLE;
        complain(rogue, frame, "nothing");
        break;
    }
    plan(rogue);
}

static void on_bytes(void *user) {
    struct rogue_line *line = user;
    while (line->link != NULL && line->reading) {
        struct frame frame;
        struct error error;
        const enum frame_reader_result result = frame_reader_next(&line->reader, &frame, &error);
        if (result == FRAME_READER_FRAME) {
            take(line->rogue, line, &frame);
            continue;
        }
        uint8_t *at;
        size_t room;
        frame_reader_space(&line->reader, &at, &room);
        const size_t count = link_read(line->link, SIDE_CLIENT, at, room);
        if (count == 0) {
            return;
        }
        frame_reader_received(&line->reader, count);
    }
}

static void on_lost(void *user) {
    struct rogue_line *line = user;
    struct rogue *rogue = line->rogue;
    on_bytes(line);
    if (line->link == NULL) {
        return;
    }
    if (line != &rogue->lines[rogue->current]) {
        hang_up(line);
        return;
    }
    const bool waits = rogue->state != ROGUE_IDLE;
    give_up(rogue);
    if (waits) {
        plan(rogue);
    }
}

/* ---- what it does ---- */

static void put(struct rogue *rogue, struct rogue_line *line, enum rogue_state state, const void *bytes, size_t count) {
    rogue->state = state;
    if (link_write(line->link, SIDE_CLIENT, bytes, count) < count) {
        give_up(rogue); /* it does not wait for room */
        plan(rogue);
    }
}

static void send_control(struct rogue *rogue, enum rogue_state state, uint16_t type, const uint8_t *message,
                         size_t bytes) {
    uint8_t frame[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    const struct frame_header header = {.type = type, .message_bytes = (uint32_t)bytes, .request = ++rogue->request};
    frame_header_encode(&header, frame);
    if (bytes > 0) {
        memcpy(frame + FRAME_HEADER_BYTES, message, bytes);
    }
    put(rogue, &rogue->lines[rogue->current], state, frame, FRAME_HEADER_BYTES + bytes);
}

static void on_connected(void *user) {
    struct rogue_line *line = user;
    struct rogue *rogue = line->rogue;
    struct message_hello hello = {.protocol = FRAME_VERSION, .thread = rogue->thread, .name = "rogue"};
    struct error error;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    if (frame_reader_init(&line->reader, FRAME_PAYLOAD_LIMIT, NULL, NULL, &error) != CANYON_OK) {
        schedule_memory(NULL);
    }
    line->reading = true;
    const unsigned era = (unsigned)(link_tag(line->link) >> 32);
    if (era != rogue->era) {
        oracle_end(rogue->stage->oracle, rogue->life);
        begin_life(rogue);
        rogue->era = era;
        rogue->racing = false;
    }
    memcpy(hello.session, rogue->session, SESSION_BYTES);
    send_control(rogue, ROGUE_GREETING, FRAME_HELLO, bytes, message_pack_hello(&hello, bytes));
}

static void dial(struct rogue *rogue) {
    struct rogue_line *line = &rogue->lines[rogue->current];
    const struct link_end end = {
        .connected = on_connected, .readable = on_bytes, .writable = on_bytes, .lost = on_lost, .user = line};
    rogue->state = ROGUE_GREETING;
    rogue->resumes = true;
    line->link = network_connect(rogue->stage->network, &end, host_accept, rogue->host);
}

static bool push(struct rogue *rogue, bool proper) {
    enum canyon_status wrong = CANYON_OK;
    size_t count = 0;
    rogue->request++;
    if (!rogue_draw(rogue, proper, &wrong)) {
        rogue->quota = 0;
        return false;
    }
    uint8_t *frame = rogue_pack(rogue, &count);
    rogue->expels = wrong;
    put(rogue, &rogue->lines[rogue->current], wrong == CANYON_OK ? ROGUE_PUSHING : ROGUE_EXPELLED, frame, count);
    free(frame);
    return rogue->state != ROGUE_IDLE;
}

/* Pushes, and without waiting for the answer resumes over a new connection. */
static void race(struct rogue *rogue) {
    struct schedule *schedule = rogue->stage->schedule;
    link_stall(rogue->lines[rogue->current].link, SIDE_CLIENT, schedule_between(schedule, 0, 20 * MILLISECOND));
    if (push(rogue, true)) {
        rogue->racing = true;
        rogue->current = 1 - rogue->current;
        hang_up(&rogue->lines[rogue->current]);
        dial(rogue);
    }
}

static void act(void *user, uint64_t argument) {
    struct rogue *rogue = user;
    struct schedule *schedule = rogue->stage->schedule;
    (void)argument;
    if (rogue->state != ROGUE_IDLE || (rogue->quota == 0 && !rogue->racing)) {
        return;
    }
    if (rogue->lines[rogue->current].link == NULL || !rogue->lines[rogue->current].greeted) {
        hang_up(&rogue->lines[rogue->current]);
        dial(rogue);
        return;
    }
    if (rogue->resumes) {
        send_control(rogue, ROGUE_RESUMING, FRAME_RESUME, NULL, 0);
        return;
    }
    rogue->quota--;
    if (schedule_chance(schedule, 60)) {
        send_control(rogue, ROGUE_LEAVING, FRAME_LEAVE, NULL, 0);
    } else if (schedule_chance(schedule, 150)) {
        race(rogue);
    } else {
        push(rogue, false);
    }
}
