/* Worker processes that train rows of tables together, watched from the first fork to the last one reaped.
 *
 * Each worker is a process of its own with a connection of its own; rows are on servers and shared. Or there is a
 * single one, whose rows are its own memory (rows_open_here): the same training without servers, to be measured
 * against. What workers tell on the way, and what comes of it in the end, is in memory that all processes see. */
#ifndef CANYON_SIMULATOR_TEAM_H
#define CANYON_SIMULATOR_TEAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "canyon.h"
#include "client/simulator/flow.h"
#include "client/simulator/place.h"
#include "client/simulator/rows.h"
#include "client/tools/outcome.h"

#define TEAM_WORKERS_HIGH 256
#define TEAM_TEXT_BYTES   512 /* room enough for every text */

/* What a worker has done so far: written by it alone, read by the parent. */
struct team_tally {
    _Atomic uint64_t work;  /* in the plan's unit */
    _Atomic uint64_t terms; /* of the sum of losses: pairs, examples */
    _Atomic uint64_t rows;  /* pulled, and as many pushed */
    _Atomic uint64_t loss;  /* the bits of a double: the sum of losses; use team_add_loss and team_loss */
};

void team_add_loss(struct team_tally *tally, double loss, uint64_t terms);
double team_loss(const struct team_tally *tally);

struct team_plan {
    const char *program;       /* "canyon-sim embed": begins every message */
    const char *label;         /* what the progress bar begins with */
    const char *unit;          /* of work: "words" */
    const struct place *place; /* the servers; NULL: one worker, and rows in its own memory */
    uint32_t workers;
    struct rows_spec tables[FLOW_TABLES]; /* names without the place's prefix */
    size_t table_count;
    uint64_t work; /* in all, for the progress bar */
    void *context;
    /* One worker's training, in its process. On failure `text` says why. */
    enum canyon_status (*train)(void *context, uint32_t worker, struct rows *const *tables, struct team_tally *tally,
                                char *text, size_t bytes);
    /* When all workers are done, in the one process that has the tables still: looks at what was learnt. What it finds
     * belongs in memory from team_share. */
    enum canyon_status (*finish)(void *context, struct rows *const *tables, char *text, size_t bytes);
};

struct team_result {
    uint64_t work, rows;     /* done; `rows` were pulled, and as many pushed */
    double loss;             /* mean of the last twentieth of the work or so; of the whole when it is over sooner */
    double seconds;          /* from when all workers may begin until the last is done */
    uint32_t servers;        /* 0 in one process */
    uint64_t sent, received; /* bytes of values that the workers' clients moved; 0 in one process */
};

/* Memory that this process and those it forks see alike, zeroed; NULL when there is none. team_unshare takes its size.
 */
void *team_share(size_t bytes);
void team_unshare(void *memory, size_t bytes);

/* Trains. On OUTCOME_DONE *result is filled in; otherwise what went wrong was printed to standard error. Either way no
 * process is left, and no table on servers that were not started for it. When interrupt_signal() is set afterwards,
 * that is why it failed. */
enum outcome team_run(const struct team_plan *plan, struct team_result *result);

#endif
