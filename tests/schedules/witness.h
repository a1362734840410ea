/* A witness sits beside one server thread, sees every frame that goes in and out, and knows from those alone who surely
 * lives there and how far at most each can be said to be. So it can tell that somebody was not waited for.
 *
 * A member surely lives from when it is told that it entered, or its CLOCK was answered, as long as no lease passes
 * between one frame of it and the next, and it does not leave or lose its rank to another. Its clock is at most the
 * largest that it named or was told.
 *
 *     a pull at clock c is answered:  bounded staleness s: nobody who surely lives is below c - s
 *                                     synchronous: nobody who surely lives is below c
 *                                     and it shows exactly what was taken at once and what is of closed clocks
 *     clock c is closed:              nobody who surely lives is at it or below; where the mode has a minimum, so many
 *                                     are beyond
 *     a push of clock c is LATE:      its worker does not surely live at c or below
 *     a push of clock c is too early: clock c - 1 is not closed
 *     a worker enters:                at no clock that is closed */
#ifndef CANYON_TESTS_SCHEDULES_WITNESS_H
#define CANYON_TESTS_SCHEDULES_WITNESS_H

#include "server/command.h"
#include "server/handler.h"
#include "tests/schedules/pace.h"

#define WITNESS_MEMBERS 64
#define WITNESS_PENDING 256
#define WITNESS_CELLS   6

struct witness_member {
    uint8_t session[SESSION_BYTES];
    bool sure, renamed; /* renamed: its rank changed while it lived */
    uint32_t rank;      /* one more than it; 0 before it was told any */
    uint64_t clock, seen;
};

/* A request that is not answered yet. */
struct witness_pending {
    const void *seat;
    uint64_t request, clock, at; /* at: when it came */
    unsigned type;
    bool waits;                        /* whoever asks surely lived then, and has not left since */
    struct cell *cells[WITNESS_CELLS]; /* that a pull is about */
    unsigned cell_count;
    uint8_t session[SESSION_BYTES];
};

struct witness {
    struct oracle *oracle;
    unsigned era;   /* of the process */
    uint32_t shard; /* one of the thread's: modes are the same in all */
    bool rules;     /* it is the thread that gives ranks */
    uint64_t lease; /* nanoseconds */
    struct witness_member members[WITNESS_MEMBERS];
    unsigned count;
    struct witness_pending pending[WITNESS_PENDING];
    unsigned pending_count;
    uint64_t waits; /* pulls that were not answered at once */
};

/* The process begins anew, in that era: nobody is known. Keeps what is counted. */
void witness_forget(struct witness *witness, unsigned era);

/* The process is stopped; and goes on, before it does anything: leases that would be over for more than a second run
 * on.
 */
void witness_stop(struct witness *witness);
void witness_go_on(struct witness *witness);

/* A session has a sign of life, as a new connection is; its member, or NULL. */
struct witness_member *witness_heard(struct witness *witness, const uint8_t session[SESSION_BYTES]);

/* A frame is about to be carried out for a peer; then all that comes of it has. */
void witness_in(struct witness *witness, const void *seat, const uint8_t session[SESSION_BYTES],
                const struct frame *frame);
void witness_done(struct witness *witness, const void *seat, uint64_t request);
/* A whole frame goes out to a peer, in slices, of which the first has header and message. */
void witness_out(struct witness *witness, const void *seat, const struct handler_slice *slices, size_t count);
/* The connection is over: what it asked is not answered any more. */
void witness_gone(struct witness *witness, const void *seat);
/* A command takes its place in a shard of the thread, and is not noted in the oracle yet. */
void witness_noted(struct witness *witness, uint32_t shard, const struct command *command);

/* ---- of its own files: witness.c (who lives, what comes in, the log), witness_answer.c (what goes out) ---- */

/* A session's member: NULL, or added, where it has none. */
struct witness_member *witness_find(struct witness *witness, const uint8_t session[SESSION_BYTES]);
struct witness_member *witness_member_of(struct witness *witness, const uint8_t session[SESSION_BYTES]);
bool witness_lives(const struct witness *witness, const struct witness_member *member);
/* Whoever else has this rank (one more than it) has lost it. */
void witness_take_rank(struct witness *witness, const uint8_t session[SESSION_BYTES], uint32_t rank);

static inline uint64_t witness_larger(uint64_t one, uint64_t other) {
    return one > other ? one : other;
}

#endif
