/* What a witness holds against what a server answers. */
#include <string.h>

#include "common/rows.h"
#include "tests/schedules/witness.h"

/* Only who lives waits. */
static void check_pull(struct witness *witness, const struct witness_pending *pending) {
    const struct oracle_shard *shard = &witness->oracle->shards[witness->shard];
    const struct consistency *mode = pace_mode(shard, pending->clock);
    const uint64_t clock = pending->clock;
    uint64_t least = 0;
    if (clock == 0 || !pending->waits || !shard->set) {
        return;
    }
    if (mode->mode == CONSISTENCY_SSP) {
        least = clock > mode->staleness ? clock - mode->staleness : 0;
    } else if (pace_follows(shard, clock)) {
        least = pace_mode(shard, clock - 1)->minimum == 0 ? clock : 0;
        if (shard->closed + 1 < clock) {
            schedule_fail(witness->oracle->schedule,
                          "a pull at clock %llu in shard %u was answered, and only clock %llu is closed",
                          (unsigned long long)clock, witness->shard, (unsigned long long)shard->closed);
        }
    }
    for (unsigned i = 0; i < witness->count; i++) {
        const struct witness_member *member = &witness->members[i];
        if (witness_lives(witness, member) && member->clock < least) {
            schedule_fail(witness->oracle->schedule,
                          "a pull at clock %llu in shard %u was answered while a live worker of rank %u is at most at "
                          "clock %llu, below %llu",
                          (unsigned long long)clock, witness->shard, member->rank - 1,
                          (unsigned long long)member->clock, (unsigned long long)least);
        }
    }
}

/* The weights themselves: of pieces each in a slice of its own, of rows behind their results. */
static void check_shown(struct witness *witness, const struct witness_pending *pending,
                        const struct handler_slice *slices, size_t count) {
    const bool rows = pending->type == FRAME_TABLE_PULL;
    const size_t floats = rows && count > 2 ? slices[2].count / sizeof(float) : 0;
    if (rows ? pending->cell_count == 0 || floats != (size_t)pending->cell_count * pending->cells[0]->elements
             : count != pending->cell_count + 1) {
        return; /* something of it is refused */
    }
    for (unsigned i = 0; i < pending->cell_count; i++) {
        const float *weights = slices[rows ? 2 : i + 1].bytes;
        pace_shown(witness->oracle, pending->cells[i],
                   rows ? weights + (size_t)i * pending->cells[0]->elements : weights, witness->era);
    }
}

/* LATE, where nothing of its clock is closed; or too early, where it is open. `text` explains a refusal. */
static void check_code(struct witness *witness, const struct witness_pending *pending, enum canyon_status status,
                       const char *text) {
    const struct oracle_shard *shard = &witness->oracle->shards[witness->shard];
    const struct witness_member *member = witness_find(witness, pending->session);
    const uint64_t clock = pending->clock;
    if (member == NULL || !pending->waits || member->renamed || clock < shard->now_from) {
        return;
    }
    const bool at_it = member->clock <= clock && clock > shard->forced && pace_mode(shard, clock)->minimum == 0;
    const bool again = strstr(text, "when it came first") != NULL;
    if ((status == CANYON_LATE && at_it) || (status == CANYON_BUSY && clock <= shard->closed + 1 && !again)) {
        schedule_fail(witness->oracle->schedule,
                      "a worker of rank %u that lives and is at clock %llu is told %s, where clock %llu is closed: "
                      "%.120s",
                      member->rank - 1, (unsigned long long)clock, status_name(status),
                      (unsigned long long)shard->closed, text);
    }
}

static void check_pieces(struct witness *witness, const struct witness_pending *pending, const struct frame *reply) {
    struct message_piece_results results;
    struct error error;
    if (message_unpack_piece_results(reply->message, reply->header.message_bytes, &results, &error) == CANYON_OK) {
        for (uint32_t i = 0; i < results.count; i++) {
            check_code(witness, pending, results.results[i].status, results.text);
        }
    }
}

static void check_runs(struct witness *witness, const struct witness_pending *pending, const struct frame *reply) {
    struct message_rows_done done;
    struct error error;
    if (message_unpack_rows_done(reply->message, reply->header.message_bytes, &done, &error) == CANYON_OK) {
        for (uint32_t i = 0; i < done.runs && reply->payload != NULL; i++) {
            struct rows_result result;
            memcpy(&result, reply->payload + i * sizeof result, sizeof result);
            check_code(witness, pending, (enum canyon_status)result.code, done.text);
        }
    }
}

