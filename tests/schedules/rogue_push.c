#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/schedules/rogue.h"

/* ---- the model: PROTOCOL.md, "Sessions and numbers" ---- */

static void take_number(struct rogue *rogue, uint32_t shard, enum canyon_status code) {
    rogue->last[shard]++;
    if (code != CANYON_OK) {
        const bool goes_on =
            rogue->refusals[shard][0].number + 1 == rogue->last[shard] && rogue->refusals[shard][0].code == code;
        if (goes_on) {
            rogue->refusals[shard][0].number++;
            return;
        }
        memmove(&rogue->refusals[shard][1], &rogue->refusals[shard][0],
                (ROGUE_REFUSALS - 1) * sizeof rogue->refusals[shard][0]);
        rogue->refusals[shard][0].first = rogue->refusals[shard][0].number = rogue->last[shard];
        rogue->refusals[shard][0].code = code;
    }
}

static enum canyon_status code_of(const struct rogue *rogue, uint32_t shard, uint64_t number) {
    for (unsigned i = 0; i < ROGUE_REFUSALS; i++) {
        if (rogue->refusals[shard][i].first <= number && number <= rogue->refusals[shard][i].number) {
            return rogue->refusals[shard][i].code;
        }
    }
    return CANYON_OK;
}

/* What must become of the pieces, all in all; and in the model, unless the frame is wrong. */
static enum canyon_status foresee(struct rogue *rogue) {
    uint64_t last[HOST_SHARDS];
    memcpy(last, rogue->last, sizeof last);
    for (uint32_t i = 0; i < rogue->count; i++) {
        const struct rogue_piece *piece = &rogue->pieces[i];
        const uint32_t shard = piece->cell->shard;
        if (piece->number > last[shard] + 1) {
            return rogue->last[shard] == 0 ? CANYON_SESSION_UNKNOWN : CANYON_GAP;
        }
        last[shard] += piece->number == last[shard] + 1;
    }
    for (uint32_t i = 0; i < rogue->count; i++) {
        struct rogue_piece *piece = &rogue->pieces[i];
        const uint32_t shard = piece->cell->shard;
        const bool next = piece->number == rogue->last[shard] + 1;
        if (next) {
            piece->code = piece->poisoned ? CANYON_NOT_FINITE : CANYON_OK;
            take_number(rogue, shard, piece->code);
        } else {
            piece->code = code_of(rogue, shard, piece->number);
        }
        piece->outcome = next && !piece->poisoned ? OUTCOME_OK : OUTCOME_REFUSED;
    }
    return CANYON_OK;
}

/* ---- what it sends ---- */

static uint64_t draw_number(struct rogue *rogue, uint64_t last) {
    struct schedule *schedule = rogue->stage->schedule;
    const uint64_t what = schedule_below(schedule, 100);
    if (what < 65 || (what < 92 && last == 0)) {
        return last + 1;
    }
    return what < 92 ? schedule_between(schedule, last > 6 ? last - 6 : 1, last)
                     : last + schedule_between(schedule, 2, 4);
}

bool rogue_draw(struct rogue *rogue, bool proper, enum canyon_status *wrong) {
    struct stage *stage = rogue->stage;
    struct oracle *oracle = stage->oracle;
    uint64_t last[HOST_SHARDS];
    const uint32_t most = (uint32_t)schedule_between(stage->schedule, 1, ROGUE_PIECES);
    const unsigned first = (unsigned)schedule_below(stage->schedule, oracle->count);
    memcpy(last, rogue->last, sizeof last);
    memcpy(rogue->before, last, sizeof last);
    rogue->count = 0;
    for (unsigned i = 0; i < oracle->count && rogue->count < most; i++) {
        struct cell *cell = &oracle->cells[(first + i) % oracle->count];
        if (cell->kind != CELL_BLOCK || cell->host != rogue->host->index ||
            job_thread_of(stage->job, cell->shard, rogue->host->threads) != rogue->thread) {
            continue;
        }
        const unsigned n = oracle_push(oracle, cell, rogue->life, host_age(rogue->host));
        if (n != UINT_MAX) {
            struct rogue_piece *piece = &rogue->pieces[rogue->count++];
            *piece = (struct rogue_piece){.cell = cell, .n = n};
            piece->number = proper ? last[cell->shard] + 1 : draw_number(rogue, last[cell->shard]);
            piece->poisoned = !proper && schedule_chance(stage->schedule, 300);
            last[cell->shard] += piece->number == last[cell->shard] + 1;
        }
    }
    *wrong = foresee(rogue);
    return rogue->count > 0;
}

uint8_t *rogue_pack(const struct rogue *rogue, size_t *bytes) {
    struct message_pieces message = {.count = rogue->count};
    uint8_t packed[LIMIT_MESSAGE_BYTES];
    size_t floats = 0;
    for (uint32_t i = 0; i < rogue->count; i++) {
        const struct rogue_piece *piece = &rogue->pieces[i];
        message.pieces[i] = (struct message_piece){.tensor = rogue->stage->tensors[piece->cell->tensor].id,
                                                   .block = (uint32_t)piece->cell->place,
                                                   .elements = piece->cell->elements,
                                                   .number = piece->number};
        floats += piece->cell->elements;
    }
    const size_t message_bytes = message_pack_pieces(&message, packed);
    const struct frame_header header = {.type = FRAME_PUSH,
                                        .message_bytes = (uint32_t)message_bytes,
                                        .payload_bytes = (uint32_t)(floats * sizeof(float)),
                                        .request = rogue->request};
    *bytes = FRAME_HEADER_BYTES + message_bytes + floats * sizeof(float);
    uint8_t *frame = schedule_memory(malloc(*bytes)), *at = frame + FRAME_HEADER_BYTES + message_bytes;
    frame_header_encode(&header, frame);
    memcpy(frame + FRAME_HEADER_BYTES, packed, message_bytes);
    for (uint32_t i = 0; i < rogue->count; i++) {
        const struct cell *cell = rogue->pieces[i].cell;
        float values[LIMIT_BLOCK_LOW];
        oracle_values(rogue->stage->oracle, cell, rogue->pieces[i].n, values);
        values[cell->elements - 1] = rogue->pieces[i].poisoned ? NAN : values[cell->elements - 1];
        memcpy(at, values, cell->elements * sizeof(float));
        at += cell->elements * sizeof(float);
    }
    return frame;
}
