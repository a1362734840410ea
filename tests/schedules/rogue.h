/* A rogue speaks the protocol by hand, and not always as a client should: numbers left out, taken twice, of a session
 * that nobody knows, over a connection that a newer one has fenced.
 *
 * It sends one frame at a time to one server thread and knows, from PROTOCOL.md alone, what the answer must be. Its
 * pushes are the oracle's like everybody's. */
#ifndef CANYON_TESTS_SCHEDULES_ROGUE_H
#define CANYON_TESTS_SCHEDULES_ROGUE_H

#include "tests/schedules/worker.h"

#define ROGUE_REFUSALS 4 /* runs of them that a shard remembers of a session */
#define ROGUE_PIECES   3

struct rogue;

/* One of its connections. */
struct rogue_line {
    struct rogue *rogue;
    struct link *link; /* NULL without one */
    struct frame_reader reader;
    bool reading, greeted;
};

struct rogue_piece {
    struct cell *cell;
    unsigned n;
    uint64_t number;
    bool poisoned;
    enum canyon_status code; /* that it must be answered with */
    enum outcome outcome;    /* and what becomes of it */
};

/* What it waits for. */
enum rogue_state { ROGUE_IDLE, ROGUE_GREETING, ROGUE_RESUMING, ROGUE_PUSHING, ROGUE_EXPELLED, ROGUE_LEAVING };

struct rogue {
    struct stage *stage;
    struct host *host;
    uint32_t thread;
    unsigned life;
    uint8_t session[SESSION_BYTES];
    struct rogue_line lines[2]; /* the one in use, and perhaps an older one of the same session */
    unsigned current;           /* which is in use */
    enum rogue_state state;
    enum canyon_status expels; /* EXPELLED: the code it must be sent away with */
    bool racing;               /* its last push went over the older connection, without waiting for an answer */
    bool resumes;              /* the session was here before: it has to say so */
    uint64_t request;
    struct rogue_piece pieces[ROGUE_PIECES];
    uint32_t count;
    /* What the server must know of the session: */
    uint64_t last[HOST_SHARDS];
    struct {
        uint64_t first, number;
        enum canyon_status code;
    } refusals[HOST_SHARDS][ROGUE_REFUSALS];
    uint64_t before[HOST_SHARDS]; /* `last` without the push that is racing */
    unsigned era;
    uint64_t quota;
};

void rogue_init(struct rogue *rogue, struct stage *stage, unsigned quota);
void rogue_finish(struct rogue *rogue);

/* Has made all its requests. */
bool rogue_is_done(const struct rogue *rogue);

/* ---- of its own files: rogue.c (connections, what it does), rogue_push.c (what it sends), rogue_answer.c (what it has
 * to be answered) ---- */

void rogue_hang_up(struct rogue_line *line);

/* The schedule fails: that was no answer. */
void rogue_complain(struct rogue *rogue, const struct frame *frame, const char *what);

/* To a push; or that there is no room for its session, which is false for any other answer; or that the connection ends
 * and nothing came to pass. */
void rogue_take_pushed(struct rogue *rogue, const struct frame *frame);
bool rogue_take_busy(struct rogue *rogue, struct rogue_line *line, const struct frame *frame);
void rogue_take_expulsion(struct rogue *rogue, struct rogue_line *line, const struct frame *frame);
/* To RESUME. */
void rogue_take_resumed(struct rogue *rogue, const struct frame *frame);
/* Over the older connection. */
void rogue_take_older(struct rogue *rogue, struct rogue_line *line, const struct frame *frame);

/* Fills rogue->pieces and the model with what must become of them; false when there is no cell. `wrong` is an error
 * that must be answered to the frame as a whole, or OK; with `proper` it is OK, and nothing is refused. */
bool rogue_draw(struct rogue *rogue, bool proper, enum canyon_status *wrong);
/* Packs the pieces into a whole PUSH: owned. */
uint8_t *rogue_pack(const struct rogue *rogue, size_t *bytes);

#endif
