#include "tests/schedules/witness.h"

#include <string.h>

#include "common/rows.h"

static uint64_t now_of(const struct witness *witness) {
    return witness->oracle->schedule->now;
}

void witness_forget(struct witness *witness, unsigned era) {
    witness->era = era;
    witness->count = witness->pending_count = 0;
}

/* ---- members ---- */

struct witness_member *witness_find(struct witness *witness, const uint8_t session[SESSION_BYTES]) {
    for (unsigned i = 0; i < witness->count; i++) {
        if (memcmp(witness->members[i].session, session, SESSION_BYTES) == 0) {
            return &witness->members[i];
        }
    }
    return NULL;
}

struct witness_member *witness_member_of(struct witness *witness, const uint8_t session[SESSION_BYTES]) {
    struct witness_member *member = witness_find(witness, session);
    if (member == NULL) {
        if (witness->count == WITNESS_MEMBERS) { /* the first one is gone for longest */
            memmove(witness->members, witness->members + 1, (WITNESS_MEMBERS - 1) * sizeof witness->members[0]);
            witness->count--;
        }
        member = &witness->members[witness->count++];
        memset(member, 0, sizeof *member);
        memcpy(member->session, session, SESSION_BYTES);
    }
    return member;
}

bool witness_lives(const struct witness *witness, const struct witness_member *member) {
    return member->sure && now_of(witness) < member->seen + witness->lease;
}

void witness_stop(struct witness *witness) {
    for (unsigned i = 0; i < witness->count; i++) {
        witness->members[i].sure = witness_lives(witness, &witness->members[i]);
    }
}

void witness_go_on(struct witness *witness) {
    const uint64_t now = witness->oracle != NULL ? now_of(witness) : 0;
    uint64_t due = UINT64_MAX;
    for (unsigned i = 0; i < witness->count; i++) {
        const struct witness_member *member = &witness->members[i];
        due = member->sure && member->seen + witness->lease < due ? member->seen + witness->lease : due;
    }
    for (unsigned i = 0; i < witness->count && due < now && now - due > SECOND; i++) {
        witness->members[i].seen += now - due + SECOND;
    }
}

void witness_take_rank(struct witness *witness, const uint8_t session[SESSION_BYTES], uint32_t rank) {
    for (unsigned i = 0; i < witness->count && rank > 0 && !witness->rules; i++) {
        struct witness_member *other = &witness->members[i];
        if (other->rank == rank && memcmp(other->session, session, SESSION_BYTES) != 0) {
            other->sure = false;
        }
    }
}

/* ---- in ---- */

/* What a pull asks for, in its order; no cells where there are others among them. */
static void note_cells(const struct witness *witness, struct witness_pending *pending, const struct frame *frame) {
    struct message_pieces pieces = {.count = 0};
    struct message_rows rows = {.rows = 0};
    struct error error;
    const unsigned type = frame->header.type;
    if (type == FRAME_PULL) {
        (void)message_unpack_pieces(frame->message, frame->header.message_bytes, &pieces, &error);
    } else if (type == FRAME_TABLE_PULL) {
        (void)message_unpack_rows(frame->message, frame->header.message_bytes, &rows, &error);
    }
    const uint32_t count = pieces.count + rows.rows;
    const uint8_t *ids = frame->payload + rows.runs * sizeof(struct rows_run);
    for (uint32_t i = 0; i < count && count <= WITNESS_CELLS; i++) {
        uint64_t place = i < pieces.count ? pieces.pieces[i].block : 0;
        if (rows.rows > 0) {
            memcpy(&place, ids + i * sizeof place, sizeof place);
        }
        pending->cells[i] = pace_cell(witness->oracle, rows.rows > 0 ? rows.table : pieces.pieces[i].tensor, place);
        pending->cell_count += pending->cells[i] != NULL;
    }
    pending->cell_count = pending->cell_count == count ? count : 0;
}

static void pend(struct witness *witness, const void *seat, const uint8_t *session, const struct frame *frame,
                 uint64_t clock) {
    if (witness->pending_count == WITNESS_PENDING) {
        memmove(witness->pending, witness->pending + 1, (WITNESS_PENDING - 1) * sizeof witness->pending[0]);
        witness->pending_count--;
    }
    struct witness_pending *pending = &witness->pending[witness->pending_count++];
    *pending = (struct witness_pending){
        .seat = seat, .request = frame->header.request, .clock = clock, .type = frame->header.type};
    const struct witness_member *member = witness_find(witness, session);
    pending->waits = member != NULL && witness_lives(witness, member);
    note_cells(witness, pending, frame);
    pending->at = now_of(witness);
    memcpy(pending->session, session, SESSION_BYTES);
}

