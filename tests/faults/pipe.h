/* A pipe is one direction of a connection through the proxy: a queue of the bytes that came, and the faults that what
 * passes is treated with. It reads and writes sockets but never waits: the proxy calls it when they are ready, and asks
 * what it waits for. Not thread-safe. */
#ifndef TESTS_FAULTS_PIPE_H
#define TESTS_FAULTS_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/faults/transcript.h"

#define PROXY_NEVER UINT64_MAX

/* How an end is told: in order (FIN) or by a reset (RST). */
enum proxy_end { PROXY_FIN = 0, PROXY_RST = 1 };

/* What is done to one direction. Begin with proxy_faults_init: nothing is. Offsets count the bytes that pass, or are
 * swallowed, from the moment the faults are set on the connection. Where several reach the same byte, the order is cut,
 * hold, stall, swallow. */
struct proxy_faults {
    uint64_t cut_after;     /* so many bytes pass, then the connection ends, both directions [PROXY_NEVER] */
    enum proxy_end cut_end; /* how the side these bytes went to learns it; the other always by the same */
    uint64_t stall_after;   /* so many bytes pass, then none is passed; what came is kept up to PIPE_ROOM, then none is
                               taken either [PROXY_NEVER] */
    uint64_t swallow_after; /* so many bytes pass, then all that come are taken and thrown away [PROXY_NEVER] */
    uint64_t flip_at;       /* a bit of the byte at this offset is inverted [PROXY_NEVER] */
    uint32_t flip_bit;      /* which, 0 to 7 */
    uint64_t flip_every;    /* one bit in about so many bytes is inverted; 0 for none */
    uint64_t seed;          /* which these are: the same offsets and bits for the same seed */
    uint32_t piece;         /* at most so many bytes in one segment; 0 for as many as there are */
    uint32_t gap_us;        /* microseconds between pieces */
    uint32_t delay_ms;      /* everything passes so much later */
    uint64_t rate;          /* most bytes a second; 0 for no limit */
    bool hold;              /* takes everything (up to PIPE_HELD), passes nothing, not the end either */
};

void proxy_faults_init(struct proxy_faults *faults);

/* Reads the text form, words with commas between them: "cut=100,end=rst", "stall=0", "swallow=0", "flip=12.3"
 * (byte.bit), "flip_every=1000000,seed=7", "piece=1,gap_us=50", "delay=20", "rate=125000", "hold". "" is no fault. NULL
 * when it is of that form, else the word that is not, in `text`; `faults` is unchanged then. */
const char *proxy_faults_parse(struct proxy_faults *faults, const char *text);

#define PIPE_ROOM ((size_t)256 << 10)
#define PIPE_HELD ((size_t)64 << 20)

enum pipe_event {
    PIPE_WAITS,  /* for pipe_wants, or until `wakeup` */
    PIPE_PASSED, /* the source's end was passed on to the sink */
    PIPE_BROKEN, /* the sink can take nothing more */
    PIPE_CUT     /* cut_after was reached and all that passed before has arrived */
};

/* The proxy may read the counters; the rest is the pipe's own. */
struct pipe {
    enum proxy_way way;
    struct proxy_faults faults;
    uint64_t came, passed, swallowed, flipped; /* bytes; bits */
    size_t queued;
    bool source_ended;       /* no more will come */
    enum proxy_end ended_by; /* how */
    bool end_passed;
    bool sink_broken;
    bool at_cut;                   /* bytes behind a cut were thrown away: whatever is set later, the connection ends */
    bool blocked;                  /* the sink's socket is full */
    uint64_t wakeup;               /* clock_now() when it can go on; PROXY_NEVER */
    struct transcript *transcript; /* of what passes; borrowed; NULL for none */
    uint64_t position;             /* since the faults were set */
    uint64_t flips_to;             /* up to this position flips are done */
    uint64_t next_flip, random;
    uint64_t next_piece; /* time */
    uint64_t credit_at, credit;
    struct pipe_chunk *first, *last;
};

/* Zeroed first. finish is safe on a zeroed one. */
void pipe_init(struct pipe *pipe, enum proxy_way way, struct transcript *transcript);
void pipe_finish(struct pipe *pipe);

/* From now on; what is in the queue is treated with the new faults. */
void pipe_set(struct pipe *pipe, const struct proxy_faults *faults);

bool pipe_wants_input(const struct pipe *pipe);

/* Reads what the source has, within its room; `at_once` reads even without room, of a source that is gone. */
void pipe_take(struct pipe *pipe, int source, bool at_once);

/* Passes on what may be. */
enum pipe_event pipe_pass(struct pipe *pipe, int sink);

#endif
