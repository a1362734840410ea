/* A push is one request of a virtual worker: pieces or runs of cells, and what it is told of them. push.c makes it,
 * push_reply.c takes the answer. */
#ifndef CANYON_TESTS_SCHEDULES_PUSH_H
#define CANYON_TESTS_SCHEDULES_PUSH_H

#include "tests/schedules/worker.h"

#define PUSH_PARTS         6
#define PUSH_MESSAGE_BYTES 512

/* Refusals that may be under way of one line: as many as a shard remembers of a session, so that each is told its own.
 */
#define LINE_POISONED 4

struct part {
    struct cell *cell;
    unsigned n; /* of the cell's pushes; UINT_MAX for a read */
    unsigned run;
    bool poisoned; /* a value of it is no number */
};

struct push {
    struct session_request request; /* first */
    struct worker *worker;
    struct line *line;
    unsigned type;
    bool malformed;
    bool denied;      /* its worker may only read */
    bool creates;     /* a TABLE_PULL that makes rows */
    bool erasing;     /* of rows that are erased now and then, of its worker alone */
    uint64_t clock;   /* of a paced world: that it is made at; */
    uint32_t wait_ms; /* a pull waits so long for others */
    unsigned count, runs;
    unsigned refusals; /* parts of it that will be refused, at least */
    struct part parts[PUSH_PARTS];
    uint32_t shards[PUSH_PARTS];
    uint64_t made; /* when */
    uint8_t message[PUSH_MESSAGE_BYTES];
    struct iovec slice;
    uint8_t *payload; /* owned */
    struct push *next;
};

/* Brings values; takes numbers. */
bool push_brings(const struct push *push);
bool push_numbers(const struct push *push);

/* Its end: tells the oracle. */
void push_ended(struct push *push, enum canyon_status status, const char *text, const struct frame *reply);

#endif
