/* Whether every push of a load was applied exactly once: the sums that must be there, computed from the counts of the
 * calls alone, against the weights that are. */
#ifndef CANYON_SIMULATOR_LOAD_VERIFY_H
#define CANYON_SIMULATOR_LOAD_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "canyon.h"
#include "client/simulator/load_gradient.h"
#include "client/simulator/load_link.h"
#include "client/simulator/load_plan.h"
#include "client/simulator/load_share.h"

#define LOAD_FAULTS_SHOWN 10

/* A block, or a row, that does not hold what it must. */
struct load_fault {
    uint32_t tensor;
    uint64_t block;
    uint64_t element;        /* of the tensor: the first wrong one */
    double expected, found;  /* weights */
    uint64_t wrong;          /* elements of the block */
    double updates, applied; /* how many pushes the block must have had, and has had */
};

struct load_verdict {
    bool done;          /* false: it could not be found out; nothing else is filled in */
    uint64_t pushes;    /* pushing calls that were answered without any refusal */
    uint64_t blocks;    /* of all tensors, or rows of the table */
    uint64_t wrong;     /* of them */
    uint64_t undecided; /* blocks whose pushes include one whose outcome nobody knows: not compared */
    uint64_t torn;      /* blocks received on the way that were not of one moment */
    struct load_fault faults[LOAD_FAULTS_SHOWN]; /* the first of the wrong ones */
};

/* What all pushes of the plan's workers add up to, those that failed included: begun[w] calls of worker w. Returns how
 * many pushing calls there were. */
uint64_t load_sums(const struct load_plan *plan, const uint64_t *begun, uint64_t sums[LOAD_CLASSES]);

/* What one block must hold, given those sums: takes off what was not applied to it. False when nobody can say. */
bool load_block_sums(const struct load_plan *plan, const struct load_share *share, uint32_t tensor, uint64_t block,
                     uint64_t sums[LOAD_CLASSES], uint64_t *pushes);

/* Pulls all tensors, or reads the table, through the link's first client and judges. Nobody may push meanwhile. On
 * failure the link's text says what was being done. */
enum canyon_status load_verify(const struct load_plan *plan, const struct load_share *share, struct load_link *link,
                               struct load_verdict *verdict);

/* True when all blocks were compared and none was wrong or torn. */
bool load_verdict_good(const struct load_verdict *verdict);

#endif
