#include "tests/schedules/witness.h"

#include <string.h>

static uint64_t now_of(const struct witness *witness) {
    return witness->oracle->schedule->now;
}

static uint64_t larger(uint64_t one, uint64_t other) {
    return one > other ? one : other;
}

void witness_forget(struct witness *witness) {
    witness->count = witness->pending_count = 0;
}

/* ---- members ---- */

static struct witness_member *find(struct witness *witness, const uint8_t *session) {
    for (unsigned i = 0; i < witness->count; i++) {
        if (memcmp(witness->members[i].session, session, SESSION_BYTES) == 0) {
            return &witness->members[i];
        }
    }
    return NULL;
}

static struct witness_member *find_or_add(struct witness *witness, const uint8_t *session) {
    struct witness_member *member = find(witness, session);
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

static bool lives(const struct witness *witness, const struct witness_member *member) {
    return member->sure && now_of(witness) < member->seen + witness->lease;
}

void witness_stop(struct witness *witness) {
    for (unsigned i = 0; i < witness->count; i++) {
        witness->members[i].sure = lives(witness, &witness->members[i]);
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

/* Whoever else has this rank has lost it. */
static void take_rank(struct witness *witness, const uint8_t *session, uint32_t rank) {
    for (unsigned i = 0; i < witness->count && rank > 0 && !witness->rules; i++) {
        struct witness_member *other = &witness->members[i];
        if (other->rank == rank && memcmp(other->session, session, SESSION_BYTES) != 0) {
            other->sure = false;
        }
    }
}

/* ---- in ---- */

static void pend(struct witness *witness, const void *seat, const uint8_t *session, const struct frame *frame,
                 uint64_t clock) {
    if (witness->pending_count == WITNESS_PENDING) {
        memmove(witness->pending, witness->pending + 1, (WITNESS_PENDING - 1) * sizeof witness->pending[0]);
        witness->pending_count--;
    }
    struct witness_pending *pending = &witness->pending[witness->pending_count++];
    *pending = (struct witness_pending){
        .seat = seat, .request = frame->header.request, .clock = clock, .type = frame->header.type};
    const struct witness_member *member = find(witness, session);
    pending->waits = member != NULL && lives(witness, member);
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

/* False for a goodbye. */
static bool hear_clock(struct witness *witness, const uint8_t *session, const struct frame *frame) {
    struct message_clock message = {.clock = 0};
    struct error error;
    (void)message_unpack_clock(frame->message, frame->header.message_bytes, &message, &error);
    struct witness_member *member = find_or_add(witness, session);
    member->clock = larger(member->clock, message.clock);
    member->sure = member->sure && !message.leave;
    if (!message.leave) {
        take_rank(witness, session, message.rank);
    }
    return !message.leave;
}

static void hear_enter(struct witness *witness, const uint8_t *session, const struct frame *frame) {
    struct message_enter message = {.clock = 0};
    struct error error;
    (void)message_unpack_enter(frame->message, frame->header.message_bytes, &message, &error);
    struct witness_member *member = find_or_add(witness, session);
    member->clock = larger(member->clock, message.clock);
    take_rank(witness, session, message.rank);
}

struct witness_member *witness_heard(struct witness *witness, const uint8_t session[SESSION_BYTES]) {
    struct witness_member *member = find(witness, session);
    if (member != NULL) {
        member->sure = lives(witness, member);
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
            member->sure = false;
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
            member->clock = larger(member->clock, clock);
        }
        break;
    default:
        return;
    }
    pend(witness, seat, session, frame, clock);
}

/* ---- out ---- */

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
        if (lives(witness, member) && member->clock < least) {
            schedule_fail(witness->oracle->schedule,
                          "a pull at clock %llu in shard %u was answered while a live worker of rank %u is at most at "
                          "clock %llu, below %llu",
                          (unsigned long long)clock, witness->shard, member->rank - 1,
                          (unsigned long long)member->clock, (unsigned long long)least);
        }
    }
}

/* LATE, where nothing of its clock is closed; or too early, where it is open. */
static void check_pushed(struct witness *witness, const struct witness_pending *pending, const struct frame *reply) {
    const struct oracle_shard *shard = &witness->oracle->shards[witness->shard];
    const struct witness_member *member = find(witness, pending->session);
    const uint64_t clock = pending->clock;
    struct message_piece_results results;
    struct error error;
    if (member == NULL || !pending->waits || member->renamed || clock < shard->now_from ||
        message_unpack_piece_results(reply->message, reply->header.message_bytes, &results, &error) != CANYON_OK) {
        return;
    }
    const bool at_it = member->clock <= clock && clock > shard->forced && pace_mode(shard, clock)->minimum == 0;
    const bool again = strstr(results.text, "when it came first") != NULL;
    for (uint32_t i = 0; i < results.count; i++) {
        const enum canyon_status status = results.results[i].status;
        if ((status == CANYON_LATE && at_it) || (status == CANYON_BUSY && clock <= shard->closed + 1 && !again)) {
            schedule_fail(witness->oracle->schedule,
                          "a worker of rank %u that lives and is at clock %llu is told %s, where clock %llu is closed: "
                          "%.120s",
                          member->rank - 1, (unsigned long long)clock, status_name(status),
                          (unsigned long long)shard->closed, results.text);
        }
    }
}

static void told(struct witness *witness, const struct witness_pending *pending, uint64_t clock, uint32_t rank) {
    struct witness_member *member = find_or_add(witness, pending->session);
    member->clock = larger(member->clock, clock);
    member->renamed = (member->renamed || member->rank != rank + 1) && member->sure;
    member->rank = rank + 1;
    member->sure = true;
    member->seen = larger(member->seen, pending->at);
    take_rank(witness, pending->session, member->rank);
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
        check_pushed(witness, pending, reply);
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
    for (unsigned i = 0; i < witness->pending_count; i++) {
        if (witness->pending[i].seat == seat && witness->pending[i].request == reply.header.request) {
            const struct witness_pending pending = witness->pending[i];
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
        const bool sure = lives(witness, member);
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
