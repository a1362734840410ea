/* Training as a flow of batches: while one is computed, the rows of the next ones are on their way, and the gradients
 * of the ones before.
 *
 * Each batch goes through: made, its rows pulled, its gradient computed, pushed. With `ahead` 0 one batch is at an end
 * before the next is made, and its weights are as fresh as can be; with more, as many batches are pulled before the
 * batch in front of them is pushed, and as many pushes may be unanswered. The order of calls is the same in every run.
 */
#ifndef CANYON_SIMULATOR_FLOW_H
#define CANYON_SIMULATOR_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/simulator/rows.h"

#define FLOW_TABLES        2
#define FLOW_AHEAD_HIGH    16
#define FLOW_PLACES(ahead) (2 * (ahead) + 1) /* batches that are there at once */

/* The rows that a batch needs of one table. */
struct flow_part {
    const uint64_t *ids; /* distinct; the maker's memory, until a batch is made in this place again */
    size_t count;
    float *weights, *gradient; /* count * dim floats each; the flow's memory */
};

struct flow_maker {
    void *context;
    /* Makes the next batch in place `place`, below FLOW_PLACES(ahead), and sets ids and count of its parts. *more is
     * true; it becomes false when there is none. On failure `text` says why. */
    enum canyon_status (*make)(void *context, size_t place, struct flow_part *parts, bool *more, char *text,
                               size_t bytes);
    /* Computes the gradients of the batch in that place. */
    enum canyon_status (*compute)(void *context, size_t place, const struct flow_part *parts, char *text, size_t bytes);
};

/* Runs until there are no more batches. On failure `text` says why; no call is under way any more when it returns. */
enum canyon_status flow_run(const struct flow_maker *maker, struct rows *const *tables, size_t table_count,
                            size_t ahead, char *text, size_t bytes);

#endif
