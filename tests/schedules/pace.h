/* What the oracle knows of clocks, in a paced world: it follows every shard's log.
 *
 * A push that was taken at once counts with 60. One that is kept counts when its clock is closed, with all others of
 * that clock: 60 for a sum, 60 / n for a mean over n workers, who contributed to this cell. Pushes are known again in
 * the log by their gradients, which no two have in common. Held against the log is
 *
 *     no push twice, none of a clock that is closed, none kept where its clock is not synchronous, or not kept where
 *     it is; clocks are closed in their order
 *
 * and against weights that anybody is shown, when they leave the server and when they come, or that are there in the
 * end,
 *
 *     of each clock all pushes that were kept or none, each with its share, and all of the clocks before it; none of a
 *     clock that is not closed; versions count closed clocks beside pushes that were taken at once. */
#ifndef CANYON_TESTS_SCHEDULES_PACE_H
#define CANYON_TESTS_SCHEDULES_PACE_H

#include "server/command.h"
#include "tests/schedules/oracle.h"

#define PACE_UNIT  60u /* can be divided by up to six workers */
#define PACE_HEADS 6

/* The modes of a shard as its log has them. */
struct oracle_shard {
    bool set;
    struct consistency now, next;
    uint64_t from;     /* the first clock of `next`, */
    uint64_t now_from; /* and of `now` */
    uint64_t closed;   /* the last synchronous clock that is, */
    uint64_t forced;   /* and the last that a mode closed, where nobody lived */
};

/* From now on pushes have clocks. Before the first one. */
void oracle_pace(struct oracle *oracle);

/* A command took its place in a shard of a server of that era. */
void pace_noted(struct oracle *oracle, uint32_t shard, unsigned era, const struct command *command);
/* The log is gone but for what *shard is of. */
void pace_lost(struct oracle *oracle, uint32_t index, const struct oracle_shard *shard);

const struct consistency *pace_mode(const struct oracle_shard *shard, uint64_t clock);
/* Whether clocks c - 1 and c are both synchronous by what is known: then c waits for c - 1 to be closed. */
bool pace_follows(const struct oracle_shard *shard, uint64_t clock);

/* As oracle_seen and oracle_judge. */
void pace_seen(struct oracle *oracle, struct cell *cell, const float *weights, uint64_t version, unsigned era,
               uint64_t since, unsigned own);
/* The same of what a server is about to show just now: all that was taken at once, and all of clocks that are closed.
 */
void pace_shown(struct oracle *oracle, struct cell *cell, const float *weights, unsigned era);
/* A block or row of a tensor of this id; NULL for none that is known. */
struct cell *pace_cell(const struct oracle *oracle, uint64_t id, uint64_t place);
void pace_judge(struct oracle *oracle, struct cell *cell, const float *weights, uint64_t version, struct age age);

#endif
