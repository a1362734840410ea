/* A pacer counts the clocks of a virtual worker, as client/pace.c does: it enters, tells every thread alike how far it
 * is, gives signs of life, and goes on where it is told that the others are. */
#ifndef CANYON_TESTS_SCHEDULES_PACER_H
#define CANYON_TESTS_SCHEDULES_PACER_H

#include "client/session.h"
#include "tests/schedules/schedule.h"

#define PACER_LINES         8
#define PACER_MESSAGE_BYTES 64

struct worker;

/* One request under way; used again when it is over. */
struct pacer_request {
    struct session_request request; /* first */
    struct worker *worker;
    size_t line;
    bool busy, leaves;
    uint8_t message[PACER_MESSAGE_BYTES];
    struct pacer_request *next;
};

struct pacer {
    uint64_t clock, floor; /* clock: 0 before it has entered */
    uint32_t rank;         /* one more than it */
    unsigned entering;     /* answers to ENTER that are waited for */
    bool failed;           /* one did not come */
    bool asked_all;        /* the others were told the rank, too */
    bool beating;          /* gives signs of life */
    unsigned under_way;
    uint64_t beat;                  /* which: what was planned for another is void */
    struct pacer_request *requests; /* of this life: owned */
};

/* A life begins, and ends: its requests have ended. */
void pacer_init(struct pacer *pacer);
void pacer_finish(struct pacer *pacer);

/* Goes on with entering; true when it has. Another attempt is made by calling it again. */
bool pacer_enter(struct worker *worker);

/* The next clock, told to all. */
uint64_t pacer_step(struct worker *worker);

/* What an answer says of how far the others are. */
void pacer_catch_up(struct pacer *pacer, uint64_t clock);

/* Says goodbye: nobody waits for it any more. */
void pacer_leave(struct worker *worker);

#endif
