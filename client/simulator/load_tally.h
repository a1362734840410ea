/* What every row of a verified load of a table must hold: counts of draws, from the counts of the calls alone. */
#ifndef CANYON_SIMULATOR_LOAD_TALLY_H
#define CANYON_SIMULATOR_LOAD_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "client/simulator/load_plan.h"
#include "client/simulator/load_rows.h"
#include "client/simulator/load_share.h"

struct load_row_tally {
    uint32_t draws[LOAD_ROW_CLASSES]; /* by the base of the call */
    uint32_t calls;                   /* that drew it, once or more often */
    uint32_t last;                    /* of the pushing calls, counted from 1: the latest that drew it */
    bool undecided;                   /* of one of its pushes nobody knows whether it was applied */
    bool met;                         /* for whoever compares */
};
_Static_assert(sizeof(struct load_row_tally) == LOAD_TALLY_BYTES, "as the plan counts memory");

struct load_tally {
    struct load_row_tally *rows; /* by rank; plan->rows of them */
    uint64_t pushes;             /* pushing calls, those included that failed */
};

/* Goes through all calls, share->begun[w] of worker w, and leaves out what was certainly not applied. The plan has its
 * draws, and the share all the failures there were. False without memory. load_tally_finish in any case. */
bool load_tally_make(struct load_tally *tally, const struct load_plan *plan, const struct load_share *share);
void load_tally_finish(struct load_tally *tally);

#endif
