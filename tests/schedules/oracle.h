/* The oracle knows of every push what became of it by what its worker was told, and reads off the weights what did.
 *
 * Plain SGD with a learning rate of 1 and integer gradients: sums below 2^24 are exact, whatever their order. A cell is
 * a block of a tensor or a row of a table. Its n-th push (of all workers') adds 1 to element 0, and 8^(n mod 8) to
 * element 1 + n / 8: every push has a digit of three bits of its own, and the weights say how often it was applied.
 * Element 0 is their number, as is the version of a block.
 *
 * Cells of the other kind are assigned to, by one worker alone: the n-th assign sets all elements to n + 1.
 *
 * The rules, of a push to a server that did not lose its state since:
 *     answered OK              exactly once
 *     refused, or never sent   not at all
 *     outcome unknown          exactly once, since its session goes on; once or not at all when its worker has died,
 *                              or the server lost its state meanwhile, or was started again before it had ever
 *                              answered this session about this shard, or another of the same frame (which looks the
 * same) and of one that was answered before the server lost its state: not at all.
 *
 * In a paced world (oracle_pace) a push adds 60 in place of 1 and has a digit of seven bits, so that its share of a
 * mean over up to six workers is a whole number that can be read off, too; pace.h has what more is known there.
 *
 * Cells of two more kinds are of a tensor that is dropped meanwhile, whose pushes may come too late; and of rows that
 * one worker alone pushes to and erases: what it pushed before an erase is gone, what it pushed behind it is there. */
#ifndef CANYON_TESTS_SCHEDULES_ORACLE_H
#define CANYON_TESTS_SCHEDULES_ORACLE_H

#include "common/consistency.h"
#include "common/job.h"
#include "tests/schedules/schedule.h"

enum outcome {
    OUTCOME_PENDING,
    OUTCOME_OK,
    OUTCOME_REFUSED, /* or never sent */
    OUTCOME_UNKNOWN,
    OUTCOME_DIED /* its worker did before it was told; or its session gave it up */
};

/* How old a server is. */
struct age {
    unsigned era;      /* how often it lost its state */
    unsigned restarts; /* how often it was started again */
};

enum cell_kind { CELL_BLOCK, CELL_ROW, CELL_ASSIGNED, CELL_ERASED, CELL_DROPPED };

/* How a server took it, as its log says. */
enum taking { TAKEN_NOT, TAKEN_AT_ONCE, TAKEN_TO_KEEP };

struct entry {
    enum outcome outcome;
    unsigned life;   /* of a worker: which one's push it is */
    struct age made; /* the server's when it was submitted */
    bool known; /* the server had answered this session about this shard, and all others of its frame, in that era */
    unsigned answered; /* and of the connection that it was answered over */
    uint64_t answered_at, submitted_at;
    bool erases;        /* of a cell that is ERASED: is no push */
    uint64_t clock;     /* of a paced world: the worker's, of the push */
    enum taking taken;  /* by the server */
    unsigned taken_era; /* that it was of then */
    bool divided;       /* kept for a mean */
};

struct cell {
    enum cell_kind kind;
    unsigned number;   /* of all cells */
    uint32_t tensor;   /* index */
    uint64_t id;       /* the tensor's */
    uint64_t place;    /* block, or row id */
    uint32_t elements; /* or dim */
    uint32_t shard, host;
    unsigned owner;        /* ASSIGNED, ERASED: the worker */
    bool gone;             /* DROPPED: its server may have been told */
    bool blurred;          /* shares of it are no whole numbers any more */
    struct entry *entries; /* owned */
    unsigned count, room;
};

struct oracle_shard;

struct oracle {
    struct schedule *schedule;
    const struct job *job; /* borrowed */
    struct cell *cells;    /* owned */
    unsigned count, room;
    unsigned *known; /* of each life and shard: the era in which it was answered last, and one; owned */
    bool *living;    /* of each life: owned */
    unsigned lives, living_room;
    unsigned unit, bits, digits;                 /* what a push adds to its digit; bits of one; digits in an element */
    struct oracle_shard *shards;                 /* of a paced world: owned */
    uint64_t closes, kept;                       /* clocks closed in a shard, contributions */
    uint64_t pushes, ok, refused, unknown, died; /* pieces */
};

void oracle_init(struct oracle *oracle, struct schedule *schedule, const struct job *job);
void oracle_finish(struct oracle *oracle);

static inline bool oracle_is_paced(const struct oracle *oracle) {
    return oracle->shards != NULL;
}

/* Cells stay where they are until the next one is added. */
void oracle_add(struct oracle *oracle, const struct cell *cell);

/* A worker begins a life, with a session of its own; and loses it, with all that it was not told. */
unsigned oracle_begin(struct oracle *oracle);
void oracle_end(struct oracle *oracle, unsigned life);

/* Of a life's pushes to that thread, those of unknown outcome are given up by their session. */
void oracle_forsake(struct oracle *oracle, unsigned life, uint32_t host, uint32_t thread, uint32_t threads);

/* A push that is submitted: its number in the cell. `age` is the server's. UINT_MAX when the cell is full. */
unsigned oracle_push(struct oracle *oracle, struct cell *cell, unsigned life, struct age age);
/* The gradient of the n-th push, or the values of the n-th assign. */
void oracle_values(const struct oracle *oracle, const struct cell *cell, unsigned n, float *values);
/* What its worker was told, over a connection of that era. */
void oracle_told(struct oracle *oracle, struct cell *cell, unsigned n, enum outcome outcome, unsigned era);

/* Whether a server of this age may seem to have lost what it knew when the push was submitted. */
bool oracle_excuses(const struct cell *cell, unsigned n, struct age age);

/* Where the digit of the n-th push is, and what the weights say it is. */
unsigned oracle_digit(const struct oracle *oracle, const float *weights, unsigned n);

/* Whether the weights are whole numbers that digits can be read off, of pushes that were made; else the schedule fails.
 * *sum receives what the digits come to. */
bool oracle_readable(struct oracle *oracle, const struct cell *cell, const float *weights, uint64_t *sum);

/* How often the n-th push must and may be there, by what its worker was told. */
void oracle_expect(const struct oracle *oracle, const struct cell *cell, unsigned n, struct age age, unsigned *least,
                   unsigned *most);

/* The schedule fails because of a cell. */
void oracle_fail(struct oracle *oracle, const struct cell *cell, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

const char *oracle_outcome_name(enum outcome outcome);

/* Weights that a worker was shown over a connection of that era, in answer to what it submitted at `since`: no push in
 * them twice, none that was refused, all that were answered before. `version` is UINT64_MAX where there is none. `own`
 * is a push that must be in them, or UINT_MAX. */
void oracle_seen(struct oracle *oracle, const struct cell *cell, const float *weights, uint64_t version, unsigned era,
                 uint64_t since, unsigned own);

/* The end: all that was to come has come. `version` as above; `age` is the server's. */
void oracle_judge(struct oracle *oracle, const struct cell *cell, const float *weights, uint64_t version,
                  struct age age);

#endif
