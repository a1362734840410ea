/* How the workers of a job keep together: the mode, and what is counted of how stale their pushes were.
 *
 * Clocks count from 1; 0 is no clock. A mode is for all clocks from the one that it was set for. Pure data. */
#ifndef CANYON_COMMON_CONSISTENCY_H
#define CANYON_COMMON_CONSISTENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"
#include "common/status.h"

/* Stable numbers, like those below: they are on the wire and in commands. */
enum consistency_mode {
    CONSISTENCY_ASYNC = 0, /* nobody waits */
    CONSISTENCY_SSP = 1,   /* a pull at clock c waits until every live worker is at clock c - staleness or beyond */
    CONSISTENCY_SYNC = 2   /* gradients of a clock are applied together, once; a pull at clock c waits until those of
                            * clock c - 1 are */
};
enum consistency_combine { CONSISTENCY_MEAN = 0, CONSISTENCY_SUM = 1 };
enum consistency_order { CONSISTENCY_ARRIVAL = 0, CONSISTENCY_RANK = 1 };

struct consistency {
    enum consistency_mode mode;
    uint32_t staleness;               /* of SSP: clocks */
    enum consistency_combine combine; /* of SYNC, like the next two */
    enum consistency_order order;
    uint32_t minimum; /* workers whose passing closes a clock; 0: all live ones */
};

#define CONSISTENCY_STALENESS_HIGH 1000000u /* of SSP */
#define CONSISTENCY_TEXT_BYTES     64

/* INVALID_ARGUMENT for numbers that are none of the above, and for what the mode does not use and is not zero. */
enum canyon_status consistency_check(const struct consistency *mode, struct error *error);

bool consistency_equal(const struct consistency *one, const struct consistency *other);

/* "async", "ssp:3", "sync", "sync:sum,rank,minimum=3": the words after the colon in any order, each once.
 * INVALID_ARGUMENT. The text of a mode is the shortest that parses to it. */
enum canyon_status consistency_parse(const char *text, struct consistency *mode, struct error *error);
char *consistency_text(const struct consistency *mode, char *text, size_t bytes);

/* The mode of a job as it changes: `now` for clocks below `from`, `next` from there on. */
struct consistency_plan {
    bool set; /* somebody set it; else it is asynchronous throughout */
    struct consistency now, next;
    uint64_t from;
};

static inline const struct consistency *consistency_at(const struct consistency_plan *plan, uint64_t clock) {
    return clock >= plan->from ? &plan->next : &plan->now;
}

/* How stale pushes were. Bucket 0 is of those that were not, bucket b of 2^(b-1) to 2^b - 1, the last one of all
 * above. */
#define STALENESS_BUCKETS 33
struct staleness {
    uint64_t pushes, sum, max;
    uint64_t counts[STALENESS_BUCKETS];
};

void staleness_count(struct staleness *counts, uint64_t staleness);
void staleness_merge(struct staleness *counts, const struct staleness *more);
/* The least staleness of a bucket. */
uint64_t staleness_floor(size_t bucket);

#endif