/* The clock that a pull or push is made at; 0: none is named. */
static uint64_t clock_of(const struct frame *frame) {
    struct message_pieces pieces = {.clock = 0};
    struct message_rows rows = {.clock = 0};
    struct error error;
    switch (frame->header.type) {
    case FRAME_PULL:
    case FRAME_PUSH:
    case FRAME_PUSH_PULL:
        (void)message_unpack_pieces(frame->message, frame->header.message_bytes, &pieces, &error);
        return pieces.clock;
    default:
        (void)message_unpack_rows(frame->message, frame->header.message_bytes, &rows, &error);
        return rows.create ? 0 : rows.clock;
    }
}

/* Pulls of one that leaves wait for nobody any more. */
static void hear_goodbye(struct witness *witness, struct witness_member *member) {
    member->sure = false;
    for (unsigned i = 0; i < witness->pending_count; i++) {
        struct witness_pending *pending = &witness->pending[i];
        pending->waits = pending->waits && memcmp(pending->session, member->session, SESSION_BYTES) != 0;
    }
}

/* False for a goodbye. */
static bool hear_clock(struct witness *witness, const uint8_t *session, const struct frame *frame) {
    struct message_clock message = {.clock = 0};
    struct error error;
    (void)message_unpack_clock(frame->message, frame->header.message_bytes, &message, &error);
    struct witness_member *member = witness_member_of(witness, session);
    member->clock = witness_larger(member->clock, message.clock);
    if (message.leave) {
        hear_goodbye(witness, member);
    } else if (message.rank != member->rank) { /* an old one puts nobody out */
        witness_take_rank(witness, session, message.rank);
    }
    return !message.leave;
}

static void hear_enter(struct witness *witness, const uint8_t *session, const struct frame *frame) {
    struct message_enter message = {.clock = 0};
    struct error error;
    (void)message_unpack_enter(frame->message, frame->header.message_bytes, &message, &error);
    struct witness_member *member = witness_member_of(witness, session);
    member->clock = witness_larger(member->clock, message.clock);
    witness_take_rank(witness, session, message.rank);
}

struct witness_member *witness_heard(struct witness *witness, const uint8_t session[SESSION_BYTES]) {
    struct witness_member *member = witness_find(witness, session);
    if (member != NULL) {
        member->sure = witness_lives(witness, member);
        member->seen = now_of(witness); /* at which a lease that runs on begins anew, too */
    }
    return member;
}

void witness_in(struct witness *witness, const void *seat, const uint8_t session[SESSION_BYTES],
                const struct frame *frame) {
    struct witness_member *member = witness_heard(witness, session);
    uint64_t clock = 0;
    switch (frame->header.type) {
    case FRAME_CLOCK:
        if (!hear_clock(witness, session, frame)) {
            return;
        }
        break;
    case FRAME_ENTER:
        hear_enter(witness, session, frame);
        break;
    case FRAME_LEAVE:
        if (member != NULL) {
            hear_goodbye(witness, member);
        }
        return;
    case FRAME_PULL:
    case FRAME_TABLE_PULL:
    case FRAME_PUSH:
    case FRAME_PUSH_PULL:
    case FRAME_TABLE_PUSH:
    case FRAME_TABLE_PUSH_PULL:
        clock = clock_of(frame);
        if (member != NULL) {
            member->clock = witness_larger(member->clock, clock);
        }
        break;
    default:
        return;
    }
    pend(witness, seat, session, frame, clock);
}

/* ---- the log ---- */

void witness_noted(struct witness *witness, uint32_t shard, const struct command *command) {
    const struct oracle_shard *modes = &witness->oracle->shards[shard];
    const struct consistency *mode = pace_mode(modes, command->clock);
    unsigned beyond = 0, all = 0;
    if (command->kind != COMMAND_CLOSE) {
        return;
    }
    mode = mode->mode == CONSISTENCY_SYNC ? mode : &modes->now; /* the last that was */
    for (unsigned i = 0; i < witness->count; i++) {
        const struct witness_member *member = &witness->members[i];
        const bool sure = witness_lives(witness, member);
        all += sure;
        beyond += member->clock > command->clock; /* of whoever may live */
        if (sure && mode->minimum == 0 && member->clock <= command->clock) {
            schedule_fail(witness->oracle->schedule,
                          "clock %llu is closed in shard %u, and a live worker of rank %u is at most at clock %llu",
                          (unsigned long long)command->clock, shard, member->rank - 1,
                          (unsigned long long)member->clock);
        }
    }
    if (beyond < (mode->minimum > 0 && mode->minimum < all ? mode->minimum : all > 0)) {
        schedule_fail(witness->oracle->schedule, "clock %llu is closed in shard %u, which %u of %u workers have passed",
                      (unsigned long long)command->clock, shard, beyond, all);
    }
}