static void told(struct witness *witness, const struct witness_pending *pending, uint64_t clock, uint32_t rank) {
    struct witness_member *member = witness_member_of(witness, pending->session);
    member->clock = witness_larger(member->clock, clock);
    member->renamed = (member->renamed || member->rank != rank + 1) && member->sure;
    member->rank = rank + 1;
    member->sure = true;
    member->seen = witness_larger(member->seen, pending->at);
    witness_take_rank(witness, pending->session, member->rank);
}

/* Who comes late has nothing to do at a clock that others closed. */
static void check_entered(const struct witness *witness, uint64_t clock) {
    const struct oracle_shard *shard = &witness->oracle->shards[witness->shard];
    const bool open = shard->set && pace_mode(shard, shard->closed + 1)->mode == CONSISTENCY_SYNC;
    if (open && shard->closed > shard->forced && clock <= shard->closed) {
        schedule_fail(witness->oracle->schedule, "a worker enters at clock %llu, where clock %llu is closed",
                      (unsigned long long)clock, (unsigned long long)shard->closed);
    }
}

static void hear_answer(struct witness *witness, const struct witness_pending *pending, const struct frame *reply) {
    struct message_entered entered;
    struct message_clocked clocked;
    struct error error;
    switch (reply->header.type) {
    case FRAME_ENTERED:
        if (message_unpack_entered(reply->message, reply->header.message_bytes, &entered, &error) == CANYON_OK) {
            check_entered(witness, entered.clock);
            told(witness, pending, entered.clock, entered.rank);
        }
        break;
    case FRAME_CLOCKED:
        if (message_unpack_clocked(reply->message, reply->header.message_bytes, &clocked, &error) == CANYON_OK) {
            told(witness, pending, clocked.clock, clocked.rank);
        }
        break;
    case FRAME_PULLED:
    case FRAME_TABLE_PULLED:
        check_pull(witness, pending);
        break;
    case FRAME_PUSHED:
    case FRAME_PUSH_PULLED:
        check_pieces(witness, pending, reply);
        break;
    case FRAME_TABLE_PUSHED:
    case FRAME_TABLE_PUSH_PULLED:
        check_runs(witness, pending, reply);
        break;
    default:
        break;
    }
}

void witness_out(struct witness *witness, const void *seat, const struct handler_slice *slices, size_t count) {
    struct frame reply = {.payload = NULL};
    struct error error;
    if (count == 0 || slices[0].count < FRAME_HEADER_BYTES ||
        frame_header_decode(slices[0].bytes, FRAME_PAYLOAD_LIMIT, &reply.header, &error) != CANYON_OK) {
        return;
    }
    reply.message = (const uint8_t *)slices[0].bytes + FRAME_HEADER_BYTES;
    reply.payload = count > 1 ? slices[1].bytes : NULL; /* of rows: their results */
    for (unsigned i = 0; i < witness->pending_count; i++) {
        if (witness->pending[i].seat == seat && witness->pending[i].request == reply.header.request) {
            const struct witness_pending pending = witness->pending[i];
            if (reply.header.type == FRAME_PULLED || reply.header.type == FRAME_TABLE_PULLED) {
                check_shown(witness, &pending, slices, count);
            }
            witness->pending_count--;
            memmove(&witness->pending[i], &witness->pending[i + 1],
                    (witness->pending_count - i) * sizeof witness->pending[0]);
            hear_answer(witness, &pending, &reply);
            return;
        }
    }
}

void witness_done(struct witness *witness, const void *seat, uint64_t request) {
    for (unsigned i = 0; i < witness->pending_count; i++) {
        witness->waits += witness->pending[i].seat == seat && witness->pending[i].request == request;
    }
}

void witness_gone(struct witness *witness, const void *seat) {
    unsigned kept = 0;
    for (unsigned i = 0; i < witness->pending_count; i++) {
        if (witness->pending[i].seat != seat) {
            witness->pending[kept++] = witness->pending[i];
        }
    }
    witness->pending_count = kept;
}
