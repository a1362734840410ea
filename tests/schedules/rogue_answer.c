#include <stdlib.h>
#include <string.h>

#include "common/endian.h"
#include "tests/schedules/rogue.h"

/* ---- answers ---- */

void rogue_complain(struct rogue *rogue, const struct frame *frame, const char *what) {
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
bool rogue_take_busy(struct rogue *rogue, struct rogue_line *line, const struct frame *frame) {
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
        rogue_hang_up(line);
    }
    return fresh;
}

void rogue_take_pushed(struct rogue *rogue, const struct frame *frame) {
    struct message_piece_results results;
    struct error error;
    if (frame->header.type != FRAME_PUSHED ||
        message_unpack_piece_results(frame->message, frame->header.message_bytes, &results, &error) != CANYON_OK ||
        results.count != rogue->count) {
        rogue_complain(rogue, frame, "PUSHED");
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

void rogue_take_resumed(struct rogue *rogue, const struct frame *frame) {
    uint64_t found[HOST_SHARDS] = {0};
    if (frame->header.type != FRAME_RESUMED) {
        rogue_complain(rogue, frame, "RESUMED");
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
void rogue_take_expulsion(struct rogue *rogue, struct rogue_line *line, const struct frame *frame) {
    if (end_of(frame) != rogue->expels) {
        rogue_complain(rogue, frame, status_name(rogue->expels));
    }
    for (uint32_t i = 0; i < rogue->count; i++) {
        oracle_told(rogue->stage->oracle, rogue->pieces[i].cell, rogue->pieces[i].n, OUTCOME_REFUSED, rogue->era);
    }
    rogue_hang_up(line);
}

/* Over the older connection comes the answer to what raced, or that it is fenced. */
void rogue_take_older(struct rogue *rogue, struct rogue_line *line, const struct frame *frame) {
    const enum canyon_status end = end_of(frame);
    if (frame->header.type == FRAME_PUSHED) {
        return;
    }
    if (end != CANYON_FENCED && end != CANYON_BUSY) {
        rogue_complain(rogue, frame, "FENCED");
    }
    rogue_hang_up(line);
}
